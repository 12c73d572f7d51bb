"""Speed and peak memory of training the convolutional VAE at one size."""

import statistics
import time

import keras
import numpy as np
import tensorflow as tf

import kgen
from benchmarks import memory
from benchmarks.cases import synthetic_images
from benchmarks.rivals.keras_vae import in_memory_batches
from kgen import data


def measure(batch_size, num_batches, num_rounds, *, side=28, num_images=0, data_dir="", replicas=1):
    """Images a second, by round, and the peak of resident memory.

    Args:
        batch_size: int, images a step, over all replicas.
        num_batches: int, steps a round of images in memory.
        num_rounds: int, rounds after one of warm-up.
        side: int, pixels.
        num_images: int; if not 0, so many images are streamed from the shards in `data_dir`, a
            round being an epoch.
        data_dir: folder of `benchmarks.synthetic_data`.
        replicas: int, logical devices that share the processor.

    Returns:
        dict with `images_per_second` (one a round), `peak_megabytes`, and with several replicas
        `largest_difference`, of a weight after three steps of SGD from that on one device.
    """
    result, strategy = {}, tf.distribute.get_strategy()
    if replicas > 1:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * replicas,
        )
        strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
        result["largest_difference"] = _largest_difference(strategy, batch_size)
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = kgen.VAE.for_images((side, side, 1))
        model.compile(keras.optimizers.Adam(1e-3))
    if num_images:
        batches = data.load(
            f"synthetic_images/{num_images}",
            batch_size=batch_size,
            shuffle=True,
            cache=False,
            drop_remainder=True,
            data_dir=data_dir,
        )
        model.fit(batches.take(3), verbose=0)
        count = num_images // batch_size * batch_size
    else:
        count = num_batches * batch_size
        batches = in_memory_batches(synthetic_images(count, side=side), batch_size)
        model.fit(batches, verbose=0)
    seconds = []
    for _ in range(num_rounds):
        start = time.perf_counter()
        model.fit(batches, verbose=0)
        seconds.append(time.perf_counter() - start)
    result["images_per_second"] = [count / each for each in seconds]
    result["milliseconds_a_step"] = 1e3 * statistics.median(seconds) / (count // batch_size)
    result["peak_megabytes"] = memory.megabytes("VmHWM") if memory.is_known() else None
    return result


def _largest_difference(strategy, batch_size):
    """Of any weight after three steps of SGD, between the strategy and one device."""
    batches = in_memory_batches(synthetic_images(3 * batch_size), batch_size)
    weights = []
    for scope in (tf.distribute.get_strategy(), strategy):
        keras.utils.set_random_seed(0)
        with scope.scope():
            # A VAE draws other noise on each replica; without noise the step is to be the same.
            model = kgen.Autoencoder.for_images((28, 28, 1))
            model.compile(keras.optimizers.SGD(1e-3))
        model.fit(batches, verbose=0)
        weights.append([variable.numpy() for variable in model.trainable_variables])
    return max(float(np.abs(a - b).max()) for a, b in zip(*weights, strict=True))
