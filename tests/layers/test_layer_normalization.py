"""Layer normalization against Keras' own values and PyTorch's second derivative."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen.layers import LayerNormalization


def draw(*shape, seed=0):
    return np.random.RandomState(seed).normal(2.0, 3.0, size=shape).astype("float32")


def randomized(layer, x):
    if not layer.built:
        layer.build(x.shape)
    layer.set_weights([draw(*w.shape, seed=k) for k, w in enumerate(layer.weights)])
    return layer


@pytest.mark.parametrize("axis", [-1, [1, 2, 3], [3, 1]], ids=str)
@pytest.mark.parametrize("options", [{}, dict(scale=False, center=False)], ids=["full", "bare"])
def test_values_are_keras(axis, options):
    x = draw(4, 2, 3, 5)
    mine = randomized(LayerNormalization(axis=axis, **options), x)
    theirs = randomized(keras.layers.LayerNormalization(axis=axis, **options), x)
    np.testing.assert_allclose(mine(x), theirs(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_second_derivative_is_pytorchs(jit_compile):
    torch = pytest.importorskip("torch")
    x = draw(3, 7)
    layer = randomized(LayerNormalization(epsilon=1e-3), x)

    @tf.function(jit_compile=jit_compile)
    def derivative(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                value = tf.reduce_sum(tf.sin(layer(x)))
            slope = tf.reduce_sum(tf.square(inner.gradient(value, x)))
        return outer.gradient(slope, x)

    theirs = torch.nn.LayerNorm(7, eps=1e-3)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(layer.gamma.numpy()))
        theirs.bias.copy_(torch.tensor(layer.beta.numpy()))
    inputs = torch.tensor(x, requires_grad=True)
    value = torch.sin(theirs(inputs)).sum()
    (slope,) = torch.autograd.grad(value, inputs, create_graph=True)
    (expected,) = torch.autograd.grad(slope.square().sum(), inputs)
    # float32 sums in another order, of terms that cancel.
    scale = float(expected.abs().max())
    np.testing.assert_allclose(derivative(tf.constant(x)), expected.numpy(), atol=1e-3 * scale)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_computes_in_float32_under_a_mixed_policy(policy):
    layer = LayerNormalization(dtype=policy)
    x = tf.cast(draw(2, 6), layer.compute_dtype)
    exact = LayerNormalization()(tf.cast(x, tf.float32))
    assert layer(x).dtype == layer.compute_dtype
    np.testing.assert_array_equal(layer(x), tf.cast(exact, layer.compute_dtype))


def test_keras_file_round_trip(tmp_path):
    model = keras.Sequential([keras.Input((2, 3)), LayerNormalization(axis=[1, 2], epsilon=0.1)])
    randomized(model.layers[0], np.zeros((1, 2, 3)))
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    assert type(copy.layers[0]) is LayerNormalization
    x = draw(4, 2, 3)
    np.testing.assert_array_equal(copy(x), model(x))
