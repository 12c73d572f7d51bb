"""The multi-scale PixelCNN: a distribution, each pixel counted once, drawn from coarse to fine."""

import functools
import itertools

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

import kgen
from kgen import heads, networks
from kgen.autoregressive.parts.naive import naive_fill


def tiny(shape, likelihood, num_scales=2, *, filters=6, num_layers=2):
    """With weights, biases included, far from what they start as."""
    model = kgen.MultiScalePixelCNN.for_images(
        shape,
        num_scales=num_scales,
        likelihood=likelihood,
        network=functools.partial(
            networks.gated_pixelcnn, filters=filters, num_layers=num_layers, head_filters=(filters,)
        ),
    )
    draws = np.random.RandomState(0)
    for weight in model.trainable_weights:
        weight.assign(0.5 * draws.normal(size=weight.shape))
    return model


def all_images(shape, num_levels):
    levels = itertools.product(range(num_levels), repeat=int(np.prod(shape)))
    return np.array(list(levels), "float32").reshape(-1, *shape) / (num_levels - 1)


@pytest.mark.parametrize(
    ("shape", "likelihood", "num_scales"),
    [
        ((2, 2, 1), heads.Categorical(3), 2),
        ((2, 4, 1), heads.Bernoulli(), 2),
        ((3, 3, 1), heads.Categorical(2), 2),
        ((4, 3, 1), heads.Bernoulli(), 3),
        ((2, 2, 3), heads.Bernoulli(), 2),
        ((2, 2, 3), heads.DiscretizedLogisticMixture(2, num_components=2), 2),
        ((2, 2, 1), heads.Categorical(3), 1),
    ],
    ids=str,
)
def test_probabilities_of_all_images_sum_to_1(shape, likelihood, num_scales):
    model = tiny(shape, likelihood, num_scales)
    images = all_images(shape, likelihood.num_levels)
    probabilities = np.exp(np.float64(model.log_prob(images)))
    # Float32 conditionals.
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-5)
    # Far from uniform, where the sum would be 1 whatever depends on what.
    assert probabilities.max() > 2 * probabilities.min()


def test_each_pixel_is_counted_once_given_what_comes_before():
    """A slow transcription, in which what comes later is noise."""
    model = tiny((4, 6, 1), heads.Categorical(3), num_scales=3)
    draws = np.random.RandomState(1)
    image = draws.randint(0, 3, size=(4, 6, 1))
    total, smaller, count = 0.0, None, 0
    for scale in (2, 1, 0):
        x = image[:: 2**scale, :: 2**scale]
        network, upsampler = model.networks[2 - scale], ([None] + model.upsamplers)[2 - scale]
        for row, column in np.ndindex(x.shape[:2]):
            if smaller is not None and row % 2 == column % 2 == 0:
                continue
            partial = draws.randint(0, 3, size=x.shape)
            if smaller is not None:
                partial[::2, ::2] = smaller
            before = np.arange(x.size).reshape(x.shape) < row * x.shape[1] + column
            inputs = [tf.constant(np.where(before, x, partial)[None] / 2, tf.float32)]
            if smaller is not None:
                inputs.append(upsampler((smaller / 2)[None].astype("float32")))
            params = network(inputs if len(inputs) > 1 else inputs[0]).numpy()[0, row, column]
            total += scipy.special.log_softmax(params.astype("float64"))[x[row, column, 0]]
            count += 1
        smaller = x
    assert count == 24
    received = model.log_prob((image / 2)[None].astype("float32"))
    # 24 logarithms in float32.
    np.testing.assert_allclose(received, [total], rtol=1e-5)


def naively(model, images, known, uniforms, temperature):
    """Scale by scale, a pass over the whole image for each pixel."""
    smaller = None
    steps = [2**scale for scale in reversed(range(len(model.networks)))]
    for network, upsampler, step in zip(
        model.networks, [None, *model.upsamplers], steps, strict=True
    ):
        x, is_known = images[:, ::step, ::step].copy(), known[:, ::step, ::step].copy()
        maps = []
        if smaller is not None:
            x[:, ::2, ::2], is_known[:, ::2, ::2] = smaller, True
            maps = [upsampler(smaller)]
        smaller = naive_fill(
            lambda x, network=network, maps=maps: network([x, *maps] if maps else x),
            tf.constant(x),
            tf.constant(is_known),
            tf.constant(uniforms[:, ::step, ::step]),
            temperature,
            likelihood=model.likelihood,
            passes=1 if model.likelihood.couples_channels else images.shape[-1],
        ).numpy()
    return smaller


@pytest.mark.parametrize(
    ("shape", "likelihood", "num_scales"),
    [
        ((3, 5, 1), heads.Categorical(4), 3),
        ((2, 3, 3), heads.DiscretizedLogisticMixture(4, num_components=2), 2),
    ],
    ids=str,
)
def test_cached_draws_what_naive_draws(shape, likelihood, num_scales):
    model = tiny(shape, likelihood, num_scales, num_layers=1)
    draws = np.random.RandomState(1)
    images = (draws.randint(0, 4, size=(8, *shape)) / 3).astype("float32")
    known = draws.uniform(size=(8, *shape[:2])) < 0.3
    size = (8, *shape[:2], likelihood.noise_size(shape[-1]))
    uniforms = draws.uniform(0.001, 0.999, size=size).astype("float32")
    temperature = tf.linspace(0.5, 1.5, 8)
    received = model._filler(images, known, uniforms, temperature).numpy()
    # Two orders of summation: a pixel is another one only where a uniform hits an edge.
    np.testing.assert_array_equal(received, naively(model, images, known, uniforms, temperature))
    np.testing.assert_array_equal(received[known], images[known])
    assert np.abs(received - images)[~known].max() > 0


def test_samples_follow_the_probabilities():
    model = tiny((2, 2, 1), heads.Categorical(3), num_layers=1)
    space = all_images((2, 2, 1), 3)
    samples = model.sample(8_000, seed=0).numpy()
    index = np.rint(2 * samples.reshape(-1, 4)).astype(int) @ 3 ** np.arange(4)[::-1]
    expected = np.exp(np.float64(model.log_prob(space))) * len(samples)
    counts = np.bincount(index, minlength=len(space))
    rare = expected < 5
    counts = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum() + 1e-9)
    expected *= counts.sum() / expected.sum()
    assert len(counts) > 20
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-4


@pytest.fixture(scope="module")
def model():
    return tiny((4, 4, 1), heads.Categorical(3), num_layers=1)


def test_seeds_and_rows(model):
    first = model.sample(5, seed=3).numpy()
    np.testing.assert_array_equal(model.sample(2, seed=3), first[:2])
    assert np.abs(model.sample(5, seed=4).numpy() - first).max() > 0


def test_what_a_known_pixel_reaches(model):
    """With equal noise, images that are completed around one pixel of another value."""

    def differs(row, column):
        mask = np.zeros((4, 4), bool)
        mask[row, column] = True
        completed = [
            model.complete(np.full((200, 4, 4, 1), value, "float32"), mask=mask, seed=0).numpy()
            for value in (0.0, 1.0)
        ]
        assert [np.ptp(value[:, row, column]) for value in completed] == [0.0, 0.0]
        return np.any(completed[0] != completed[1], axis=(0, 3))

    # The last pixel of the coarse image: no other one of it, but pixels of the fine one above it.
    reached = differs(2, 2)
    np.testing.assert_array_equal(reached[::2, ::2], [[False, False], [False, True]])
    assert reached[:2].any() and reached[3].any()
    # A pixel of the fine image alone: what follows it there, and nothing of the coarse one.
    reached = differs(1, 1)
    np.testing.assert_array_equal(reached[::2, ::2], np.zeros((2, 2), bool))
    assert not reached[0].any() and not reached[1, 0] and reached[1, 2:].any() and reached[3].any()


def test_saves_and_restores(model, tmp_path):
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    images = model.sample(3, seed=0)
    np.testing.assert_array_equal(restored.log_prob(images), model.log_prob(images))
    np.testing.assert_allclose(
        model.bits_per_dim(images), -model.log_prob(images) / (16 * np.log(2)), rtol=1e-6
    )


def test_bad_networks():
    with pytest.raises(ValueError, match="num_scales=3: each side needs more than 2 pixels"):
        kgen.MultiScalePixelCNN.for_images((2, 8, 1), num_scales=3)
    with pytest.raises(ValueError, match="num_scales must be an integer of at least 1"):
        kgen.MultiScalePixelCNN.for_images((4, 4, 1), num_scales=0)
    with pytest.raises(ValueError, match="likelihood on levels"):
        kgen.MultiScalePixelCNN.for_images((4, 4, 1), likelihood=heads.Normal())
    likelihood = heads.Categorical(3)

    def network(size, **kwargs):
        return networks.gated_pixelcnn((size, size, 1), 3, filters=2, num_layers=1, **kwargs)

    def upsampler(size, num_maps=2):
        return networks.convolutional_feature_decoder(1, (size, size, num_maps), filters=(2,))

    def build(*parts):
        return kgen.MultiScalePixelCNN(*parts, likelihood=likelihood)

    with pytest.raises(ValueError, match="1 networks and 1 upsamplers"):
        build([network(4)], [upsampler(4)])
    with pytest.raises(ValueError, match="0 networks"):
        build([], [])
    with pytest.raises(ValueError, match=r"expected 1: images of shape \(2, 2, 1\), .* steps of 2"):
        build([network(4), network(4, num_maps=2)], [upsampler(4)])
    with pytest.raises(ValueError, match=r"expected 2: images of shape \(4, 4, 1\).*and maps"):
        build([network(2), network(4)], [upsampler(4)])
    with pytest.raises(ValueError, match=r"\(4, 4, 1\), but the smaller images have shape \(2, 2"):
        build([network(2), network(4, num_maps=2)], [upsampler(8)])
    with pytest.raises(ValueError, match=r"shape \(4, 4, 3\), expected \(4, 4, 2\): these are the"):
        build([network(2), network(4, num_maps=2)], [upsampler(4, 3)])


def test_bad_images(model):
    with pytest.raises(ValueError, match="Expected pixels on 3 levels"):
        model.log_prob(np.full((1, 4, 4, 1), 0.3, "float32"))
    with pytest.raises(ValueError, match=r"Expected images of shape \(batch, 4, 4, 1\)"):
        model.log_prob(np.zeros((1, 4, 4, 3), "float32"))
    with pytest.raises(ValueError, match="bool mask of shape"):
        model.complete(np.zeros((1, 4, 4, 1), "float32"), mask=np.zeros((2, 2), bool))
    with pytest.raises(ValueError, match="temperature must be above 0"):
        model.sample(2, temperature=0.0)
    with pytest.raises(ValueError, match="made without a condition"):
        model.sample(2, condition=[0, 1])
