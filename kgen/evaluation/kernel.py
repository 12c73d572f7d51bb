"""The kernel distance between features of real and of generated images (KID)."""

import math

import numpy as np

from kgen import checks
from kgen.evaluation.features import describe, two_sets


def kernel_distance(real, generated, extractor, *, num_subsets=100, subset_size=1000, seed=0):
    """Squared maximum mean discrepancy of the features, without bias; lower is better.

        k(x, y) = (x^T y / dim + 1)^3
        MMD^2   = 1 / (m (m - 1)) sum_{i != j} [k(x_i, x_j) + k(y_i, y_j)]
                  - 2 / m^2 sum_{i, j} k(x_i, y_j)

    averaged over subsets of m real and m generated images. Without bias means that equal
    distributions give 0 on average, at any m; a single value may well be negative.

    Args:
        real: tf.data.Dataset of image batches, or of `(images, ...)`; or a NumPy array or tensor
            `(n, height, width, channels)`; float32 in [0, 1].
        generated: as `real`.
        extractor: built keras.Model from images to vectors `(batch, dim)`; its name, and its
            attribute `protocol` if it has one, go into the protocol. None where `real` and
            `generated` are arrays of features `(n, dim)`.
        num_subsets: int >= 1. Where m is the number of all real and of all generated images, every
            subset would be the same, and there is one.
        subset_size: int >= 2, m; where there are fewer images, it is their number, which the
            protocol then says.
        seed: int, of the choice of the subsets; no image is twice in a subset.

    Returns:
        dict with `value`, `standard_error` (of the mean over the subsets, which share images: it
        leaves out the chance in the images themselves; None for one subset), `num_real`,
        `num_generated`, `num_subsets`, `subset_size`, `protocol`.

    Raises:
        ValueError: for fewer than 2 images, images that the extractor does not take, an extractor
            that gives no vectors, or features that are not finite.

    Reference: Binkowski et al. 2018, "Demystifying MMD GANs", section 4 (its unbiased estimator is
        that of Gretton et al. 2012, "A kernel two-sample test", eq. 3).
    """
    checks.positive_integer("num_subsets", num_subsets)
    checks.positive_integer("subset_size", subset_size)
    if subset_size < 2:
        raise ValueError(f"subset_size must be at least 2, received {subset_size}.")
    real, generated = two_sets(extractor, real=real, generated=generated)
    fewest = min(len(real), len(generated))
    if fewest < 2:
        raise ValueError(
            f"The kernel distance takes at least 2 images of each kind, received {len(real)} real "
            f"and {len(generated)} generated ones."
        )
    size = min(subset_size, fewest)
    if size == len(real) == len(generated):
        num_subsets = 1
    random = np.random.default_rng(seed)
    values = [
        _unbiased_squared_mmd(_draw(random, real, size), _draw(random, generated, size))
        for _ in range(num_subsets)
    ]
    shrunk = f" (of {subset_size} asked for: there are no more images)" * (size < subset_size)
    return dict(
        value=float(np.mean(values)),
        standard_error=(
            float(np.std(values, ddof=1) / math.sqrt(num_subsets)) if num_subsets > 1 else None
        ),
        num_real=len(real),
        num_generated=len(generated),
        num_subsets=num_subsets,
        subset_size=size,
        protocol=(
            f"unbiased squared MMD, cubic kernel, of {real.shape[1]} features of "
            f"{describe(extractor)}, mean of {num_subsets} subset(s) of {size}{shrunk} from "
            f"{len(real)} real and {len(generated)} generated images, seed {seed}"
        ),
    )


def _draw(random, features, size):
    chosen = features[random.choice(len(features), size, replace=False)]
    # The sums are of numbers that nearly cancel.
    return chosen.astype(np.float64)


def _unbiased_squared_mmd(x, y):
    size = len(x)
    within = sum(kernel.sum() - np.trace(kernel) for kernel in (_kernel(x, x), _kernel(y, y)))
    return within / (size * (size - 1)) - 2.0 * _kernel(x, y).mean()


def _kernel(x, y):
    return (x @ y.T / x.shape[1] + 1.0) ** 3
