"""PixelRNN: a distribution, in raster order, of all earlier pixels; sampling follows it."""

import functools
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import kgen
from kgen import heads, networks
from kgen.networks import pixel_rnn

each_kind = pytest.mark.parametrize("kind", ["row", "diagonal"])


def random_weights(model, scale=0.5):
    """Weights, biases included, far from what they start as: nothing is uniform, nothing is 0."""
    draws = np.random.RandomState(0)
    for weight in model.trainable_weights:
        weight.assign(draws.normal(size=weight.shape) * scale)
    return model


def pixel_rnn_model(shape, kind, likelihood):
    model = kgen.PixelRNN.for_images(
        shape,
        network=functools.partial(networks.pixel_rnn, kind=kind, hidden_units=12, num_layers=1),
        likelihood=likelihood,
    )
    return random_weights(model)


def all_images(shape, num_levels):
    levels = itertools.product(range(num_levels), repeat=int(np.prod(shape)))
    return np.array(list(levels), "float32").reshape(-1, *shape) / (num_levels - 1)


@each_kind
@pytest.mark.parametrize(
    ("shape", "likelihood"),
    [
        ((2, 2, 1), heads.Bernoulli()),
        ((2, 2, 1), heads.Categorical(3)),
        ((2, 1, 3), heads.Bernoulli()),
        ((1, 2, 3), heads.Categorical(2)),
        ((2, 1, 3), heads.DiscretizedLogisticMixture(2, 2)),
    ],
    ids=lambda value: str(value),
)
def test_probabilities_of_all_images_sum_to_1(shape, likelihood, kind):
    model = pixel_rnn_model(shape, kind, likelihood)
    images = all_images(shape, likelihood.num_levels)
    probabilities = np.exp(np.float64(model.log_prob(images)))
    # Float32 conditionals.
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-5)
    # Far from uniform, where the sum would be 1 whatever depends on what.
    assert probabilities.max() > 2 * probabilities.min()


def dependence(network):
    """Which parameters change with which pixel and channel: bool, inputs' axes first."""
    shape = network.input_shape[1:]
    size = int(np.prod(shape))
    base = np.random.RandomState(1).uniform(0.3, 0.7, size=(8, 1, *shape))
    step = 0.3 * np.eye(size).reshape(1, size, *shape)
    # Several images, since a ReLU may hide a dependence in one.
    changed = (base + step).reshape(-1, *shape)
    start = network(base[:, 0]).numpy()[:, None]
    end = network(changed).numpy().reshape(8, size, *network.output_shape[1:])
    # Layers compute in float64, and only the last rounds to float32.
    differs = np.abs(end - start).max(axis=0) > 1e-6 * np.abs(start).max()
    return differs.reshape(*shape, *network.output_shape[1:])


@pytest.fixture
def float64():
    # The fixture `seeded` goes back to float32.
    keras.config.set_dtype_policy("float64")


@each_kind
@pytest.mark.parametrize("channels", [1, 3])
def test_no_parameter_depends_on_a_later_pixel(kind, channels, float64):
    """And none on its own; channel by channel."""
    network = pixel_rnn(
        (3, 4, channels),
        2 * channels,
        kind=kind,
        hidden_units=12,
        num_layers=2,
        channel_groups=channels,
    )
    seen = dependence(random_weights(network))
    order = np.arange(3 * 4 * channels)
    seen = seen.reshape(order.size, order.size, 2).any(axis=-1)
    np.testing.assert_array_equal(seen & (order[:, None] >= order), False)
    # Of what is near, all is seen: pixels above, on the left, and channels before.
    assert seen[order[:-1], order[1:]].all()


@pytest.mark.parametrize("channels", [1, 3])
def test_diagonals_see_every_earlier_pixel(channels, float64):
    """The last pixel of a row too, from the far end of the next: 8 columns outside the window."""
    shape = (3, 12, channels)
    network = pixel_rnn(
        shape, channels, kind="diagonal", hidden_units=12, num_layers=1, channel_groups=channels
    )
    # Smaller weights lose what goes through many states, larger ones saturate them.
    seen = dependence(random_weights(network))
    order = np.arange(np.prod(shape))
    seen = seen.reshape(order.size, order.size)
    np.testing.assert_array_equal(seen, order[:, None] < order)


def test_rows_see_a_triangle(float64):
    """One layer: the mask's window of 7 columns, widened by one column per row of states."""
    shape = (8, 13, 1)
    network = pixel_rnn(shape, 1, kind="row", hidden_units=3, num_layers=1)
    seen = dependence(random_weights(network, scale=0.8))[:, :, 0, 7, 6, 0]
    expected = np.zeros((8, 13), bool)
    for depth in range(8):  # States at row 7 - depth, columns 6 - depth - 1 .. 6 + depth, ...
        for column in range(6 - depth - 1, 6 + depth + 1):
            # ... each from features that see three rows above them and the row to their left.
            for above in range(4):
                row, last = 7 - depth - above, column + 3 if above else column - 1
                if row >= 0 and 0 <= column < 13:
                    expected[row, max(0, column - 3) : max(0, last + 1)] = True
    np.testing.assert_array_equal(seen, expected)
    assert not expected[6].all()


@pytest.mark.parametrize(
    ("kind", "shape", "likelihood"),
    [
        ("diagonal", (2, 2, 1), heads.Categorical(3)),
        ("row", (1, 2, 3), heads.Bernoulli()),
        ("row", (1, 2, 3), heads.DiscretizedLogisticMixture(2, 2)),
    ],
    ids=["grey", "masked_channels", "coupled_channels"],
)
def test_samples_follow_the_probabilities(kind, shape, likelihood):
    model = pixel_rnn_model(shape, kind, likelihood)
    levels = likelihood.num_levels
    images = all_images(shape, levels)
    expected = np.exp(model.log_prob(images))
    count = 5_000
    samples = model.sample(count, seed=0).numpy().reshape(count, -1)
    digits = np.rint(samples * (levels - 1)).astype(int)
    index = digits @ levels ** np.arange(digits.shape[1])[::-1]
    received = np.bincount(index, minlength=len(images)) / count
    # Five standard deviations of a frequency.
    error = 5.0 * np.sqrt(expected * (1.0 - expected) / count) + 1.0 / count
    assert (np.abs(received - expected) < error).all()


def test_completion_keeps_what_is_known():
    model = pixel_rnn_model((3, 3, 1), "diagonal", heads.Categorical(3))
    images = np.random.RandomState(0).randint(0, 3, size=(5, 3, 3, 1)).astype("float32") / 2
    known = np.random.RandomState(1).uniform(size=(5, 3, 3)) < 0.5
    completed = model.complete(images, mask=known, seed=0).numpy()
    np.testing.assert_array_equal(completed[known], images[known])
    # What is hidden does not matter.
    hidden = np.where(known[..., None], images, 1.0 - images)
    np.testing.assert_array_equal(model.complete(hidden, mask=known, seed=0), completed)


@each_kind
def test_network_is_the_paper_s(kind, tmp_path):
    """Section 3.3: two h features between layers, h in the LSTM; and it saves and loads."""
    network = pixel_rnn(
        (4, 5, 3), 6, kind=kind, hidden_units=4, num_layers=2, output_units=7, channel_groups=3
    )
    # 4 and 7 are no multiples of the three channels.
    sizes = [layer.output.shape[1:] for layer in network.layers if "lstm" in layer.name]
    width = 5 + (kind == "diagonal")
    assert sizes == [(4, width, 6)] * 2
    widths = [layer.filters for layer in network.layers if hasattr(layer, "filters")]
    assert widths == [12, 12, 12, 9, 6]
    random_weights(network).save(tmp_path / "network.keras")
    restored = keras.saving.load_model(tmp_path / "network.keras")
    images = np.random.RandomState(0).uniform(size=(2, 4, 5, 3)).astype("float32")
    outputs = network(images)
    assert outputs.dtype == tf.float32 and outputs.shape == (2, 4, 5, 6)
    np.testing.assert_array_equal(restored(images), outputs)


def test_layers_that_add_nothing_leave_the_map():
    """The residual connection: with zeros behind the LSTMs their number does not matter."""
    shallow, deep = (
        random_weights(pixel_rnn((4, 5, 1), 2, hidden_units=6, num_layers=number))
        for number in (1, 3)
    )
    first, behind, *last = [layer for layer in shallow.layers if hasattr(layer, "filters")]
    deep_first, *deep_rest = [layer for layer in deep.layers if hasattr(layer, "filters")]
    for layer in (behind, *deep_rest[:3]):
        layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    for mine, other in zip((first, *last), (deep_first, *deep_rest[3:]), strict=True):
        mine.set_weights(other.get_weights())
    images = np.random.RandomState(0).uniform(size=(2, 4, 5, 1)).astype("float32")
    outputs = deep(images).numpy()
    np.testing.assert_allclose(shallow(images), outputs, rtol=1e-6)
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-2


def test_a_likelihood_that_couples_channels_needs_no_masks():
    likelihood = heads.DiscretizedLogisticMixture(2, 2)
    model = pixel_rnn_model((1, 2, 3), "row", likelihood)
    groups = [layer.channel_groups for layer in model.network.layers if hasattr(layer, "filters")]
    assert set(groups) == {1}


def test_xla_draws_the_same():
    """The loop over the pixels holds those over the diagonals."""
    model = pixel_rnn_model((3, 3, 1), "diagonal", heads.Categorical(3))
    expected = model.sample(50, seed=0).numpy()
    np.testing.assert_array_equal(model.sample(50, seed=0, jit_compile=True), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(kind="rows"), "Unknown kind 'rows'. One of: row, diagonal"),
        (dict(hidden_units=0), "hidden_units must be an integer of at least 1"),
        (dict(num_layers=0), "num_layers"),
        (dict(output_units=-1), "output_units"),
        (dict(channel_groups=2), "channel_groups must be 1 or the 3 channels"),
        (dict(params_size=4), "params_size must be a multiple of channel_groups=3, received 4"),
    ],
)
def test_bad_networks(arguments, message):
    with pytest.raises(ValueError, match=message):
        pixel_rnn(**{"image_shape": (4, 4, 3), "params_size": 6, "channel_groups": 3, **arguments})


def test_bad_models():
    network = pixel_rnn((4, 4, 1), 3, hidden_units=2, num_layers=1)
    with pytest.raises(ValueError, match=r"expected \(4, 4, 256\).*Categorical"):
        kgen.PixelRNN(network)
    with pytest.raises(ValueError, match="likelihood on levels"):
        kgen.PixelRNN(network, likelihood=heads.Normal())
