"""The discriminator of pairs of an image and a latent."""

import keras
from keras import layers

from kgen import checks
from kgen.networks.normalization import spectrally_normalized


def joint_discriminator(
    features,
    latent_dim,
    *,
    hidden_units=(256,),
    activation="leaky_relu",
    spectral_normalization=False,
):
    """A multilayer perceptron on an image's features beside a latent.

        D(x, z) = perceptron([phi(x), z])

    Args:
        features: keras.Model phi from images or points to vectors, such as
            `dcgan_discriminator(image_shape, output_dim=128)`; its weights are shared, not copied.
        latent_dim: int, size of the latent.
        hidden_units: sizes of the perceptron's hidden layers, first to last.
        activation: their activation.
        spectral_normalization: bool, whether the perceptron's kernels are divided by their largest
            singular value; that of `features` is its own choice.

    Returns:
        keras.Model from the list of images, as `features` takes them, and latents, float32
        `(batch, latent_dim)`, to float32 logits `(batch, 1)`.

    Raises:
        ValueError: if `features` gives no vectors, or for sizes below 1.

    Reference: Donahue et al. 2017, "Adversarial Feature Learning", section 3.
    """
    checks.vector_network("features", features)
    images = keras.Input(features.input_shape[1:], name="images")
    latents = keras.Input((checks.positive_integer("latent_dim", latent_dim),), name="latents")
    x = layers.Concatenate()([features(images), latents])
    for units in hidden_units:
        dense = layers.Dense(checks.positive_integer("each of hidden_units", units))
        x = layers.Activation(activation)(spectrally_normalized(dense, spectral_normalization)(x))
    dense = layers.Dense(1, dtype="float32")
    logits = spectrally_normalized(dense, spectral_normalization)(x)
    return keras.Model([images, latents], logits, name="joint_discriminator")
