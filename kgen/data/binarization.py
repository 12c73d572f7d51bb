"""Black-and-white versions of grey images, drawn without state."""

import tensorflow as tf

BINARIZATIONS = (None, "dynamic", "fixed", "threshold")

GOLDEN_GAMMA = 0x9E3779B97F4A7C15


def binarize_images(images, how, *, seed, epoch, indices):
    """Turn grey pixels into 0 or 1.

        threshold:       b = 1 if x >= 1/2 else 0
        fixed, dynamic:  b ~ Bernoulli(x),  b = 1 if u(seed, epoch, index, pixel) < x else 0

    "dynamic" draws anew each epoch, "fixed" takes the draw of epoch 0 for ever. As u is a function
    of its four arguments, a draw depends neither on the batch size, nor on the order, nor on
    whether training was resumed.

    Args:
        images: float32 tensor `(batch, ...)` in [0, 1].
        how: "dynamic", "fixed" or "threshold".
        seed: int.
        epoch: int64 scalar tensor.
        indices: int64 tensor `(batch,)`, the place of each image in its data set.

    Returns:
        float32 tensor of 0 and 1, of the shape of `images`.

    Reference:
        Salakhutdinov and Murray 2008, "On the quantitative analysis of deep belief networks": grey
        values as probabilities.
    """
    if how == "threshold":
        return tf.cast(images >= 0.5, tf.float32)
    if how == "fixed":
        epoch = tf.zeros_like(epoch)
    uniform = uniform_draws(seed, epoch, indices, num_draws=images.shape[1:].num_elements())
    return tf.cast(tf.reshape(uniform, tf.shape(images)) < images, tf.float32)


def uniform_draws(seed, epoch, indices, *, num_draws):
    """Uniform numbers that are a function of (seed, epoch, index, draw), by SplitMix64.

        u = mix(key(seed, epoch) + gamma * (index * num_draws + draw + 1)) / 2^64

    TensorFlow's stateless generators take one seed a call, and a call for each image is slow.

    Args:
        seed: int.
        epoch: int64 scalar tensor.
        indices: int64 tensor `(batch,)`.
        num_draws: draws for each index.

    Returns:
        float32 tensor `(batch, num_draws)` in [0, 1), with 24 random bits.

    Reference:
        Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"; the mixing
        function is Stafford's variant 13.
    """
    gamma = tf.constant(GOLDEN_GAMMA, tf.uint64)
    key = mix(tf.constant(seed % 2**64, tf.uint64) + gamma)
    key = mix(key + gamma * (tf.cast(epoch, tf.uint64) + 1))
    draws = indices[:, None] * num_draws + tf.range(num_draws, dtype=tf.int64)
    bits = mix(key + gamma * (tf.cast(draws, tf.uint64) + 1))
    return tf.cast(tf.bitwise.right_shift(bits, _uint64(40)), tf.float32) / 2.0**24


def mix(z):
    """SplitMix64's bijection of uint64 that makes neighbours unlike."""
    z = (z ^ tf.bitwise.right_shift(z, _uint64(30))) * _uint64(0xBF58476D1CE4E5B9)
    z = (z ^ tf.bitwise.right_shift(z, _uint64(27))) * _uint64(0x94D049BB133111EB)
    return z ^ tf.bitwise.right_shift(z, _uint64(31))


def _uint64(value):
    return tf.constant(value, tf.uint64)
