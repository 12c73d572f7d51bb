"""Colour profiles in pictures: what a camera or a printer meant by its numbers."""

import functools
import io
import warnings

import numpy as np

# Of 256 levels: what rounding makes of a profile that is sRGB under another name.
_ROUNDING = 2


def to_srgb(image):
    """A picture of 8 bits in sRGB, which screens and models take it for.

    Telephones store Display P3, cameras Adobe RGB, printers CMYK: their profile says so. A profile
    that cannot be read, or is one of other channels, is ignored with a warning.

    Args:
        image: PIL image.

    Returns:
        PIL image, RGB or RGBA where something had to be done.
    """
    profile = image.info.get("icc_profile")
    if not profile:
        return image
    grey = image.mode in ("1", "L", "LA", "La")
    mode = image.mode if image.mode in ("CMYK", "LAB") else "L" if grey else "RGB"
    mode, transform = _transform(profile, mode)
    if transform is None:
        return image
    from PIL import ImageCms

    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    image = ImageCms.applyTransform(image.convert(mode), transform)
    if alpha is not None:
        image.putalpha(alpha)
    return image


def changes_colours(profile):
    """Whether a profile of RGB or of grey says something else than sRGB."""
    return bool(profile) and _transform(profile, "RGB")[1] is not None


@functools.lru_cache(maxsize=64)
def _transform(profile, mode):
    """`(mode that it takes, transform)`; no transform where it would do nothing."""
    from PIL import Image, ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        if mode in ("L", "RGB"):
            # Grey pictures have profiles of grey or of colour.
            mode = {"GRAY": "L", "RGB": "RGB"}.get(space, mode)
        target = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(source, target, mode, "RGB")
    except (ImageCms.PyCMSError, ImportError, OSError) as error:
        warnings.warn(
            f"A colour profile of {len(profile):,} bytes cannot be read for a picture of mode "
            f"{mode} ({error}), and is ignored.",
            stacklevel=2,
        )
        return mode, None
    if mode in ("CMYK", "LAB"):
        return mode, transform
    levels = np.linspace(0, 255, 6).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(36, 6, 3)
    tried = Image.fromarray(colours).convert(mode)
    change = np.asarray(ImageCms.applyTransform(tried, transform), int)
    change = np.abs(change - np.asarray(tried.convert("RGB"), int)).max()
    return mode, transform if change > _ROUNDING else None
