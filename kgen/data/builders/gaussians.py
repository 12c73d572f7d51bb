"""Mixtures of narrow Gaussians in the plane, on which mode collapse is easy to count."""

import numpy as np
import tensorflow_datasets as tfds

_NUM_EXAMPLES = {"train": 20_000, "test": 5_000}


class GaussianRing(tfds.core.GeneratorBasedBuilder):
    """Eight Gaussians of standard deviation 0.02 at even angles on a circle of radius 2.

    Reference:
        Metz et al. 2017, "Unrolled generative adversarial networks".
    """

    VERSION = tfds.core.Version("1.0.0")
    scale = 0.02

    def means(self):
        """Means of the modes, float64 `(8, 2)`."""
        angles = 2 * np.pi * np.arange(8) / 8
        return 2.0 * np.stack([np.cos(angles), np.sin(angles)], axis=-1)

    def _info(self):
        return _info(self, "Eight Gaussians on a circle.", len(self.means()))

    def _split_generators(self, dl_manager):
        return _splits(self)

    def _generate_examples(self, count, seed):
        return _draw(self.means(), self.scale, count, seed)


class GaussianGrid(tfds.core.GeneratorBasedBuilder):
    """Twenty-five Gaussians of standard deviation 0.05, two apart on a square grid.

    Reference:
        Lin et al. 2018, "PacGAN: the power of two samples in generative adversarial networks".
    """

    VERSION = tfds.core.Version("1.0.0")
    scale = 0.05

    def means(self):
        """Means of the modes, float64 `(25, 2)`."""
        side = np.arange(-4.0, 5.0, 2.0)
        return np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)

    def _info(self):
        return _info(self, "Twenty-five Gaussians on a grid.", len(self.means()))

    def _split_generators(self, dl_manager):
        return _splits(self)

    def _generate_examples(self, count, seed):
        return _draw(self.means(), self.scale, count, seed)


def _info(builder, description, num_modes):
    return tfds.core.DatasetInfo(
        builder=builder,
        description=description,
        features=tfds.features.FeaturesDict(
            {
                "point": tfds.features.Tensor(shape=(2,), dtype=np.float32),
                "label": tfds.features.ClassLabel(num_classes=num_modes),
            }
        ),
        supervised_keys=("point", "label"),
    )


def _splits(builder):
    return {
        split: builder._generate_examples(count, seed)
        for seed, (split, count) in enumerate(_NUM_EXAMPLES.items())
    }


def _draw(means, scale, count, seed):
    random = np.random.default_rng(seed)
    labels = random.integers(len(means), size=count)
    points = means[labels] + scale * random.standard_normal((count, 2))
    for row, (point, label) in enumerate(zip(points.astype(np.float32), labels, strict=True)):
        yield row, {"point": point, "label": int(label)}
