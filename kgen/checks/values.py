"""What images and labels must be: shapes, dtypes, ranges."""

import numpy as np
import tensorflow as tf


def images(batch, expected=None):
    """Raise ValueError if `batch` is not float images in [0, 1] of shape `(n, *expected)`.

    Args:
        batch: NumPy array or tensor.
        expected: `(height, width, channels)`, None for any, or `(dim,)` for points of any range.
    """
    batch = np.asarray(batch)
    are_points = expected is not None and len(expected) == 1
    what = "points" if are_points else "images"
    wanted = "float32 points" if are_points else "float32 images in [0, 1]"
    if batch.shape[:1] == (0,):
        raise ValueError(f"The data set is empty: received {what} of shape {batch.shape}.")
    if expected is not None and batch.shape[1:] != tuple(expected):
        hint = ""
        if batch.ndim == 3 and batch.shape[1:] == tuple(expected[:2]):
            hint = " Add the channel axis: images[..., None]."
        elif batch.ndim == 4 and batch.shape[1] == expected[-1] != batch.shape[-1]:
            hint = " Channels come last: numpy.moveaxis(images, 1, -1)."
        raise ValueError(
            f"Expected {what} of shape (batch, {', '.join(map(str, expected))}), received "
            f"{batch.shape}.{hint}"
        )
    if batch.dtype == np.uint8 and not are_points:
        raise ValueError(
            "Expected float32 images in [0, 1], received uint8. Divide by 255: "
            "images.astype('float32') / 255."
        )
    if not np.issubdtype(batch.dtype, np.floating):
        raise ValueError(f"Expected {wanted}, received dtype {batch.dtype}.")
    low, high = float(batch.min()), float(batch.max())
    if np.isnan(low) or np.isnan(high):
        count = int(np.isnan(batch).any(axis=tuple(range(1, batch.ndim))).sum())
        raise ValueError(f"The {what} hold NaN: {count} of {len(batch)} {what} checked.")
    if are_points:
        if not np.isfinite([low, high]).all():
            raise ValueError("The points hold infinite values.")
    elif low < 0.0 or high > 1.0:
        raise ValueError(
            f"Expected pixels in [0, 1], received values from {low:g} to {high:g}. "
            + ("Divide by 255." if high > 1.5 and low >= 0 else "Rescale the images to [0, 1].")
        )


def labels(values, count):
    """Raise ValueError if `values` are not integers `(n,)` in 0 .. count - 1."""
    values = np.asarray(values)
    if values.ndim != 1 or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(
            f"Expected integer labels (batch,), received shape {values.shape} and dtype "
            f"{values.dtype}."
        )
    if values.size and not 0 <= values.min() <= values.max() < count:
        raise ValueError(
            f"Expected labels in 0 .. {count - 1}, received values from {values.min()} to "
            f"{values.max()}."
        )


def label_tensor(values, count):
    """Labels as int32 `(batch,)`, checked now, or in a graph whenever it runs.

    A graph's own check raises tf.errors.InvalidArgumentError, in training and on a server, whose
    batch fails as a whole: its message shows no values, for a server that joins requests answers
    all of them with it. XLA leaves such checks out.

    Args:
        values: integer labels `(batch,)`.
        count: int; labels are 0 .. count - 1.

    Raises:
        ValueError: for another rank or dtype, or, where values are known, a label out of range.
    """
    values = tf.convert_to_tensor(values)
    if tf.executing_eagerly():
        labels(values, count)
        return tf.cast(values, tf.int32)
    if not values.dtype.is_integer or values.shape.rank not in (1, None):
        raise ValueError(
            f"Expected integer labels (batch,), received shape {values.shape} and dtype "
            f"{values.dtype.name}."
        )
    wide = tf.cast(values, tf.int64)
    in_range = tf.reduce_all((wide >= 0) & (wide < count))
    message = f"Expected labels in 0 .. {count - 1}; a row of the batch has another."
    with tf.control_dependencies([tf.debugging.Assert(in_range, [message])]):
        return tf.cast(tf.identity(values), tf.int32)


def several_classes(values):
    """Raise ValueError if all labels of a data set are of one class."""
    values = np.asarray(values)
    if values.size and values.min() == values.max():
        raise ValueError(
            f"All {values.size} labels are {values.flat[0]}: with one class there is nothing to "
            "condition on. Pass images of several classes, or use a model without labels."
        )


def levels(batch, num_levels):
    """Raise ValueError if `batch` holds pixels that are not on the levels k / (num_levels - 1)."""
    steps = np.asarray(batch, np.float64) * (num_levels - 1)
    # Float32 images are up to 1e-4 steps off; 255 grey values on 17 levels are far more.
    off = np.abs(steps - np.round(steps)) > 1e-2
    if off.any():
        raise ValueError(
            f"Expected pixels on {num_levels} levels, k / {num_levels - 1} with k = 0 .. "
            f"{num_levels - 1}, but {100 * off.mean():.0f} % of the pixels are not, such as "
            f"{np.asarray(batch)[off][0]:g}. Round the images, np.round(images * "
            f"{num_levels - 1}) / {num_levels - 1}, or choose a likelihood with the data's levels."
        )


def level_tensor(values, shape, num_levels):
    """Images as float32, checked now, or in a graph whenever it runs, as `label_tensor` does.

    Args:
        values: float images `(batch, *shape)`.
        shape: image shape.
        num_levels: int, L; pixels are k / (L - 1).

    Raises:
        ValueError: where values are known, for what `images` and `levels` refuse.
    """
    values = tf.convert_to_tensor(values)
    if tf.executing_eagerly():
        images(values, shape)
        levels(values, num_levels)
        return tf.cast(values, tf.float32)
    values = tf.cast(values, tf.float32)
    steps = values * (num_levels - 1)
    # NaN fails the comparison too.
    on_levels = (tf.abs(steps - tf.round(steps)) <= 1e-2) & (tf.abs(values - 0.5) <= 0.5 + 1e-4)
    message = (
        f"Expected pixels on {num_levels} levels, k / {num_levels - 1}, in [0, 1]; a row of the "
        "batch has others."
    )
    check = tf.debugging.Assert(tf.reduce_all(on_levels), [message])
    with tf.control_dependencies([check]):
        return tf.identity(values)
