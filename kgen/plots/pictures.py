"""What a picture is: a uint8 array that a PNG can hold."""

import numpy as np

CHANNELS = (1, 3, 4)
"""The numbers of channels that a PNG can hold here: gray, RGB, RGBA."""


class Picture(np.ndarray):
    """A uint8 array `(height, width, channels)` that a notebook shows as the picture it is.

    It is an array in all else: `np.asarray(picture)` is a plain one.
    """

    def _repr_png_(self):
        """The PNG that IPython shows; None for what is no picture, such as a row of pixels."""
        from kgen.plots.files import png_bytes

        if self.dtype != np.uint8 or self.ndim != 3 or self.shape[-1] not in CHANNELS:
            return None
        return png_bytes(np.asarray(self))


def check_picture(image, *, name="image"):
    """Returns `image` as an array if it is a picture that a PNG can hold.

    Args:
        image: uint8 array, shape `(height, width, channels)` with 1, 3 or 4 channels.
        name: What to call it in the error.

    Returns:
        The same values, as a NumPy array.

    Raises:
        ValueError: If it is something else.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or 0 in image.shape:
        raise ValueError(
            f"Expected {name} to be uint8 of shape (height, width, channels). "
            f"Received {image.dtype} of shape {image.shape}. image_grid makes one from images in "
            "[0, 1]."
        )
    if image.shape[-1] not in CHANNELS:
        raise ValueError(
            f"Expected {name} of 1 (gray), 3 (RGB) or 4 (RGBA) channels, the last axis. Received "
            f"{image.shape[-1]}. Choose the channels to show, such as images[..., :1]; image_grid "
            "draws any number of channels side by side."
        )
    return image
