"""The matrix products of a pixel and nothing else: the least that drawing in order can take."""

import tensorflow as tf

from benchmarks.probes.peak import best_seconds


def measure(shapes, rows, quick=False):
    """Seconds of one chain of products, each waiting for the one before, through XLA and without.

    Args:
        shapes: list of `[inputs, outputs]`, the matrices of a pixel in order.
        rows: int, images that are drawn at a time.
        quick: bool, see `peak.measure`.

    Returns:
        dict with `operations`, an addition and a multiplication counting as two, and `seconds` and
        `seconds_xla`, each the best of ten calls of at least 50 ms.
    """
    draws = [tf.random.stateless_normal(shape, (i, 0)) for i, shape in enumerate(shapes)]
    matrices = [draw / shape[0] ** 0.5 for draw, shape in zip(draws, shapes, strict=True)]
    inputs = [
        tf.random.stateless_normal((rows, shape[0]), (i, 1)) for i, shape in enumerate(shapes)
    ]

    def link(column):
        for given, matrix in zip(inputs, matrices, strict=True):
            # None can begin before the last one has ended, and no number of it can be left out.
            product = tf.matmul(given + column, matrix)
            column = 0.1 * tf.reduce_max(product, axis=-1, keepdims=True)
        return column

    start = tf.zeros((rows, 1))
    return dict(
        operations=2 * rows * sum(a * b for a, b in shapes),
        seconds=best_seconds(link, start, quick),
        seconds_xla=best_seconds(link, start, quick, jit_compile=True),
    )
