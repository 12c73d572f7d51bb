"""Networks that take a label beside their input, made from ones that do not."""

import keras
from keras import layers

from kgen import checks
from kgen.networks.normalization import spectrally_normalized


def label_conditioned_generator(generator, num_classes, *, latent_dim):
    """A generator that sees an embedding of a label beside its latent.

        G(z, y) = generator([z, embedding(y)])

    The embedding is what the generator's input has room for beyond `latent_dim`. The weights of
    `generator` are shared, not copied.

    Args:
        generator: keras.Model from `(batch, latent_dim + embedding_dim)`, such as
            `dcgan_generator(latent_dim + embedding_dim, image_shape)`.
        num_classes: int, number of labels.
        latent_dim: int, size of the latent.

    Returns:
        keras.Model from the list of latents, float32 `(batch, latent_dim)`, and labels, int32
        `(batch,)` in 0 .. num_classes - 1, to what `generator` gives.

    Raises:
        ValueError: if the generator's input leaves no room for an embedding.

    Reference:
        Mirza & Osindero 2014, "Conditional Generative Adversarial Nets", section 3.2.
    """
    checks.positive_integer("num_classes", num_classes)
    checks.positive_integer("latent_dim", latent_dim)
    received = tuple(checks.network("generator", generator).input_shape[1:])
    if len(received) != 1 or received[0] <= latent_dim:
        raise ValueError(
            f"generator '{generator.name}' takes inputs of shape {received}, expected "
            f"(latent_dim + embedding_dim,) with latent_dim={latent_dim} and embedding_dim at "
            f"least 1. Build it for vectors of {latent_dim} + embedding_dim."
        )
    latents = keras.Input((latent_dim,), name="latents")
    labels = keras.Input((), dtype="int32", name="labels")
    embedded = layers.Embedding(num_classes, received[0] - latent_dim, name="label_embedding")
    outputs = generator(layers.Concatenate()([latents, embedded(labels)]))
    return keras.Model([latents, labels], outputs, name="conditional_generator")


def projection_discriminator(features, num_classes, *, spectral_normalization=False):
    """A discriminator that compares an image's features with an embedding of its label.

        D(x, y) = linear(phi(x)) + <embedding(y), phi(x)>

    Args:
        features: keras.Model phi from images to vectors, such as `dcgan_discriminator(image_shape,
            output_dim=128)`; its weights are shared, not copied.
        num_classes: int, number of labels.
        spectral_normalization: bool, for the linear map and the embedding, as in the paper; that of
            `features` is its own choice.

    Returns:
        keras.Model from the list of images, as `features` takes them, and labels, int32 `(batch,)`
        in 0 .. num_classes - 1, to float32 logits `(batch, 1)`.

    Raises:
        ValueError: if `features` gives no vectors.

    Reference: Miyato & Koyama 2018, "cGANs with Projection Discriminator", eq. 3, figure 1d.
    """
    checks.positive_integer("num_classes", num_classes)
    dim = checks.vector_network("features", features).output_shape[-1]
    images = keras.Input(features.input_shape[1:], name="images")
    labels = keras.Input((), dtype="int32", name="labels")
    linear = layers.Dense(1, dtype="float32", name="linear")
    embedding = layers.Embedding(num_classes, dim, dtype="float32", name="label_embedding")
    phi = features(images)
    embedded = spectrally_normalized(embedding, spectral_normalization)(labels)
    logits = layers.Add(dtype="float32")(
        [
            spectrally_normalized(linear, spectral_normalization)(phi),
            layers.Dot(axes=-1, dtype="float32")([embedded, phi]),
        ]
    )
    return keras.Model([images, labels], logits, name="projection_discriminator")
