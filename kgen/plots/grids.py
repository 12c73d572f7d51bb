"""Grids of images: samples, and images above their reconstructions."""

import math

import keras
import numpy as np
import tensorflow as tf

from kgen import specs
from kgen.plots.pictures import CHANNELS, Picture

_WHITE, _GREY = 255, 160
# Images whose edges are brighter would have no visible border on white.
_BRIGHT_EDGE = 0.9 * 255
# A pixel may leave [0, 1] by the rounding of half precision, not by more.
_RANGE_TOLERANCE = 4e-3


def image_grid(images, *, columns=None, padding=1):
    """Lays images out row by row, on white; images of white edges on grey, with a border around.

    Args:
        images: float array in [0, 1], shape `(num_images, height, width, channels)` with 1 (gray),
            3 (RGB) or 4 (RGBA) channels. Of other numbers the channels stand side by side, in grey:
            images of 5 channels are drawn as gray ones of five times the width.
        columns: Images in a row. By default the grid is as square as it can be without gaps: 10
            images are two rows of 5.
        padding: Pixels between neighbours; none are added around the grid, but for white edges.

    Returns:
        uint8 array, shape `(rows * (height + padding) - padding, columns * (width + padding) -
        padding, channels)`, on grey `2 * padding` larger; width and channels are those drawn.

    Raises:
        ValueError: If the images are not of that form, or `columns` or `padding` is out of range.
    """
    pixels = _to_pixels(images)
    num_images, height, width, channels = pixels.shape
    if columns is None:
        columns = _columns(num_images)
    if columns < 1 or padding < 0:
        raise ValueError(
            "Expected columns >= 1 and padding >= 0. "
            f"Received columns={columns}, padding={padding}."
        )
    rows = math.ceil(num_images / columns)
    is_bright = _edge_brightness(pixels) > _BRIGHT_EDGE
    border = padding if is_bright else 0
    cell_height, cell_width = height + padding, width + padding
    canvas = np.full(
        (
            rows * cell_height - padding + 2 * border,
            columns * cell_width - padding + 2 * border,
            channels,
        ),
        _GREY if is_bright else _WHITE,
        dtype=np.uint8,
    )
    if channels == 4:
        canvas[..., 3] = 255
    for index, image in enumerate(pixels):
        top = border + index // columns * cell_height
        left = border + index % columns * cell_width
        canvas[top : top + height, left : left + width] = image
    return canvas.view(Picture)


def _columns(num_images):
    """The columns of the grid with the fewest gaps, at most four times as wide as high."""
    least = math.ceil(math.sqrt(num_images))
    most = max(least, math.floor(2 * math.sqrt(num_images)))
    return min(range(least, most + 1), key=lambda columns: -num_images % columns)


def _edge_brightness(pixels):
    """What three quarters of the pixels at the edges of images are brighter than: 0 to 255."""
    colours = pixels[..., :3] if pixels.shape[-1] == 4 else pixels
    edges = (colours[:, 0], colours[:, -1], colours[:, :, 0], colours[:, :, -1])
    return np.quantile(np.concatenate([edge.ravel() for edge in edges]), 0.25)


def sample_grid(model, *, num_samples=64, condition=None, seed=0):
    """Draws a grid of `model.sample(num_samples, seed=seed)`.

    A fixed seed shows the same latents at every epoch, so what changes is what was learned. A
    label-conditional model, which draws its classes in turn, gets one column per class.

    Args:
        model: Model with the verb `sample`.
        num_samples: Number of images.
        condition: As for `sample`. None for a model without a condition, or for all classes.
        seed: Integer seed, or None for new samples at each call.

    Returns:
        uint8 array, shape `(grid_height, grid_width, channels)`.
    """
    columns, made_given = None, getattr(model, "condition", None)
    if condition is None and isinstance(made_given, specs.Labels):
        columns = made_given.num_classes
        num_samples = columns * max(1, num_samples // columns)
    given = {} if condition is None else {"condition": condition}
    return image_grid(model.sample(num_samples, seed=seed, **given), columns=columns)


def reconstruction_grid(model, images, *, condition=None):
    """Draws each image directly above its reconstruction; pairs stand apart.

    Args:
        model: Model with the verb `reconstruct`.
        images: float32 array in [0, 1], shape `(num_images, height, width, channels)`.
        condition: What the images are given, for a conditional model.

    Returns:
        uint8 array, shape `(grid_height, grid_width, channels)`.

    Raises:
        ValueError: If the reconstructions differ in shape from the images.
    """
    images = np.asarray(images)
    given = {} if condition is None else {"condition": condition}
    reconstructions = np.asarray(model.reconstruct(images, **given))
    if images.shape != reconstructions.shape:
        raise ValueError(
            f"Expected reconstructions of shape {images.shape}, as the images. "
            f"Received {reconstructions.shape}."
        )
    line = np.ones_like(images[:, :1])
    return image_grid(np.concatenate([images, line, reconstructions], axis=1), padding=4)


def completion_grid(model, images, *, condition=None, num_completions=4, known=0.5, seed=0):
    """Draws images, what is left of them, and how a model completes that.

    One row per image: the image, its upper part with mid-gray below, `num_completions` completions.

    Args:
        model: Model with the verb `complete`.
        images: float32 array in [0, 1], shape `(num_images, height, width, channels)`.
        condition: One row per image for a conditional model; a tuple of such for several.
        num_completions: Number of completions per image.
        known: Share of the rows that is known, from the top.
        seed: Integer seed.

    Returns:
        uint8 array, shape `(grid_height, grid_width, channels)`.
    """
    images = np.asarray(images)
    mask = np.zeros(images.shape[1:3], bool)
    mask[: round(known * len(mask))] = True
    # All completions in one call: each row has a seed of its own.
    repeated = np.repeat(images, num_completions, axis=0)
    if condition is not None:
        condition = tf.nest.map_structure(
            lambda rows: np.repeat(rows, num_completions, axis=0), condition
        )
    completed = np.asarray(model.complete(repeated, mask=mask, condition=condition, seed=seed))
    completed = completed.reshape(len(images), num_completions, *images.shape[1:])
    hidden = np.where(mask[..., None], images, np.float32(0.5))
    rows = np.concatenate([images[:, None], hidden[:, None], completed], axis=1)
    return image_grid(rows.reshape(-1, *images.shape[1:]), columns=num_completions + 2)


def _drawn(images):
    """The images as a PNG can hold them: unusual numbers of channels side by side, in grey."""
    num_images, height, width, channels = images.shape
    if channels in CHANNELS:
        return images
    planes = np.moveaxis(images, 3, 2)
    return planes.reshape(num_images, height, channels * width, 1)


def _to_pixels(images):
    images = np.asarray(images)
    if not keras.backend.is_float_dtype(images.dtype.name):
        raise ValueError(
            f"Expected float images in [0, 1]. Received {images.dtype}. "
            "Divide images of 256 levels by 255."
        )
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            "Expected images of shape (num_images, height, width, channels), none of them 0. "
            f"Received {images.shape}."
        )
    images = _drawn(images).astype(np.float32)
    lowest, highest = images.min(), images.max()
    # Written so that NaN fails the comparison as well.
    if not (lowest >= -_RANGE_TOLERANCE and highest <= 1 + _RANGE_TOLERANCE):
        raise ValueError(
            f"Expected pixels in [0, 1]. Received pixels from {lowest} to {highest}. "
            "Rescale the images; NaN means that the model has diverged."
        )
    return np.rint(255 * images.clip(0, 1)).astype(np.uint8)
