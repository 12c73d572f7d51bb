"""From examples to the batches of an epoch, in an order that is a function of (seed, epoch)."""

import dataclasses
import functools
import math

import numpy as np
import tensorflow as tf

from kgen import checks
from kgen.data.binarization import BINARIZATIONS, binarize_images
from kgen.epochs import current_epoch

# Decoded bytes that wait in the shuffle buffer of data streamed from disk.
SHUFFLE_BUFFER_BYTES = 128 << 20


def check_arguments(num_examples, *, batch_size, drop_remainder, binarize, levels=None):
    """Raise ValueError for arguments that would give no batch, or that do not exist."""
    checks.positive_integer("batch_size", batch_size)
    if levels is not None:
        if checks.positive_integer("levels", levels) < 2:
            raise ValueError(f"levels must be at least 2, received {levels}.")
        if binarize is not None:
            raise ValueError(f"levels={levels} and binarize={binarize!r} both set them: give one.")
    if binarize not in BINARIZATIONS:
        raise ValueError(f"binarize must be one of {BINARIZATIONS}, received {binarize!r}.")
    if drop_remainder and batch_size > num_examples:
        raise ValueError(
            f"batch_size={batch_size} is more than all {num_examples} examples, and a last, "
            "smaller batch is dropped (drop_remainder=True). Use a smaller batch_size."
        )


@dataclasses.dataclass(frozen=True)
class Column:
    """How one array of an example is read.

    Attributes:
        is_image: whether `binarize` and `levels` apply.
        is_pixels: whether integers are scaled to [0, 1].
        num_levels: different values a pixel can take, if pixels are integers.
        max_value: value of a white pixel, if pixels are integers.
        levels: to how many values pixels are rounded, or None.
    """

    is_image: bool = False
    is_pixels: bool = False
    num_levels: int | None = 256
    max_value: int | None = 255
    levels: int | None = None

    def read(self, values):
        """Float32, int32 where values are integers and no pixels, or strings as they are."""
        if values.dtype == tf.string:
            return values
        if not (self.is_pixels or values.dtype.is_floating):
            return tf.cast(values, tf.int32)
        if values.dtype.is_floating:
            values = tf.cast(values, tf.float32)
        else:
            values = _to_unit_interval(values, self.num_levels or 256, self.max_value or 255)
        return _to_levels(values, self.levels) if self.levels and self.is_image else values


def assemble(
    batches_of_epoch,
    num_examples,
    *,
    batch_size,
    drop_remainder,
    seed,
    binarize,
    columns,
    pack,
):
    """The pipeline: at each iteration, read the epoch and give its batches.

    Args:
        batches_of_epoch: function of the int64 scalar epoch that returns a tf.data.Dataset of
            `(indices, *arrays)`, one array per column.
        num_examples: examples of an epoch.
        batch_size: the batch size that `batches_of_epoch` uses.
        drop_remainder: whether `batches_of_epoch` drops a last, smaller batch.
        seed: int.
        binarize: as in `binarize_images`, or None.
        columns: a `Column` per array.
        pack: function from the list of arrays to the structure of a batch.

    Returns:
        tf.data.Dataset of what `pack` gives, with known cardinality.
    """

    def finish(epoch, indices, *arrays):
        batch = []
        for place, (column, values) in enumerate(zip(columns, arrays, strict=True)):
            values = column.read(values)
            if binarize is not None and column.is_image:
                draw = dict(seed=seed + place, epoch=epoch, indices=indices)
                values = binarize_images(values, binarize, **draw)
            batch.append(values)
        return pack(batch)

    def one_epoch(_):
        # Traced once, run at each iteration: this is what ties the order to the epoch.
        epoch = current_epoch()
        return batches_of_epoch(epoch).map(
            functools.partial(finish, epoch), num_parallel_calls=tf.data.AUTOTUNE
        )

    num_batches = num_examples / batch_size
    num_batches = math.floor(num_batches) if drop_remainder else math.ceil(num_batches)
    dataset = tf.data.Dataset.from_tensors(0).flat_map(one_epoch)
    # flat_map forgets the number of batches, which Keras' progress bar shows.
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(num_batches))
    return dataset.prefetch(2).with_options(options())


def options():
    """The options of every pipeline."""
    options = tf.data.Options()
    options.deterministic = True
    # The tuner looks at the pipeline after 10, 20, 40, ... ms, and the end of an epoch was seen to
    # wait for its next look: an epoch of 1.3 s took 2.56 s, one of 5.2 s took 10.2 s.
    options.autotune.enabled = False
    # By file, workers would see batches that one device never sees.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return options


def batches_in_memory(arrays, *, batch_size, shuffle, seed, drop_remainder):
    """Batches of arrays by gathering rows: full permutations, and no work for each example.

    Args:
        arrays: tuple of NumPy arrays of equal length.
        batch_size: int.
        shuffle: whether to permute.
        seed: int.
        drop_remainder: whether to drop a last, smaller batch.

    Returns:
        Function of the epoch, as `assemble` takes.
    """
    num_examples = len(arrays[0])
    with tf.device("CPU:0"):
        tensors = [tf.constant(array) for array in arrays]

    def batches_of_epoch(epoch):
        order = tf.range(num_examples, dtype=tf.int64)
        if shuffle:
            order = tf.random.experimental.stateless_shuffle(order, seed=_pair(seed, epoch))
        batches = tf.data.Dataset.from_tensor_slices(order).batch(
            batch_size, drop_remainder=drop_remainder
        )
        return batches.map(lambda rows: (rows, *(tf.gather(tensor, rows) for tensor in tensors)))

    return batches_of_epoch


def batches_from_stream(examples, *, batch_size, shuffle, seed, drop_remainder):
    """Batches of a data set read from disk, shuffled within a buffer of bounded size.

    Args:
        examples: tf.data.Dataset of tuples of unbatched tensors, always in the same order.
        batch_size: int.
        shuffle: whether to shuffle.
        seed: int.
        drop_remainder: whether to drop a last, smaller batch.

    Returns:
        Function of the epoch, as `assemble` takes.
    """
    example_bytes = sum(
        # A string counts as the 24 bytes that its object has.
        spec.shape.num_elements() * (spec.dtype.size or 24)
        for spec in examples.element_spec
    )
    buffer_size = max(1, SHUFFLE_BUFFER_BYTES // max(1, example_bytes))
    examples = examples.enumerate().map(lambda index, example: (index, *example))

    def batches_of_epoch(epoch):
        ordered = examples
        if shuffle:
            # The seed of this function's graph; else the program's would change the order.
            tf.random.set_seed(1)
            draw = tf.random.stateless_uniform(
                (), seed=_pair(seed, epoch), minval=1, maxval=2**31 - 1, dtype=tf.int64
            )
            ordered = examples.shuffle(buffer_size, seed=draw, reshuffle_each_iteration=False)
        return ordered.batch(batch_size, drop_remainder=drop_remainder)

    return batches_of_epoch


def read_into_memory(examples, num_examples):
    """A tf.data.Dataset of tuples of unbatched tensors as a tuple of NumPy arrays."""
    arrays = [
        np.empty((num_examples, *spec.shape), spec.dtype.as_numpy_dtype)
        for spec in examples.element_spec
    ]
    start = 0
    for batch in examples.batch(256).prefetch(2):
        stop = start + len(batch[0])
        for array, values in zip(arrays, batch, strict=True):
            array[start:stop] = values
        start = stop
    return tuple(arrays)


def _to_unit_interval(images, num_levels, max_value):
    images = tf.cast(images, tf.float32) / max_value
    if num_levels == max_value + 1:
        return images
    # Fewer levels than integers, so that stored values were rounded: 128 / 255 is 8 / 16.
    return _to_levels(images, num_levels)


def _to_levels(images, num_levels):
    return tf.round(images * (num_levels - 1)) / (num_levels - 1)


def _pair(seed, epoch):
    # Stateless operations take signed 64-bit seeds.
    return tf.stack([tf.constant((seed + 2**63) % 2**64 - 2**63, tf.int64), epoch])
