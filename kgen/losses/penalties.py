"""What keeps a discriminator smooth: penalties on its slope.

The penalties have equal signatures, so that a model can take any of them. The slope is that of the
logit, before any sigmoid, by the images at kgen's boundary: pixels in [0, 1]. It is twice the slope
by pixels in [-1, 1], which is what most papers measure.

A penalty belongs to one example. Batch normalization in the discriminator mixes examples, and its
slope is then not that of any D(x): use layer normalization or none, and `kgen.layers`' own, since
Keras' gives a wrong derivative of a derivative.
"""

import keras
import tensorflow as tf

from kgen.losses.reconstruction import per_example

register = keras.saving.register_keras_serializable(package="kgen")


@register
def gradient_penalty(discriminator, real, fake, *, seed):
    """`(|grad D(x^)| - 1)^2` at `x^ = eps x + (1 - eps) G(z)`, one uniform eps a row.

    Args:
        discriminator: function from images to logits `(batch, 1)`, or a map of patches, whose mean
            is D. A conditional one is passed as a closure over its labels.
        real: float32 `(batch, ...)`.
        fake: float32, the same shape.
        seed: int32 `(2,)`, stateless.

    Returns:
        float32 `(batch,)`, >= 0.

    Reference: Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", eq. 3, Algorithm 1.
    """
    norm = _gradient_norm(discriminator, _between(real, fake, seed))
    return tf.square(norm - 1.0)


@register
def one_sided_gradient_penalty(discriminator, real, fake, *, seed):
    """`max(0, |grad D(x^)| - 1)^2`: as `gradient_penalty`, but a slope below 1 is free.

    Args:
        discriminator: as for `gradient_penalty`.
        real: float32 `(batch, ...)`.
        fake: float32, the same shape.
        seed: int32 `(2,)`, stateless.

    Returns:
        float32 `(batch,)`, >= 0.

    Reference:
        Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", section 4, "Two-sided
        penalty", which prefers the other one.
    """
    norm = _gradient_norm(discriminator, _between(real, fake, seed))
    return tf.square(tf.nn.relu(norm - 1.0))


@register
def r1_penalty(discriminator, real, fake=None, *, seed=None):
    """`1/2 |grad D(x)|^2` at the real examples; the paper's gamma is the model's weight of it.

    Args:
        discriminator: as for `gradient_penalty`.
        real: float32 `(batch, ...)`.
        fake: not used.
        seed: not used.

    Returns:
        float32 `(batch,)`, >= 0.

    Reference:
        Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?", eq. 9.
    """
    return 0.5 * _squared_gradient(discriminator, real)


@register
def dragan_penalty(discriminator, real, fake=None, *, seed):
    """`(|grad D(x + delta)| - 1)^2` near the real examples.

        delta = alpha * 1/2 std(x) * u,   u ~ U(0, 1) a pixel,   alpha ~ U(0, 1) a row

    The noise is that of the authors' code: never negative, scaled by the standard deviation of all
    pixels of the batch. The paper's text has Gaussian noise of a fixed variance.

    Args:
        discriminator: as for `gradient_penalty`.
        real: float32 `(batch, ...)`.
        fake: not used.
        seed: int32 `(2,)`, stateless.

    Returns:
        float32 `(batch,)`, >= 0.

    Reference: Kodali et al. 2017, "On Convergence and Stability of GANs".
    """
    real = tf.cast(real, tf.float32)
    pixel_seed, row_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    noise = tf.random.stateless_uniform(tf.shape(real), pixel_seed)
    perturbed = real + 0.5 * tf.math.reduce_std(real) * noise
    norm = _gradient_norm(discriminator, _between(perturbed, real, row_seed))
    return tf.square(norm - 1.0)


def _between(first, second, seed):
    """`eps first + (1 - eps) second` with one uniform eps a row."""
    first, second = tf.cast(first, tf.float32), tf.cast(second, tf.float32)
    ones = tf.ones((first.shape.rank - 1,), tf.int32)
    row_shape = tf.concat([tf.shape(first)[:1], ones], axis=0)
    epsilon = tf.random.stateless_uniform(row_shape, seed)
    return epsilon * first + (1.0 - epsilon) * second


def _gradient_norm(discriminator, images):
    # The square root has an infinite slope at 0, and 0 * inf is NaN in the weights' gradient. Below
    # the smallest square the maximum is a constant, of slope 0.
    return tf.sqrt(tf.maximum(_squared_gradient(discriminator, images), 1e-30))


def _squared_gradient(discriminator, images):
    """`|grad D(x)|^2` by row, itself differentiable by the discriminator's weights."""
    images = tf.cast(images, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)
        values = per_example(discriminator(images))
    gradient = tape.gradient(values, images, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return tf.reduce_sum(tf.square(gradient), axis=list(range(1, images.shape.rank)))
