"""What this machine can do: a large matrix product and a large copy."""

import statistics
import time

import tensorflow as tf


def measure(quick=False):
    """The machine's peaks in float32, medians of ten calls.

    Returns:
        dict with `gigaflops`, of a product of two square matrices, an addition and a multiplication
        counting as two, and `gigabytes_a_second`, read and written, of a copy.
    """
    rows, length = (256, 1 << 16) if quick else (3072, 1 << 26)
    matrix, vector = tf.random.stateless_normal((rows, rows), (0, 0)), tf.ones(length)
    # Moved by 1, since TensorFlow would hand an unchanged tensor on.
    product, copy = tf.function(lambda x: x @ x), tf.function(lambda x: x + 1.0)
    return dict(
        gigaflops=2e-9 * rows**3 / _seconds(lambda: product(matrix)),
        gigabytes_a_second=2e-9 * 4 * length / _seconds(lambda: copy(vector)),
    )


def _seconds(work):
    seconds = []
    for _ in range(12):
        start = time.perf_counter()
        # To a number, so that a GPU has done all before the clock is read.
        tf.reshape(work(), [-1])[0].numpy()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[2:])
