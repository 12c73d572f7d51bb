"""What `fit`, `evaluate` and `predict` are given, by its first batch."""

import warnings

import keras
import numpy as np
import tensorflow as tf

from kgen.checks.values import images, labels, levels, several_classes


def first_batch(model, x, y=None, *, batch_size=None, training=True, with_labels=True):
    """Check the data that `fit` or `evaluate` was given, before any step.

    Arrays are checked whole, data sets and `PyDataset`s by their first batch. Generators and
    distributed data sets pass: reading them would consume them. A model says what it takes in its
    attribute `image_shape`; models without one are not checked. A model of labels says how many in
    `num_classes`. A model of `num_views = 2` trains on pairs of views, and one that has
    `uses_labels = False` says once that labels do not reach it.

    Args:
        model: a kgen model.
        x: what `fit` received as `x`.
        y: what `fit` received as `y`.
        batch_size: int or None.
        training: bool; evaluation takes no slices of a batch.
        with_labels: bool; a prediction may do without labels.

    Raises:
        ValueError: for empty data, a wrong rank, size, dtype or channel count, NaN, pixels
            outside [0, 1], labels that miss, are out of range or, in arrays to train on, of one
            class alone, a training batch that the model's `discriminator_steps` does not divide,
            views that miss or differ in shape, a batch of one pair of views, the last one of
            arrays included, or one that does not divide the model's `queue_size`.
    """
    expected = getattr(model, "image_shape", None)
    batch, seen = _peek(x, y)
    if batch is None or expected is None:
        return
    num_views = getattr(model, "num_views", None)
    in_pairs = with_labels and num_views == 2
    if in_pairs:
        batch = _first_of_two_views(model, batch, seen)
    elif isinstance(batch, tuple):
        if num_views is None:
            return
        raise ValueError(
            f"{type(model).__name__} takes one array of images here, received {len(batch)} arrays, "
            f"of shapes {[value.shape for value in batch]}."
        )
    is_whole = not isinstance(x, (tf.data.Dataset, keras.utils.PyDataset))
    size = min(batch_size or 32, len(batch)) if is_whole else len(batch)
    images(batch, expected)
    if in_pairs:
        _enough_pairs(model, size, len(batch), training)
    if with_labels and seen is not None and not getattr(model, "uses_labels", True):
        _say_that_labels_are_ignored(model)
    if getattr(model, "num_levels", None):
        levels(batch, model.num_levels)
    count = getattr(model, "num_classes", None)
    if count is not None and with_labels:
        if seen is None:
            if hasattr(model, "num_instances"):
                raise ValueError(
                    f"{type(model).__name__} needs the number of each image as its label, as an "
                    f"array or tensor: integers (batch,) in 0 .. {count - 1}, such as "
                    "numpy.arange(len(images)). Pass (images, numbers)."
                )
            raise ValueError(
                f"{type(model).__name__} needs labels as an array or tensor: pass (images, "
                "labels), or kgen.data.load(..., labels=True)."
            )
        labels(seen, count)
        if is_whole and training:
            several_classes(seen)
    steps = getattr(model, "discriminator_steps", 1) if training else 1
    if training and size % steps:
        raise ValueError(
            f"A batch of {size} does not divide into discriminator_steps={steps} slices of equal "
            f"size. Use a batch_size that is a multiple of {steps}."
        )
    left_over = len(batch) % size
    if 0 < left_over < steps:
        raise ValueError(
            f"The last batch has {left_over} of {len(batch)} images, fewer than "
            f"discriminator_steps={steps}. Leave them out, or choose another batch_size."
        )


def validation_data(model, data, batch_size=None):
    """Check the first batch of what `fit` was given as `validation_data`; see `first_batch`."""
    data = data if isinstance(data, (tuple, list)) else (data,)
    first_batch(model, *data[:2], batch_size=batch_size, training=False)


def _peek(x, y=None):
    """The images (or a tuple of views) and labels that can be seen without consuming them."""
    if isinstance(x, tf.data.Dataset):
        x = next(iter(x.take(1)), None)
        if x is None:
            raise ValueError("The data set is empty: it gave no batch.")
        x, y, _ = keras.utils.unpack_x_y_sample_weight(x)
    elif isinstance(x, keras.utils.PyDataset):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(x[0])
    if isinstance(x, (tuple, list)) and all(_is_array(value) for value in x):
        return tuple(np.asarray(value) for value in x), np.asarray(y) if _is_array(y) else None
    return tuple(np.asarray(value) if _is_array(value) else None for value in (x, y))


def _is_array(value):
    return isinstance(value, (np.ndarray, tf.Tensor))


def _first_of_two_views(model, batch, labels):
    name = type(model).__name__
    if not isinstance(batch, tuple) or len(batch) != 2:
        received = f"{len(batch)} arrays" if isinstance(batch, tuple) else f"shape {batch.shape}"
        hint = "Make them with kgen.data.two_views(dataset, augmentation)."
        if labels is not None and labels.ndim > 1:
            hint = "A bare pair is read as (x, y): give ((first, second),)."
        raise ValueError(
            f"{name} trains on two views of each image, x = (first, second), received {received}. "
            + hint
        )
    first, second = batch
    if first.shape != second.shape:
        raise ValueError(
            f"{name} needs two views of one shape, received {first.shape} and {second.shape}."
        )
    images(second, model.image_shape)
    return first


def _enough_pairs(model, size, count, training):
    name = type(model).__name__
    if size < 2:
        raise ValueError(
            f"{name} compares the images of a batch with one another, received a batch of {size}. "
            "Use a batch_size of at least 2; the larger, the better."
        )
    if count % size == 1:
        raise ValueError(
            f"The last batch has 1 of {count} images, but {name} compares the images of a batch "
            "with one another. Leave it out, or choose another batch_size."
        )
    queue_size = getattr(model, "queue_size", None)
    if training and queue_size is not None and queue_size % size:
        raise ValueError(
            f"A batch of {size} does not divide the queue of {name}, queue_size={queue_size}. Use "
            "a queue_size that is a multiple of the batch size."
        )


def _say_that_labels_are_ignored(model):
    if not getattr(model, "_said_labels_are_ignored", False):
        model._said_labels_are_ignored = True
        warnings.warn(
            f"{type(model).__name__} learns without labels: those given are not used.",
            stacklevel=4,
        )
