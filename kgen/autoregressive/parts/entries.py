"""Sampling entry after entry from a layer that gives one conditional at a time."""

import math

import tensorflow as tf

from kgen import checks
from kgen.autoregressive.parts.pixels import check_likelihood


def check_network(network, layer_type, likelihood):
    """The image shape of a network and the one layer that computes in it.

    Args:
        network: keras.Model from images to the likelihood's parameters.
        layer_type: class of the layer.
        likelihood: head.

    Returns:
        `(image_shape, layer)`.

    Raises:
        ValueError: if the network has another form, or does not fit the likelihood.
    """
    checks.network("network", network)
    found = [layer for layer in network.layers if isinstance(layer, layer_type)]
    if len(found) != 1 or len(found[0].variables) != len(network.variables):
        raise ValueError(
            f"network '{network.name}' must have one {layer_type.__name__} and no other layer with "
            "weights: samples are drawn from that layer, entry after entry. kgen.networks has "
            "functions that make such networks."
        )
    shape = checks.image_shape(network.inputs[0].shape[1:])
    check_likelihood(likelihood)
    if shape[-1] > 1 and likelihood.couples_channels:
        raise ValueError(
            f"On images of {shape[-1]} channels the network orders the channels, and "
            f"{likelihood!r} couples them too: use kgen.heads.Categorical or another that does not."
        )
    checks.output_shape(
        "network",
        network,
        (*shape[:-1], likelihood.params_size(shape)),
        f"that is what {type(likelihood).__name__} needs for images of shape {shape}",
    )
    return shape, found[0]


def fill_entries(layer, images, known, uniforms, temperature, *, likelihood, state, order=None):
    """Draw the unknown entries of images, one after the other, in one `tf.while_loop`.

    A step costs one conditional, not a pass of the network.

    Args:
        layer: with `step` and `absorb`, such as `kgen.layers.MaskedConditionals`.
        images: float32 `(batch, height, width, channels)`.
        known: bool `(batch, height, width)`: the pixels that keep their value.
        uniforms: float32 `(batch, height, width, noise_size)` in (0, 1).
        temperature: float32 `(batch,)`.
        likelihood: head on levels.
        state: what the layer's `start` returned.
        order: int32 `(batch, D)`, the entries of each row in the order of drawing, or None for
            row by row, left to right, channel after channel.

    Returns:
        float32 images of the shape of `images`.
    """
    shape = images.shape[1:]
    size = math.prod(shape)
    known = tf.repeat(known[..., None], shape[-1], axis=-1)
    given, known = (tf.reshape(value, (-1, size, 1)) for value in (images, known))
    uniforms = tf.reshape(uniforms, (-1, size, likelihood.noise_size(1)))
    if order is not None:
        given, known, uniforms = (
            tf.gather(value, order, axis=1, batch_dims=1) for value in (given, known, uniforms)
        )
        entries = tf.transpose(order)
    given, known, uniforms = (tf.transpose(value, (1, 0, 2)) for value in (given, known, uniforms))
    temperature = temperature[:, None]

    def draw(position, state, drawn):
        entry = position if order is None else entries[position]
        state, params = layer.step(state, position, entry)
        values = likelihood.sample_from_uniforms(params, uniforms[position], temperature)
        values = tf.where(known[position], given[position], values)
        return position + 1, layer.absorb(state, entry, values), drawn.write(position, values)

    drawn = tf.TensorArray(tf.float32, size, element_shape=(None, 1))
    _, _, drawn = tf.while_loop(
        lambda position, *_: position < size,
        draw,
        (tf.constant(0), state, drawn),
        maximum_iterations=size,
    )
    values = tf.transpose(drawn.stack()[..., 0])
    if order is not None:
        values = tf.gather(values, tf.argsort(order, axis=1), axis=1, batch_dims=1)
    return tf.reshape(values, (-1, *shape))
