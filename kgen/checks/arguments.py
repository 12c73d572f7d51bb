"""What arguments must be: numbers, counts, seeds, shapes."""

import numpy as np
import tensorflow as tf


def at_least(name, value, minimum):
    """Return `value`, or raise ValueError if it is not a number of at least `minimum`.

    A tensor of a compiled function passes: its value is not known yet.
    """
    if _is_symbolic(value):
        return value
    if not isinstance(value, (int, float, np.number)) or isinstance(value, bool):
        raise ValueError(f"{name} must be a number, received {value!r}.")
    if not minimum <= value < float("inf"):
        raise ValueError(f"{name} must be at least {minimum} and finite, received {value!r}.")
    return value


def positive_number(name, value):
    """Returns `value` as a float, or raises ValueError if it is not finite and above 0.

    A tensor of a compiled function passes: its value is not known yet.
    """
    if _is_symbolic(value):
        return value
    if not isinstance(value, (int, float, np.number)) or isinstance(value, bool):
        raise ValueError(f"{name} must be a number, received {value!r}.")
    if not 0.0 < value < float("inf"):
        raise ValueError(f"{name} must be a finite number above 0, received {value!r}.")
    return float(value)


def _is_symbolic(value):
    return isinstance(value, tf.Tensor) and not hasattr(value, "numpy")


def positive_integer(name, value):
    """Return `value`, or raise ValueError if it is not an integer of at least 1."""
    return integer_at_least(name, value, 1)


def integer_at_least(name, value, minimum):
    """Return `value`, or raise ValueError if it is not an integer of at least `minimum`."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}, received {value!r}.")
    return value


def positive_interval(name, value):
    """Return `value` as two floats, or raise ValueError if it is not 0 < low <= high."""
    try:
        low, high = value
    except (TypeError, ValueError):
        low = high = None
    if not all(isinstance(bound, (int, float, np.number)) for bound in (low, high)) or not (
        0.0 < low <= high < float("inf")
    ):
        raise ValueError(f"{name} must be (low, high) with 0 < low <= high, received {value!r}.")
    return float(low), float(high)


def probability(name, value):
    """Return `value`, or raise ValueError if it is not in [0, 1]."""
    if at_least(name, value, 0.0) > 1.0:
        raise ValueError(f"{name} must be in [0, 1], received {value!r}.")
    return value


def seed(value):
    """Return `value`, or raise ValueError if it is not an integer in the range of int32."""
    integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not integer or not tf.int32.min <= value <= tf.int32.max:
        raise ValueError(
            f"seed must be an integer from {tf.int32.min} to {tf.int32.max}, received {value!r}."
        )
    return int(value)


def num_classes(value):
    """Return `value`, or raise ValueError if it is not an integer of at least 2."""
    if positive_integer("num_classes", value) < 2:
        raise ValueError(
            f"num_classes must be at least 2, received {value!r}: with one class there is nothing "
            "to condition on. Use a model without labels."
        )
    return value


def image_shape(shape):
    """Return `(height, width, channels)` as a tuple of ints, or raise ValueError."""
    shape = tuple(shape)
    if len(shape) != 3:
        raise ValueError(
            f"image_shape must be (height, width, channels), received {shape}. "
            "Grey images have 1 channel: (28, 28, 1)."
        )
    return tuple(positive_integer("each side of image_shape", side) for side in shape)


def sizes(name, value, sides):
    """Return `value` as a tuple of one positive int per name in `sides`, or raise ValueError."""
    value = tuple(value)
    if len(value) != len(sides):
        raise ValueError(f"{name} must be ({', '.join(sides)}), received {value}.")
    return tuple(
        positive_integer(f"{side} of {name}", each) for side, each in zip(sides, value, strict=True)
    )
