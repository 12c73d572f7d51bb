"""Data sets by name, as batches that training reads."""

import functools

import keras
import tensorflow as tf

from kgen import checks
from kgen.data import pipeline
from kgen.data.catalog import find_builder, prepare
from kgen.data.features import (
    decoded_bytes,
    find_feature,
    find_images,
    has_known_range,
    is_image,
    require_labels,
)
from kgen.data.quiet import quiet_warnings
from kgen.data.summary import display_name, pixel_levels

# Splits whose decoded images are smaller are held in memory under cache="auto".
MEMORY_CACHE_BYTES = 256 << 20


def load(
    name,
    split="train",
    *,
    batch_size=128,
    shuffle=False,
    seed=0,
    labels=False,
    features=None,
    binarize=None,
    levels=None,
    drop_remainder=False,
    cache="auto",
    data_dir=None,
):
    """Batches of float32 images in [0, 1], channels last, or of other features of a TFDS data set.

        load("digits")                                              images
        load("digits", labels=True)                                 (images, labels)
        load("facades", features=("photo", "map"))                  x and y
        load("pairs", features=(("left", "right"),))                x is a pair

    The order and the binary draws are functions of (seed, epoch): see `kgen.data.set_epoch`.
    Nothing is repeated. Integer pixels are scaled by their largest value; points stay as they are.

    Args:
        name: a name of TFDS or of `kgen.data.builders`, or a TFDS builder. `fashion_mnist` is read
            from Debian's package dataset-fashion-mnist where that is installed.
        split: "train", "test", "train[:80%]", ... as in TFDS; of a folder of pictures also by the
            names of its folders, such as "val".
        batch_size: int of at least 1. The last batch may be smaller.
        shuffle: whether each epoch has its own order. Cached data are permuted; data streamed from
            disk are shuffled within a buffer of 128 MiB.
        seed: int.
        labels: whether to give `(images, labels)`, the labels int32 `(batch,)`.
        features: names of features, in the structure `(x, y)` that the model takes: a name, or
            nested tuples or dicts of names. Images become float32 in [0, 1], other floats stay as
            they are, integers become int32, texts such as a `filename` bytes. In place of
            `labels`.
        binarize: None, "threshold", "fixed" or "dynamic", as in
            `kgen.data.binarization.binarize_images`.
        levels: int of at least 2, to how many values pixels are rounded, `round(x (levels - 1)) /
            (levels - 1)`, for models on levels; None leaves them as they are.
        drop_remainder: whether to drop a last, smaller batch.
        cache: True holds the decoded split in memory, as uint8; False streams it from disk, in
            memory that does not grow with the data; "auto" chooses True below 256 MiB.
        data_dir: folder of prepared data sets, TFDS' own by default.

    Returns:
        tf.data.Dataset of known cardinality.

    Raises:
        ValueError: for an unknown name or split, an empty split, data that are not images of one
            size, a feature that does not exist, or arguments that would give no batch.
        RuntimeError: if the data set can be neither downloaded nor prepared.
    """
    checks.positive_integer("batch_size", batch_size)
    if cache not in (True, False, "auto"):
        raise ValueError(f"cache must be True, False or 'auto', received {cache!r}.")
    builder = find_builder(name, data_dir)
    if features is None:
        image_name, _ = find_images(builder)
        features = (image_name, require_labels(builder)) if labels else image_name
    elif labels:
        raise ValueError("features says what a batch holds: name the labels there, labels=False.")
    names = keras.tree.flatten(features)
    found = [find_feature(builder, name) for name in names]
    builder = prepare(builder)
    # Not at the top: it imports TFDS, which takes seconds.
    from kgen.data.builders.folders import split_of

    split = split_of(builder, split)
    num_examples = _count(builder, split)
    pipeline.check_arguments(
        num_examples,
        batch_size=batch_size,
        drop_remainder=drop_remainder,
        binarize=binarize,
        levels=levels,
    )
    columns = [_column(builder, feature, levels) for feature in found]
    for argument, value in (("binarize", binarize), ("levels", levels)):
        if value is not None and not any(column.is_image for column in columns):
            raise ValueError(f"{argument}={value!r} needs images, which {builder.name} has not.")

    examples = _read(builder, split, names)
    order = dict(batch_size=batch_size, shuffle=shuffle, seed=seed, drop_remainder=drop_remainder)
    if cache == "auto":
        cache = num_examples * sum(map(decoded_bytes, found)) < MEMORY_CACHE_BYTES
    if cache:
        arrays = pipeline.read_into_memory(examples, num_examples)
        batches_of_epoch = pipeline.batches_in_memory(arrays, **order)
    else:
        batches_of_epoch = pipeline.batches_from_stream(examples, **order)
    return pipeline.assemble(
        batches_of_epoch,
        num_examples,
        batch_size=batch_size,
        drop_remainder=drop_remainder,
        seed=seed,
        binarize=binarize,
        columns=columns,
        pack=functools.partial(keras.tree.pack_sequence_as, features),
    )


def _column(builder, feature, levels):
    is_picture = len(feature.shape or ()) == 3 and has_known_range(builder, feature)
    if not (is_image(feature) or is_picture):
        return pipeline.Column()
    num_levels, max_value = pixel_levels(builder, feature)
    return pipeline.Column(
        is_image=True, is_pixels=True, num_levels=num_levels, max_value=max_value, levels=levels
    )


def _count(builder, split):
    try:
        num_examples = builder.info.splits[split].num_examples
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"Unknown split '{split}' of '{display_name(builder)}'. Its splits: "
            f"{', '.join(builder.info.splits)}, and parts such as 'train[:80%]'."
        ) from error
    if num_examples == 0:
        raise ValueError(f"Split '{split}' of '{builder.name}' is empty.")
    return num_examples


def _read(builder, split, names):
    import tensorflow_datasets as tfds

    is_text = isinstance(builder, tfds.TranslateFolder)
    with quiet_warnings():
        examples = builder.as_dataset(
            split=split,
            shuffle_files=False,
            # It cannot decode a part.
            decoders=None if is_text else tfds.decode.PartialDecoding(dict.fromkeys(names, True)),
            read_config=tfds.ReadConfig(try_autocache=False),
        )
    return examples.map(
        lambda example: tuple(example[name] for name in names), num_parallel_calls=tf.data.AUTOTUNE
    )
