import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen.layers import MaskedDense

MASK = np.array([[1, 0, 1], [0, 1, 1]])


def test_is_a_dense_layer_with_cut_connections():
    layer = MaskedDense(3, MASK, activation="tanh")
    x = np.random.default_rng(0).normal(size=(4, 2)).astype("float32")
    layer.build(x.shape)
    layer.bias.assign([0.1, 0.2, 0.3])
    expected = np.tanh(x @ (layer.kernel.numpy() * MASK) + [0.1, 0.2, 0.3])
    # One float32 matrix product and a tanh.
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-6)
    assert layer(keras.Input((7, 2))).shape == (None, 7, 3)


def test_cut_weights_get_no_gradient():
    layer = MaskedDense(3, MASK, use_bias=False)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(tf.ones((4, 2))))
    gradient = tape.gradient(loss, layer.trainable_variables)[0].numpy()
    np.testing.assert_array_equal(gradient != 0, MASK == 1)


def test_keras_file_round_trip(tmp_path):
    model = keras.Sequential([keras.Input((2,)), MaskedDense(3, MASK == 1, activation="relu")])
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(4, 2)).astype("float32")
    np.testing.assert_array_equal(copy(x), model(x))
    assert copy.layers[0].get_config() == model.layers[0].get_config()


def test_mixed_precision():
    layer = MaskedDense(3, MASK, dtype="mixed_bfloat16")
    assert layer(tf.ones((1, 2))).dtype == tf.bfloat16
    assert {variable.dtype for variable in layer.variables} == {"float32"}


def test_errors():
    with pytest.raises(ValueError, match=r"\(input_dim, units=4\), received \(2, 3\)"):
        MaskedDense(4, MASK)
    with pytest.raises(ValueError, match="only 0 and 1"):
        MaskedDense(3, 2 * MASK)
    with pytest.raises(ValueError, match="units"):
        MaskedDense(0, MASK)
    with pytest.raises(ValueError, match="The mask of .* has 2 rows"):
        MaskedDense(3, MASK)(tf.ones((1, 5)))
