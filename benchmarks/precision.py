"""Mixed precision in Keras: float16 on a GPU, bfloat16 on a CPU."""

import contextlib

import keras
import tensorflow as tf


def half_type():
    """The name of the 16-bit type."""
    return "float16" if tf.config.get_visible_devices("GPU") else "bfloat16"


@contextlib.contextmanager
def of_keras(mixed):
    """Networks that are built within compute in 16 bits, if `mixed`."""
    before = keras.config.dtype_policy()
    if mixed:
        keras.config.set_dtype_policy(f"mixed_{half_type()}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
