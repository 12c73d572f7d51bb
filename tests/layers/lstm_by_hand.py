"""LSTMs over images in plain loops, and which inputs a layer's outputs depend on."""

import itertools

import keras
import numpy as np
import tensorflow as tf


def random_weights(layer, scale=0.6):
    """Give a layer weights, biases included, that are far from what they start as."""
    draws = np.random.RandomState(0)
    for weight in layer.weights:
        weight.assign(draws.normal(size=weight.shape) * scale)


def images(count, *shape):
    return np.random.RandomState(1).normal(size=(count, *shape))


def taps(convolution, num_channels, reach):
    """What a convolution along the row does, mask and all, seen from outside.

    Returns its bias and a dict: offset -> (num_channels, filters), where the output at column c
    reads the input at column c + offset.
    """
    # The middle of these has all of the window inside.
    impulses = np.zeros((num_channels, 1, 2 * reach + 1, num_channels))
    impulses[np.arange(num_channels), 0, reach, np.arange(num_channels)] = 1.0
    bias = convolution(np.zeros_like(impulses)).numpy()[0, 0, reach]
    outputs = convolution(impulses).numpy()[:, 0] - bias
    return bias, {offset: outputs[:, reach - offset] for offset in range(-reach, reach + 1)}


def cell(from_input, from_state, previous_cell, num_groups):
    """Eq. 3 of van den Oord et al. 2016 for one pixel: the new hidden and cell state.

    The input gives groups of four gates; the state, which no mask cuts, gives four gates of groups.
    """
    groups = from_input.reshape(num_groups, 4, -1)
    gates = [np.concatenate([group[gate] for group in groups]) for gate in range(4)]
    gates = np.stack(gates) + from_state.reshape(4, -1)
    output, forget, write = 1.0 / (1.0 + np.exp(-gates[:3]))
    new_cell = forget * previous_cell + write * np.tanh(gates[3])
    return output * np.tanh(new_cell), new_cell


def dependence(function, shape):
    """Which outputs change with which inputs: bool (*shape, *output shape without the batch)."""
    size = int(np.prod(shape))
    base = images(1, *shape)
    changed = base + 0.5 * np.eye(size).reshape(size, *shape)
    outputs = np.asarray(function(np.concatenate([base, changed])))
    # In float64 what changes does so by more, and rounding by less.
    differs = np.abs(outputs[1:] - outputs[:1]) > 1e-11
    return differs.reshape(*shape, *outputs.shape[1:])


def check_gradients(layer, shape):
    """Gradients in a graph of unknown batch size, and under XLA, against central differences."""
    x, direction = images(2, *shape), np.random.RandomState(2).normal(size=(2, *shape))
    weights = layer.trainable_weights
    steps = [np.random.RandomState(3).normal(size=weight.shape) for weight in weights]

    def loss(x):
        return tf.reduce_sum(tf.sin(layer(x)))

    start, size = [weight.numpy() for weight in weights], 1e-5
    ends = []
    for sign in (1, -1):
        for weight, value, step in zip(weights, start, steps, strict=True):
            weight.assign(value + sign * size * step)
        ends.append(loss(x + sign * size * direction).numpy())
    for weight, value in zip(weights, start, strict=True):
        weight.assign(value)
    slope = (ends[0] - ends[1]) / (2 * size)

    def gradients(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = loss(x)
        return total, tape.gradient(total, [x, *[weight.value for weight in weights]])

    for jit_compile in (False, True):
        spec = tf.TensorSpec((None, *shape), tf.float64)
        compiled = tf.function(gradients, input_signature=[spec], jit_compile=jit_compile)
        total, (by_x, *by_weights) = compiled(x)
        np.testing.assert_allclose(total, loss(x), rtol=1e-10)
        along = np.sum(by_x * direction)
        along += sum(np.sum(a * b) for a, b in zip(by_weights, steps, strict=True))
        # Central differences with steps of 1e-5 in float64: 1e-10 of truncation and of rounding.
        np.testing.assert_allclose(along, slope, rtol=1e-6)


def check_mixed_precision(make):
    half, full = make(dtype="mixed_bfloat16"), make(dtype="float32")
    x = images(2, 3, 4, 2).astype("float32")
    half(x), full(x)
    half.set_weights(full.get_weights())
    assert half(x).dtype == tf.bfloat16
    assert {weight.dtype for weight in half.weights} == {"float32"}
    # States below 1, eight bits, a few steps.
    np.testing.assert_allclose(tf.cast(half(x), tf.float32), full(x), atol=0.03)


def check_round_trip(layer, path):
    model = keras.Sequential([keras.Input((3, 4, 3)), layer])
    model.save(path)
    restored = keras.saving.load_model(path)
    x = images(2, 3, 4, 3)
    np.testing.assert_array_equal(restored(x), model(x))
    assert restored.layers[0].get_config() == layer.get_config()


def pixels(shape):
    return itertools.product(range(shape[0]), range(shape[1]))
