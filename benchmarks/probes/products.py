"""The matrix products of one pixel after the other: the least that drawing in order takes."""

import tensorflow as tf

from benchmarks.probes.peak import best_seconds


def measure(shapes, rows, count, quick=False):
    """Seconds of a draw's products, each waiting for the one before, without XLA and with it.

    An addition and a maximum over the outputs make each wait, where a network has its bias and its
    ReLU.

    Args:
        shapes: list of `[inputs, outputs]`, the matrices of a pixel in order.
        rows: int, images that are drawn at a time.
        count: int, pixels of an image.
        quick: bool, see `peak.measure`.

    Returns:
        dict with `operations`, an addition and a multiplication counting as two, and `seconds` and
        `seconds_xla` of a draw, from the best of ten calls of at least 50 ms.
    """
    draws = [tf.random.stateless_normal(shape, (i, 0)) for i, shape in enumerate(shapes)]
    matrices = [draw / shape[0] ** 0.5 for draw, shape in zip(draws, shapes, strict=True)]
    inputs = [tf.random.stateless_normal((rows, size), (size, 1)) for size, _ in shapes]

    def link(column):
        for given, matrix in zip(inputs, matrices, strict=True):
            # None can begin before the last one has ended, and no number of it can be left out.
            product = tf.matmul(given + column, matrix)
            column = 0.1 * tf.reduce_max(product, axis=-1, keepdims=True)
        return column

    start = tf.zeros((rows, 1))
    return dict(
        operations=2 * count * rows * sum(a * b for a, b in shapes),
        seconds=count * best_seconds(link, start, quick),
        seconds_xla=count * best_seconds(link, start, quick, jit_compile=True),
    )
