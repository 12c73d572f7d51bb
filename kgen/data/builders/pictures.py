"""Pictures from disk as a person sees them: upright, on a background, with all their levels."""

import collections
import concurrent.futures
import contextlib
import functools
import importlib.util
import io
import os

import numpy as np

# What Pillow knows by its ending and cannot draw without other programs, or at all.
_EIGHT_BITS = (".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".webp")
_NOT_DRAWN = ("BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF")


def suffixes():
    """The endings of files that Pillow reads, in lower case, such as ".png"."""
    from PIL import Image

    Image.init()
    known = Image.registered_extensions().items()
    return {end for end, kind in known if kind in Image.OPEN and kind not in _NOT_DRAWN}


def stored_dtype(paths, channels, value_range=None):
    """The dtype that holds every level of pictures: NumPy's scalar type.

    uint8, uint16 for 16-bit pictures, float32 for those of floats or of integers with a range
    beyond 16 bits. The headers of all files are read, but of those whose format has 8 bits.
    """
    found = {np.uint8}
    for path in paths:
        if channels in (1, 3) and path.suffix.lower() in _EIGHT_BITS:
            continue
        try:
            found.add(_dtype_of(path, channels))
        except Exception:  # damaged: whoever reads it says so
            continue
    widest = max(found, key=lambda dtype: np.dtype(dtype).itemsize)
    if value_range is None or widest is np.float32:
        return widest
    span = value_range[1] - value_range[0]
    if span != int(span):
        return np.float32
    return np.uint8 if span < 256 else np.uint16 if span < 65536 else np.float32


@functools.cache
def _dtype_of(path, channels):
    with _opened(path, channels) as file:
        if file is not None:
            is_deep = file.mode.startswith("I") or _is_deep_colour(file)
            return np.float32 if file.mode == "F" else np.uint16 if is_deep else np.uint8
    kind = _read_tiff(path).dtype
    is_float = np.issubdtype(kind, np.floating)
    return np.float32 if is_float else np.uint8 if kind == np.uint8 else np.uint16


def _is_deep_colour(file):
    """Whether it has several channels of 16 bits, of which Pillow would keep 8."""
    if not file.mode.startswith("I") and _bits_that_pillow_drops(file) > 8:
        return True
    raw = file.tile[0][3] if file.tile else ""
    raw = raw[0] if isinstance(raw, tuple) and raw else raw
    return isinstance(raw, str) and ";16" in raw and not file.mode.startswith("I")


def _bits_that_pillow_drops(file):
    """The bits per channel of a PPM or JPEG 2000, of which Pillow says 8 in its mode; else 0."""
    if file.format == "PPM":
        return int(file.tile[0][3][1]).bit_length() if isinstance(file.tile[0][3], tuple) else 0
    if file.format != "JPEG2000":
        return 0
    place = file.fp.tell()
    file.fp.seek(0)
    head = file.fp.read(4096)
    file.fp.seek(place)
    # A box "ihdr" (height, width, channels, bits) in .jp2; the marker SIZ in a bare codestream.
    box = head.find(b"ihdr")
    bits = head[box + 14] if box >= 0 else head[42]
    return 1 + (bits & 0x7F)


def read(path, *, size, channels, background, value_range, dtype):
    """A picture, turned upright, on its background, scaled to cover a size and cropped.

        stored = (value - low) / (high - low) * top,    top = 1 for floats, else the last level

    Args:
        path: a file that Pillow reads, or for other numbers of channels a TIFF.
        size: `(height, width)`.
        channels: 1 (grey), 3 (colour), or the number that the file has.
        background: a colour as `PIL.ImageColor.getrgb` takes it, or "keep" for a channel more.
        value_range: `(low, high)`, or None for the range of a file's own dtype, [0, 1] for floats.
        dtype: of `stored_dtype`.

    Returns:
        Array of `dtype`, `(height, width, channels)`, one channel more with "keep".

    Raises:
        ValueError: for levels that the dtype or the range does not hold.
        Exception: what Pillow raises for a damaged file.
    """
    from PIL import Image, ImageOps

    with _opened(path, channels) as file:
        if file is None:
            values = _read_tiff(path)
            if values.shape[2] != channels and (channels not in (1, 3) or values.shape[2] > 4):
                raise ValueError(f"it has {values.shape[2]} channels, not {channels}")
        elif _is_deep_colour(file):
            values = _read_deep_colour(path, file)
        elif file.mode == "I" and _is_unsigned(file):
            values = np.asarray(ImageOps.exif_transpose(file)).view(np.uint32)[..., None]
        elif file.mode == "F" or file.mode.startswith("I"):
            values = np.asarray(ImageOps.exif_transpose(file))[..., None]
            if _is_negative(file):
                values = np.iinfo(np.uint16).max - values
        else:
            image = _in_srgb(ImageOps.exif_transpose(file))
            if value_range is None and dtype == np.uint8:
                image = _on_background(image, channels, background)
                image = ImageOps.fit(image, size[::-1], method=Image.Resampling.LANCZOS)
                return np.asarray(image).reshape(*size, -1)
            grey = image.mode in ("1", "L", "LA")
            alpha = "A" if image.has_transparency_data else ""
            values = np.asarray(image.convert(("L" if grey else "RGB") + alpha))
            values = values.reshape(*values.shape[:2], -1)
    low, high = value_range or _own_range(values.dtype)
    values = _to_unit(values, low, high, channels, background)
    values = np.clip(_fit(values, size), 0.0, 1.0)
    if dtype == np.float32:
        return values
    return np.round(values.astype(np.float64) * top_level(dtype, value_range)).astype(dtype)


@contextlib.contextmanager
def _opened(path, channels):
    """The file as Pillow opens it, or None for a TIFF that it does not know."""
    from PIL import Image, UnidentifiedImageError

    # Not by its path: Pillow then maps some TIFFs into memory, and turns them wrongly.
    with contextlib.ExitStack() as stack:
        file = None
        if channels in (1, 3):
            stream = stack.enter_context(open(path, "rb"))
            try:
                file = stack.enter_context(Image.open(stream))
            except UnidentifiedImageError:
                is_tiff = os.fspath(path).lower().endswith((".tif", ".tiff"))
                can_read = is_tiff and importlib.util.find_spec("tifffile") is not None
                if not can_read or not os.path.getsize(path):
                    raise
        yield file


def _upright(values, orientation):
    """Turns an array as a mark of orientation, 1 to 8, says."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return values


def top_level(dtype, value_range=None):
    """The stored value of white: 255, 65535, the span of a range; or None for floats."""
    if dtype == np.float32:
        return None
    return np.iinfo(dtype).max if value_range is None else int(value_range[1] - value_range[0])


def _own_range(kind):
    return (0, 1) if np.issubdtype(kind, np.floating) else (0, min(np.iinfo(kind).max, 65535))


def _on_background(image, channels, background):
    """A picture of 8 bits, its transparent parts on the background or kept as a channel."""
    from PIL import Image, ImageColor

    mode = "RGB" if channels == 3 else "L"
    if background == "keep":
        return image.convert("RGBA").convert(mode + "A")
    if not image.has_transparency_data:
        return image.convert(mode)
    image = image.convert("RGBA")
    canvas = Image.new("RGBA", image.size, (*ImageColor.getrgb(background)[:3], 255))
    return Image.alpha_composite(canvas, image).convert(mode)


def _to_unit(values, low, high, channels, background):
    """Raw values `(height, width, 1 to 4 or channels)` as [0, 1], on their background."""
    from PIL import ImageColor

    kind, alpha = values.dtype, None
    if channels in (1, 3) and values.shape[2] in (2, 4):
        values, alpha = values[..., :-1], values[..., -1:] / np.iinfo(kind).max
    if not np.isfinite(values).all():
        raise ValueError("it holds NaN or infinite values")
    if values.min() < low or values.max() > high:
        raise ValueError(
            f"its values go from {values.min():g} to {values.max():g}, beyond {low:g} to {high:g}; "
            "value_range=(low, high) says what is black and what is white"
        )
    values = (values.astype(np.float64) - low) / (high - low)
    if channels not in (1, 3):
        return values
    if values.shape[2] == 1 and channels == 3:
        values = np.repeat(values, 3, axis=2)
    if alpha is not None and background != "keep":
        colour = np.array(ImageColor.getrgb(background)[: values.shape[2]]) / 255
        values = alpha * values + (1 - alpha) * colour
    if values.shape[2] == 3 and channels == 1:
        # The weights of Pillow's mode "L" (ITU-R 601-2).
        values = values @ np.array([[0.299], [0.587], [0.114]])
    if background == "keep":
        opaque = np.ones_like(values[..., :1])
        values = np.concatenate([values, opaque if alpha is None else alpha], axis=2)
    return values


def _fit(values, size):
    """Scaled to cover a size and cropped, as float32; values that keep their size do not change."""
    from PIL import Image, ImageOps

    planes = [Image.fromarray(plane) for plane in np.moveaxis(values.astype(np.float32), 2, 0)]
    fit = functools.partial(ImageOps.fit, size=size[::-1], method=Image.Resampling.LANCZOS)
    return np.stack([np.asarray(fit(plane)) for plane in planes], axis=2)


def _in_srgb(image):
    """A colour picture of 8 bits in sRGB, which screens and models take it for.

    Telephones store Display P3, cameras Adobe RGB: their profile says so.
    """
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "RGBA", "CMYK"):
        return image
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    transform = _to_srgb(profile, image.mode, mode)
    if transform is None:
        return image
    from PIL import ImageCms

    return ImageCms.applyTransform(image, transform)


@functools.lru_cache(maxsize=64)
def _to_srgb(profile, mode, new_mode):
    """The transform of a profile, or None where it is sRGB already or cannot be read."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if mode != "CMYK" and "srgb" in ImageCms.getProfileDescription(source).lower():
            return None
        target = ImageCms.createProfile("sRGB")
        return ImageCms.buildTransform(source, target, mode, new_mode)
    except (ImageCms.PyCMSError, OSError):
        return None


def _is_unsigned(file):
    """Whether a TIFF of 32-bit integers, which Pillow reads as signed ones, has unsigned ones."""
    return file.format == "TIFF" and file.tag_v2.get(339, (1,))[0] == 1


def _is_negative(file):
    """Whether 0 is white in a 16-bit grey TIFF, which Pillow does not look at."""
    is_tiff = file.format == "TIFF" and file.mode.startswith("I;16")
    return is_tiff and file.tag_v2.get(262) == 0


def _read_deep_colour(path, file):
    if file.format in ("PPM", "JPEG2000"):
        raise ValueError(
            f"of its 16 bits per channel Pillow keeps 8: convert {file.format} to PNG or TIFF"
        )
    if file.format != "PNG":
        return _read_tiff(path)
    import tensorflow as tf

    values = tf.io.decode_png(tf.io.read_file(os.fspath(path)), dtype=tf.uint16).numpy()
    return _upright(values, file.getexif().get(0x0112, 1))


def _read_tiff(path):
    if importlib.util.find_spec("tifffile") is None:
        raise ImportError("TIFF of this kind needs tifffile: pip install kgen[tiff]")
    import tifffile

    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        values, tag = page.asarray(), page.tags.get(274)
        if page.photometric == 0 and np.issubdtype(values.dtype, np.integer):
            values = np.iinfo(values.dtype).max - values
    values = values[..., None] if values.ndim == 2 else values
    return _upright(values, 1 if tag is None else int(tag.value))


def read_all(paths, read_one):
    """Yields `(path, array or exception)` in order, read on all cores.

    Args:
        paths: sequence of paths.
        read_one: function of a path.
    """
    num_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4
    waiting = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(num_threads) as pool:
        for path in paths:
            waiting.append((path, pool.submit(read_one, path)))
            if len(waiting) > 4 * num_threads:
                yield _outcome(*waiting.popleft())
        while waiting:
            yield _outcome(*waiting.popleft())


def _outcome(path, future):
    error = future.exception()
    return path, future.result() if error is None else error
