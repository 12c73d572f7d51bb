"""From images in any form to feature vectors, batch by batch."""

import numpy as np
import tensorflow as tf

from kgen import checks

_BATCH_SIZE = 128


def image_batches(role, images, image_shape=None):
    """Give checked batches of images.

    Args:
        role: what the images are, such as "real", for the errors.
        images: tf.data.Dataset of batches, or of tuples whose first entry is the images; or a NumPy
            array or tensor `(n, height, width, channels)`, float32 in [0, 1].
        image_shape: `(height, width, channels)`, where None is any size; or None for the shape of
            the first batch.

    Yields:
        NumPy arrays, float32 `(batch, height, width, channels)` in [0, 1].

    Raises:
        ValueError: for data of another form, other pixels, NaN, or no images.
    """
    for batch, _ in labelled_batches(role, images, image_shape):
        yield batch


def labelled_batches(role, data, image_shape=None):
    """Give checked batches of images, with what stands beside them.

    Args:
        role: as in `image_batches`.
        data: as the images of `image_batches`, or a pair `(images, labels)` of arrays or tensors.
        image_shape: as in `image_batches`.

    Yields:
        Pairs: images as from `image_batches`; the second entry of the batch as it is, or None.

    Raises:
        ValueError: as `image_batches`.
    """
    expected = image_shape
    for batch, labels in _batches(role, data):
        batch = np.asarray(batch)
        if batch.ndim != 4:
            hint = " Add the channel axis: images[..., None]." if batch.ndim == 3 else ""
            raise ValueError(
                f"Expected {role} images of shape (batch, height, width, channels), received "
                f"{batch.shape}.{hint}"
            )
        expected = batch.shape[1:] if expected is None else expected
        try:
            checks.images(batch, _known(expected, batch.shape[1:]))
        except ValueError as error:
            raise ValueError(f"The {role} images: {error}") from error
        yield batch.astype(np.float32, copy=False), labels


def feature_batches(role, images, extractor):
    """Give the features of images, batch by batch.

    Args:
        role: what the images are, such as "real", for the errors.
        images: as in `image_batches`.
        extractor: built keras.Model from images to vectors `(batch, dim)`; None where `images` is
            an array of their features `(n, dim)`.

    Yields:
        NumPy arrays, float32 `(batch, dim)`.

    Raises:
        ValueError: for an extractor that gives no vectors, images that it does not take, no images,
            or features that are not finite.
    """
    if extractor is None:
        yield _given_features(role, images)
        return
    checks.vector_network("extractor", extractor)
    shape = tuple(extractor.input_shape[1:])
    # Not `predict`: it would turn XLA on, and leave its trace inside the user's model.
    for batch in image_batches(role, images, shape):
        features = np.asarray(extractor(tf.constant(batch), training=False), np.float32)
        bad = int((~np.isfinite(features)).any(axis=1).sum())
        if bad:
            raise ValueError(
                f"The extractor '{extractor.name}' gave NaN or infinite features for {bad} of "
                f"{len(batch)} {role} images. Look at its weights and at the pixels it expects."
            )
        yield features


def all_features(role, images, extractor):
    """All features in memory, float32 `(n, dim)`; arguments and errors as in `feature_batches`."""
    return np.concatenate(list(feature_batches(role, images, extractor)))


def two_sets(extractor, **sets):
    """The features of two sets of images, as `all_features` gives each.

    Args:
        extractor: as in `feature_batches`.
        **sets: the images by their role, such as `real=..., generated=...`.

    Raises:
        ValueError: as `feature_batches`, and for features of unlike size.
    """
    first, second = (all_features(role, images, extractor) for role, images in sets.items())
    if first.shape[1] != second.shape[1]:
        one, other = sets
        raise ValueError(
            f"The {one} images have {first.shape[1]} features, the {other} ones "
            f"{second.shape[1]}. Use one extractor for both."
        )
    return first, second


def _given_features(role, features):
    if not _is_array(features) or len(features.shape) != 2 or 0 in features.shape:
        shape = f" of shape {features.shape}" if _is_array(features) else ""
        raise ValueError(
            f"Without an extractor the {role} features are an array (n, dim), received "
            f"{type(features).__name__}{shape}."
        )
    features = np.asarray(features, np.float32)
    bad = int((~np.isfinite(features)).any(axis=1).sum())
    if bad:
        raise ValueError(
            f"The {role} features hold NaN or infinite values: {bad} of {len(features)} rows."
        )
    return features


def describe(extractor):
    """The extractor for a protocol: its name, and its attribute `protocol` where it has one."""
    if extractor is None:
        return "what was given"
    protocol = getattr(extractor, "protocol", None)
    return f"'{extractor.name}'" + (f" ({protocol})" if protocol else "")


def _batches(role, data):
    if isinstance(data, tf.data.Dataset):
        if data.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise ValueError(
                f"The {role} data set never ends. Say how much of it: dataset.take(num_batches)."
            )
        tuples = (batch if isinstance(batch, (tuple, list)) else (batch,) for batch in data)
        batches = ((entries[0], entries[1] if len(entries) > 1 else None) for entries in tuples)
    elif _is_array(data) or (isinstance(data, tuple) and len(data) == 2 and _is_array(data[0])):
        images, labels = (data, None) if _is_array(data) else data
        images, labels = np.asarray(images), None if labels is None else np.asarray(labels)
        if labels is not None and labels.shape[:1] != images.shape[:1]:
            raise ValueError(
                f"Expected one label per image: the {role} images have shape {images.shape}, their "
                f"labels {labels.shape}."
            )
        # An array without rows, or without a first axis, is one batch for the checks to refuse.
        starts = range(0, len(images), _BATCH_SIZE) if images.ndim and len(images) else [...]
        parts = [at if at is ... else slice(at, at + _BATCH_SIZE) for at in starts]
        batches = ((images[at], None if labels is None else labels[at]) for at in parts)
    else:
        raise ValueError(
            f"The {role} images must be a tf.data.Dataset of image batches, or an array or tensor "
            f"(n, height, width, channels), received {type(data).__name__}."
        )
    empty = True
    for batch in batches:
        empty = False
        yield batch
    if empty:
        raise ValueError(f"The {role} data set is empty: it gave no batch.")


def _is_array(value):
    return isinstance(value, (np.ndarray, tf.Tensor))


def _known(expected, received):
    """`expected` with the sizes that it leaves open filled in from `received`."""
    if len(expected) != len(received):
        return tuple(expected)
    return tuple(b if a is None else a for a, b in zip(expected, received, strict=True))
