"""The Frechet distance between features of real and of generated images (FID)."""

import warnings

import numpy as np

from kgen import checks
from kgen.evaluation.features import describe, feature_batches
from kgen.files import replace_atomically


class FeatureStatistics:
    """Mean and covariance of features, accumulated in float64 batch by batch.

        delta   = mean(batch) - mean
        mean    <- mean + delta m / (n + m)
        scatter <- scatter + scatter(batch) + delta delta^T n m / (n + m)

    for n rows so far and m in the batch. The scatter is always about a mean, so that nothing large
    cancels. The memory is one `(dim, dim)` matrix, whatever the number of images.

    Args:
        features_of: text, what the features are; two statistics of the same features agree in it.

    Reference: Chan et al. 1979, "Updating formulae and a pairwise algorithm for computing sample
        variances", generalized to covariances.
    """

    def __init__(self, features_of=""):
        self.features_of = features_of
        self.num_images = 0
        self.mean = None
        self._scatter = None

    def update(self, features):
        """Add a batch of features.

        Args:
            features: `(batch, dim)`, finite numbers.

        Raises:
            ValueError: for features that are not vectors, not finite, or of another size than the
                ones before.
        """
        features = np.asarray(features, np.float64)
        if features.ndim != 2 or 0 in features.shape:
            raise ValueError(f"Expected features of shape (batch, dim), received {features.shape}.")
        if not np.isfinite(features).all():
            raise ValueError("The features hold NaN or infinity.")
        num_rows, dim = features.shape
        if self.mean is None:
            self.mean, self._scatter = np.zeros(dim), np.zeros((dim, dim))
        if dim != self.dim:
            raise ValueError(f"Expected {self.dim} features, as before, received {dim}.")
        batch_mean = features.mean(axis=0)
        centred = features - batch_mean
        delta = batch_mean - self.mean
        total = self.num_images + num_rows
        self._scatter += centred.T @ centred
        self._scatter += np.outer(delta, delta) * (self.num_images * num_rows / total)
        self.mean = self.mean + delta * (num_rows / total)
        self.num_images = total

    @property
    def dim(self):
        """The number of features, or None before the first batch."""
        return None if self.mean is None else len(self.mean)

    @property
    def covariance(self):
        """Unbiased sample covariance, float64 `(dim, dim)`."""
        if self.num_images < 2:
            raise ValueError(f"A covariance takes at least 2 images, received {self.num_images}.")
        return self._scatter / (self.num_images - 1)

    def save(self, path):
        """Write everything to a `.npz` file, which appears whole or not at all."""
        if self.mean is None:
            raise ValueError("These statistics are empty: call update first.")
        with replace_atomically(path) as stream:
            np.savez(
                stream,
                features_of=self.features_of,
                num_images=self.num_images,
                mean=self.mean,
                scatter=self._scatter,
            )

    @classmethod
    def load(cls, path):
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            statistics = cls(str(file["features_of"]))
            statistics.num_images = int(file["num_images"])
            statistics.mean, statistics._scatter = file["mean"], file["scatter"]
        return statistics


def feature_statistics(images, extractor):
    """Statistics of the features of images, to compute once and use for several generators.

    Args:
        images: tf.data.Dataset of image batches, or of `(images, ...)`; or a NumPy array or tensor
            `(n, height, width, channels)`; float32 in [0, 1].
        extractor: built keras.Model from images to vectors `(batch, dim)`.

    Returns:
        `FeatureStatistics`.

    Raises:
        ValueError: for no images, images that the extractor does not take, an extractor that gives
            no vectors, or features that are not finite.
    """
    return _statistics("given", images, extractor)


def frechet_distance(real, generated, extractor):
    """Squared Frechet distance between Gaussians fitted to the features; lower is better.

        |m_r - m_g|^2 + trace(C_r + C_g - 2 (C_r C_g)^(1/2))

    The trace of the square root is taken as the sum of the square roots of the eigenvalues of the
    symmetric `C_r^(1/2) C_g C_r^(1/2)`, which are those of `C_r C_g`. The distance is biased: it
    falls as images are added, so compare only figures of equal counts.

    Args:
        real: tf.data.Dataset of image batches, or of `(images, ...)`; or a NumPy array or tensor
            `(n, height, width, channels)`; float32 in [0, 1]. Or `FeatureStatistics` of them.
        generated: as `real`.
        extractor: built keras.Model from images to vectors `(batch, dim)`; its name, and its
            attribute `protocol` if it has one, go into the protocol. None where `real` and
            `generated` are arrays of features `(n, dim)`, or `FeatureStatistics`.

    Returns:
        dict with `value`, `num_real`, `num_generated`, `protocol`.

    Raises:
        ValueError: for no images or a single one, images that the extractor does not take, an
            extractor that gives no vectors, features that are not finite, or statistics of other
            features.

    Reference: Heusel et al. 2017, "GANs trained by a two time-scale update rule converge to a local
        Nash equilibrium", eq. 6.
    """
    real = _statistics("real", real, extractor)
    generated = _statistics("generated", generated, extractor)
    if real.dim != generated.dim:
        raise ValueError(
            f"The real images have {real.dim} features, the generated ones {generated.dim}. Use "
            "one extractor for both."
        )
    names = {real.features_of, generated.features_of} - {"", describe(None)}
    if len(names) > 1:
        raise ValueError(
            f"The statistics are of features of {' and of '.join(sorted(names))}. Use one "
            "extractor for both."
        )
    for role, statistics in (("real", real), ("generated", generated)):
        if statistics.num_images <= statistics.dim:
            warnings.warn(
                f"{statistics.num_images} {role} images for {statistics.dim} features: the "
                "covariance is singular and the Frechet distance far too uncertain. Use more "
                "images, or kernel_distance.",
                stacklevel=2,
            )
    distance = _distance(real.mean, real.covariance, generated.mean, generated.covariance)
    return dict(
        value=distance,
        num_real=real.num_images,
        num_generated=generated.num_images,
        protocol=(
            f"Frechet distance of {real.dim} features of {describe(extractor)}, "
            f"{real.num_images} real and {generated.num_images} generated images"
        ),
    )


def _statistics(role, images, extractor):
    if extractor is not None:
        checks.vector_network("extractor", extractor)
    features_of = describe(extractor)
    if isinstance(images, FeatureStatistics):
        if extractor is not None and images.features_of and images.features_of != features_of:
            raise ValueError(
                f"The {role} statistics are of features of {images.features_of}, the extractor is "
                f"{features_of}. Compute them again; an extractor keeps its identity over several "
                "processes when you give it a name."
            )
        if images.mean is None:
            raise ValueError(f"The {role} statistics are empty: they have seen no image.")
        return images
    statistics = FeatureStatistics(features_of)
    for features in feature_batches(role, images, extractor):
        statistics.update(features)
    return statistics


def _distance(mean, covariance, other_mean, other_covariance):
    eigenvalues, vectors = np.linalg.eigh(covariance)
    # Rounding makes zero eigenvalues slightly negative.
    root = (vectors * np.sqrt(eigenvalues.clip(0.0))) @ vectors.T
    product = root @ other_covariance @ root
    eigenvalues = np.linalg.eigvalsh((product + product.T) / 2).clip(0.0)
    traces = np.trace(covariance) + np.trace(other_covariance)
    squares = np.sum((mean - other_mean) ** 2)
    return max(0.0, float(squares + traces - 2.0 * np.sqrt(eigenvalues).sum()))
