import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen.layers import CategoryEmbedding, ConcatELU, GatedActivation, OnesChannel


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def elu(x):
    return np.where(x > 0, x, np.expm1(x))


def inputs(channels, rank=4):
    shape = (2, 3, 4, channels) if rank == 4 else (2, channels)
    return np.random.RandomState(0).normal(size=shape).astype("float32")


# One float32 product of two functions that are right to the last digits.
TOLERANCE = dict(rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rank", [2, 4])
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("activation, function", [("tanh", np.tanh), ("linear", lambda x: x)])
def test_gated_activation(activation, function, groups, rank):
    """Whole images, and one pixel of them."""
    x = inputs(12, rank)
    outputs = GatedActivation(activation, channel_groups=groups)(x)
    expected = []
    for group in np.split(x, groups, axis=-1):
        value, gate = np.split(group, 2, axis=-1)
        expected.append(function(value) * sigmoid(gate))
    np.testing.assert_allclose(outputs, np.concatenate(expected, axis=-1), **TOLERANCE)


def test_gated_activation_keeps_the_groups():
    """What a group gives depends on that group alone."""
    layer, x = GatedActivation(channel_groups=3), inputs(12)
    for group in range(3):
        changed = x.copy()
        changed[..., 4 * group : 4 * group + 4] += 1.0
        moved = (layer(changed).numpy() != layer(x).numpy()).any(axis=(0, 1, 2))
        np.testing.assert_array_equal(moved, np.arange(6) // 2 == group)


def test_concat_elu_and_ones_channel():
    x = inputs(3)
    expected = np.concatenate([elu(x), elu(-x)], axis=-1)
    np.testing.assert_allclose(ConcatELU()(x), expected, **TOLERANCE)
    with_ones = np.concatenate([x, np.ones((2, 3, 4, 1))], axis=-1)
    np.testing.assert_array_equal(OnesChannel()(x), with_ones)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("rank", [2, 4])
def test_category_embedding(rank, policy):
    """The vector of each of 2,000 categories, which half precision could not tell apart."""
    keras.config.set_dtype_policy(policy)
    layer, categories = CategoryEmbedding(2000, 3), np.arange(2000)
    levels = (categories / 1999).astype("float32").reshape(-1, *[1] * (rank - 1))
    shape = (1,) if rank == 2 else (1, 1, 1)
    inputs = keras.Input(shape)
    vectors = keras.Model(inputs, layer(inputs))(levels)
    np.testing.assert_array_equal(vectors, layer.embeddings.numpy().reshape(2000, *shape[1:], 3))
    assert len(np.unique(layer.embeddings, axis=0)) == 2000
    # Off the levels is some category, never beyond the vectors.
    for value, nearest in ((-3.0, 0), (7.0, 1999), (0.4 / 1999, 0), (0.6 / 1999, 1)):
        np.testing.assert_array_equal(layer(np.array([[value]]))[0], layer.embeddings[nearest])
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.get_config() == layer.get_config()
    with pytest.raises(ValueError, match="Expected 1 channel, the category, received 3"):
        CategoryEmbedding(4, 2)(tf.zeros((1, 2, 2, 3)))


LAYERS = [
    (GatedActivation("linear", channel_groups=3), 6),
    (GatedActivation(), 6),
    (ConcatELU(), 24),
    (OnesChannel(), 13),
]


@pytest.mark.parametrize("layer, channels", LAYERS, ids=lambda value: getattr(value, "name", ""))
def test_config_shapes_and_dtype(layer, channels):
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(copy) is type(layer)
    assert copy.get_config() == layer.get_config()
    np.testing.assert_array_equal(copy(inputs(12)), layer(inputs(12)))
    assert layer(keras.Input((None, None, 12))).shape == (None, None, None, channels)
    half = type(layer)(**{**layer.get_config(), "dtype": "mixed_bfloat16"})
    assert half(inputs(12)).dtype == tf.bfloat16


def test_bad_arguments():
    with pytest.raises(ValueError, match="multiple of 6 channels, received 8"):
        GatedActivation(channel_groups=3)(tf.zeros((1, 2, 2, 8)))
    with pytest.raises(ValueError, match="multiple of 2 channels, received 3"):
        GatedActivation()(tf.zeros((1, 2, 2, 3)))
    with pytest.raises(ValueError, match="channel_groups must be an integer of at least 1"):
        GatedActivation(channel_groups=0)
