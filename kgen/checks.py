"""Checks of arguments and of the first batch: what was expected, what was received, what to do."""

import keras
import numpy as np
import tensorflow as tf


def at_least(name, value, minimum):
    """Return `value`, or raise ValueError if it is not a number of at least `minimum`."""
    if not isinstance(value, (int, float, np.number)) or isinstance(value, bool):
        raise ValueError(f"{name} must be a number, received {value!r}.")
    if not minimum <= value < float("inf"):
        raise ValueError(f"{name} must be at least {minimum} and finite, received {value!r}.")
    return value


def positive_number(name, value):
    """Returns `value` as a float, or raises ValueError if it is not finite and above 0."""
    at_least(name, value, 0.0)
    if not 0.0 < value < float("inf"):
        raise ValueError(f"{name} must be a finite number above 0, received {value!r}.")
    return float(value)


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
    batch fails as a whole. XLA leaves such checks out.

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
    message = f"Expected labels in 0 .. {count - 1}, received"
    with tf.control_dependencies([tf.debugging.Assert(in_range, [message, values])]):
        return tf.cast(tf.identity(values), tf.int32)


def several_classes(values):
    """Raise ValueError if all labels of a data set are of one class."""
    values = np.asarray(values)
    if values.size and values.min() == values.max():
        raise ValueError(
            f"All {values.size} labels are {values.flat[0]}: with one class there is nothing to "
            "condition on. Pass images of several classes, or use a model without labels."
        )


def image_shape(shape):
    """Return `(height, width, channels)` as a tuple of ints, or raise ValueError."""
    shape = tuple(shape)
    if len(shape) != 3:
        raise ValueError(
            f"image_shape must be (height, width, channels), received {shape}. "
            "Grey images have 1 channel: (28, 28, 1)."
        )
    return tuple(positive_integer("each side of image_shape", side) for side in shape)


def network(role, value):
    """Return `value`, or raise ValueError if it is not a built Keras model with known shapes."""
    if not isinstance(value, keras.Model):
        raise ValueError(f"{role} must be a keras.Model, received {type(value).__name__}.")
    if not value.built:
        raise ValueError(
            f"{role} '{value.name}' has no variables yet. Give it a keras.Input as its first "
            "layer, or build it as keras.Model(inputs, outputs)."
        )
    if not hasattr(value, "input_shape") or not hasattr(value, "output_shape"):
        raise ValueError(
            f"{role} '{value.name}' is a {type(value).__name__}, whose shapes are not known. Wrap "
            "it: inputs = keras.Input(...); keras.Model(inputs, network(inputs))."
        )
    return value


def vector_network(role, value):
    """Return `value`, or raise ValueError if it is not a built network that gives vectors."""
    received = network(role, value).output_shape
    if len(received) != 2:
        raise ValueError(
            f"{role} '{value.name}' must give vectors (batch, size), received outputs of shape "
            f"{received}. End it with keras.layers.Flatten or a pooling layer."
        )
    return value


def output_shape(role, value, expected, why):
    """Raise ValueError if the network `value` does not give outputs of shape `expected`."""
    received = tuple(value.output_shape[1:])
    if received != tuple(expected):
        raise ValueError(
            f"{role} '{value.name}' gives outputs of shape {received}, expected {tuple(expected)}: "
            f"{why}."
        )


def decoder(value, latent_dim, shape, likelihood):
    """Raise ValueError if a decoder does not map latents to a likelihood's parameters.

    Args:
        value: keras.Model.
        latent_dim: int.
        shape: image shape `(height, width, channels)`.
        likelihood: head.
    """
    received = tuple(value.input_shape[1:])
    if received != (latent_dim,):
        raise ValueError(
            f"decoder '{value.name}' takes inputs of shape {received}, but the encoder's output "
            f"and the posterior make latents of shape {(latent_dim,)}."
        )
    expected = (*shape[:-1], likelihood.params_size(shape))
    why = f"that is what {type(likelihood).__name__} needs for images of shape {tuple(shape)}"
    output_shape("decoder", value, expected, why)


def likelihood_network(role, value, shape, likelihood):
    """Raise ValueError if a network of images does not give a likelihood's parameters."""
    expected = (*shape[:-1], likelihood.params_size(shape))
    why = f"that is what {likelihood!r} needs for images of shape {tuple(shape)}"
    output_shape(role, value, expected, why)


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
    message = f"Expected pixels on {num_levels} levels, k / {num_levels - 1}, in [0, 1], received"
    check = tf.debugging.Assert(tf.reduce_all(on_levels), [message, values])
    with tf.control_dependencies([check]):
        return tf.identity(values)


def terms(model, received):
    """Raise ValueError if an objective returned other terms than the model declares."""
    if "loss" not in received:
        raise ValueError(
            f"The objective of {type(model).__name__} must return a term named 'loss', "
            f"received {sorted(received)}."
        )
    known = {"loss", *model.metrics_names}
    unknown = sorted(set(received) - known)
    if unknown:
        raise ValueError(
            f"The objective of {type(model).__name__} returned the terms {unknown}, which its "
            f"class attribute `terms` does not list: {model.terms}."
        )
    for name, value in received.items():
        if value.shape.rank != 1:
            raise ValueError(
                f"The term '{name}' of {type(model).__name__} must have shape (batch,), received "
                f"{value.shape}. Sum over the other axes; the base takes the mean."
            )


def prior(value, latent_dim, shape):
    """Return `value`, or raise ValueError if a prior is made for other latents or images."""
    received = getattr(value, "latent_dim", latent_dim)
    if received != latent_dim:
        raise ValueError(
            f"The prior {type(value).__name__} has latent_dim={received}, but the encoder's output "
            f"and the posterior make latents of shape {(latent_dim,)}."
        )
    received = getattr(value, "image_shape", shape)
    if tuple(received) != tuple(shape):
        raise ValueError(
            f"The prior {type(value).__name__} has image_shape={tuple(received)}, but the encoder "
            f"takes images of shape {tuple(shape)}."
        )
    return value


def no_missing_terms(model, received):
    """Raise ValueError if a term that the model declares was never returned: it would show as 0."""
    missing = sorted(set(model.metrics_names) - set(received))
    if missing:
        raise ValueError(
            f"{type(model).__name__} declares the terms {missing} in its class attribute `terms`, "
            f"but its objectives returned only {sorted(received)}."
        )


def first_batch(model, x, y=None, *, batch_size=None, training=True, with_labels=True):
    """Check the data that `fit` or `evaluate` was given, before any step.

    Arrays are checked whole, data sets and `PyDataset`s by their first batch. Generators and
    distributed data sets pass: reading them would consume them. A model says what it takes in its
    attribute `image_shape`; models without one are not checked. A model of labels says how many in
    `num_classes`.

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
            class alone, or a training batch that the model's `discriminator_steps` does not divide.
    """
    expected = getattr(model, "image_shape", None)
    batch, seen = _peek(x, y)
    if batch is None or expected is None:
        return
    is_whole = not isinstance(x, (tf.data.Dataset, keras.utils.PyDataset))
    size = min(batch_size or 32, len(batch)) if is_whole else len(batch)
    images(batch, expected)
    if getattr(model, "num_levels", None):
        levels(batch, model.num_levels)
    count = getattr(model, "num_classes", None)
    if count is not None and with_labels:
        if seen is None:
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


def validation_data(model, data):
    """Check the first batch of what `fit` was given as `validation_data`; see `first_batch`."""
    data = data if isinstance(data, (tuple, list)) else (data,)
    first_batch(model, *data[:2], training=False)


def _peek(x, y=None):
    """The images and labels that can be seen without consuming them, or None."""
    if isinstance(x, tf.data.Dataset):
        x = next(iter(x.take(1)), None)
        if x is None:
            raise ValueError("The data set is empty: it gave no batch.")
        x, y, _ = keras.utils.unpack_x_y_sample_weight(x)
    elif isinstance(x, keras.utils.PyDataset):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(x[0])
    return tuple(
        np.asarray(value) if isinstance(value, (np.ndarray, tf.Tensor)) else None
        for value in (x, y)
    )


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


def probability(name, value):
    """Return `value`, or raise ValueError if it is not in [0, 1]."""
    if at_least(name, value, 0.0) > 1.0:
        raise ValueError(f"{name} must be in [0, 1], received {value!r}.")
    return value
