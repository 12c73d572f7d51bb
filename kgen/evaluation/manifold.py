"""Precision, recall, density, coverage, and the training images nearest to samples."""

import numpy as np

from kgen import checks
from kgen.evaluation.features import all_features, describe, image_batches, two_sets

# Distances are measured in blocks of this size.
_BLOCK_MEGABYTES = 256
# Of |x|^2 - 2 x.y + |y|^2 in float64, relative to the largest |x|^2, with room to spare.
_ROUNDING = 1e-12


def precision_recall_density_coverage(real, generated, extractor, *, num_neighbours=5):
    """How much of what is generated looks real, and how much of what is real is generated.

        ball(x)   = all points no farther from x than its k-th nearest neighbour of x's own kind
        precision = share of generated y in any ball of a real x
        recall    = share of real x in any ball of a generated y
        density   = number of balls of real x around a generated y, averaged over y, over k
        coverage  = share of real x with any generated y in its ball

    Precision, recall and coverage are in [0, 1]; density is 1 on average for equal distributions
    and may be above. All depend on k and on both numbers of images. The features of both sets are
    held in memory; the distances are not.

    Ties count: a point on the edge of a ball is inside, up to rounding, and duplicates are
    neighbours of each other at distance 0. So a set against itself has precision, recall and
    coverage 1 and, where no two distances are equal, density (k + 1) / k: each ball holds its
    centre and k others. The code of Naeem et al. leaves the edge out. Its density of a set against
    itself is 1, but a ball around one of more than k duplicates holds nothing at all there.

    Args:
        real: tf.data.Dataset of image batches, or of `(images, ...)`; or a NumPy array or tensor
            `(n, height, width, channels)`; float32 in [0, 1].
        generated: as `real`.
        extractor: built keras.Model from images to vectors `(batch, dim)`; its name, and its
            attribute `protocol` if it has one, go into the protocol. None where `real` and
            `generated` are arrays of features `(n, dim)`.
        num_neighbours: int >= 1, k; below the number of images of each kind.

    Returns:
        dict of four results `precision`, `recall`, `density`, `coverage`, each a dict with `value`
        and `protocol`.

    Raises:
        ValueError: for too few images, images that the extractor does not take, an extractor that
            gives no vectors, or features that are not finite.

    Reference: Kynkaanniemi et al. 2019, "Improved precision and recall metric for assessing
        generative models", eqs. 1 and 2; Naeem et al. 2020, "Reliable fidelity and diversity
        metrics for generative models", section 3.
    """
    checks.positive_integer("num_neighbours", num_neighbours)
    real, generated = two_sets(extractor, real=real, generated=generated)
    for role, features in (("real", real), ("generated", generated)):
        if len(features) <= num_neighbours:
            raise ValueError(
                f"{num_neighbours} neighbours take at least {num_neighbours + 1} {role} images, "
                f"received {len(features)}."
            )
    # A common shift keeps the distances and takes out what would cancel in |x|^2 - 2 x.y + |y|^2.
    center = real.mean(axis=0, dtype=np.float64)
    real, generated = real - center, generated - center
    rounding = _ROUNDING * max(np.square(part).sum(axis=1).max() for part in (real, generated))
    real_edges = _squares_to_others(real, num_neighbours) + rounding
    generated_edges = _squares_to_others(generated, num_neighbours) + rounding
    balls_around_generated = _count_balls(generated, real, real_edges)
    balls_around_real = _count_balls(real, generated, generated_edges)
    nearest_generated = _fit(generated, 1).kneighbors(real)[0][:, 0] ** 2
    values = dict(
        precision=(balls_around_generated > 0).mean(),
        recall=(balls_around_real > 0).mean(),
        density=balls_around_generated.mean() / num_neighbours,
        coverage=(nearest_generated <= real_edges).mean(),
    )
    protocol = (
        f"k={num_neighbours}, {real.shape[1]} features of {describe(extractor)}, {len(real)} real "
        f"and {len(generated)} generated images"
    )
    figures = {
        name: dict(value=float(value), protocol=f"{name}, {protocol}")
        for name, value in values.items()
    }
    for name, note in _notes(values["precision"], values["recall"]).items():
        figures[name]["note"] = note
    return figures


def _notes(precision, recall):
    """What a pair of figures that looks wrong at first means: name -> text."""
    if precision > 0.9 and recall < 0.1:
        return dict(
            recall="the samples lie close together among the real images, so that no real one lies "
            "among them: mode collapse, or images too smooth; high precision alone says little"
        )
    if recall > 0.9 and precision < 0.1:
        return dict(
            precision="the samples are far from the real images and far apart, so that their balls "
            "hold all real ones: noise; high recall alone says little"
        )
    return {}


def nearest_neighbours(samples, training_images, *, extractor=None, num_neighbours=5):
    """The training images nearest to each sample, to see memorization.

        ratio(y) = |y - x| / |x - x'|,  x the training image nearest to y,
                                        x' the other training image nearest to x

    A copied training image has a ratio of 0; a new image like the training images has one of about
    1. To judge the value, compare it with that of test images in the place of the samples.

    Args:
        samples: tf.data.Dataset of image batches, or of `(images, ...)`; or a NumPy array or tensor
            `(n, height, width, channels)`; float32 in [0, 1].
        training_images: as `samples`, in a fixed order, which is what the indices count.
        extractor: built keras.Model from images to vectors `(batch, dim)`, or None for distances
            of pixels.
        num_neighbours: int >= 1.

    Returns:
        dict with `value` (the median of the ratios), `ratios` `(n,)`, `indices` and `distances`
        (Euclidean) `(n, num_neighbours)`, nearest first, and `protocol`. Where x has a duplicate,
        the ratio is 0 for a copy and otherwise infinite.

    Raises:
        ValueError: for too few training images, images of different sizes, or images that the
            extractor does not take.
    """
    checks.positive_integer("num_neighbours", num_neighbours)
    if extractor is None:
        samples = _pixels("sampled", samples)
        training_images = _pixels("training", training_images)
        space = "pixels"
    else:
        samples = all_features("sampled", samples, extractor)
        training_images = all_features("training", training_images, extractor)
        space = f"features of {describe(extractor)}"
    if samples.shape[1] != training_images.shape[1]:
        raise ValueError(
            f"The samples have {samples.shape[1]} values an image, the training images "
            f"{training_images.shape[1]}. Both must have the same height, width and channels."
        )
    if len(training_images) < max(2, num_neighbours):
        raise ValueError(
            f"{num_neighbours} neighbours take at least {max(2, num_neighbours)} training images, "
            f"received {len(training_images)}."
        )
    search = _fit(training_images, num_neighbours)
    indices = search.kneighbors(samples, return_distance=False)
    distances = _measure(samples, training_images, indices)
    nearest = training_images[indices[:, 0]]
    # Of the two training images nearest to one of them, one is itself, or a duplicate.
    pairs = search.kneighbors(nearest, n_neighbors=2, return_distance=False)
    spacing = _measure(nearest, training_images, pairs).max(axis=1)
    ratios = np.where(distances[:, 0] > 0, np.inf, 0.0)
    np.divide(distances[:, 0], spacing, out=ratios, where=spacing > 0)
    return dict(
        value=float(np.median(ratios)),
        ratios=ratios,
        indices=indices,
        distances=distances,
        protocol=(
            f"median over {len(samples)} samples of the distance to the nearest of "
            f"{len(training_images)} training images, over the distance of that one to its own "
            f"nearest other training image, Euclidean in {space}"
        ),
    )


def _fit(features, num_neighbours):
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=num_neighbours).fit(features)


def _squares_to_others(features, num_neighbours):
    """The squared distance of each row to its k-th nearest other; duplicates count as others."""
    return _fit(features, num_neighbours).kneighbors()[0][:, -1] ** 2


def _count_balls(points, centers, edges):
    """In how many balls each of `points` lies: those around `centers`, of squared radii `edges`."""
    from sklearn.metrics import pairwise_distances_chunked

    blocks = pairwise_distances_chunked(
        points,
        centers,
        metric="sqeuclidean",
        reduce_func=lambda squares, start: (squares <= edges).sum(axis=1),
        working_memory=_BLOCK_MEGABYTES,
    )
    return np.concatenate(list(blocks))


def _measure(points, others, indices):
    """Distances from each point to `others[indices]`, without the rounding of the search."""
    columns = [np.linalg.norm(points - others[column], axis=1) for column in indices.T]
    return np.stack(columns, axis=1).astype(np.float64)


def _pixels(role, images):
    return np.concatenate([batch.reshape(len(batch), -1) for batch in image_batches(role, images)])
