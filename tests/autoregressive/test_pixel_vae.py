"""PixelVAE: with one latent dimension log p(x) and the true posterior are sums over a grid."""

import functools
import itertools

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

import kgen
from kgen import evaluation, heads, networks, specs
from kgen.autoregressive.parts.cached import CachedSampler
from kgen.autoregressive.parts.naive import naive_fill
from kgen.seeds import seed_rows

SHAPE = (2, 2, 1)
# p(z) has no mass to speak of beyond 6, and nothing here is sharper than 0.1.
GRID = np.linspace(-6.0, 6.0, 481)


def tiny(shape=SHAPE, latent_dim=1, likelihood=None, **kwargs):
    """With weights, biases included, far from what they start as."""
    model = kgen.PixelVAE.for_images(
        shape,
        latent_dim=latent_dim,
        encoder=lambda shape, size: networks.dense_encoder(shape, size, hidden_units=(4,)),
        decoder=lambda size, shape: networks.dense_decoder(size, shape, hidden_units=(4,)),
        likelihood=likelihood or heads.Categorical(3),
        pixel_network=functools.partial(
            networks.gated_pixelcnn, filters=6, num_layers=2, head_filters=(6,)
        ),
        **kwargs,
    )
    draws = np.random.RandomState(0)
    for weight in model.trainable_weights:
        weight.assign(0.5 * draws.normal(size=weight.shape))
    return model


def all_images(shape, num_levels):
    levels = itertools.product(range(num_levels), repeat=int(np.prod(shape)))
    return np.array(list(levels), "float32").reshape(-1, *shape) / (num_levels - 1)


def log_likelihoods(model, images, latents):
    """log p(x|z) of each image and latent: float64 `(images, latents)`."""
    rows = np.repeat(images, len(latents), axis=0)
    columns = np.tile(latents, (len(images), 1)).astype("float32")
    values = model._log_likelihood(tf.constant(rows), tf.constant(columns))
    return np.float64(values).reshape(len(images), len(latents))


@pytest.fixture(scope="module")
def model():
    return tiny()


@pytest.fixture(scope="module")
def evidence(model):
    """All images, log p(x) of each, and log p(z|x) on the grid."""
    images = all_images(SHAPE, 3)
    joint = log_likelihoods(model, images, GRID[:, None]) + scipy.stats.norm.logpdf(GRID)
    log_evidence = np.log(np.trapezoid(np.exp(joint), GRID, axis=1))
    return images, log_evidence, joint - log_evidence[:, None]


@pytest.mark.parametrize(
    ("shape", "likelihood"),
    [
        (SHAPE, heads.Categorical(3)),
        ((1, 2, 3), heads.Bernoulli()),
        ((1, 2, 3), heads.DiscretizedLogisticMixture(2, num_components=2)),
    ],
    ids=str,
)
def test_probabilities_given_z_sum_to_1(shape, likelihood):
    images = all_images(shape, likelihood.num_levels)
    latents = np.array([[-2.0, 0.5], [0.0, 0.0], [1.0, 3.0]])
    values = np.exp(log_likelihoods(tiny(shape, 2, likelihood), images, latents))
    # Float32 conditionals.
    np.testing.assert_allclose(values.sum(axis=0), np.ones(3), atol=1e-5)
    # Each z has a distribution of its own, far from uniform.
    assert np.all(values.max(axis=0) > 2 * values.min(axis=0))
    assert np.abs(values[:, 0] - values[:, 1]).sum() > 0.05


def test_probabilities_sum_to_1(evidence):
    _, log_evidence, _ = evidence
    assert np.exp(log_evidence).sum() == pytest.approx(1.0, abs=1e-5)


def posterior_on_grid(model, image):
    """log q(z|x) on the grid, from the encoder's outputs, by SciPy."""
    loc, raw_scale = np.float64(model.encoder(image[None])[0])
    return scipy.stats.norm.logpdf(GRID, loc, 1e-5 + np.logaddexp(0.0, raw_scale))


def test_bounds_lie_below_the_evidence_by_what_theory_says(model, evidence):
    """log p(x) - E[ELBO] = KL(q || true posterior); many samples close the gap."""
    images, log_evidence, log_posterior = evidence
    count, index = 4000, int(np.argmin(log_evidence))
    image = images[index]
    log_q = posterior_on_grid(model, image)
    gap = np.trapezoid(np.exp(log_q) * (log_q - log_posterior[index]), GRID)
    assert gap > 0.01
    copies = np.repeat(image[None], count, axis=0)
    for draws in (model.elbo(copies, seed=0).numpy(), model.objective(copies)["elbo"].numpy()):
        error = draws.std() / np.sqrt(count)
        assert error < gap / 5
        assert abs(draws.mean() - (log_evidence[index] - gap)) < 5 * error
    tight = model.importance_weighted_bound(copies[:200], num_samples=100, seed=1).numpy()
    error = tight.std() / np.sqrt(200)
    # The bias of 100 samples is about a hundredth of the weights' relative variance.
    assert abs(tight.mean() - log_evidence[index]) < 5 * error + gap / 50
    assert tight.mean() > log_evidence[index] - gap / 2


def test_terms():
    model = tiny(beta=2.0, free_bits=0.3)
    images = all_images(SHAPE, 3)
    terms = model.objective(images)
    loc, raw_scale = np.float64(model.encoder(images)).T
    scale = 1e-5 + np.logaddexp(0.0, raw_scale)
    kl = 0.5 * (scale**2 + loc**2 - 1) - np.log(scale)
    assert (kl < 0.3).any() and (kl > 0.3).any()
    np.testing.assert_allclose(terms["kl"], kl, rtol=1e-4, atol=1e-6)
    loss = terms["reconstruction"] + 2.0 * np.maximum(kl, 0.3)
    np.testing.assert_allclose(terms["loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(terms["elbo"], -terms["reconstruction"] - kl, rtol=1e-5)


def test_evaluation_takes_it(model, evidence):
    images, log_evidence, _ = evidence
    data = tf.data.Dataset.from_tensor_slices(images[:8]).batch(4)
    bound = evaluation.importance_weighted_bound(model, data, num_samples=200)
    elbo = evaluation.evidence_lower_bound(model, data, num_samples=50)
    assert bound["value"] == pytest.approx(log_evidence[:8].mean(), abs=0.02)
    assert elbo["value"] < bound["value"]
    assert bound["bits_per_dim"] == pytest.approx(-bound["value"] / (4 * np.log(2)))


@pytest.mark.parametrize(
    ("shape", "likelihood"),
    [
        ((3, 4, 1), heads.Categorical(4)),
        ((2, 3, 3), heads.Bernoulli()),
    ],
    ids=str,
)
def test_cached_draws_what_naive_draws(shape, likelihood):
    model = tiny(shape, 2, likelihood)
    draws = np.random.RandomState(1)
    latents = draws.normal(size=(8, 2)).astype("float32")
    size = (8, *shape[:2], likelihood.noise_size(shape[-1]))
    uniforms = tf.constant(draws.uniform(0.001, 0.999, size=size), tf.float32)
    nothing, temperature = model._nothing_known(8), tf.linspace(0.5, 1.5, 8)
    maps = model.decoder(latents)
    expected = naive_fill(
        lambda images: model.pixel_network([images, maps]),
        *nothing,
        uniforms,
        temperature,
        likelihood=likelihood,
        passes=1 if likelihood.couples_channels else shape[-1],
    )
    # Two orders of summation: a pixel is another one only where a uniform hits an edge.
    np.testing.assert_array_equal(model._filler(*nothing, uniforms, temperature, latents), expected)
    assert np.abs(expected[0] - expected[1]).max() > 0


def test_decoded_images_follow_the_probabilities(model):
    space = all_images(SHAPE, 3)
    latent = np.array([[1.5]], "float32")
    images = model.decode(np.repeat(latent, 20_000, axis=0), seed=0).numpy()
    index = np.rint(2 * images.reshape(-1, 4)).astype(int) @ 3 ** np.arange(4)[::-1]
    expected = np.exp(log_likelihoods(model, space, latent))[:, 0] * len(images)
    counts = np.bincount(index, minlength=len(space))
    expected *= counts.sum() / expected.sum()
    assert expected.min() > 5
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-4


def test_samples_follow_the_probabilities(model, evidence):
    """z and the pixels have noise of their own: else p(x) would not be the integral over z."""
    _, log_evidence, _ = evidence
    # What `sample` does, with the latents drawn in a graph, which is faster for so many.
    latents = tf.function(model.sample_latents)(seed_rows(1, 30_000))
    samples = model.decode(latents, seed=1).numpy()
    index = np.rint(2 * samples.reshape(-1, 4)).astype(int) @ 3 ** np.arange(4)[::-1]
    expected = np.exp(log_evidence) * len(samples)
    assert expected.min() > 5
    counts = np.bincount(index, minlength=len(expected))
    assert scipy.stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > 1e-4


def test_verbs_agree(model):
    first = model.sample(5, seed=3).numpy()
    np.testing.assert_array_equal(model.sample(2, seed=3), first[:2])
    latents = model.sample_latents(seed_rows(3, 5))
    np.testing.assert_array_equal(model.decode(latents, seed=3), first)
    codes = model.encode(first)
    np.testing.assert_array_equal(model.reconstruct(first, seed=4), model.decode(codes, seed=4))
    assert np.abs(model.reconstruct(first, seed=5).numpy() - model.decode(codes, seed=4)).max() > 0
    # `predict` draws with the model's own seed, 0.
    predicted = model.predict(first, verbose=0)
    np.testing.assert_array_equal(predicted, model.reconstruct(first, seed=0))
    path = model.interpolate(codes[:2], end=codes[2:4], num_steps=3, seed=6).numpy()
    assert path.shape == (2, 3, *SHAPE)
    np.testing.assert_array_equal(path[:, 0], model.reconstruct(first[:2], seed=6))
    np.testing.assert_array_equal(path[:, -1], model.reconstruct(first[2:4], seed=6))


def test_low_temperature_leaves_the_likeliest_pixels(model):
    latents = np.linspace(-2, 2, 50, dtype="float32")[:, None]
    images = [model.decode(latents, temperature=1e-3, seed=seed).numpy() for seed in (0, 1)]
    np.testing.assert_array_equal(*images)
    params = model.pixel_network([tf.constant(images[0]), model.decoder(latents)])
    np.testing.assert_array_equal(np.argmax(params, axis=-1), np.rint(2 * images[0][..., 0]))


def test_saves_and_restores(tmp_path):
    model = tiny(kl_warmup_epochs=2, num_importance_samples=1, prior=heads.StandardNormal(1))
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    images = model.sample(3, seed=0)
    np.testing.assert_array_equal(restored.elbo(images, seed=0), model.elbo(images, seed=0))
    assert restored.kl_warmup_epochs == 2 and restored.likelihood.num_levels == 3


def test_maps_and_labels_together():
    """The network of both: maps reach their own place, pixels what follows; cached as naive."""
    likelihood = heads.Categorical(3)
    network = networks.gated_pixelcnn(
        (3, 4, 1),
        3,
        filters=4,
        num_layers=2,
        head_filters=(),
        condition=specs.Labels(2),
        num_maps=2,
    )
    draws = np.random.RandomState(0)
    for weight in network.weights:
        weight.assign(0.5 * draws.normal(size=weight.shape))
    assert [spec.name for spec in network.inputs] == ["images", "labels", "maps"]
    images = draws.uniform(size=(1, 3, 4, 1)).astype("float32")
    maps = draws.normal(size=(1, 3, 4, 2)).astype("float32")
    labels = np.array([1], "int32")
    base = network([images, labels, maps]).numpy()
    order = np.arange(12).reshape(3, 4)
    for place in ((0, 0), (1, 2), (2, 3)):
        changed = [images.copy(), maps.copy()]
        for values in changed:
            values[0][place] += 1.0
        by_image = np.abs(network([changed[0], labels, maps]) - base).max(axis=-1)[0] > 1e-6
        by_maps = np.abs(network([images, labels, changed[1]]) - base).max(axis=-1)[0] > 1e-6
        assert not by_image[order <= order[place]].any() and by_maps[place]

    many = (np.repeat(maps, 5, axis=0) * np.arange(5)[:, None, None, None]).astype("float32")
    given = tf.range(5) % 2, tf.constant(many)
    inputs = (
        tf.zeros((5, 3, 4, 1)),
        tf.zeros((5, 3, 4), tf.bool),
        tf.constant(draws.uniform(0.001, 0.999, size=(5, 3, 4, 1)), tf.float32),
        tf.ones(5),
    )
    expected = naive_fill(lambda images: network([images, *given]), *inputs, likelihood=likelihood)
    received = CachedSampler(network, likelihood)(*inputs, *given)
    np.testing.assert_array_equal(received, expected)


def parts(**replaced):
    """What fits together, but for what is `replaced`."""
    fitting = dict(
        encoder=networks.dense_encoder(SHAPE, 4, hidden_units=()),
        decoder=networks.dense_decoder(2, (2, 2, 5), hidden_units=()),
        pixel_network=networks.gated_pixelcnn(SHAPE, 3, filters=2, num_layers=1, num_maps=5),
        likelihood=heads.Categorical(3),
    )
    return {**fitting, **replaced}


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        (
            dict(pixel_network=lambda: networks.gated_pixelcnn(SHAPE, 3, filters=2, num_layers=1)),
            r"expected two: images of shape \(2, 2, 1\)",
        ),
        (
            dict(
                pixel_network=lambda: networks.gated_pixelcnn(
                    (3, 2, 1), 3, filters=2, num_layers=1, num_maps=5
                )
            ),
            r"\[\(3, 2, 1\), \(3, 2, 5\)\], expected two: images of shape \(2, 2, 1\)",
        ),
        (
            dict(decoder=lambda: networks.dense_decoder(3, (2, 2, 5), hidden_units=())),
            r"takes inputs of shape \(3,\), but the encoder's output .* shape \(2,\)",
        ),
        (
            dict(decoder=lambda: networks.dense_decoder(2, (2, 2, 4), hidden_units=())),
            r"shape \(2, 2, 4\), expected \(2, 2, 5\): these are the maps",
        ),
        (dict(likelihood=lambda: heads.Categorical(4)), r"expected \(2, 2, 4\)"),
        (dict(likelihood=heads.Normal), "likelihood on levels"),
        (dict(beta=lambda: -1.0), "beta must be at least 0"),
        (dict(num_importance_samples=lambda: 2, beta=lambda: 2.0), "no separate KL"),
    ],
)
def test_bad_arguments(replaced, message):
    replaced = {name: make() for name, make in replaced.items()}
    with pytest.raises(ValueError, match=message):
        kgen.PixelVAE(**parts(**replaced))


def test_bad_networks():
    images, maps = keras.Input(SHAPE), keras.Input((2, 2, 5))
    joined = keras.layers.Concatenate()([images, maps])
    seeing = keras.Model([images, maps], keras.layers.Dense(3)(joined))
    with pytest.raises(ValueError, match="sees the pixel that it predicts"):
        kgen.PixelVAE(**parts(pixel_network=seeing))
    with pytest.raises(ValueError, match="num_maps must be an integer of at least 1"):
        networks.gated_pixelcnn(SHAPE, 3, num_maps=0)


def test_bad_inputs(model):
    for bound in (model.elbo, model.importance_weighted_bound):
        with pytest.raises(ValueError, match="Expected pixels on 3 levels"):
            bound(np.full((1, *SHAPE), 0.3, "float32"))
        with pytest.raises(ValueError, match="Expected images of shape"):
            bound(np.zeros((1, 3, 2, 1), "float32"))
    with pytest.raises(ValueError, match=r"latents of shape \(batch, 1\), received \(2,\)"):
        model.decode(np.zeros(2, "float32"))
    # Images are no latents: they would be read as other ones.
    for ends in (np.zeros((2, *SHAPE), "float32"), np.zeros((2, 3), "float32")):
        with pytest.raises(ValueError, match=r"start: expected latents \(batch, 1\), received"):
            model.interpolate(ends, end=ends)
    with pytest.raises(ValueError, match="num_steps must be an integer of at least 2"):
        model.interpolate(np.zeros((2, 1)), end=np.zeros((2, 1)), num_steps=1)
    with pytest.raises(ValueError, match="temperature must be above 0"):
        model.sample(2, temperature=0.0)
    with pytest.raises(ValueError, match="one temperature or 3 of them"):
        model.decode(np.zeros((3, 1), "float32"), temperature=[1.0, 2.0])
    model.compile()
    with pytest.raises(ValueError, match="Expected pixels on 3 levels"):
        model.fit(np.full((4, *SHAPE), 0.3, "float32"), verbose=0)
