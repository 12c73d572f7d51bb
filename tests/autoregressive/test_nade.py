"""NADE against its equations in slow NumPy, finite differences and enumeration."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from autoregressive.tiny_images import all_images, draws_of, p_value, randomize, sigmoid

import kgen
from kgen import heads, networks
from kgen.layers import SharedConditionals


@functools.cache
def model_of(shape=(2, 2, 1), num_levels=2):
    likelihood = heads.Bernoulli() if num_levels == 2 else heads.Categorical(num_levels)
    return randomize(
        kgen.NADE.for_images(
            shape,
            network=functools.partial(networks.nade_network, hidden_units=5),
            likelihood=likelihood,
        )
    )


def layer_of(model):
    return next(part for part in model.network.layers if isinstance(part, SharedConditionals))


def weights_of(layer):
    weights = (layer.kernel, layer.bias, layer.output_kernel, layer.output_bias)
    return [weight.numpy().astype("float64") for weight in weights]


def logits_by_hand(images, kernel, bias, output_kernel, output_bias):
    """Uria et al. 2016, eq. 2-3, each conditional with sums of its own."""
    x = np.reshape(images, (len(images), -1)).astype("float64")
    logits = np.zeros((*x.shape, output_bias.shape[-1]))
    for row, d in np.ndindex(*x.shape):
        hidden = sigmoid(bias + sum((x[row, i] * kernel[i] for i in range(d)), 0.0))
        logits[row, d] = output_bias[d] + hidden @ output_kernel[d]
    return logits


def log_prob_by_hand(images, *weights):
    """Eq. 1 for binary pixels."""
    x = np.reshape(images, (len(images), -1))
    return np.log(
        sigmoid(np.where(x > 0.5, 1.0, -1.0) * logits_by_hand(images, *weights)[..., 0])
    ).sum(axis=1)


# 7 and 12 entries make blocks of 3, 3, 1 and of 4, 4, 4; one entry and two are corners.
@pytest.mark.parametrize("shape", [(7, 1, 1), (2, 3, 2), (1, 1, 1), (1, 2, 1)], ids=str)
@pytest.mark.parametrize("num_levels", [2, 3])
def test_parameters_are_the_papers(shape, num_levels):
    model = model_of(shape, num_levels)
    images = np.random.RandomState(0).randint(0, num_levels, size=(6, *shape)) / (num_levels - 1)
    images = images.astype("float32")
    expected = logits_by_hand(images, *weights_of(layer_of(model)))
    params = model.network(images).numpy()
    # float32 sums of some ten products of order 1.
    np.testing.assert_allclose(params, expected.reshape(params.shape), atol=2e-5)


def test_log_prob_is_the_papers():
    model, images = model_of((7, 1, 1)), all_images((7, 1, 1))
    expected = log_prob_by_hand(images, *weights_of(layer_of(model)))
    np.testing.assert_allclose(model.log_prob(images), expected, atol=2e-5)


@pytest.mark.parametrize(
    "shape, num_levels", [((3, 3, 1), 2), ((2, 2, 1), 2), ((2, 1, 2), 3)], ids=str
)
def test_probabilities_sum_to_1(shape, num_levels):
    log_prob = model_of(shape, num_levels).log_prob(all_images(shape, num_levels)).numpy()
    # Up to 512 masses, each with a relative error of some 1e-6.
    assert np.exp(log_prob.astype("float64")).sum() == pytest.approx(1.0, abs=1e-5)


def test_gradients_are_finite_differences():
    """The blocks are computed again for the gradient, which must not change it."""
    model, images = model_of((7, 1, 1)), all_images((7, 1, 1))[::9]
    layer = layer_of(model)
    variables = [layer.kernel, layer.bias, layer.output_kernel, layer.output_bias]

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(model.log_prob(tf.constant(images)))
        return tape.gradient(total, [variable.value for variable in variables])

    weights = weights_of(layer)
    for index, gradient in enumerate(gradients()):
        expected = np.zeros_like(weights[index])
        for place in np.ndindex(*expected.shape):
            sides = []
            for step in (1e-5, -1e-5):
                moved = [np.copy(weight) for weight in weights]
                moved[index][place] += step
                sides.append(log_prob_by_hand(images, *moved).sum())
            expected[place] = (sides[0] - sides[1]) / 2e-5
        # Central differences in float64 are good to 1e-9; 15 images of float32 sums are not.
        np.testing.assert_allclose(gradient, expected, atol=1e-4, err_msg=variables[index].name)


@pytest.mark.parametrize("channels", [1, 2])
def test_no_output_depends_on_a_later_entry(channels):
    """Changing entry i changes nothing up to i, and something everywhere after."""
    shape, size = (2, 3, channels), 6 * channels
    network = model_of(shape, 3).network
    image = np.random.RandomState(0).uniform(size=shape).astype("float32")
    changed = np.tile(image, (size, 1, 1, 1)).reshape(size, size)
    changed[np.arange(size), np.arange(size)] += 0.5
    base = network(image[None]).numpy().reshape(1, size, 3)
    after = network(changed.reshape(size, *shape)).numpy().reshape(size, size, 3)
    # A product of another batch size may round differently; an effect is larger.
    moved = (np.abs(after - base) > 1e-5).any(axis=-1)
    np.testing.assert_array_equal(moved, np.triu(np.ones((size, size), bool), 1))


def test_samples_have_the_models_probabilities():
    model, space = model_of(), all_images((2, 2, 1))
    images = draws_of(model, np.zeros((2, 2, 1)), np.zeros((2, 2), bool))
    assert p_value(images, space, np.exp(model.log_prob(space))) > 1e-3
    # The test can tell.
    assert p_value(images, space, np.full(16, 1 / 16)) < 1e-9


def test_completion_is_exact_where_the_known_come_first():
    model, space = model_of(), all_images((2, 2, 1))
    image = np.array([1.0, 0.0, 0.0, 0.0], "float32").reshape(2, 2, 1)
    known = np.array([[True, True], [False, False]])
    space = space[(space == image)[:, 0].all(axis=(1, 2))]
    images = draws_of(model, image, known)
    assert p_value(images, space, np.exp(model.log_prob(space))) > 1e-3


def test_running_sums_draw_what_whole_passes_draw():
    """The same noise gives the same pixels: colours on 3 levels, some known, at temperatures."""
    shape, draws = (2, 3, 2), np.random.RandomState(2)
    model = model_of(shape, 3)
    images = (draws.randint(0, 3, size=(8, *shape)) / 2).astype("float32")
    known = draws.uniform(size=(8, 2, 3)) < np.linspace(0, 1, 8)[:, None, None]
    uniforms = draws.uniform(size=(8, *shape)).astype("float32")
    temperature = np.linspace(0.5, 2.0, 8).astype("float32")
    fill = tf.function(model._fill, autograph=False)
    filled = fill(images, known, uniforms, temperature).numpy()

    expected, weights = images.reshape(8, -1).copy(), weights_of(layer_of(model))
    for d in range(12):
        logits = logits_by_hand(expected, *weights)[:, d]
        drawn = model.likelihood.sample_from_uniforms(
            tf.constant(logits, tf.float32),
            tf.constant(uniforms.reshape(8, 12)[:, d, None]),
            tf.constant(temperature[:, None]),
        ).numpy()[:, 0]
        expected[:, d] = np.where(
            np.repeat(known.reshape(8, -1), 2, axis=1)[:, d], expected[:, d], drawn
        )
    # The third level is 2 / 2, exact in float32.
    np.testing.assert_array_equal(filled, expected.reshape(filled.shape))
    assert (filled != images).any()


def test_learns_a_distribution_over_four_pixels():
    """The cross-entropy comes near the entropy: NADE can be any distribution."""
    masses = np.random.RandomState(0).dirichlet(np.full(16, 0.5))
    space = all_images((2, 2, 1))
    model = kgen.NADE.for_images(
        (2, 2, 1), network=functools.partial(networks.nade_network, hidden_units=32)
    )
    model.compile(keras.optimizers.Adam(0.1), jit_compile=False)
    weights = (16 * masses).astype("float32")
    data = tf.data.Dataset.from_tensors((space, None, weights)).repeat(300)
    model.fit(data, verbose=0)
    divergence = np.sum(masses * (np.log(masses) - model.log_prob(space).numpy()))
    # 300 steps of Adam on 16 images; 1.03 nats apart before.
    assert 0.0 < divergence < 0.02


def test_keras_file_round_trip(tmp_path):
    model = model_of((2, 3, 2), 3)
    model.save(tmp_path / "nade.keras")
    copy = keras.saving.load_model(tmp_path / "nade.keras")
    images = (np.random.RandomState(0).randint(0, 3, size=(4, 2, 3, 2)) / 2).astype("float32")
    np.testing.assert_array_equal(copy.log_prob(images), model.log_prob(images))
    np.testing.assert_array_equal(copy.sample(4, seed=1), model.sample(4, seed=1))


def test_errors():
    with pytest.raises(ValueError, match="hidden_units must be an integer"):
        kgen.NADE.for_images(
            (2, 2, 1), network=functools.partial(networks.nade_network, hidden_units=0)
        )
    with pytest.raises(ValueError, match="on levels"):
        kgen.NADE.for_images((2, 2, 1), likelihood=heads.Normal())
    with pytest.raises(ValueError, match="must have one SharedConditionals"):
        kgen.NADE(networks.made_network((2, 2, 1)))
