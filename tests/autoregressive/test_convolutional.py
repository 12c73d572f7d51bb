"""PixelCNN, Gated PixelCNN, PixelCNN++: distributions in raster order, and the cached sampler."""

import functools

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from autoregressive.pixel_models import all_images, filled_by_passes, influence, randomize

import kgen
from kgen import heads, networks, specs

SMALL = {
    kgen.PixelCNN: functools.partial(networks.pixelcnn, filters=6, num_blocks=1, head_filters=(6,)),
    kgen.GatedPixelCNN: functools.partial(
        networks.gated_pixelcnn, filters=6, num_layers=2, head_filters=(12,)
    ),
    kgen.PixelCNNPlusPlus: functools.partial(networks.pixelcnn_plus_plus, filters=4, num_blocks=1),
}
Bernoulli, Categorical = heads.Bernoulli, heads.Categorical
Logistic, Mixture = heads.DiscretizedLogistic, heads.DiscretizedLogisticMixture


def build(system, shape, likelihood, condition=None, **of_network):
    network = functools.partial(SMALL[system], **of_network)
    how = dict(likelihood=likelihood, network=network, condition=condition)
    return randomize(system.for_images(shape, **how))


def num_classes(model):
    return None if model.condition is None else model.condition.num_classes


@pytest.fixture
def float64():
    # The fixture `seeded` goes back to float32.
    keras.config.set_dtype_policy("float64")


# Exactness.

SPACES = [
    (kgen.PixelCNN, (2, 2, 1), Categorical(4), {}),
    (kgen.PixelCNN, (3, 3, 1), Bernoulli(), {}),
    (kgen.PixelCNN, (2, 2, 3), Categorical(2), {}),
    (kgen.PixelCNN, (1, 2, 3), Logistic(3), {}),
    (kgen.GatedPixelCNN, (2, 2, 1), Categorical(4), dict(condition=specs.Labels(2))),
    (kgen.GatedPixelCNN, (3, 3, 1), Bernoulli(), {}),
    (kgen.GatedPixelCNN, (2, 2, 1), Categorical(4), dict(embedding_dim=3)),
    (kgen.GatedPixelCNN, (2, 2, 3), Bernoulli(), {}),
    (kgen.GatedPixelCNN, (1, 2, 3), Logistic(3), {}),
    (kgen.PixelCNNPlusPlus, (2, 2, 1), Mixture(4, 2), dict(condition=specs.Labels(2))),
    (kgen.PixelCNNPlusPlus, (4, 2, 1), Mixture(2, 2), dict(dropout=0.5)),
    (kgen.PixelCNNPlusPlus, (2, 2, 3), Mixture(2, 2), {}),
    # Channels that are independent, given earlier pixels.
    (kgen.PixelCNNPlusPlus, (1, 2, 3), Categorical(2), {}),
]


def name_of(value):
    if isinstance(value, type):
        return value.__name__
    return repr(value) if isinstance(value, heads.Head) else str(value)


@pytest.mark.parametrize(("system", "shape", "likelihood", "kwargs"), SPACES, ids=name_of)
def test_probabilities_of_all_images_sum_to_1(system, shape, likelihood, kwargs):
    model = build(system, shape, likelihood, **kwargs)
    images = all_images(shape, likelihood.num_levels)
    for label in range(num_classes(model) or 1):
        labels = None if model.condition is None else np.full(len(images), label)
        probabilities = np.exp(np.float64(model.log_prob(images, condition=labels)))
        # Float32 log-probabilities.
        assert probabilities.sum() == pytest.approx(1.0, abs=1e-5)
        # Far from uniform, where the sum would be 1 whatever depends on what.
        assert probabilities.max() > 4 * probabilities.min()


@pytest.mark.parametrize("system", [kgen.GatedPixelCNN, kgen.PixelCNNPlusPlus], ids=name_of)
def test_labels_matter_at_every_pixel(system):
    # Wide, since a narrow layer's ReLUs may hide them at a pixel.
    model = build(system, (3, 4, 1), Mixture(4, 2), condition=specs.Labels(3), filters=16)
    images = np.random.RandomState(0).randint(0, 4, size=(8, 3, 4, 1)).astype("float32") / 3
    first, *others = (model.network([images, np.full(8, label)]).numpy() for label in range(3))
    for other in others:
        assert (np.abs(other - first).max(axis=(0, 3)) > 1e-2).all()


# What depends on what.


def sums(*windows):
    """All sums of one offset of each window: what a stack of convolutions sees."""
    totals = {(0, 0)}
    for window in windows:
        totals = {(r + dr, c + dc) for r, c in totals for dr, dc in window}
    return totals


def window(rows, columns):
    return {(r, c) for r in rows for c in columns}


def pixelcnn_field(num_blocks):
    """The masks of the paper: 7 x 7 without the pixel itself, then 3 x 3 with it."""
    first = window(range(-3, 0), range(-3, 4)) | window([0], range(-3, 0))
    block = window([-1], range(-1, 2)) | window([0], range(-1, 1))
    return sums(first, *[block] * num_blocks)


def gated_field(num_layers):
    """All rows above within reach, to both sides, and the row to the left."""
    reach = num_layers + 2
    return window(range(-reach, 0), range(-reach, reach + 1)) | window([0], range(-reach, 0))


def plus_plus_field(num_convolutions):
    """The streams of one scale: the left one also sees what the upper one sees."""
    rows, pixels = window([-1, 0], range(-1, 2)), window([-1, 0], [-1, 0])
    above = window([-2, -1], range(-1, 2))
    left = window([-1], range(-1, 2)) | {(0, -1), (-1, -1), (-1, 0)}
    for _ in range(num_convolutions):
        above = sums(above, rows)
        left = sums(left, pixels)
    return left | sums(above, pixels)


NETWORKS = {
    "pixelcnn": (lambda shape: networks.pixelcnn(shape, 2, filters=12, num_blocks=2)),
    "gated_pixelcnn": (lambda shape: networks.gated_pixelcnn(shape, 2, filters=8, num_layers=2)),
    "pixelcnn_plus_plus": (
        lambda shape: networks.pixelcnn_plus_plus(shape, 2, filters=4, num_blocks=1, num_scales=1)
    ),
}
FIELDS = {
    "pixelcnn": pixelcnn_field(2),
    "gated_pixelcnn": gated_field(2),
    # A block on the way down and one on the way up, each of two convolutions.
    "pixelcnn_plus_plus": plus_plus_field(4),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_field_of_each_pixel(name, float64):
    """A pixel sees all of its field, and nothing at or behind itself."""
    shape = (8, 14)
    seen = influence(randomize(NETWORKS[name]((*shape, 1)))).reshape(*shape, *shape)
    expected = np.zeros_like(seen)
    for dr, dc in FIELDS[name]:
        for r in range(max(0, -dr), shape[0]):
            for c in range(max(0, -dc), min(shape[1], shape[1] - dc)):
                expected[r + dr, c + dc, r, c] = True
    np.testing.assert_array_equal(seen, expected)
    pixel = np.arange(seen[0, 0].size)
    assert not seen.reshape(pixel.size, -1)[pixel[:, None] >= pixel].any()


@pytest.mark.parametrize("name", FIELDS)
def test_only_the_plain_network_has_a_blind_spot(name):
    """The others' field is all that is above within their reach."""
    rows, columns = np.array(list(FIELDS[name])).T
    above = window(range(rows.min(), 0), range(columns.min(), columns.max() + 1))
    # One row up it sees 3 columns to the right, though it sees 5 of them three rows up.
    hidden = {(-1, 4), (-1, 5), (-2, 5)} if name == "pixelcnn" else set()
    assert above - FIELDS[name] == hidden


SCALES = [((5, 6, 1), 1, 2), ((4, 4, 3), 3, 1)]


@pytest.mark.parametrize(("shape", "num_scales", "num_blocks"), SCALES, ids=str)
def test_plus_plus_sees_every_earlier_pixel(shape, num_scales, num_blocks, float64):
    """Of an image within reach of the largest maps: in odd rows the others see only those above."""
    network = networks.pixelcnn_plus_plus(
        shape, 3, filters=4, num_blocks=num_blocks, num_scales=num_scales
    )
    pixel = np.arange(shape[0] * shape[1])
    earlier = np.repeat(pixel, shape[2])[:, None] < pixel
    np.testing.assert_array_equal(influence(randomize(network)), earlier)


@pytest.mark.parametrize("name", ["pixelcnn", "gated_pixelcnn"])
def test_channels_are_ordered_red_green_blue(name, float64):
    """Of 3 x 3 pixels each sees all earlier ones, all their channels, and its own in order."""
    network = getattr(networks, name)(
        (3, 3, 3), 6, filters=36, head_filters=(36,), channel_groups=3
    )
    entry = np.arange(27)
    np.testing.assert_array_equal(influence(randomize(network), 3), entry[:, None] < entry)


# Sampling.

SAMPLED = {
    "pixelcnn": lambda: build(kgen.PixelCNN, (4, 5, 1), Categorical(4)),
    "pixelcnn_colour": lambda: build(kgen.PixelCNN, (3, 4, 3), Categorical(3)),
    "gated_labels": lambda: build(
        kgen.GatedPixelCNN, (4, 5, 1), Categorical(4), condition=specs.Labels(3)
    ),
    "gated_codes": lambda: build(
        kgen.GatedPixelCNN, (4, 5, 1), Categorical(5), embedding_dim=3, condition=specs.Labels(2)
    ),
    "gated_colour": lambda: build(kgen.GatedPixelCNN, (3, 3, 3), Logistic(5)),
    "plus_plus_three_scales": lambda: build(
        kgen.PixelCNNPlusPlus, (8, 8, 1), Mixture(4, 2), num_scales=3, dropout=0.2
    ),
    "plus_plus_colour_labels": lambda: build(
        kgen.PixelCNNPlusPlus, (4, 4, 3), Mixture(5, 2), condition=specs.Labels(3), num_scales=1
    ),
}
# XLA takes its time: strides are compiled in `test_plan.py`, on a smaller network.
WITH_XLA = "gated_labels"


@pytest.fixture(scope="module")
def sampled():
    """The models by name, built once, since tracing their samplers is what takes the time."""
    return functools.cache(lambda name: SAMPLED[name]())


def arguments(model, seed=0):
    """Images, masks and labels: nothing known in the first three, all in the last."""
    draws = np.random.RandomState(seed)
    levels = model.likelihood.num_levels - 1
    images = draws.randint(0, levels + 1, size=(9, *model.image_shape)).astype("float32") / levels
    mask = draws.uniform(size=images.shape[:3]) < 0.4
    mask[:3], mask[8] = False, True
    labels = None if model.condition is None else np.arange(9) % num_classes(model)
    return images, mask, labels


@pytest.mark.parametrize("name", SAMPLED)
def test_the_cached_sampler_draws_what_passes_over_the_image_draw(name, sampled):
    """The same pixels for the same noise, without and with XLA, at three temperatures."""
    model = sampled(name)
    images, mask, labels = arguments(model)
    how = dict(temperature=[0.5, 1.0, 2.0] * 3, seed=5)
    # Sums in another order differ by 1e-7: a pixel's uniform is as near to a boundary between two
    # levels once in a million pixels, and these are the same at each run.
    expected = filled_by_passes(model, images, mask, labels, **how)
    cached = model.complete(images, mask=mask, condition=labels, **how).numpy()
    np.testing.assert_allclose(cached, expected, atol=1e-6)
    np.testing.assert_array_equal(cached[mask], images[mask])
    assert len(np.unique(np.round(cached[~mask], 4))) == model.num_levels
    if name == WITH_XLA:
        compiled = model.complete(images, mask=mask, condition=labels, **how, jit_compile=True)
        np.testing.assert_allclose(compiled, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["pixelcnn_colour", "gated_labels"])
def test_an_image_is_a_function_of_its_seed(name, sampled):
    model = sampled(name)
    images = model.sample(3, seed=7).numpy()
    np.testing.assert_array_equal(model.sample(3, seed=7), images)
    # The first rows do not depend on how many are asked for.
    np.testing.assert_array_equal(model.sample(2, seed=7), images[:2])
    assert (model.sample(3, seed=8).numpy() != images).any()
    assert (images[0] != images[1]).any()
    # `complete` of nothing is `sample`; what is hidden may be anything.
    nothing = np.zeros(model.image_shape[:2], bool)
    hidden = np.full_like(images, np.nan)
    np.testing.assert_array_equal(model.complete(hidden, mask=nothing, seed=7), images)


def test_labels_and_temperatures_belong_to_rows(sampled):
    model = sampled("gated_labels")
    images = model.sample(3, condition=[0, 1, 1], temperature=[1.0, 1.0, 0.2], seed=1).numpy()
    np.testing.assert_array_equal(model.sample(3, condition=0, seed=1)[0], images[0])
    np.testing.assert_array_equal(model.sample(3, condition=1, seed=1)[1], images[1])
    np.testing.assert_array_equal(
        model.sample(3, condition=1, temperature=0.2, seed=1)[2], images[2]
    )
    first = model.sample(8, condition=1, seed=1).numpy()
    assert (model.sample(8, condition=0, seed=1).numpy() != first).any()
    assert (model.sample(8, condition=1, temperature=0.2, seed=1).numpy() != first).any()
    # Without labels, all of them in turn.
    np.testing.assert_array_equal(
        model.sample(4, seed=1), model.sample(4, condition=[0, 1, 2, 0], seed=1)
    )


def test_near_temperature_0_each_pixel_is_the_likeliest(sampled):
    model = sampled("pixelcnn")
    expected = np.zeros((1, 4, 5, 1), "float32")
    for row in range(4):
        for column in range(5):
            logits = model.network(expected).numpy()[0, row, column]
            expected[0, row, column, 0] = logits.argmax() / 3
    images = model.sample(3, temperature=1e-4, seed=2)
    np.testing.assert_allclose(images, np.repeat(expected, 3, axis=0), atol=1e-6)


BINARY = [
    (kgen.PixelCNN, Bernoulli()),
    (kgen.GatedPixelCNN, Categorical(2)),
    (kgen.GatedPixelCNN, Mixture(2, 2)),
]


@pytest.mark.parametrize(("system", "likelihood"), BINARY, ids=name_of)
def test_samples_follow_the_probabilities(system, likelihood):
    """Pearson's test over all 16 binary images of 2 x 2, and over completions of the last two."""
    model = build(system, (2, 2, 1), likelihood)
    images = all_images((2, 2, 1), 2)
    probabilities = np.exp(np.float64(model.log_prob(images)))
    probabilities /= probabilities.sum()
    count = 4000
    counts = count_images(model.sample(count, seed=0))
    assert scipy.stats.chisquare(counts, count * probabilities).pvalue > 1e-3
    # It would notice another distribution: the same one with black and white exchanged.
    assert scipy.stats.chisquare(counts, count * probabilities[::-1]).pvalue < 1e-6
    known = np.array([[True, True], [False, False]])
    start = np.repeat(images[4:5], count, axis=0)
    counts = count_images(model.complete(start, mask=known, seed=1))
    np.testing.assert_array_equal(counts[:4], 0)
    np.testing.assert_array_equal(counts[8:], 0)
    given = probabilities[4:8] / probabilities[4:8].sum()
    assert scipy.stats.chisquare(counts[4:8], count * given).pvalue > 1e-3


def count_images(images):
    index = tf.reshape(images, (-1, 4)).numpy().astype(int) @ [8, 4, 2, 1]
    return np.bincount(index, minlength=16)


def test_mixed_precision():
    """Probabilities stay in float32, samples on the levels."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = build(kgen.GatedPixelCNN, (2, 3, 1), Categorical(4), condition=specs.Labels(2))
    images = model.sample(4, seed=0).numpy()
    np.testing.assert_allclose(images * 3, np.round(images * 3), atol=1e-6)
    log_prob = model.log_prob(images, condition=[0, 1, 0, 1])
    assert log_prob.dtype == tf.float32
    single = build_in_float32(model)
    # Logits near 1 with 8 bits, of 6 pixels.
    np.testing.assert_allclose(log_prob, single.log_prob(images, condition=[0, 1, 0, 1]), atol=0.3)


def build_in_float32(model):
    keras.config.set_dtype_policy("float32")
    single = build(kgen.GatedPixelCNN, (2, 3, 1), Categorical(4), condition=specs.Labels(2))
    single.set_weights(model.get_weights())
    return single


# Construction.


def test_defaults_are_the_papers_heads():
    assert kgen.PixelCNN.for_images((4, 4, 1), network=SMALL[kgen.PixelCNN]).num_levels == 256
    model = kgen.PixelCNNPlusPlus.for_images((4, 4, 3), network=SMALL[kgen.PixelCNNPlusPlus])
    assert isinstance(model.likelihood, Mixture) and model.num_levels == 256


def network(params_size=2, **kwargs):
    return networks.gated_pixelcnn(
        (4, 4, 3), params_size, filters=6, num_layers=1, head_filters=(6,), **kwargs
    )


BAD_MODELS = {
    "likelihood_without_levels": (
        lambda: kgen.PixelCNN.for_images((4, 4, 1), likelihood=heads.Normal()),
        "needs a likelihood on levels",
    ),
    "no_network": (lambda: kgen.PixelCNN(3), "must be a keras.Model, received int"),
    "labels_without_classes": (
        lambda: kgen.GatedPixelCNN(network(condition=specs.Labels(3))),
        r"takes inputs of shapes .*, expected x alone",
    ),
    "classes_without_labels": (
        lambda: kgen.GatedPixelCNN(network(), condition=specs.Labels(3)),
        r"takes inputs of shapes .*, expected x and then labels",
    ),
    "one_class": (
        lambda: kgen.GatedPixelCNN.for_images((4, 4, 1), condition=specs.Labels(1)),
        "num_classes must be an integer of at least 2",
    ),
    "network_of_another_likelihood": (
        lambda: kgen.GatedPixelCNN(network(5), likelihood=Bernoulli()),
        r"gives outputs of shape \(4, 4, 5\), expected \(4, 4, 3\)",
    ),
    "channels_coupled_twice": (
        lambda: kgen.GatedPixelCNN(network(30, channel_groups=3), likelihood=Mixture(4, 3)),
        "orders the channels of a pixel, and .*Mixture.* couples them too",
    ),
}


@pytest.mark.parametrize(("make", "message"), BAD_MODELS.values(), ids=BAD_MODELS.keys())
def test_bad_models(make, message):
    with pytest.raises(ValueError, match=message):
        make()
