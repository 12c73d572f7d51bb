"""The vector quantizer against a slow transcription of van den Oord et al. 2017."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen.layers import VectorQuantizer


def latents(*shape, seed=0):
    return np.random.RandomState(seed).normal(size=shape).astype("float32")


def nearest(z, codebook):
    """Eq. 1, one vector at a time."""
    flat = [np.argmin([np.sum((v - e) ** 2) for e in codebook]) for v in z.reshape(-1, z.shape[-1])]
    return np.reshape(flat, z.shape[:-1])


class Transcription:
    """Appendix A.1, eq. 6-8, with the usual smoothing of N."""

    def __init__(self, codebook, decay, epsilon):
        self.codebook = codebook.astype("float64")
        self.decay, self.epsilon = decay, epsilon
        self.counts, self.sums = np.ones(len(codebook)), self.codebook.copy()

    def step(self, z):
        indices = nearest(z, self.codebook).reshape(-1)
        vectors = z.reshape(-1, z.shape[-1]).astype("float64")
        for i in range(len(self.codebook)):
            mine = [v for v, index in zip(vectors, indices, strict=True) if index == i]
            total = np.sum(mine, axis=0) if mine else 0.0
            self.counts[i] = self.decay * self.counts[i] + (1 - self.decay) * len(mine)
            self.sums[i] = self.decay * self.sums[i] + (1 - self.decay) * total
        size = self.counts.sum()
        for i in range(len(self.codebook)):
            smoothed = (self.counts[i] + self.epsilon) * size
            smoothed /= size + len(self.codebook) * self.epsilon
            self.codebook[i] = self.sums[i] / smoothed


@pytest.mark.parametrize("decay", [0.0, 0.7, 0.99, 1.0])
def test_codebook_follows_the_paper(decay):
    layer = VectorQuantizer(5, 3, decay=decay, epsilon=1e-3)
    slow = Transcription(layer.codebook.numpy(), decay, 1e-3)
    for step in range(6):
        z = latents(4, 2, 3, 3, seed=step)
        layer(z, training=True)
        slow.step(z)
        # Sums of float32 against float64.
        np.testing.assert_allclose(layer.codebook, slow.codebook, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(layer.counts, slow.counts, rtol=1e-5, atol=1e-6)


def test_quantized_is_the_nearest_code():
    layer = VectorQuantizer(6, 4)
    layer.codebook.assign(latents(6, 4, seed=1))
    z = latents(3, 2, 5, 4)
    quantized, indices = layer(z)
    assert quantized.dtype == tf.float32 and indices.dtype == tf.int32
    np.testing.assert_array_equal(indices, nearest(z, layer.codebook.numpy()))
    np.testing.assert_array_equal(indices, layer.nearest(z))
    np.testing.assert_allclose(quantized, layer.codebook.numpy()[indices.numpy()], atol=1e-6)
    np.testing.assert_array_equal(layer.lookup(indices), layer.codebook.numpy()[indices.numpy()])
    # A code is its own nearest.
    np.testing.assert_array_equal(layer.nearest(layer.codebook), np.arange(6))


def test_the_gradient_passes_straight_through():
    layer = VectorQuantizer(4, 2)
    z, slope = tf.constant(latents(3, 2, 2, 2)), latents(3, 2, 2, 2, seed=1)
    with tf.GradientTape() as tape:
        tape.watch(z)
        value = tf.reduce_sum(layer(z, training=True)[0] * slope)
    np.testing.assert_allclose(tape.gradient(value, z), slope, rtol=1e-6)
    assert not layer.trainable_variables


def test_only_training_moves_the_codebook():
    layer = VectorQuantizer(4, 2)
    before = [variable.numpy() for variable in layer.variables]
    layer(latents(3, 2), training=False)
    layer(latents(3, 2))
    for old, variable in zip(before, layer.variables, strict=True):
        np.testing.assert_array_equal(old, variable)
    layer(latents(3, 2), training=True)
    assert all(np.any(old != v.numpy()) for old, v in zip(before, layer.variables, strict=True))


def test_a_training_call_quantizes_with_the_codebook_as_it_was():
    layer = VectorQuantizer(4, 2, decay=0.0)
    layer.codebook.assign(latents(4, 2, seed=1))
    before, z = layer.codebook.numpy(), latents(5, 2)
    quantized, indices = layer(z, training=True)
    np.testing.assert_allclose(quantized, before[indices.numpy()], atol=1e-6)


def test_unused_codes_stay_finite():
    layer = VectorQuantizer(8, 2, decay=0.5)
    far = np.full((16, 2), 100.0, "float32")
    step = tf.function(lambda: layer(far, training=True))
    for _ in range(200):
        step()
    assert np.isfinite(layer.codebook.numpy()).all()
    used = int(layer.nearest(far[:1]).numpy()[0])
    # Smoothing takes epsilon / N off.
    np.testing.assert_allclose(layer.codebook[used], [100.0, 100.0], rtol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_float32_under_every_policy(policy):
    keras.config.set_dtype_policy(policy)
    layer = VectorQuantizer(4, 2)
    assert all(variable.dtype == "float32" for variable in layer.variables)
    quantized, _ = layer(tf.cast(latents(3, 2), "bfloat16"), training=True)
    assert quantized.dtype == tf.float32


def test_config():
    layer = VectorQuantizer(7, 3, decay=0.8, epsilon=1e-4, name="mine")
    restored = VectorQuantizer.from_config(layer.get_config())
    names = ("num_codes", "code_dim", "decay", "epsilon", "name")
    assert [getattr(restored, n) for n in names] == [getattr(layer, n) for n in names]
