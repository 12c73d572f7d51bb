"""The pipeline of `load` over NumPy arrays."""

import numpy as np

from kgen import checks
from kgen.data import pipeline


def from_arrays(
    images,
    labels=None,
    *,
    batch_size=128,
    shuffle=False,
    seed=0,
    binarize=None,
    drop_remainder=False,
):
    """Batches of float32 images in [0, 1] from arrays in memory.

    Args:
        images: `(n, height, width, channels)`, uint8 or float in [0, 1]; or float points `(n, dim)`
            of any range.
        labels: integers `(n,)`, or None.
        batch_size, shuffle, seed, binarize, drop_remainder: as in `kgen.data.load`.

    Returns:
        tf.data.Dataset of images, or of `(images, labels)`, with known cardinality.

    Raises:
        ValueError: for wrong shapes, dtypes or ranges, empty arrays, NaN, or arguments that would
            give no batch.
    """
    images = _checked_images(np.asarray(images))
    arrays = (images,)
    if labels is not None:
        arrays = (images, _checked_labels(np.asarray(labels), len(images)))
    pipeline.check_arguments(
        len(images), batch_size=batch_size, drop_remainder=drop_remainder, binarize=binarize
    )
    if binarize is not None and images.ndim == 2:
        raise ValueError(f"binarize={binarize!r} needs images, received points {images.shape}.")
    batches_of_epoch = pipeline.batches_in_memory(
        arrays, batch_size=batch_size, shuffle=shuffle, seed=seed, drop_remainder=drop_remainder
    )
    return pipeline.assemble(
        batches_of_epoch,
        len(images),
        batch_size=batch_size,
        drop_remainder=drop_remainder,
        seed=seed,
        binarize=binarize,
    )


def _checked_images(images):
    if images.ndim not in (2, 4):
        hint = " Add the channel axis: images[..., None]." if images.ndim == 3 else ""
        raise ValueError(
            "Expected images (n, height, width, channels) or points (n, dim), received shape "
            f"{images.shape}.{hint}"
        )
    if images.size == 0:
        raise ValueError(f"The data set is empty: received images of shape {images.shape}.")
    if images.ndim == 4 and images.dtype == np.uint8:
        return images
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"Expected uint8 or float images, received dtype {images.dtype}.")
    images = images.astype(np.float32, copy=False)
    if images.ndim == 4:
        checks.images(images)
    elif not np.isfinite(images).all():
        raise ValueError("The points hold NaN or infinity.")
    return images


def _checked_labels(labels, num_examples):
    if labels.shape != (num_examples,) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"Expected {num_examples} integer labels, one an image, received shape {labels.shape} "
            f"and dtype {labels.dtype}."
        )
    return labels.astype(np.int32)
