"""All images of a tiny space, random weights, draws, and counts against probabilities."""

import itertools
import math

import numpy as np
import tensorflow as tf
from scipy import stats


def all_images(shape, num_levels=2):
    """Every image on the levels, float32 `(num_levels ** size, *shape)`."""
    levels = np.linspace(0.0, 1.0, num_levels)
    rows = itertools.product(levels, repeat=math.prod(shape))
    return np.array(list(rows), "float32").reshape(-1, *shape)


def randomize(model, scale=1.0):
    """Normal weights: the probabilities are far from even."""
    draws = np.random.RandomState(1)
    for variable in model.trainable_variables:
        variable.assign(scale * draws.normal(size=variable.shape))
    return model


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def draws_of(model, image, known, count=4000):
    """`count` completions of one image, from NumPy's uniform numbers: float32 `(count, *shape)`.

    Args:
        model: a model with `_fill` and a head that takes one uniform number an entry.
        image: array of the model's `image_shape`.
        known: bool `(height, width)`.
        count: int.
    """
    uniforms = np.random.RandomState(0).uniform(size=(count, *model.image_shape))
    fill = tf.function(model._fill, autograph=False)
    return fill(
        tf.constant(np.repeat(image[None], count, axis=0), tf.float32),
        tf.constant(np.repeat(known[None], count, axis=0)),
        tf.constant(uniforms, tf.float32),
        tf.ones(count),
    ).numpy()


def p_value(images, space, probabilities):
    """Chi-square test: do `images` come from `probabilities` over the images of `space`?"""
    place = {image.tobytes(): index for index, image in enumerate(space)}
    images = np.ascontiguousarray(images, "float32")
    counts = np.bincount([place[image.tobytes()] for image in images], minlength=len(space))
    expected = np.asarray(probabilities, "float64")
    expected *= len(images) / expected.sum()
    # Rare images share a cell: the chi-square approximation wants some counts in each.
    rare = expected < 5
    counts = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    if expected[-1] < 5:
        counts = np.append(counts[:-2], counts[-2:].sum())
        expected = np.append(expected[:-2], expected[-2:].sum())
    return stats.chisquare(counts, expected).pvalue
