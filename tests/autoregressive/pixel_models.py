"""Tiny models with random weights, and what is true of any of them."""

import itertools
import math

import numpy as np
import tensorflow as tf

from kgen.autoregressive.parts.naive import naive_fill
from kgen.seeds import seed_rows


def randomize(model, seed=0):
    """Weights far from the initial ones, biases included, that no activation saturates."""
    draws = np.random.RandomState(seed)
    for weight in model.trainable_weights:
        size = math.prod(weight.shape[:-1]) if len(weight.shape) > 1 else 4
        weight.assign(draws.normal(size=weight.shape) / math.sqrt(size))
    return model


def all_images(shape, num_levels):
    levels = itertools.product(range(num_levels), repeat=math.prod(shape))
    return np.array(list(levels), "float32").reshape(-1, *shape) / (num_levels - 1)


def influence(network, num_parts=1):
    """Which parts of the output change with which entry of the image.

    Args:
        network: of images, with the policy float64: what does not change is the same to 1e-15.
        num_parts: int, into how many parts the parameters of a pixel are cut.

    Returns:
        bool `(entries, outputs)`, both in raster order: channel after channel, part after part.
    """
    shape = tuple(network.inputs[0].shape[1:])
    size, num_bases = math.prod(shape), 8
    # Several images, since a ReLU may hide a dependence in one.
    bases = np.random.RandomState(1).uniform(0.3, 0.7, size=(num_bases, 1, *shape))
    changed = bases + 0.3 * np.eye(size).reshape(1, size, *shape)
    before, after = (
        network(images.reshape(-1, *shape)).numpy().reshape(num_bases, images.shape[1], -1)
        for images in (bases, changed)
    )
    moved = np.abs(after - before).max(axis=0) > 1e-9
    return moved.reshape(size, shape[0] * shape[1] * num_parts, -1).any(axis=-1)


def filled_by_passes(model, images, mask, labels=None, *, temperature, seed):
    """What `model.complete` should give: a pass over the image for each pixel and channel."""
    height, width, channels = model.image_shape
    size = height, width, model.likelihood.noise_size(channels)
    # The noise of row i as documented: a function of (seed, i). In the middle of steps of 2^-23.
    uniforms = [
        tf.random.stateless_uniform(size, row) + 2.0**-24 for row in seed_rows(seed, len(images))
    ]

    @tf.function(autograph=False)
    def fill(images, known, uniforms, temperature, *labels):
        return naive_fill(
            lambda x: model.network([x, *labels] if labels else x),
            images,
            known,
            uniforms,
            temperature,
            likelihood=model.likelihood,
            passes=1 if model.likelihood.couples_channels else channels,
        )

    labels = [] if labels is None else [tf.constant(labels)]
    temperature = tf.broadcast_to(tf.cast(temperature, tf.float32), (len(images),))
    known = tf.broadcast_to(mask, (len(images), height, width))
    return fill(tf.constant(images), known, tf.stack(uniforms), temperature, *labels).numpy()
