"""Pictures as PNG files."""

import math
import pathlib

import tensorflow as tf

from kgen.files import replace_atomically
from kgen.plots.pictures import check_picture

_MIN_SIDE = 400


def save_png(image, path, *, scale=None):
    """Writes an image as PNG; the file appears whole or not at all.

    Args:
        image: uint8 array, shape `(height, width, channels)` with 1, 3 or 4 channels.
        path: Where to write; ends in `.png`. Missing folders are made.
        scale: Each pixel becomes `scale` x `scale` pixels. By default the least whole number that
            makes the shorter side 400 pixels or more, so that a grid of tiny images can be seen.

    Raises:
        ValueError: If the image, the path's ending or the scale is not as expected.
    """
    path, content = png_path(path), png_bytes(check_picture(image), scale=scale)
    with replace_atomically(path) as stream:
        stream.write(content)


def png_bytes(image, *, scale=None):
    """A picture as the bytes of a PNG file; `scale` as for `save_png`."""
    if scale is None:
        scale = math.ceil(_MIN_SIDE / min(image.shape[:2]))
    if scale < 1 or int(scale) != scale:
        raise ValueError(f"Expected scale to be a whole number >= 1. Received scale={scale}.")
    enlarged = image.repeat(int(scale), axis=0).repeat(int(scale), axis=1)
    return tf.io.encode_png(enlarged).numpy()


def png_path(path):
    """Returns `path` as a `pathlib.Path`; raises ValueError unless it ends in `.png`."""
    path = pathlib.Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"Expected a path that ends in .png. Received {str(path)!r}.")
    return path
