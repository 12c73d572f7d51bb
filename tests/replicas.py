"""Two replicas on the CPU."""

import functools

import tensorflow as tf


@functools.cache
def two_replicas():
    """The strategy of this process."""
    # One for the process: a second one numbers its collective operations from the start again and
    # meets the first one's, of other shapes.
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
