"""Any folder of IDX files, such as a copy of MNIST or one of its many relatives."""

import re

import numpy as np
import tensorflow_datasets as tfds

from kgen.data.builders.features import images_and_labels
from kgen.data.builders.folders import FolderBuilder, existing_folder
from kgen.data.idx import read_idx

_FILE = re.compile(r"(?P<split>.+)-(?P<kind>images|labels)[-.]idx\d-ubyte(\.gz)?")


class IdxImages(FolderBuilder):
    """Images in files `<split>-images-idx3-ubyte` and `<split>-labels-idx1-ubyte`, perhaps `.gz`.

    The split `t10k` is called `test`. Without label files the data set has no labels.

    Args:
        source: the folder.
        class_names: a name for each class; the classes' numbers by default.
        kwargs: as in tfds.core.GeneratorBasedBuilder: `data_dir`.

    Raises:
        ValueError: if the folder holds no IDX images, or its files do not fit one another.
    """

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, source, class_names=None, **kwargs):
        folder = existing_folder(source)
        self._files = {
            (_split(match), match["kind"]): path
            for path in sorted(folder.iterdir())
            if (match := _FILE.fullmatch(path.name))
        }
        self._splits = sorted({split for split, kind in self._files if kind == "images"})
        if not self._splits:
            raise ValueError(
                f"No IDX images in {folder}: expected files such as train-images-idx3-ubyte.gz."
            )
        self._class_names = class_names
        super().__init__(folder, self._files.values(), class_names, **kwargs)

    def _info(self):
        first = read_idx(self._files[self._splits[0], "images"])
        return tfds.core.DatasetInfo(
            builder=self,
            description="Images from IDX files.",
            features=images_and_labels(_with_channels(first).shape[1:], self._classes()),
            supervised_keys=("image", "label") if self._has_labels() else None,
        )

    def _has_labels(self):
        return all((split, "labels") in self._files for split in self._splits)

    def _classes(self):
        if not self._has_labels():
            return ()
        if self._class_names:
            return self._class_names
        labels = [read_idx(self._files[split, "labels"]) for split in self._splits]
        return [str(label) for label in range(1 + max(int(part.max()) for part in labels))]

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in self._splits}

    def _generate_examples(self, split):
        path = self._files[split, "images"]
        images = _with_channels(read_idx(path))
        shape = self.info.features["image"].shape
        if images.dtype != np.uint8 or images.shape[1:] != shape:
            raise ValueError(
                f"Expected uint8 images of shape {shape} in {path}, received {images.dtype} of "
                f"shape {images.shape[1:]}."
            )
        if not self._has_labels():
            for row, image in enumerate(images):
                yield row, {"image": image}
            return
        labels = read_idx(self._files[split, "labels"])
        if labels.shape != (len(images),):
            raise ValueError(
                f"Expected {len(images)} labels beside {path}, received shape {labels.shape}."
            )
        for row, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield row, {"image": image, "label": int(label)}


def _split(match):
    return "test" if match["split"] == "t10k" else match["split"]


def _with_channels(images):
    return images[..., None] if images.ndim == 3 else images
