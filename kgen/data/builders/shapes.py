"""Shapes of known position, scale, rotation and colour: data for disentanglement."""

import itertools

import numpy as np
import tensorflow_datasets as tfds

_SIDE, _OVERSAMPLING = 32, 3
FACTORS = {"shape": 3, "colour": 5, "scale": 4, "rotation": 8, "column": 8, "row": 8}
_COLOURS = ((220, 60, 50), (240, 190, 40), (60, 170, 80), (50, 110, 220), (160, 80, 200))


class Shapes(tfds.core.GeneratorBasedBuilder):
    """30,720 colour images of 32 x 32: one figure on grey, drawn from six independent factors.

        shape 3 (square, ellipse, heart), colour 5, scale 4, rotation 8, column 8, row 8

    Every combination is there once, 30,720 in all; every tenth one, in a fixed random order, is for
    the test. The features are `image`, `label`, the shape, and `factors`, int32 `(6,)`, each from 0
    and in the order above. Rotations are 1/8 turns of 1/4 turn for the square, whose symmetry would
    hide others, of a whole turn for the heart, of a half turn for the ellipse.

    The factors are those of dSprites (Matthey et al. 2017), fewer of each and with colour; the
    pictures are drawn by this builder.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(_SIDE, _SIDE, 3)),
            "label": tfds.features.ClassLabel(names=["square", "ellipse", "heart"]),
            "factors": tfds.features.Tensor(shape=(len(FACTORS),), dtype=np.int32),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="Figures of six independent factors.",
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        factors = np.array(list(itertools.product(*map(range, FACTORS.values()))), np.int32)
        order = np.random.RandomState(0).permutation(len(factors))
        is_test = np.arange(len(factors)) % 10 == 9
        return {
            "train": self._generate_examples(factors, order[~is_test]),
            "test": self._generate_examples(factors, order[is_test]),
        }

    def _generate_examples(self, factors, rows):
        for row in rows.tolist():
            image = draw(factors[row])
            yield row, {"image": image, "label": int(factors[row, 0]), "factors": factors[row]}


def draw(factors):
    """The image of six factors: uint8 `(32, 32, 3)`.

    Args:
        factors: ints in the order of `FACTORS`.
    """
    shape, colour, scale, rotation, column, row = (int(factor) for factor in factors)
    turn = (0.5 * np.pi, np.pi, 2.0 * np.pi)[shape] * rotation / FACTORS["rotation"]
    radius = 4.0 + 1.25 * scale
    center = [9.0 + 2.0 * place for place in (column, row)]
    fine = (np.arange(_SIDE * _OVERSAMPLING, dtype=np.float32) + 0.5) / _OVERSAMPLING
    x, y = fine[None] - center[0], fine[:, None] - center[1]
    cosine, sine = float(np.cos(turn) / radius), float(np.sin(turn) / radius)
    u, v = cosine * x + sine * y, cosine * y - sine * x
    inside = (_square, _ellipse, _heart)[shape](u, v)
    # The mean over the fine pixels: edges without steps.
    size = (_SIDE, _OVERSAMPLING, _SIDE, _OVERSAMPLING)
    share = inside.reshape(size).mean(axis=(1, 3))[..., None]
    grey = np.full(3, 225.0)
    return np.round(grey + share * (np.array(_COLOURS[colour]) - grey)).astype(np.uint8)


def _square(u, v):
    return np.maximum(np.abs(u), np.abs(v)) < 0.8


def _ellipse(u, v):
    return u**2 + (2.0 * v) ** 2 < 1.0


def _heart(u, v):
    # (u^2 + v^2 - 1)^3 < u^2 v^3 with the tip down.
    u, v = 1.15 * u, 0.15 - 1.15 * v
    # Products: NumPy's third power is slow.
    ring = u * u + v * v - 1.0
    return ring * ring * ring < u * u * v * v * v
