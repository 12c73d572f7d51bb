"""Pictures of a latent space: traversals, the plane of two latents, codes as points."""

import functools
import statistics

import numpy as np

from kgen.chunks import in_chunks
from kgen.plots.figures import rasterize
from kgen.plots.grids import image_grid
from kgen.seeds import seed_rows


def latent_traversal(model, *, image=None, num_steps=9, limit=2.5, dims=None, condition=None):
    """Draws what happens when one latent after the other moves from `-limit` to `limit`.

    Row r shows `decode(z)` with `z[dims[r]]` replaced by `num_steps` equally spaced values and all
    other latents left as they are.

    Args:
        model: Model with `latent_dim` and the verb `decode` (and `encode`, if an image is given).
        image: float32 array in [0, 1], shape `(height, width, channels)`: the traversal goes
            through its code. By default through z = 0, the mean of a standard normal prior.
        num_steps: Images in a row.
        limit: Half the range of the traversal, in the latents' unit.
        dims: Indices of the latents to move, one per row. By default all.
        condition: One value for all images, for a conditional model.

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
    given = {} if condition is None else {"condition": condition}
    if image is None:
        center = np.zeros(model.latent_dim, dtype=np.float32)
    else:
        center = np.asarray(model.encode(np.asarray(image)[np.newaxis], **given))[0]
    latents = np.tile(center, (len(dims), num_steps, 1)).astype(np.float32)
    for row, dim in enumerate(dims):
        latents[row, :, dim] = np.linspace(-limit, limit, num_steps)
    decode = functools.partial(model.decode, **given)
    return image_grid(in_chunks(decode, latents.reshape(-1, model.latent_dim)), columns=num_steps)


def interpolation_grid(model, *, num_paths=8, num_steps=10, condition=None, seed=0):
    """Draws paths between random latents, one per row.

    Args:
        model: Model with `sample_latents` and the verb `interpolate`, such as `kgen.GAN`. A
            label-conditional one draws its classes in turn.
        num_paths: Rows.
        num_steps: Images in a row, both ends included.
        condition: One row per path for a conditional model. None for all classes in turn.
        seed: Integer.

    Returns:
        uint8 array, shape `(grid_height, grid_width, channels)`.
    """
    rows = seed_rows(seed, 2 * num_paths)
    start, end = model.sample_latents(rows[:num_paths]), model.sample_latents(rows[num_paths:])
    if condition is None and getattr(model, "condition", None) is not None:
        condition = model.conditions_in_turn(num_paths)
    given = {} if condition is None else {"condition": condition}
    path = np.asarray(model.interpolate(start, end=end, num_steps=num_steps, **given))
    return image_grid(path.reshape(-1, *path.shape[2:]), columns=num_steps)


def latent_manifold(model, *, num_steps=20, condition=None):
    """Draws the images over the plane of two latents, evenly in probability.

    The coordinates are the standard normal's quantiles at (i + 1/2) / num_steps, so that each image
    stands for the same mass of the prior. The first latent grows to the right and the second
    upwards, as in `latent_scatter`.

    Args:
        model: Model with `latent_dim == 2` and the verb `decode`.
        num_steps: Images along each side.
        condition: One value for all images, for a conditional model.

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
    given = {} if condition is None else {"condition": condition}
    decode = functools.partial(model.decode, **given)
    images = in_chunks(decode, np.array(latents, dtype=np.float32))
    return image_grid(images, columns=num_steps, padding=0)


def latent_scatter(model, images, labels, *, projection=None):
    """Draws the codes of labelled images as points, one color per label, with a legend.

    The axes are the two latents if the model has two, else the first two principal components of
    these codes, each with its share of their variance; or the plane of `projection`. Principal
    components keep the distances that they can, t-SNE the neighbours, which shows clusters:

        projection=sklearn.manifold.TSNE(metric="cosine", random_state=0)

    Args:
        model: Model with the verb `encode`, or else `embed`.
        images: float32 array in [0, 1], shape `(num_images, height, width, channels)`.
        labels: Integers or strings, shape `(num_images,)`.
        projection: Object with scikit-learn's `fit_transform`, from codes `(num_images, dim)` to
            points `(num_images, 2)`; or None.

    Returns:
        uint8 array, RGB, shape `(700, 800, 3)`.

    Raises:
        TypeError: If the model has neither verb.
        ValueError: If there is not one label per image, there are fewer than two latents or images,
            or `projection` gives other points.
    """
    import matplotlib
    from matplotlib.figure import Figure

    images, labels = np.asarray(images), np.asarray(labels)
    if labels.shape != images.shape[:1]:
        raise ValueError(
            f"Expected one label per image, shape {images.shape[:1]}. Received {labels.shape}."
        )
    points, axis_names = _to_plane(codes_of(model, images), projection)
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
    return rasterize(figure)


def codes_of(model, images):
    """What `encode` gives of images, or where a model has no such verb, `embed`; in chunks.

    Args:
        model: Model with one of these verbs.
        images: float32 array in [0, 1], shape `(num_images, height, width, channels)`.

    Returns:
        NumPy array of `num_images` codes.

    Raises:
        TypeError: If the model has neither.
    """
    for name in ("encode", "embed"):
        if callable(getattr(model, name, None)):
            return in_chunks(getattr(model, name), images)
    raise TypeError(
        f"Expected a model with the verb encode or embed. Received {type(model).__name__}, which "
        "has neither."
    )


def _to_plane(codes, projection):
    codes = codes.reshape(len(codes), -1)
    if codes.shape[1] < 2 or len(codes) < 2:
        raise ValueError(
            "Expected at least 2 images with at least 2 latents each, to draw them in a plane. "
            f"Received codes of shape {codes.shape}."
        )
    if projection is not None:
        points = np.asarray(projection.fit_transform(codes))
        if points.shape != (len(codes), 2):
            raise ValueError(
                f"Expected a projection to two components, points of shape ({len(codes)}, 2). "
                f"Received {points.shape} from {type(projection).__name__}."
            )
        return points, [f"{type(projection).__name__} {i}" for i in range(2)]
    if codes.shape[1] == 2:
        return codes, ("latent 0", "latent 1")
    from sklearn.decomposition import PCA

    projection = PCA(n_components=2, svd_solver="full")
    points = projection.fit_transform(codes)
    shares = projection.explained_variance_ratio_
    return points, [f"component {i} ({share:.0%} of variance)" for i, share in enumerate(shares)]
