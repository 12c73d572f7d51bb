"""What batches must be: shapes, dtypes, ranges."""

import contextlib

import numpy as np
import tensorflow as tf


@contextlib.contextmanager
def role(name):
    """Begin the message of each ValueError inside with what was checked, such as "x[1]"."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def images(batch, expected=None, what="images"):
    """Raise ValueError if `batch` is not float images in [0, 1] of shape `(n, *expected)`.

    Args:
        batch: NumPy array or tensor.
        expected: `(height, width, channels)`, or `(frames, height, width, channels)` of clips, with
            None for any size; None for any shape.
        what: the word of the messages.
    """
    batch = np.asarray(batch)
    _check_shape(batch, expected, what)
    if batch.dtype == np.uint8:
        raise ValueError(
            f"Expected float32 {what} in [0, 1], received uint8. Divide by 255: "
            f"{what}.astype('float32') / 255."
        )
    if not np.issubdtype(batch.dtype, np.floating):
        raise ValueError(f"Expected float32 {what} in [0, 1], received dtype {batch.dtype}.")
    low, high = _finite_range(batch, what)
    if low < 0.0 or high > 1.0:
        raise ValueError(
            f"Expected pixels in [0, 1], received values from {low:g} to {high:g}. "
            + ("Divide by 255." if high > 1.5 and low >= 0 else f"Rescale the {what} to [0, 1].")
        )


def numbers(batch, expected, what, *, low=None, high=None):
    """Raise ValueError if `batch` is not finite floats `(n, *expected)` in [low, high].

    Args:
        batch: NumPy array or tensor.
        expected: shape without the batch.
        what: the word of the messages, such as "points".
        low: float or None.
        high: float or None.
    """
    batch = np.asarray(batch)
    _check_shape(batch, expected, what)
    low, high = -np.inf if low is None else low, np.inf if high is None else high
    within = f" in [{low:g}, {high:g}]" if np.isfinite([low, high]).any() else ""
    if not np.issubdtype(batch.dtype, np.floating):
        raise ValueError(f"Expected float32 {what}{within}, received dtype {batch.dtype}.")
    smallest, largest = _finite_range(batch, what)
    if smallest < low or largest > high:
        raise ValueError(
            f"Expected {what}{within}, received values from {smallest:g} to {largest:g}."
        )


def integers(batch, expected, count, what):
    """Raise ValueError if `batch` is not integers `(n, *expected)` in 0 .. count - 1."""
    batch = np.asarray(batch)
    _check_shape(batch, expected, what)
    if not np.issubdtype(batch.dtype, np.integer):
        raise ValueError(f"Expected integer {what}, received dtype {batch.dtype}.")
    if not 0 <= batch.min() <= batch.max() < count:
        raise ValueError(
            f"Expected {what} in 0 .. {count - 1}, received values from {batch.min()} to "
            f"{batch.max()}."
        )


def _check_shape(batch, expected, what):
    if batch.shape[:1] == (0,):
        raise ValueError(f"The data set is empty: received {what} of shape {batch.shape}.")
    if expected is None:
        return
    received = batch.shape[1:]
    fits = len(received) == len(expected) and all(
        side in (None, size) for side, size in zip(expected, received, strict=True)
    )
    if not fits:
        sides = ", ".join("any" if side is None else str(side) for side in expected)
        hint = ""
        if len(expected) == 3 and batch.ndim == 3 and received == tuple(expected[:2]):
            hint = " Add the channel axis: images[..., None]."
        elif len(expected) == 3 and batch.ndim == 4:
            if received[0] == expected[-1] != received[-1]:
                hint = " Channels come last: numpy.moveaxis(images, 1, -1)."
        raise ValueError(
            f"Expected {what} of shape (batch, {sides}), received {batch.shape}.{hint}"
        )


def _finite_range(batch, what):
    """The least and the largest value, or a ValueError if they are not finite."""
    low, high = float(batch.min()), float(batch.max())
    if np.isnan(low) or np.isnan(high):
        rows = int(np.isnan(batch).any(axis=tuple(range(1, batch.ndim))).sum())
        raise ValueError(f"The {what} hold NaN: {rows} of {len(batch)} {what} checked.")
    if not np.isfinite([low, high]).all():
        raise ValueError(f"The {what} hold infinite values.")
    return low, high


def labels(values, count, unknown=False):
    """Raise ValueError if `values` are not integers `(n,)` in 0 .. count - 1, or -1 if unknown."""
    values = np.asarray(values)
    if values.ndim != 1 or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(
            f"Expected integer labels (batch,), received shape {values.shape} and dtype "
            f"{values.dtype}."
        )
    least, also = (-1, " or -1") if unknown else (0, "")
    if values.size and not least <= values.min() <= values.max() < count:
        raise ValueError(
            f"Expected labels in 0 .. {count - 1}{also}, received values from {values.min()} to "
            f"{values.max()}."
        )


def label_tensor(values, count, unknown=False):
    """Labels as int32 `(batch,)`, checked now, or in a graph whenever it runs.

    A graph's own check raises tf.errors.InvalidArgumentError, in training and on a server, whose
    batch fails as a whole: its message shows no values, for a server that joins requests answers
    all of them with it. XLA leaves such checks out.

    Args:
        values: integer labels `(batch,)`.
        count: int; labels are 0 .. count - 1.
        unknown: bool, whether -1 is allowed.

    Raises:
        ValueError: for another rank or dtype, or, where values are known, a label out of range.
    """
    values = tf.convert_to_tensor(values)
    if tf.executing_eagerly():
        labels(values, count, unknown)
        return tf.cast(values, tf.int32)
    if not values.dtype.is_integer or values.shape.rank not in (1, None):
        raise ValueError(
            f"Expected integer labels (batch,), received shape {values.shape} and dtype "
            f"{values.dtype.name}."
        )
    wide = tf.cast(values, tf.int64)
    in_range = tf.reduce_all((wide >= (-1 if unknown else 0)) & (wide < count))
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
