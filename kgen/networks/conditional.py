"""Networks that take a condition beside their input, made from ones that do not."""

import math

import keras
from keras import layers

from kgen import checks
from kgen.networks.normalization import spectrally_normalized
from kgen.specs import Labels, condition_parts


def conditioned(network, condition, input_shape, *, name=None):
    """A network that sees a condition beside its input.

        f(x, y) = network([x, e(y)])        e: an embedding of labels, a linear map of attributes

    e(y) is what the network's input has room for beyond `input_shape`, on the last axis; on images
    every pixel sees the same. Embeddings of several conditions are added. The weights of `network`
    are shared, not copied.

        features = kgen.networks.dcgan_discriminator((28, 28, 1 + 4))
        critic = kgen.networks.conditioned(features, specs.Labels(10), (28, 28, 1))

    Args:
        network: keras.Model from `(batch, *input_shape[:-1], input_shape[-1] + embedding_dim)`.
        condition: `kgen.specs.Labels`, `kgen.specs.Attributes`, or a tuple of them.
        input_shape: shape of x without the batch.
        name: of the model; by default that of `network` with "conditional_" before it.

    Returns:
        keras.Model from the list of x, float32 `(batch, *input_shape)`, and the conditions, labels
        as int32 `(batch,)` and attributes as float32 `(batch, dim)`, to what `network` gives.

    Raises:
        ValueError: if the network's input leaves no room for an embedding.

    Reference:
        Mirza & Osindero 2014, "Conditional Generative Adversarial Nets", section 3.2; Sohn et al.
        2015, "Learning Structured Output Representation using Deep Conditional Generative Models".
    """
    input_shape = tuple(input_shape)
    received = tuple(checks.network("network", network).input_shape[1:])
    fits = len(received) == len(input_shape) and received[:-1] == input_shape[:-1]
    if not fits or received[-1] <= input_shape[-1]:
        raise ValueError(
            f"network '{network.name}' takes inputs of shape {received}, expected "
            f"{input_shape} with room for an embedding on the last axis: build it for "
            f"{input_shape[-1]} + embedding_dim there."
        )
    x = keras.Input(input_shape, name="latents" if len(input_shape) == 1 else "images")
    given = condition_inputs(condition)
    embedding = embedded(given, condition, received[-1] - input_shape[-1])
    if len(input_shape) > 1:
        embedding = layers.RepeatVector(math.prod(input_shape[:-1]))(embedding)
        embedding = layers.Reshape((*input_shape[:-1], -1))(embedding)
    outputs = network(layers.Concatenate()([x, embedding]))
    return keras.Model([x, *given], outputs, name=name or f"conditional_{network.name}")


def make_conditioned(make, input_shape, *others, condition, embedding_dim=16):
    """`make(input_shape, *others)`, which with a condition sees an embedding of it as well.

        encoder = make_conditioned(convolutional_encoder, (28, 28, 1), 32, condition=Labels(10))

    Args:
        make: function `(input_shape, *others) -> keras.Model` from `kgen.networks`.
        input_shape: tuple, or int for vectors, as `make` takes it.
        *others: what `make` takes behind it.
        condition: as for `conditioned`, or None for `make(input_shape, *others)` as it is.
        embedding_dim: int >= 1.
    """
    if condition is None:
        return make(input_shape, *others)
    checks.positive_integer("embedding_dim", embedding_dim)
    if isinstance(input_shape, int):
        made = make(input_shape + embedding_dim, *others)
        return conditioned(made, condition, (input_shape,))
    *sides, channels = input_shape
    made = make((*sides, channels + embedding_dim), *others)
    return conditioned(made, condition, input_shape)


def projection_discriminator(features, condition, *, spectral_normalization=False):
    """A discriminator that compares an image's features with an embedding of its condition.

        D(x, y) = linear(phi(x)) + <embedding(y), phi(x)>

    Args:
        features: keras.Model phi from images to vectors, such as `dcgan_discriminator(image_shape,
            output_dim=128)`; its weights are shared, not copied.
        condition: `kgen.specs.Labels`, `kgen.specs.Attributes`, which get a linear map without
            offset in place of an embedding, or a tuple of them, whose embeddings are added.
        spectral_normalization: bool, for the linear map and the embedding, as in the paper; that of
            `features` is its own choice.

    Returns:
        keras.Model from the list of images, as `features` takes them, and the conditions, as
        `conditioned` takes them, to float32 logits `(batch, 1)`.

    Raises:
        ValueError: if `features` gives no vectors.

    Reference: Miyato & Koyama 2018, "cGANs with Projection Discriminator", eq. 3, figure 1d.
    """
    dim = checks.vector_network("features", features).output_shape[-1]
    images = keras.Input(features.input_shape[1:], name="images")
    given = condition_inputs(condition)
    linear = layers.Dense(1, dtype="float32", name="linear")
    phi = features(images)
    embedding = embedded(
        given, condition, dim, dtype="float32", spectral_normalization=spectral_normalization
    )
    logits = layers.Add(dtype="float32")(
        [
            spectrally_normalized(linear, spectral_normalization)(phi),
            layers.Dot(axes=-1, dtype="float32")([embedding, phi]),
        ]
    )
    return keras.Model([images, *given], logits, name="projection_discriminator")


def condition_inputs(condition):
    """The inputs of a condition: a list of `keras.Input`s, one per spec, empty for None."""
    return [
        keras.Input(
            spec.shape, dtype=spec.dtype, name=f"{spec.noun}_{index}" if index else spec.noun
        )
        for index, spec in enumerate(condition_parts(condition))
    ]


def embedded(given, condition, dim, *, dtype=None, spectral_normalization=False):
    """The sum of the embeddings of a condition: a Keras tensor `(batch, dim)`.

    Args:
        given: what `condition_inputs(condition)` returned, not empty.
        condition: as for `conditioned`.
        dim: int >= 1.
        dtype: dtype or policy of the layers; None for that of the scope.
        spectral_normalization: bool, of each embedding.
    """
    parts = []
    for tensor, spec in zip(given, condition_parts(condition), strict=True):
        if isinstance(spec, Labels):
            layer = layers.Embedding(spec.num_classes, dim, dtype=dtype)
        else:
            layer = layers.Dense(dim, use_bias=False, dtype=dtype)
        parts.append(spectrally_normalized(layer, spectral_normalization)(tensor))
    return parts[0] if len(parts) == 1 else layers.Add(dtype=dtype)(parts)


def offset(given, condition, num_maps):
    """The same as maps of one pixel, to add to larger ones: `(batch, 1, 1, num_maps)`."""
    return layers.Reshape((1, 1, num_maps))(embedded(given, condition, num_maps))


def condition_vector(given, condition):
    """A condition as one vector, labels one-hot: float32 `(batch, condition_dim(condition))`.

    Args:
        given: its parts, tensors or what `condition_inputs` returned; empty for None.
        condition: as for `conditioned`.

    Returns:
        the vector, or None for no condition.
    """
    parts = [
        keras.ops.one_hot(part, spec.num_classes) if isinstance(spec, Labels) else part
        for part, spec in zip(given, condition_parts(condition), strict=True)
    ]
    return keras.ops.concatenate(parts, axis=-1) if parts else None


def condition_dim(condition):
    """The size of `condition_vector`: 0 for None."""
    return sum(
        spec.num_classes if isinstance(spec, Labels) else spec.dim
        for spec in condition_parts(condition)
    )
