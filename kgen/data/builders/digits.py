"""The handwritten digits that scikit-learn carries."""

import numpy as np
import tensorflow_datasets as tfds

from kgen.data.builders.features import images_and_labels

_NUM_TEST = 297


class Digits(tfds.core.GeneratorBasedBuilder):
    """1,797 grey 8 x 8 digits: 1,500 to train, 297 to test.

        stored = round(level * 255 / 16),  level in 0..16

    The split is stratified: of the digits sorted by class, every sixth or seventh is for the test.

    Reference:
        Alpaydin and Kaynak 1998, "Optical recognition of handwritten digits", UCI repository.
    """

    VERSION = tfds.core.Version("1.0.0")
    num_levels = 17

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description="The 1,797 handwritten digits inside scikit-learn.",
            features=images_and_labels((8, 8, 1), [str(digit) for digit in range(10)]),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        from sklearn.datasets import load_digits

        levels, labels = load_digits(return_X_y=True)
        images = np.round(levels.reshape(-1, 8, 8, 1) * 255 / 16).astype(np.uint8)
        is_test = _evenly_spaced(labels, _NUM_TEST)
        return {
            "train": self._generate_examples(images, labels, np.flatnonzero(~is_test)),
            "test": self._generate_examples(images, labels, np.flatnonzero(is_test)),
        }

    def _generate_examples(self, images, labels, rows):
        for row in rows.tolist():
            yield row, {"image": images[row], "label": int(labels[row])}


def _evenly_spaced(labels, count):
    """Boolean mask of `count` examples at even distances in the order of the classes."""
    places = np.arange(len(labels))
    chosen = np.diff((places * count) // len(labels), append=count) > 0
    mask = np.zeros(len(labels), bool)
    mask[np.argsort(labels, kind="stable")] = chosen
    return mask
