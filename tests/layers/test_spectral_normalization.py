"""Spectral normalization against NumPy's SVD, PyTorch's own, and two replicas."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import two_replicas

from kgen.layers import SpectralNormalization


def draw(*shape, seed=0):
    return np.random.RandomState(seed).normal(size=shape).astype("float32")


def settled(layer, x, calls=200):
    layer(x, training=True)
    step = tf.function(lambda: layer(x, training=True))
    for _ in range(calls - 1):
        step()
    return layer


def test_dense_kernel_has_largest_singular_value_one():
    layer = SpectralNormalization(keras.layers.Dense(4))
    x = draw(7, 3)
    layer.build(x.shape)
    kernel, bias = 5 * draw(3, 4, seed=1), draw(4, seed=2)
    layer.layer.set_weights([kernel, bias])
    settled(layer, x)
    normalized = kernel / np.linalg.norm(kernel, 2)
    for training in (True, False):
        # The power iteration's error shrinks by the ratio of singular values at each call.
        np.testing.assert_allclose(layer(x, training=training), x @ normalized + bias, rtol=1e-4)
    # The optimizer's variable is left alone.
    np.testing.assert_array_equal(layer.kernel, kernel)


def test_convolution_is_a_matrix_of_its_windows():
    layer = SpectralNormalization(keras.layers.Conv2D(4, 3, use_bias=False))
    x = draw(2, 5, 6, 2)
    settled(layer, x)
    norm = np.linalg.norm(layer.kernel.numpy().reshape(-1, 4), 2)
    plain = keras.layers.Conv2D(4, 3, use_bias=False)
    plain.build(x.shape)
    plain.set_weights([layer.kernel.numpy() / norm])
    np.testing.assert_allclose(layer(x), plain(x), rtol=1e-3, atol=1e-5)


def test_embedding_stays_a_float():
    layer = SpectralNormalization(keras.layers.Embedding(3, 4))
    labels = tf.constant([2, 0])
    settled(layer, labels)
    table = layer.kernel.numpy()
    expected = (table / np.linalg.norm(table, 2))[[2, 0]]
    np.testing.assert_allclose(layer(labels), expected, rtol=1e-4)


@pytest.mark.parametrize("power_iterations", [1, 3])
def test_a_training_call_is_pytorchs(power_iterations):
    """One call from the same u: outputs, new u, and the gradient through sigma."""
    torch = pytest.importorskip("torch")
    x, kernel, u = draw(5, 3), draw(3, 4, seed=1), draw(4, seed=2)
    u /= np.linalg.norm(u)
    layer = SpectralNormalization(
        keras.layers.Dense(4, use_bias=False), power_iterations=power_iterations
    )
    layer.build(x.shape)
    layer.layer.set_weights([kernel])
    layer.u.assign(u)
    with tf.GradientTape() as tape:
        outputs = layer(x, training=True)
        loss = tf.reduce_sum(tf.sin(outputs))
    gradient = tape.gradient(loss, layer.trainable_variables)[0]

    weight = torch.tensor(kernel.T.copy(), requires_grad=True)
    left = torch.tensor(u)
    for _ in range(power_iterations):
        right = torch.nn.functional.normalize(weight.detach().T @ left, dim=0)
        left = torch.nn.functional.normalize(weight.detach() @ right, dim=0)
    theirs = torch.tensor(x) @ (weight / (left @ weight @ right)).T
    torch.sin(theirs).sum().backward()
    np.testing.assert_allclose(outputs, theirs.detach().numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(layer.u, left.numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(gradient, weight.grad.numpy().T, rtol=1e-3, atol=1e-5)


def test_only_training_moves_u():
    layer = SpectralNormalization(keras.layers.Dense(4))
    x = draw(2, 3)
    layer(x)
    before = layer.u.numpy()
    layer(x, training=False)
    np.testing.assert_array_equal(layer.u, before)
    layer(x, training=True)
    assert np.abs(layer.u.numpy() - before).max() > 0
    assert [variable.name for variable in layer.trainable_variables] == ["kernel", "bias"]


def test_a_kernel_of_zeros_recovers():
    layer = SpectralNormalization(keras.layers.Dense(4, kernel_initializer="zeros"))
    x = draw(2, 3)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x, training=True))
    assert all(np.isfinite(g).all() for g in tape.gradient(loss, layer.trainable_variables))
    np.testing.assert_array_equal(layer(x), np.zeros((2, 4)))
    kernel = draw(3, 4, seed=1)
    layer.layer.set_weights([kernel, np.zeros(4)])
    settled(layer, x)
    np.testing.assert_allclose(layer(x), x @ kernel / np.linalg.norm(kernel, 2), rtol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy):
    """The norm is found in float32, the outputs are the wrapped layer's."""
    exact = SpectralNormalization(keras.layers.Dense(4))
    keras.config.set_dtype_policy(policy)
    layer = SpectralNormalization(keras.layers.Dense(4))
    model = keras.Sequential([keras.Input((3,)), layer])
    x = draw(2, 3)
    exact.build(x.shape)
    exact.set_weights(layer.get_weights())
    for _ in range(3):
        outputs = model(x, training=True)
        exact(x, training=True)
    assert outputs.dtype == layer.layer.compute_dtype
    np.testing.assert_allclose(layer.u, exact.u, rtol=1e-6)
    assert {variable.dtype for variable in layer.variables} == {"float32"}


def test_under_xla():
    layer = SpectralNormalization(keras.layers.Dense(4))
    x = draw(2, 3)
    layer.build(x.shape)
    copy = SpectralNormalization(keras.layers.Dense(4))
    copy.build(x.shape)
    copy.set_weights(layer.get_weights())
    compiled = tf.function(lambda x: copy(x, training=True), jit_compile=True)
    np.testing.assert_allclose(compiled(x), layer(x, training=True), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(copy.u, layer.u, rtol=1e-4, atol=1e-6)


def test_two_replicas_move_u_as_one():
    x = draw(2, 3)
    strategy = two_replicas()
    with strategy.scope():
        mirrored = SpectralNormalization(keras.layers.Dense(4))
        mirrored.build(x.shape)
    single = SpectralNormalization(keras.layers.Dense(4))
    single.build(x.shape)
    single.set_weights(mirrored.get_weights())
    step = tf.function(lambda: mirrored(x, training=True))
    for _ in range(2):
        strategy.run(step)
        single(x, training=True)
    np.testing.assert_allclose(mirrored.u, single.u, rtol=1e-6)


def test_keras_file_round_trip_and_clone(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((3,)),
            SpectralNormalization(keras.layers.Dense(4, activation="relu"), power_iterations=2),
        ]
    )
    x = draw(2, 3)
    model(x, training=True)
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(copy(x), model(x))
    assert copy.layers[0].power_iterations == 2
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone(x), model(x))
    assert len(model.variables) == 3


def test_errors():
    with pytest.raises(ValueError, match="power_iterations"):
        SpectralNormalization(keras.layers.Dense(4), power_iterations=0)
    with pytest.raises(ValueError, match="received Flatten"):
        SpectralNormalization(keras.layers.Flatten())(draw(2, 3))
    with pytest.raises(ValueError, match="received Conv2DTranspose"):
        SpectralNormalization(keras.layers.Conv2DTranspose(2, 3))(draw(2, 5, 5, 1))
