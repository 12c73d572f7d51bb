"""Pictures of what a model has learned.

A function that draws returns an array; `save_png` is what writes it. So the same picture goes to a
file, to TensorBoard (`kgen.callbacks.PictureLogger`) or into a notebook.

The models only need the verbs that a picture uses: `sample`, `encode`, `decode`, `reconstruct`.
"""

import contextlib
import math
import os
import pathlib
import statistics

import keras
import numpy as np
import tensorflow as tf

_BACKGROUND = 255
_CHUNK = 256
_MIN_SIDE = 400
# A pixel may leave [0, 1] by the rounding of half precision, not by more.
_RANGE_TOLERANCE = 4e-3


def image_grid(images, *, columns=None, padding=1):
    """Lays images out row by row, on white.

    Args:
        images: float array in [0, 1], shape `(num_images, height, width, channels)` with 1 (gray),
            3 (RGB) or 4 (RGBA) channels.
        columns: Images in a row. By default the grid is as square as it can be.
        padding: Pixels between neighbours; none are added around the grid.

    Returns:
        uint8 array, shape `(rows * (height + padding) - padding, columns * (width + padding) -
        padding, channels)`.

    Raises:
        ValueError: If the images are not of that form, or `columns` or `padding` is out of range.
    """
    pixels = _to_pixels(images)
    num_images, height, width, channels = pixels.shape
    if columns is None:
        columns = math.ceil(math.sqrt(num_images))
    if columns < 1 or padding < 0:
        raise ValueError(
            "Expected columns >= 1 and padding >= 0. "
            f"Received columns={columns}, padding={padding}."
        )
    rows = math.ceil(num_images / columns)
    cell_height, cell_width = height + padding, width + padding
    canvas = np.full(
        (rows * cell_height, columns * cell_width, channels), _BACKGROUND, dtype=np.uint8
    )
    for index, image in enumerate(pixels):
        top, left = index // columns * cell_height, index % columns * cell_width
        canvas[top : top + height, left : left + width] = image
    return canvas[: rows * cell_height - padding, : columns * cell_width - padding]


def sample_grid(model, *, num_samples=64, seed=0):
    """Draws a grid of `model.sample(num_samples, seed=seed)`.

    A fixed seed shows the same latents at every epoch, so what changes is what was learned.

    Args:
        model: Model with the verb `sample`.
        num_samples: Number of images.
        seed: Integer seed, or None for new samples at each call.

    Returns:
        uint8 array, shape `(grid_height, grid_width, channels)`.
    """
    return image_grid(model.sample(num_samples, seed=seed))


def reconstruction_grid(model, images):
    """Draws each image directly above its reconstruction; pairs stand apart.

    Args:
        model: Model with the verb `reconstruct`.
        images: float32 array in [0, 1], shape `(num_images, height, width, channels)`.

    Returns:
        uint8 array, shape `(grid_height, grid_width, channels)`.

    Raises:
        ValueError: If the reconstructions differ in shape from the images.
    """
    images = np.asarray(images)
    reconstructions = np.asarray(model.reconstruct(images))
    if images.shape != reconstructions.shape:
        raise ValueError(
            f"Expected reconstructions of shape {images.shape}, as the images. "
            f"Received {reconstructions.shape}."
        )
    line = np.ones_like(images[:, :1])
    return image_grid(np.concatenate([images, line, reconstructions], axis=1), padding=4)


def latent_traversal(model, *, image=None, num_steps=9, limit=2.5, dims=None):
    """Draws what happens when one latent after the other moves from `-limit` to `limit`.

    Row r shows `decode(z)` with `z[dims[r]]` replaced by `num_steps` equally spaced values and all
    other latents left as they are.

    Args:
        model: Model with `latent_dim` and the verb `decode` (and `encode`, if an image is given).
        image: float32 array in [0, 1], shape `(height, width, channels)`: the traversal goes
            through its code. By default through z = 0, the mean of a standard normal prior.
        num_steps: Images in a row.
        limit: Half the range of the traversal, in the latents' unit.
        dims: Indices of the latents to move, one a row. By default all.

    Returns:
        uint8 array, shape `(grid_height, grid_width, channels)`.

    Raises:
        ValueError: If a latent does not exist, or `num_steps` is below 1.
    """
    dims = list(range(model.latent_dim)) if dims is None else list(dims)
    unknown = [dim for dim in dims if not 0 <= dim < model.latent_dim]
    if unknown or not dims or num_steps < 1:
        raise ValueError(
            f"Expected dims in 0..{model.latent_dim - 1}, at least one, and num_steps >= 1. "
            f"Received dims={dims}, num_steps={num_steps}."
        )
    if image is None:
        center = np.zeros(model.latent_dim, dtype=np.float32)
    else:
        center = np.asarray(model.encode(np.asarray(image)[np.newaxis]))[0]
    latents = np.tile(center, (len(dims), num_steps, 1)).astype(np.float32)
    for row, dim in enumerate(dims):
        latents[row, :, dim] = np.linspace(-limit, limit, num_steps)
    return image_grid(
        in_chunks(model.decode, latents.reshape(-1, model.latent_dim)), columns=num_steps
    )


def latent_manifold(model, *, num_steps=20):
    """Draws the images over the plane of two latents, evenly in probability.

    The coordinates are the standard normal's quantiles at (i + 1/2) / num_steps, so that each image
    stands for the same mass of the prior. The first latent grows to the right and the second
    upwards, as in `latent_scatter`.

    Args:
        model: Model with `latent_dim == 2` and the verb `decode`.
        num_steps: Images along each side.

    Returns:
        uint8 array, shape `(num_steps * height, num_steps * width, channels)`.

    Raises:
        ValueError: If the model has another number of latents, or `num_steps` is below 1.

    Reference:
        Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, figure 4.
    """
    if model.latent_dim != 2:
        raise ValueError(
            "Expected a model with latent_dim=2, because the manifold is drawn over a plane. "
            f"Received latent_dim={model.latent_dim}. Use latent_traversal for more latents."
        )
    if num_steps < 1:
        raise ValueError(f"Expected num_steps >= 1. Received num_steps={num_steps}.")
    normal = statistics.NormalDist()
    quantiles = [normal.inv_cdf((step + 0.5) / num_steps) for step in range(num_steps)]
    latents = [(right, up) for up in reversed(quantiles) for right in quantiles]
    images = in_chunks(model.decode, np.array(latents, dtype=np.float32))
    return image_grid(images, columns=num_steps, padding=0)


def latent_scatter(model, images, labels):
    """Draws the codes of labelled images as points, one color a label, with a legend.

    The axes are the two latents if the model has two, else the first two principal components of
    these codes, each with its share of their variance.

    Args:
        model: Model with the verb `encode`.
        images: float32 array in [0, 1], shape `(num_images, height, width, channels)`.
        labels: Integers or strings, shape `(num_images,)`.

    Returns:
        uint8 array, RGB, shape `(700, 800, 3)`.

    Raises:
        ValueError: If there is not one label an image, or there are fewer than two latents or
            images.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    images, labels = np.asarray(images), np.asarray(labels)
    if labels.shape != images.shape[:1]:
        raise ValueError(
            f"Expected one label an image, shape {images.shape[:1]}. Received {labels.shape}."
        )
    points, axis_names = _to_plane(in_chunks(model.encode, images))
    names = np.unique(labels)
    palette = "tab10" if len(names) <= 10 else "tab20" if len(names) <= 20 else "turbo"
    colors = matplotlib.colormaps[palette]
    figure = Figure(figsize=(8, 7), dpi=100, layout="constrained")
    axes = figure.add_subplot(xlabel=axis_names[0], ylabel=axis_names[1])
    for index, name in enumerate(names):
        chosen = points[labels == name]
        color = colors(index if palette != "turbo" else index / (len(names) - 1))
        axes.scatter(chosen[:, 0], chosen[:, 1], s=8, color=color, label=str(name))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=2, frameon=False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def training_curves(history, path):
    """Draws every logged value over the epochs and writes the picture as PNG.

    A term and its validation share a panel.

    Args:
        history: What `fit` returns, or its `history`: a dict of name -> one number an epoch.
        path: Where the PNG is written.

    Raises:
        ValueError: If the history is empty, or `path` does not end in `.png`.
    """
    from matplotlib.figure import Figure

    path = _png_path(path)
    curves = getattr(history, "history", history)
    names = list(dict.fromkeys(name.removeprefix("val_") for name in curves))
    if not names:
        raise ValueError("Expected a history of at least one epoch. Received an empty one.")
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(5 * columns, 3.5 * rows), dpi=100, layout="constrained")
    for index, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, index + 1, title=name, xlabel="epoch")
        num_epochs = len(curves.get(name, curves.get(f"val_{name}")))
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            if values := curves.get(key):
                # With validation_freq = n there is one validation in n epochs.
                stride = max(1, num_epochs // len(values))
                epochs = stride * np.arange(1, len(values) + 1)
                axes.plot(epochs, values, label=label, marker="." if len(values) < 30 else None)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    with replace_atomically(path) as stream:
        figure.savefig(stream, format="png")


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
    path = _png_path(path)
    image = check_picture(image)
    if scale is None:
        scale = math.ceil(_MIN_SIDE / min(image.shape[:2]))
    if scale < 1 or int(scale) != scale:
        raise ValueError(f"Expected scale to be a whole number >= 1. Received scale={scale}.")
    enlarged = image.repeat(int(scale), axis=0).repeat(int(scale), axis=1)
    with replace_atomically(path) as stream:
        stream.write(tf.io.encode_png(enlarged).numpy())


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
    _check_channels(image.shape[-1])
    return image


@contextlib.contextmanager
def replace_atomically(path):
    """Opens a binary stream whose content takes the place of `path` when the block ends well.

    Until then the content has a temporary name in the same folder. If the block raises, the old
    file stays as it was; a process that is killed leaves the temporary file behind as well. A
    reader never sees a part of the content, and a power failure does not either, because the
    content is flushed to the disk before it gets its name.

    Args:
        path: The file to write; missing folders are made.

    Yields:
        A binary stream, open for writing.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        # The rename itself lives in the folder, which has to reach the disk too.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


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
    _check_channels(images.shape[-1])
    images = images.astype(np.float32)
    lowest, highest = images.min(), images.max()
    # Written so that NaN fails the comparison as well.
    if not (lowest >= -_RANGE_TOLERANCE and highest <= 1 + _RANGE_TOLERANCE):
        raise ValueError(
            f"Expected pixels in [0, 1]. Received pixels from {lowest} to {highest}. "
            "Rescale the images; NaN means that the model has diverged."
        )
    return np.rint(255 * images.clip(0, 1)).astype(np.uint8)


def _check_channels(channels):
    if channels not in (1, 3, 4):
        raise ValueError(
            "Expected 1 (gray), 3 (RGB) or 4 (RGBA) channels, the last axis. "
            f"Received {channels}. Choose the channels to show, such as images[..., :1]."
        )


def _png_path(path):
    path = pathlib.Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"Expected a path that ends in .png. Received {str(path)!r}.")
    return path


def in_chunks(function, inputs):
    """Applies a verb to at most 256 rows at a time, which bounds the memory it takes."""
    starts = range(0, len(inputs), _CHUNK)
    return np.concatenate([np.asarray(function(inputs[at : at + _CHUNK])) for at in starts])


def _to_plane(codes):
    codes = codes.reshape(len(codes), -1)
    if codes.shape[1] < 2 or len(codes) < 2:
        raise ValueError(
            "Expected at least 2 images with at least 2 latents each, to draw them in a plane. "
            f"Received codes of shape {codes.shape}."
        )
    if codes.shape[1] == 2:
        return codes, ("latent 0", "latent 1")
    from sklearn.decomposition import PCA

    projection = PCA(n_components=2, svd_solver="full")
    points = projection.fit_transform(codes)
    shares = projection.explained_variance_ratio_
    return points, [f"component {i} ({share:.0%} of variance)" for i, share in enumerate(shares)]
