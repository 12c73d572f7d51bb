"""The index that recipes serve answers with the labels and the files of a folder's pictures."""

import dataclasses

import numpy as np
import tensorflow as tf
from PIL import Image

from kgen import experiment


@dataclasses.dataclass(frozen=True)
class Config(experiment.Flags):
    batch_size: int = 4
    index_size: int = 4


class Pixels:
    """Embeds a picture as its pixels."""

    image_shape = (4, 4, 3)

    def embed(self, images):
        return tf.reshape(tf.cast(images, tf.float32), (-1, 48))

    def endpoints(self):
        return {}


def test_names_and_labels(tmp_path):
    names = ("cat/a", "dog/b", "cat/c", "dog/d", "cat/e", "dog/f")
    colours = np.uint8([(200, 40 * row, 250 - 40 * row) for row in range(6)])
    for name, colour in zip(names, colours, strict=True):
        path = tmp_path / "photos" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.tile(colour, (4, 4, 1))).save(path)
    source = f"image_folder/size=4,source={tmp_path / 'photos'}"
    config = Config(dataset=source, data_dir=str(tmp_path / "tfds"), test_split="train[:50%]")
    index = experiment.neighbour_index(Pixels(), *experiment.arrays(config, "train"), config)
    assert index.size == 4  # as many per class
    kept = 0
    for name, colour in zip(names, colours, strict=True):
        found = index.neighbours(np.full((1, 4, 4, 3), colour / 255, "float32"))
        if found["similarities"][0, 0] > 0.999999:
            kept += 1
            assert found["names"][0, 0].numpy().decode() == f"{name}.png"
            assert found["labels"][0, 0] == name.startswith("dog")
    assert kept == 4
