import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from kgen import heads

HEADS = [
    heads.DiagonalNormal(min_scale=1e-4),
    heads.DiagonalLaplace(),
    heads.DiagonalLogistic(),
    heads.LogNormal(),
    heads.MixtureOfNormals(3),
    heads.RelaxedOneHotCategorical(3, temperature=0.7),
]
SCIPY_FAMILIES = [
    (heads.DiagonalNormal(), lambda loc, scale: scipy.stats.norm(loc, scale)),
    (heads.DiagonalLaplace(), lambda loc, scale: scipy.stats.laplace(loc, scale)),
    (heads.DiagonalLogistic(), lambda loc, scale: scipy.stats.logistic(loc, scale)),
    (heads.LogNormal(), lambda loc, scale: scipy.stats.lognorm(scale, scale=np.exp(loc))),
]
SEED = (1, 2)


def name_of(value):
    return type(value).__name__ if isinstance(value, heads.Head) else ""


def random_params(head, event_shape, batch=5, scale=1.0):
    shape = (batch, *event_shape[:-1], head.params_size(event_shape))
    return scale * tf.random.stateless_normal(shape, seed=(0, 1))


@pytest.mark.parametrize("head", HEADS, ids=name_of)
def test_shapes_and_size_inverse(head):
    for event_shape in [(6,), (2, 6)]:
        distribution = head(random_params(head, event_shape))
        assert distribution.batch_shape == (5,)
        assert distribution.event_shape == event_shape
        assert head.event_size(head.params_size(event_shape)) == event_shape[-1]
        sample = distribution.sample(7, seed=SEED)
        assert sample.shape == (7, 5, *event_shape)
        assert distribution.log_prob(sample).shape == (7, 5)


@pytest.mark.parametrize("head", HEADS, ids=name_of)
def test_unknown_batch_size_and_same_seed_same_sample(head):
    @tf.function(
        input_signature=[tf.TensorSpec((None, head.params_size((6,)))), tf.TensorSpec(2, tf.int32)]
    )
    def sample(params, seed):
        return head(params).sample(seed=seed)

    params = random_params(head, (6,))
    # The same operations in a graph may be fused: last digits only.
    np.testing.assert_allclose(
        sample(params, SEED), head(params).sample(seed=SEED), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(sample(params, SEED), sample(params, SEED))
    assert not np.array_equal(sample(params, SEED), sample(params, (1, 3)))


@pytest.mark.parametrize("head", HEADS, ids=name_of)
def test_float16_params_make_float32_distributions(head):
    params = tf.cast(random_params(head, (6,)), tf.float16)
    distribution = head(params)
    sample = distribution.sample(seed=SEED)
    assert distribution.dtype == sample.dtype == distribution.log_prob(sample).dtype == tf.float32


@pytest.mark.parametrize("head", HEADS, ids=name_of)
def test_config_round_trip(head):
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(head))
    assert type(copy) is type(head)
    assert copy.get_config() == head.get_config()
    assert repr(copy) == repr(head)


@pytest.mark.parametrize("head", HEADS, ids=name_of)
def test_samples_carry_finite_gradients_to_every_parameter(head):
    # Many rows: in a few, a mixture's component far from every sample gets a gradient of exactly 0.
    params = random_params(head, (6,), batch=500, scale=5.0)
    with tf.GradientTape() as tape:
        tape.watch(params)
        distribution = head(params)
        sample = distribution.sample(seed=SEED)
        # A function of the sample that no parameter can leave unchanged.
        loss = tf.reduce_sum(sample * tf.range(1.0, 7.0)) + tf.reduce_sum(
            distribution.log_prob(sample)
        )
    gradient = tape.gradient(loss, params).numpy()
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient).max(axis=0) > 0).all()


@pytest.mark.parametrize(("head", "family"), SCIPY_FAMILIES, ids=name_of)
def test_density_and_samples_agree_with_scipy(head, family):
    loc, raw_scale = 0.3, -0.4
    expected = family(loc, np.log1p(np.exp(raw_scale)) + head.min_scale)
    distribution = head(tf.constant([[loc, raw_scale]]))
    points = expected.ppf(np.linspace(0.01, 0.99, 25)).astype("float32")
    # float32 has 7 digits; the sum of a few terms loses one.
    np.testing.assert_allclose(
        distribution.log_prob(points[:, None, None])[:, 0],
        expected.logpdf(points),
        rtol=1e-5,
        atol=1e-5,
    )
    samples = distribution.sample(20_000, seed=SEED).numpy().ravel()
    # Fixed seed: a right sampler had a chance of 1 in 1000 to fail when the seed was chosen.
    assert scipy.stats.kstest(samples, expected.cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("head", "prior_params"),
    [
        (heads.DiagonalNormal(), (0.0, 0.5)),
        (heads.DiagonalLaplace(), (0.2, 0.5)),
        (heads.LogNormal(), (0.0, 0.5)),
    ],
    ids=name_of,
)
def test_closed_form_kl_agrees_with_monte_carlo(head, prior_params):
    posterior = head(tf.constant([[0.5, -0.3, -0.7, -0.2]]))
    first, second = prior_params
    prior = head(tf.constant([[first, first, second, second]]))
    closed_form = tfp.distributions.kl_divergence(posterior, prior).numpy()[0]
    samples = posterior.sample(50_000, seed=SEED)
    log_ratio = (posterior.log_prob(samples) - prior.log_prob(samples)).numpy()[:, 0]
    standard_error = log_ratio.std() / np.sqrt(len(log_ratio))
    # Four standard errors: a right estimate exceeds them once in 16,000 seeds.
    assert abs(log_ratio.mean() - closed_form) < 4 * standard_error


def test_mixture_density_agrees_with_scipy():
    head = heads.MixtureOfNormals(2)
    logits, loc, raw_scale = (
        np.array([0.2, -0.5]),
        np.array([[0.0, 1.0], [2.0, -1.0]]),
        np.zeros((2, 2)),
    )
    params = np.concatenate([logits, loc.ravel(), raw_scale.ravel()])[None].astype("float32")
    points = np.random.default_rng(0).normal(size=(10, 2)).astype("float32")
    scale = np.log(2) + head.min_scale
    expected = scipy.special.logsumexp(
        scipy.special.log_softmax(logits)
        + scipy.stats.norm(loc, scale).logpdf(points[:, None, :]).sum(-1),
        axis=-1,
    )
    # float32 rounding of a log-sum-exp over a handful of terms.
    np.testing.assert_allclose(head(params).log_prob(points[:, None])[:, 0], expected, rtol=1e-5)


def test_mixture_reparameterization_gradients_agree_with_closed_form():
    """d/d params of E[z_1^2 + 2 z_2^2 + z_1 z_2 + z_1], which is known for a mixture."""
    head = heads.MixtureOfNormals(2)
    params = tf.constant([[0.4, -0.2, -0.6, 0.3, 0.7, -0.5, 0.1, -0.3, 0.2, 0.4]])

    def expectation(params):
        logits, loc, raw_scale = tf.split(params[0], [2, 4, 4])
        weights = tf.nn.softmax(logits)[:, None]
        loc = tf.reshape(loc, (2, 2))
        scale = head.min_scale + tf.math.softplus(tf.reshape(raw_scale, (2, 2)))
        second_moments = tf.reduce_sum(weights * (loc**2 + scale**2) * [1.0, 2.0])
        return second_moments + tf.reduce_sum(weights[:, 0] * (loc[:, 0] * loc[:, 1] + loc[:, 0]))

    with tf.GradientTape() as tape:
        tape.watch(params)
        value = expectation(params)
    exact = tape.gradient(value, params).numpy()[0]

    @tf.function
    def estimate(seed):
        with tf.GradientTape() as tape:
            tape.watch(params)
            z = head(params).sample(2000, seed=seed)[:, 0]
            f = z[:, 0] ** 2 + 2 * z[:, 1] ** 2 + z[:, 0] * z[:, 1] + z[:, 0]
            value = tf.reduce_mean(f)
        return tape.gradient(value, params)[0]

    estimates = np.stack([estimate(tf.constant([0, i])).numpy() for i in range(30)])
    standard_error = estimates.std(axis=0, ddof=1) / np.sqrt(len(estimates))
    # Five standard errors, themselves known to 13 % from 30 batches, over 10 parameters.
    assert (np.abs(estimates.mean(axis=0) - exact) < 5 * standard_error).all()
    # The test can tell: every gradient lies well clear of zero.
    assert (np.abs(exact) > 5 * standard_error).sum() >= 8


def test_relaxed_density_integrates_to_one_on_the_simplex():
    """For two categories the simplex is the segment (y, 1 - y)."""
    head = heads.RelaxedOneHotCategorical(2, temperature=0.7)
    distribution = head(tf.constant([[0.5, -0.3]]))
    # y = sigmoid(t) resolves the border, where the density has integrable poles for T < 1.
    t = np.linspace(-30, 30, 4001)
    y = scipy.special.expit(t)
    points = np.stack([y, scipy.special.expit(-t)], axis=-1).astype("float32")
    density = np.exp(distribution.log_prob(points[:, None])[:, 0].numpy().astype("float64"))
    # The integrand is smooth; float32 in log p limits the sum to about 1e-6.
    assert np.trapezoid(density * y * scipy.special.expit(-t), t) == pytest.approx(1.0, abs=1e-5)


def test_relaxed_samples_have_the_categories_probabilities():
    logits = np.array([1.0, 0.0, -1.0], "float32")
    head = heads.RelaxedOneHotCategorical(3, temperature=0.3)
    samples = head(tf.constant(logits[None])).sample(20_000, seed=SEED).numpy()[:, 0]
    # Float32 sums to one within a few last digits.
    np.testing.assert_allclose(samples.sum(-1), 1.0, atol=1e-6)
    # The Gumbel-max property holds at every temperature: the largest entry is categorical.
    counts = np.bincount(samples.argmax(-1), minlength=3)
    expected = scipy.special.softmax(logits.astype("float64")) * counts.sum()
    # Fixed seed: a right sampler had a chance of 1 in 1000 to fail when the seed was chosen.
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-3


def test_relaxed_density_agrees_with_tfp_inside_the_simplex():
    head = heads.RelaxedOneHotCategorical(3, temperature=0.7)
    params = random_params(head, (6,))
    points = head(params).sample(seed=SEED)
    reference = tfp.distributions.RelaxedOneHotCategorical(
        0.7, logits=tf.reshape(params, (5, 2, 3))
    )
    expected = tf.reduce_sum(reference.log_prob(tf.reshape(points, (5, 2, 3))), axis=-1)
    # Terms of size 10 to 50 cancel in float32.
    np.testing.assert_allclose(head(params).log_prob(points), expected, rtol=1e-4, atol=1e-4)


def test_relaxed_density_is_finite_at_its_own_samples_however_cold():
    head = heads.RelaxedOneHotCategorical(4, temperature=0.05)
    params = random_params(head, (8,), batch=200, scale=20.0)
    prior = heads.UniformRelaxedOneHot(8, 4, temperature=0.05).distribution()
    with tf.GradientTape() as tape:
        tape.watch(params)
        distribution = head(params)
        samples = distribution.sample(seed=SEED)
        kl = distribution.log_prob(samples) - prior.log_prob(samples)
        # The largest loss scale that mixed_float16 training is likely to reach.
        loss = 2.0**24 * tf.reduce_sum(kl)
    assert (samples.numpy() > 0).all()
    assert np.isfinite(kl).all()
    assert np.isfinite(tape.gradient(loss, params)).all()


def test_location_is_the_mean_or_the_noise_free_image():
    params = tf.constant([[0.5, -0.3]])
    # The same constant twice through the same operations: equal but for fused rounding.
    np.testing.assert_allclose(heads.location(heads.DiagonalNormal()(params)), [[0.5]], rtol=1e-6)
    relaxed = heads.RelaxedOneHotCategorical(2, temperature=0.5)
    np.testing.assert_allclose(
        heads.location(relaxed(params)), tf.nn.softmax(params / 0.5), rtol=1e-6
    )


def test_errors():
    with pytest.raises(ValueError, match="multiple of 2; received 5"):
        heads.DiagonalNormal().event_size(5)
    with pytest.raises(ValueError, match="multiple of 2; received 5"):
        heads.DiagonalNormal()(tf.zeros((2, 5)))
    with pytest.raises(ValueError, match="which no event size gives"):
        heads.MixtureOfNormals(3).event_size(10)
    with pytest.raises(ValueError, match="positive multiple of 3; received 7"):
        heads.RelaxedOneHotCategorical(3).params_size((7,))
    with pytest.raises(ValueError, match="temperature"):
        heads.RelaxedOneHotCategorical(3, temperature=0.0)
    with pytest.raises(ValueError, match="num_categories must be at least 2"):
        heads.RelaxedOneHotCategorical(1)
    with pytest.raises(ValueError, match="num_components"):
        heads.MixtureOfNormals(0)
    with pytest.raises(ValueError, match="known rank and last axis"):
        heads.DiagonalNormal()(tf.zeros(4))


@pytest.mark.parametrize("head", [heads.MixtureOfNormals(2)], ids=name_of)
def test_compiles_with_xla(head):
    params = random_params(head, (6,))

    @tf.function(jit_compile=True)
    def density_of_a_sample(params):
        distribution = head(params)
        return distribution.log_prob(distribution.sample(seed=SEED))

    assert np.isfinite(density_of_a_sample(params)).all()
