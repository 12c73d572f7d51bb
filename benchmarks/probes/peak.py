"""What this machine can do: large matrix products and a large copy."""

import math
import pathlib
import time

import tensorflow as tf

# A call takes at least so long that what starting it costs does not show.
SECONDS_A_CALL = 0.05
NUM_CALLS = 10


def measure(quick=False, dtype="float32"):
    """The machine's peaks, each the best of ten calls: what disturbs a call only slows it down.

    A call is a chain within one `tf.function`, as long as it takes to last 50 ms.

    Args:
        quick: bool, small sizes and single links.
        dtype: "float32", or "bfloat16" or "float16", whose sums are the library's choice.

    Returns:
        dict with `gigaflops`, of products of two square matrices, an addition and a multiplication
        counting as two, and `gigabytes_a_second`, read and written, of copies. On a processor
        without units for bfloat16, for that dtype, dict with `missing`, why there is no figure.
    """
    if dtype == "bfloat16" and not tf.config.get_visible_devices("GPU") and not has_bfloat16():
        return dict(missing="the processor has no units for bfloat16")
    rows, length = (256, 1 << 16) if quick else (3072, 1 << 26)
    # Scaled so that a long chain of products neither grows nor fades.
    matrix = tf.cast(tf.random.stateless_normal((rows, rows), (0, 0)) / rows**0.5, dtype)
    vector = tf.ones(length, dtype)
    # Moved by 1, since TensorFlow would hand an unchanged tensor on.
    product = best_seconds(lambda x: x @ matrix, matrix, quick)
    copy = best_seconds(lambda x: x + 1, vector, quick)
    return dict(
        gigaflops=2e-9 * rows**3 / product,
        gigabytes_a_second=2e-9 * vector.dtype.size * length / copy,
    )


def has_bfloat16():
    """Whether the processor multiplies bfloat16 by itself, as Linux reports it."""
    path = pathlib.Path("/proc/cpuinfo")
    return path.exists() and any(
        flag in path.read_text().split() for flag in ("avx512_bf16", "amx_bf16", "bf16")
    )


def best_seconds(link, start, quick, jit_compile=False):
    """Seconds of one link of a chain, in the best of the calls."""

    @tf.function(autograph=False, jit_compile=jit_compile)
    def chain(x, count):
        # One at a time: as a graph of its own each link would be folded into the next.
        return tf.while_loop(
            lambda index, _: index < count,
            lambda index, x: (index + 1, link(x)),
            (0, x),
            parallel_iterations=1,
        )[1]

    def seconds(count):
        begin = time.perf_counter()
        # To a number, so that a GPU has done all before the clock is read.
        float(tf.reshape(chain(start, tf.constant(count)), [-1])[0])
        return time.perf_counter() - begin

    seconds(1)
    count = 1 if quick else max(1, math.ceil(SECONDS_A_CALL / seconds(1)))
    while not quick and seconds(count) < SECONDS_A_CALL:
        count *= 2
    return min(seconds(count) for _ in range(NUM_CALLS)) / count
