"""Speed and peak memory of training the convolutional VAE at one size."""

import statistics
import time

import keras
import tensorflow as tf

import kgen
from benchmarks import memory
from benchmarks.cases import synthetic_images
from benchmarks.rivals.keras_vae import in_memory_batches
from kgen import data

# Cut once and repeated: what is measured is the training, not the making of images.
DIFFERENT_BATCHES = 4


def measure(batch_size, num_batches, num_rounds, *, side=28, num_images=0, data_dir=""):
    """Images a second, by round, and the peak of memory, after a round of warm-up.

    Args:
        batch_size: int, images a step.
        num_batches: int, steps a round.
        num_rounds: int, rounds after one of warm-up.
        side: int, pixels.
        num_images: int; if not 0, so many images are streamed from the shards in `data_dir`. The
            shuffle buffer is filled before the rounds, and all of the data are read once after
            them, so that the memory is that of a whole epoch.
        data_dir: folder of `benchmarks.synthetic_data`.

    Returns:
        dict with `images_per_second` (one a round), `milliseconds_a_step`, and, None where it is
        unknown, `step_megabytes`, what the model, its steps and a pipeline of streamed images
        allocate, those in memory left out, and `process_megabytes`, the peak of all that is
        resident, the libraries included.
    """
    keras.utils.set_random_seed(0)
    images = None if num_images else synthetic_images(DIFFERENT_BATCHES * batch_size, side=side)
    # TensorFlow starts its threads and whatever else it allocates once.
    tf.ones((8, 8)) @ tf.ones((8, 8))
    # Without what making the images left behind, which is the more, the more they are.
    before = memory.allocated() if memory.is_known() else None
    if num_images:
        batches = data.load(
            f"synthetic_images/{num_images}",
            batch_size=batch_size,
            shuffle=True,
            cache=False,
            drop_remainder=True,
            data_dir=data_dir,
        )
    else:
        batches = in_memory_batches(images, batch_size)
    del images
    model = kgen.VAE.for_images((side, side, 1))
    model.compile(kgen.optimizers.Adam(1e-3))
    timer = RoundTimer()
    # One iterator for all rounds: neither fit's own cost nor that of the buffer is in them.
    model.fit(
        batches.repeat(),
        epochs=num_rounds + 1,
        steps_per_epoch=num_batches,
        callbacks=[timer],
        verbose=0,
    )
    if num_images:
        read = int(batches.reduce(tf.constant(0), lambda count, _: count + 1))
        if read != num_images // batch_size:
            raise RuntimeError(f"Read {read} batches of {batch_size}, not all of {num_images}.")
    seconds = timer.seconds[1:]
    return dict(
        images_per_second=[num_batches * batch_size / each for each in seconds],
        milliseconds_a_step=1e3 * statistics.median(seconds) / num_batches,
        step_megabytes=None if before is None else _peak(before),
        process_megabytes=None if before is None else memory.megabytes("VmHWM"),
    )


class RoundTimer(keras.callbacks.Callback):
    """Seconds of each epoch; after the first, which warms up, the peak of memory begins anew."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        """Look at the clock."""
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        """Look at the clock once the device has done all."""
        float(logs["loss"])
        self.seconds.append(time.perf_counter() - self._start)
        if epoch == 0 and memory.is_known():
            memory.forget_peak()
            if _has_gpu():
                tf.config.experimental.reset_memory_stats("GPU:0")


def _peak(before):
    if _has_gpu():
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e6
    return memory.allocated_peak() - before


def _has_gpu():
    return bool(tf.config.get_visible_devices("GPU"))
