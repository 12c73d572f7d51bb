import itertools

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from kgen import heads

HEADS = [
    heads.Bernoulli(),
    heads.ContinuousBernoulli(),
    heads.Normal(),
    heads.Normal(0.1),
    heads.StudentT(),
    heads.StudentT(3.0),
    heads.DiscretizedLogistic(8),
    heads.Categorical(8),
    heads.DiscretizedLogisticMixture(8, 3),
]
DISCRETE = [
    (heads.Bernoulli(), 2),
    (heads.DiscretizedLogistic(5), 5),
    (heads.Categorical(5), 5),
    (heads.DiscretizedLogisticMixture(5, 3), 5),
]
IMAGE_SHAPE = (3, 4, 2)
SEED = (1, 2)


def name_of(value):
    return repr(value) if isinstance(value, heads.Head) else ""


def random_params(head, event_shape=IMAGE_SHAPE, batch=5, scale=1.0):
    shape = (batch, *event_shape[:-1], head.params_size(event_shape))
    return scale * tf.random.stateless_normal(shape, seed=(0, 1))


@pytest.mark.parametrize("head", HEADS, ids=name_of)
def test_shapes_dtypes_and_size_inverse(head):
    params = random_params(head)
    distribution = head(tf.cast(params, tf.float16))
    assert distribution.batch_shape == (5,)
    assert distribution.event_shape == IMAGE_SHAPE
    assert head.event_size(params.shape[-1]) == IMAGE_SHAPE[-1]
    sample, mean = distribution.sample(seed=SEED), distribution.mean()
    assert sample.shape == mean.shape == (5, *IMAGE_SHAPE)
    assert distribution.log_prob(sample).shape == (5,)
    assert sample.dtype == mean.dtype == distribution.log_prob(sample).dtype == tf.float32


@pytest.mark.parametrize("head", HEADS, ids=name_of)
def test_config_round_trip(head):
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(head))
    assert type(copy) is type(head)
    assert copy.get_config() == head.get_config()


@pytest.mark.parametrize("head", HEADS, ids=name_of)
def test_mean_agrees_with_samples(head):
    distribution = head(random_params(head))
    samples = distribution.sample(4000, seed=SEED).numpy()
    standard_error = samples.std(axis=0) / np.sqrt(len(samples))
    # Five standard errors over 120 pixels: a right mean fails once in 15,000 seeds. The constant
    # covers pixels whose samples never vary.
    assert (np.abs(samples.mean(axis=0) - distribution.mean()) < 5 * standard_error + 1e-3).all()


@pytest.mark.parametrize("head", HEADS, ids=name_of)
def test_unknown_batch_size_and_same_seed_same_sample(head):
    params = random_params(head)

    @tf.function(input_signature=[tf.TensorSpec((None, *params.shape[1:]))])
    def sample_and_score(params):
        distribution = head(params)
        sample = distribution.sample(seed=SEED)
        return sample, distribution.log_prob(sample)

    sample, log_prob = sample_and_score(params)
    # The same operations in a graph may be fused: last digits only.
    np.testing.assert_allclose(sample, head(params).sample(seed=SEED), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(log_prob, head(params).log_prob(sample), rtol=1e-4)


@pytest.mark.parametrize(("head", "num_levels"), DISCRETE, ids=name_of)
def test_mass_sums_to_one_over_all_images(head, num_levels):
    """Every image of 1 x 2 pixels and one channel, at parameters mild and extreme."""
    levels = np.linspace(0, 1, num_levels, dtype="float32")
    images = np.array(list(itertools.product(levels, repeat=2))).reshape((-1, 1, 1, 2, 1))
    for scale in (0.5, 3.0, 30.0):
        distribution = head(random_params(head, (1, 2, 1), scale=scale))
        mass = np.exp(distribution.log_prob(images).numpy().astype("float64")).sum(axis=0)
        # At scale 30 the logarithms reach 100, of which float32 keeps 7 digits; the mass is in the
        # largest of them, near 0.
        np.testing.assert_allclose(mass, 1.0, atol=1e-5)


def test_bernoulli_agrees_with_scipy():
    logits = np.linspace(-4, 4, 9, dtype="float32").reshape((1, 3, 3, 1))
    image = (np.arange(9) % 2).reshape(logits.shape).astype("float32")
    expected = scipy.stats.bernoulli(scipy.special.expit(logits)).logpmf(image).sum()
    # A sum of nine float32 terms.
    np.testing.assert_allclose(heads.Bernoulli()(logits).log_prob(image), [expected], rtol=1e-5)


def test_bernoulli_and_its_slope_are_those_of_tensorflow_probability():
    draws = np.random.default_rng(0)
    logits = tf.constant(draws.normal(scale=20.0, size=(64, 3, 2, 1)), tf.float32)
    # Gray values too, and logits at which one of the two probabilities is 0 in float32.
    images = draws.uniform(size=logits.shape).astype("float32")
    images[:32] = images[:32] > 0.5
    found = []
    for make in (
        heads.Bernoulli(),
        lambda params: tfp.distributions.Independent(
            tfp.distributions.Bernoulli(logits=params, dtype=tf.float32), 3
        ),
    ):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = make(logits).log_prob(images)
        found.append([value, tape.gradient(value, logits)])
    for ours, theirs in zip(*found, strict=True):
        # Six pixels of up to 80 nats, each rounded.
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=2e-5)


def test_continuous_bernoulli_is_normalized_and_smooth_around_one_half():
    logits = np.array([-60, -9, -1, -5e-3, -3e-3, -1e-6, 0, 1e-6, 3e-3, 5e-3, 1, 9, 60], "float32")
    nodes, weights = np.polynomial.legendre.leggauss(200)
    x = (0.5 + 0.5 * nodes).astype("float32")
    params = tf.constant(logits.reshape((-1, 1, 1, 1)))
    with tf.GradientTape() as tape:
        tape.watch(params)
        distribution = heads.ContinuousBernoulli()(params)
        log_prob = distribution.log_prob(x.reshape((-1, 1, 1, 1, 1)))
        at_a_point = tf.reduce_sum(distribution.log_prob(tf.fill(params.shape, 0.3)))
    density = np.exp(log_prob.numpy().astype("float64"))
    # Quadrature is exact here; at logit 60, float32 keeps log p to 1e-5.
    np.testing.assert_allclose((0.5 * weights[:, None] * density).sum(0), 1.0, atol=3e-5)
    # d log p / d logit = x - E[x] holds for every exponential family.
    gradient = tape.gradient(at_a_point, params).numpy().ravel()
    wide = logits.astype("float64")
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(np.abs(wide) < 1e-2, 0.5 + wide / 12, 1 / -np.expm1(-wide) - 1 / wide)
    # The series' next term, logit^3 / 720, is below 1e-9; the rest is float32.
    np.testing.assert_allclose(gradient, 0.3 - mean, atol=1e-5)
    np.testing.assert_allclose(distribution.mean().numpy().ravel(), mean, atol=1e-5)


def test_continuous_bernoulli_samples_follow_the_density():
    logit = 1.5
    samples = heads.ContinuousBernoulli()(tf.fill((1, 1, 1, 1), logit)).sample(20_000, seed=SEED)
    # Fixed seed: a right sampler had a chance of 1 in 1000 to fail when the seed was chosen.
    pvalue = scipy.stats.kstest(
        samples.numpy().ravel(), lambda x: np.expm1(logit * x) / np.expm1(logit)
    ).pvalue
    assert pvalue > 1e-3


def test_normal_agrees_with_scipy():
    params = random_params(heads.Normal())
    image = np.random.default_rng(0).uniform(size=(5, *IMAGE_SHAPE)).astype("float32")
    loc, raw_scale = np.split(params.numpy(), 2, axis=-1)
    learned = scipy.stats.norm(loc, np.log1p(np.exp(raw_scale)) + 1e-3).logpdf(image)
    # Sums of 24 float32 terms, some of them squares of 10 and more.
    np.testing.assert_allclose(
        heads.Normal()(params).log_prob(image), learned.sum((1, 2, 3)), rtol=1e-4
    )
    fixed = scipy.stats.norm(loc, 0.1).logpdf(image)
    np.testing.assert_allclose(
        heads.Normal(0.1)(loc).log_prob(image), fixed.sum((1, 2, 3)), rtol=1e-4
    )


def test_discretized_logistic_agrees_with_the_cdf():
    num_levels, loc, raw_scale = 6, 0.35, -1.5
    scale = np.log1p(np.exp(raw_scale)) + 4e-4
    edges = (np.arange(1, num_levels) - 0.5) / (num_levels - 1)
    cdf = np.concatenate([[0.0], scipy.stats.logistic(loc, scale).cdf(edges), [1.0]])
    levels = np.linspace(0, 1, num_levels, dtype="float32").reshape((-1, 1, 1, 1, 1))
    distribution = heads.DiscretizedLogistic(num_levels)(tf.constant([[[[loc, raw_scale]]]]))
    # float32 rounding of (x - loc) / scale.
    np.testing.assert_allclose(
        np.exp(distribution.log_prob(levels)).ravel(), np.diff(cdf), rtol=1e-5
    )
    counts = np.bincount(
        np.rint(distribution.sample(20_000, seed=SEED).numpy().ravel() * 5).astype(int), minlength=6
    )
    # Fixed seed: a right sampler had a chance of 1 in 1000 to fail when the seed was chosen.
    assert scipy.stats.chisquare(counts, np.diff(cdf) * counts.sum()).pvalue > 1e-3
    expected = np.diff(cdf) @ levels.ravel()
    assert distribution.mean().numpy().item() == pytest.approx(expected, rel=1e-5)


def test_discretized_logistic_is_finite_with_gradients_in_the_tails():
    loc, raw_scale = np.meshgrid([-1e4, -3.0, 0.5, 4.0, 1e4], [-1e3, -20.0, 0.0, 20.0, 1e4])
    params = np.stack([loc.ravel(), raw_scale.ravel()], -1).reshape((-1, 1, 1, 2))
    params = tf.constant(params, tf.float32)
    for level in (0.0, 100 / 255, 1.0):
        with tf.GradientTape() as tape:
            tape.watch(params)
            log_prob = heads.DiscretizedLogistic()(params).log_prob(tf.fill((25, 1, 1, 1), level))
        assert np.isfinite(log_prob).all()
        assert np.isfinite(tape.gradient(log_prob, params)).all()


def test_discretized_logistic_pulls_a_far_location_towards_the_pixel():
    """In the tail log P is linear in loc with slope 1 / scale: no gradient vanishes."""
    params = tf.constant([[[[30.0, -3.0]]]])
    with tf.GradientTape() as tape:
        tape.watch(params)
        log_prob = heads.DiscretizedLogistic()(params).log_prob(tf.fill((1, 1, 1, 1), 100 / 255))
    slope = tape.gradient(log_prob, params).numpy()[0, 0, 0, 0]
    # The exponentials that bend the line are below exp(-600).
    assert slope == pytest.approx(-1 / (np.log1p(np.exp(-3.0)) + 4e-4), rel=1e-4)


def test_categorical_lays_out_channels_then_levels():
    logits = np.random.default_rng(0).normal(size=(1, 1, 1, 2, 4)).astype("float32")
    distribution = heads.Categorical(4)(logits.reshape((1, 1, 1, 8)))
    image = tf.reshape(tf.constant([1 / 3, 1.0]), (1, 1, 1, 2))
    log_probs = scipy.special.log_softmax(logits, axis=-1)[0, 0, 0]
    # One float32 addition.
    np.testing.assert_allclose(
        distribution.log_prob(image), [log_probs[0, 1] + log_probs[1, 3]], rtol=1e-5
    )
    expected = np.exp(log_probs) @ np.arange(4) / 3
    np.testing.assert_allclose(distribution.mean()[0, 0, 0], expected, rtol=1e-5)


def test_all_256_levels_survive_the_way_through_float32():
    levels = (np.arange(256, dtype="uint8").astype("float32") / 255).reshape((256, 1, 1, 1))
    # Exact: one logit towers above the others, so a wrong index would cost 50 nats.
    logits = 50.0 * np.eye(256, dtype="float32").reshape((256, 1, 1, 256))
    assert (heads.Categorical()(logits).log_prob(levels).numpy() > -1e-3).all()
    np.testing.assert_array_equal(heads.Categorical()(logits).sample(seed=SEED), levels)


def test_errors():
    with pytest.raises(ValueError, match="positive multiple of 8; received 9"):
        heads.Categorical(8).event_size(9)
    with pytest.raises(ValueError, match="positive multiple of 2; received 3"):
        heads.DiscretizedLogistic()(tf.zeros((1, 2, 2, 3)))
    with pytest.raises(ValueError, match="num_levels"):
        heads.Categorical(1)
    with pytest.raises(ValueError, match="scale"):
        heads.Normal(-1.0)


@pytest.mark.parametrize("head", HEADS[-1:], ids=name_of)
def test_compiles_with_xla(head):
    params = random_params(head)

    @tf.function(jit_compile=True)
    def use(params):
        distribution = head(params)
        sample = distribution.sample(seed=SEED)
        return sample, distribution.log_prob(sample), distribution.mean()

    sample, log_prob, mean = use(params)
    # XLA sums in another order; the noise differs, so the sample is checked by its own density.
    np.testing.assert_allclose(log_prob, head(params).log_prob(sample), rtol=1e-4)
    np.testing.assert_allclose(mean, head(params).mean(), rtol=1e-4)
