"""Networks of one's own: what can be computed pixel by pixel, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from autoregressive.pixel_models import influence, randomize
from keras import layers

import kgen
from kgen import heads, networks
from kgen.autoregressive.parts.cached import CachedSampler
from kgen.autoregressive.parts.naive import naive_fill
from kgen.autoregressive.parts.plan import Plan
from kgen.layers import CausalConv2D, ConcatELU, DepthToSpace, GatedActivation, RowConv2D


def mask_a(filters, size=3, **kwargs):
    return CausalConv2D(filters, size, see_current=False, **kwargs)


def made_of(function, shape=(4, 4, 1)):
    """A network of images, or of images and what else `function` takes."""
    images = keras.Input(shape)
    return keras.Model(images, function(images))


class Square(layers.Layer):
    """A layer of the user's that acts on each pixel alone."""

    pointwise = True

    def call(self, inputs):
        return inputs**2


class Mean(layers.Layer):
    """One that does not, and does not say so."""

    def call(self, inputs):
        return inputs - tf.reduce_mean(inputs, axis=(1, 2), keepdims=True)


class Subclassed(keras.Model):
    """A network whose graph Keras does not know."""


def joined(x):
    """Maps of 2 x 2 and of 1 x 1, which Keras would broadcast."""
    x = mask_a(4)(x)
    return layers.Add()([x, CausalConv2D(4, 1, strides=2)(x)])


def mixed(mix):
    """Three channels in order, and a layer that mixes them."""
    return lambda: made_of(
        lambda x: CausalConv2D(6, 1, channel_groups=3)(mix(mask_a(12, channel_groups=3)(x))),
        (4, 4, 3),
    )


SEES_ITSELF = "sees the pixel that it predicts"
NOT_POINTWISE = "cannot be computed pixel by pixel"
REFUSED = {
    "convolution": (
        lambda: made_of(lambda x: layers.Conv2D(2, 3, padding="same")(mask_a(4)(x))),
        r"\(Conv2D\) " + NOT_POINTWISE,
    ),
    "batch_normalization": (
        lambda: made_of(lambda x: layers.BatchNormalization()(mask_a(4)(x))),
        r"\(BatchNormalization\) " + NOT_POINTWISE,
    ),
    "layer_that_is_not_pointwise": (
        lambda: made_of(lambda x: Mean()(mask_a(4)(x))),
        r"\(Mean\) cannot .* set pointwise = True",
    ),
    "nested_model": (
        lambda: made_of(made_of(lambda x: mask_a(4)(x))),
        r"\(Functional\) " + NOT_POINTWISE,
    ),
    "subclassed_model": (Subclassed, "is a Subclassed. Make it a functional model"),
    "mask_b_alone": (lambda: made_of(lambda x: CausalConv2D(4, 3)(x)), SEES_ITSELF),
    "no_convolution": (lambda: made_of(lambda x: layers.Dense(4)(x)), SEES_ITSELF),
    "short_cut_around_mask_a": (
        lambda: made_of(lambda x: layers.Add()([x, mask_a(1)(x)])),
        SEES_ITSELF,
    ),
    "channels_mixed_by_a_convolution": (mixed(lambda x: CausalConv2D(12, 1)(x)), SEES_ITSELF),
    "channels_mixed_by_a_gate": (mixed(GatedActivation()), SEES_ITSELF),
    "channels_mixed_by_dense": (mixed(layers.Dense(12)), SEES_ITSELF),
    "channels_mixed_by_concatenation": (mixed(ConcatELU()), SEES_ITSELF),
    "channels_mixed_before_the_mask": (
        lambda: made_of(lambda x: mask_a(6, channel_groups=3)(CausalConv2D(6, 1)(x)), (4, 4, 3)),
        SEES_ITSELF,
    ),
    "rows_not_shifted": (
        lambda: made_of(lambda x: mask_a(4)(RowConv2D(4, (2, 3))(x))),
        "would see pixels to the right: the first RowConv2D .* shift_down=True",
    ),
    "rows_not_shifted_behind_mask_a": (
        lambda: made_of(lambda x: RowConv2D(4, (2, 3))(mask_a(4)(x))),
        "would see pixels to the right",
    ),
    "rows_alone": (
        lambda: made_of(lambda x: RowConv2D(4, (2, 3), shift_down=True)(x)),
        "one output, as large as the images and made from their pixels",
    ),
    "two_outputs": (
        lambda: made_of(lambda x: [mask_a(4)(x), mask_a(4)(x)]),
        "must have one output",
    ),
    "smaller_output": (
        lambda: made_of(lambda x: CausalConv2D(4, 1, strides=2)(mask_a(4)(x))),
        "as large as the images",
    ),
    "larger_output": (
        lambda: made_of(
            lambda x: DepthToSpace()(CausalConv2D(8, 1, strides=2)(mask_a(4)(x))), (5, 4, 1)
        ),
        "as large as the images",
    ),
    "strides_before_mask_a": (
        lambda: made_of(lambda x: DepthToSpace()(mask_a(8)(CausalConv2D(4, 3, strides=2)(x)))),
        "changes the size of maps that see their own pixel",
    ),
    "larger_before_mask_a": (
        lambda: made_of(lambda x: mask_a(4, strides=2)(DepthToSpace()(x)), (4, 4, 4)),
        "changes the size of maps that see their own pixel",
    ),
    "sizes_joined": (lambda: made_of(joined, (2, 2, 1)), "must join maps of one size"),
    "rows_joined": (
        lambda: made_of(lambda x: layers.Concatenate(axis=1)([mask_a(4)(x), mask_a(4)(x)])),
        "along axis=-1",
    ),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(make, message):
    network = make()
    with pytest.raises(ValueError, match=message):
        Plan(network)


def test_what_is_refused_for_mixing_channels_would_be_no_distribution():
    """A gate that cuts the groups across: red would see itself."""
    keras.config.set_dtype_policy("float64")
    make, _ = REFUSED["channels_mixed_by_a_gate"]
    seen = influence(randomize(make()), 3)
    assert np.diagonal(seen).any()


def sequential():
    return keras.Sequential(
        [keras.Input((3, 4, 1)), mask_a(6, 5), Square(), CausalConv2D(4, 3), layers.Dense(3)]
    )


def dense_net():
    """What sees its own pixel joined with what does not, in front of another mask A."""
    images = keras.Input((3, 4, 1))
    x = mask_a(4)(images)
    x = layers.Concatenate()([CausalConv2D(3, 3)(images), x, layers.Rescaling(2.0, -1.0)(images)])
    x = layers.LeakyReLU()(mask_a(5, (1, 3))(x))
    rows = RowConv2D(4, (2, 3), shift_down=True)(layers.Concatenate()([images, x]))
    x = layers.Subtract()([CausalConv2D(4, 1)(x), layers.Multiply()([rows, rows])])
    return keras.Model(images, layers.Dense(3)(layers.ELU()(x)))


def colour():
    """Mask B in front of mask A, both in order, and a second way past them."""
    images = keras.Input((2, 3, 3))
    x = layers.ReLU()(CausalConv2D(6, 3, channel_groups=3)(images))
    x = mask_a(12, channel_groups=3)(x)
    other = CausalConv2D(12, 3, centered=False)(mask_a(6)(images))
    x = GatedActivation(channel_groups=3)(layers.Add()([x, other]))
    return keras.Model(images, CausalConv2D(9, 1, channel_groups=3)(x))


def two_sizes():
    """Rows and pixels behind strides, and back; one layer twice, that reads two small rows."""
    images = keras.Input((6, 4, 1))
    above = RowConv2D(4, (2, 3), shift_down=True)(images)
    x = layers.Add()([above, mask_a(4, (2, 2), centered=False)(images)])
    small_above = RowConv2D(4, (2, 3), strides=2)(above)
    small = CausalConv2D(4, (2, 2), centered=False, strides=2)(x)
    shared = CausalConv2D(4, 5)
    small = shared(layers.Activation("tanh")(shared(layers.Add()([small, small_above]))))
    small = DepthToSpace()(CausalConv2D(8, 1)(layers.Concatenate()([small, small_above])))
    return keras.Model(images, layers.Dense(3)(layers.Concatenate()([x, small])))


def check_same(network, *others, passes=1, jit_compile=False):
    """The cached sampler draws what passes over the image draw, some pixels being known."""
    height, width, channels = network.inputs[0].shape[1:]
    draws = np.random.RandomState(0)
    images = draws.randint(0, 3, size=(8, height, width, channels)).astype("float32") / 2
    known = draws.uniform(size=images.shape[:3]) < 0.3
    uniforms = draws.uniform(size=images.shape).astype("float32")
    temperature = np.array([0.5, 1.0, 1.0, 2.0] * 2, "float32")
    likelihood = heads.Categorical(3)
    sampler = CachedSampler(network, likelihood)

    @tf.function(autograph=False, jit_compile=jit_compile)
    def both(images, known, uniforms, temperature, *others):
        cached = sampler(images, known, uniforms, temperature, *others)
        expected = naive_fill(
            lambda x: network([x, *others] if others else x),
            images,
            known,
            uniforms,
            temperature,
            likelihood=likelihood,
            passes=passes,
        )
        return cached, expected

    cached, expected = both(
        *(tf.constant(value) for value in (images, known, uniforms, temperature, *others))
    )
    # Both draw the same levels; only k / 2 may be computed in two ways.
    np.testing.assert_allclose(cached, expected, atol=1e-6)
    assert len(np.unique(np.round(cached.numpy()[~known], 3))) == 3


USERS = {"sequential": sequential, "dense_net": dense_net, "colour": colour, "two_sizes": two_sizes}


@pytest.mark.parametrize("name", USERS)
def test_networks_of_ones_own(name):
    # XLA takes its time: once, where conditions on rows and columns are compiled.
    passes = 3 if name == "colour" else 1
    check_same(randomize(USERS[name]()), passes=passes, jit_compile=name == "two_sizes")


def test_a_map_as_second_input():
    """Conditions of any network: with 4 axes, as a vector, and behind strides of their own."""
    images, maps = keras.Input((4, 4, 1)), keras.Input((4, 4, 2))
    given = layers.Conv2D(4, 3, padding="same", activation="relu")(maps)
    given_small = layers.Conv2D(4, 3, strides=2, padding="same")(given)
    vector = layers.Dense(4)(layers.GlobalAveragePooling2D()(given))
    above = RowConv2D(4, (2, 3), shift_down=True)(images)
    above = layers.ELU()(layers.Add()([above, given, layers.Reshape((1, 1, 4))(vector)]))
    x = layers.Add()([mask_a(4, 5)(images), above, CausalConv2D(4, 3)(above)])
    small = CausalConv2D(4, (2, 2), centered=False, strides=2)(layers.Concatenate()([x, given]))
    small_above = layers.Add()([RowConv2D(4, (1, 3), strides=2)(above), given_small])
    small = CausalConv2D(16, 1)(
        layers.Multiply()([layers.Add()([small, small_above]), given_small])
    )
    x = layers.Concatenate()([layers.Multiply()([x, vector]), DepthToSpace()(small), maps])
    network = randomize(keras.Model([images, maps], layers.Dense(3)(x)))
    check_same(network, np.random.RandomState(1).normal(size=(8, 4, 4, 2)).astype("float32"))


def test_a_sequential_network_makes_a_model():
    model = kgen.PixelCNN(sequential(), likelihood=heads.Categorical(3))
    assert model.log_prob(np.zeros((2, 3, 4, 1), "float32")).shape == (2,)


def cache_size(height, width):
    network = networks.pixelcnn_plus_plus((height, width, 3), 6, filters=4, num_blocks=1)
    return CachedSampler(network, heads.Categorical(3)).cache_size()


def test_cache_size_by_hand():
    network = made_of(lambda x: layers.Dense(3)(mask_a(4, 5)(x)), (9, 10, 1))
    # Two rows above and the current one, with 2 columns of padding; what the rows above give.
    assert CachedSampler(network, heads.Categorical(3)).cache_size() == 2 * 10 + 12 + 4 * 10


def test_cache_grows_with_the_width_alone():
    """Of two scales: a line in the width, whose constant part is the padding."""
    sizes = [cache_size(2, width) for width in (10, 20, 30)]
    assert sizes[2] - sizes[1] == sizes[1] - sizes[0] > 0.9 * sizes[0]
    assert cache_size(14, 10) == sizes[0]
