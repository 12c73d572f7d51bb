"""Networks of numbers of any scale, made from ones of standardized numbers."""

import math

import keras

from kgen import checks
from kgen.layers import Standardization
from kgen.networks.conditional import make_conditioned


def standardized(make, dim, *others, front=None, condition=None, embedding_dim=16):
    """`make((dim,), *others, ...)` behind layers that standardize its vectors.

        encoder = standardized(dense_encoder, 30, 8)
        encoder = standardized(dense_encoder, 3, 8, front=likelihood.input_layers())

    Args:
        make: function `(input_shape, *others) -> keras.Model` from `kgen.networks`.
        dim: int >= 1, size of the vectors.
        *others: what `make` takes behind the shape.
        front: list of layers that the vectors go through; a `kgen.layers.Standardization` where it
            is None. The network is made for what they give.
        condition: as for `kgen.networks.make_conditioned`.
        embedding_dim: likewise.

    Returns:
        keras.Model from float32 `(batch, dim)`, or from the list of it and the conditions, to what
        the network gives.
    """
    vectors = keras.Input((checks.positive_integer("dim", dim),), dtype="float32", name="vectors")
    x = vectors
    for layer in [Standardization(dim)] if front is None else front:
        x = layer(x)
    how = dict(condition=condition, embedding_dim=embedding_dim)
    network = make_conditioned(make, tuple(x.shape[1:]), *others, **how)
    # The conditions' own inputs, with another x before them.
    given = [
        keras.Input(each.shape[1:], dtype=each.dtype, name=each.name) for each in network.inputs[1:]
    ]
    outputs = network([x, *given] if given else x)
    name = f"standardized_{network.name}"
    return keras.Model([vectors, *given] if given else vectors, outputs, name=name)


def on_the_data_scale(network):
    """A network of standardized vectors whose outputs are on the scale of the training data.

    Args:
        network: keras.Model to `(batch, dim)`, such as `dense_generator(64, (30,))`.

    Returns:
        keras.Model from the same inputs to float32 `(batch, dim)`.
    """
    dim = checks.vector_network("network", network).output_shape[-1]
    outputs = Standardization(dim, inverse=True)(network.outputs[0])
    inputs = network.inputs if len(network.inputs) > 1 else network.inputs[0]
    return keras.Model(inputs, outputs, name=f"{network.name}_on_the_data_scale")


def reshaped(network, *, input_shape=None, output_shape=None):
    """A network of vectors that takes or gives them in another shape.

        codes = reshaped(dense_encoder((30,), 4 * 16), output_shape=(4, 16))

    Args:
        network: keras.Model of one input.
        input_shape: shape of as many numbers as the network takes, without the batch, or None.
        output_shape: the same of what it gives.
    """
    x = inputs = keras.Input(input_shape or network.input_shape[1:])
    if input_shape is not None:
        x = keras.layers.Reshape((math.prod(input_shape),))(x)
    x = network(x)
    if output_shape is not None:
        x = keras.layers.Reshape(output_shape, dtype="float32")(x)
    return keras.Model(inputs, x, name=network.name)
