"""Training on two logical devices beside training on one, in turns in one process."""

import keras
import numpy as np
import tensorflow as tf

import kgen
from benchmarks import interleaved
from benchmarks.cases import synthetic_images
from benchmarks.rivals.keras_vae import in_memory_batches

ONE, TWO = "one device", "two replicas"
DIFFERENT_BATCHES = 4


def measure(batch_size, num_batches, num_rounds):
    """Images a second by round, and how far the weights of two replicas are from those of one.

    Args:
        batch_size: int, images a step, over all replicas.
        num_batches: int, steps a round.
        num_rounds: int >= 2, rounds after one of warm-up.

    Returns:
        dict with `images_per_second` (name -> one figure a round), `largest_difference`, of any
        weight after three steps of SGD from that on one device, and `largest_movement`, of any
        weight in these steps.
    """
    # The devices are logical ones of the processor: a GPU beside them would take the one model.
    tf.config.set_visible_devices([], "GPU")
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    # One MirroredStrategy for all: a second one in the same process fails.
    mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    strategies = {ONE: tf.distribute.get_strategy(), TWO: mirrored}
    batches = in_memory_batches(synthetic_images(DIFFERENT_BATCHES * batch_size), batch_size)
    difference, movement = _distance(strategies, batches.take(3))
    trainers = {
        name: _trainer(strategy, batches.repeat().take(num_batches))
        for name, strategy in strategies.items()
    }
    seconds = interleaved.seconds_by_round(trainers, num_rounds)
    return dict(
        images_per_second={
            name: [num_batches * batch_size / each for each in values]
            for name, values in seconds.items()
        },
        largest_difference=difference,
        largest_movement=movement,
    )


def _trainer(strategy, batches):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = kgen.VAE.for_images((28, 28, 1))
        model.compile(kgen.optimizers.Adam(1e-3))
    return lambda: model.fit(batches, verbose=0)


def _distance(strategies, batches):
    """Between the weights that one device and two replicas end with, and from where they began."""
    ends = {}
    for name, strategy in strategies.items():
        keras.utils.set_random_seed(0)
        with strategy.scope():
            # A VAE draws other noise on each replica; without noise the step is to be the same.
            model = kgen.Autoencoder.for_images((28, 28, 1))
            model.compile(keras.optimizers.SGD(1e-3))
        start = _weights(model)
        model.fit(batches, verbose=0)
        ends[name] = _weights(model)
    return _largest(ends[ONE], ends[TWO]), _largest(ends[ONE], start)


def _weights(model):
    return [variable.numpy() for variable in model.trainable_variables]


def _largest(left, right):
    return max(float(np.abs(a - b).max()) for a, b in zip(left, right, strict=True))
