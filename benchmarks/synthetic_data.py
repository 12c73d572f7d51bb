"""Synthetic images as TFDS shards on disk, as many as one wants."""

import numpy as np
import tensorflow_datasets as tfds

from kgen.data.builders.features import images_and_labels

SIZES = (1_000, 10_000, 200_000, 1_000_000)


class SyntheticImages(tfds.core.GeneratorBasedBuilder):
    """Random grey images of 28 x 28, 784 bytes each; `synthetic_images/10000` has 10,000."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=str(size)) for size in SIZES]

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description="Random grey images.",
            features=images_and_labels((28, 28, 1), ()),
            # Written as they come: shuffling would hold them in memory.
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(int(self.builder_config.name))}

    def _generate_examples(self, count):
        draws = np.random.default_rng(0)
        # Some thousand different images: what is drawn for each would take longer than writing it.
        images = draws.integers(0, 256, (4096, 28, 28, 1), np.uint8)
        for index in range(count):
            yield index, {"image": images[index % len(images)]}
