"""A folder of image files of any sizes."""

import numpy as np
import tensorflow_datasets as tfds

from kgen.data.builders.features import images_and_labels
from kgen.data.builders.folders import config_of, existing_folder

_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
_SPLITS = ("test", "train", "validation")


class ImageFolder(tfds.core.GeneratorBasedBuilder):
    """Image files, scaled so that they cover a size, and cropped at the centre.

        folder/[split/][class/]**/name.png

    Splits are folders named train, validation and test; without them all is `train`. Classes are
    the folders below; without them there are no labels. Unlike `tfds.ImageFolder`, this decodes and
    resizes once, so that images of any sizes fill a batch and epochs read fast.

    Args:
        source: the folder.
        size: height and width of the images: an int, or a tuple `(height, width)`.
        channels: 3 for colour, 1 for grey.
        kwargs: as in tfds.core.GeneratorBasedBuilder: `data_dir`.

    Raises:
        ValueError: if the folder holds no images, some images have a class and some have none, or
            an argument is out of range.
    """

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, source, size=64, channels=3, **kwargs):
        self._size = (size, size) if isinstance(size, int) else tuple(size)
        if len(self._size) != 2 or min(self._size) < 1:
            raise ValueError(f"size must be an int or (height, width) >= 1, received {size!r}.")
        if channels not in (1, 3):
            raise ValueError(f"channels must be 1 (grey) or 3 (colour), received {channels!r}.")
        self._channels = channels
        folder = existing_folder(source)
        folders = {path.name for path in folder.iterdir() if path.is_dir()}
        has_splits = bool(folders) and folders <= set(_SPLITS)
        roots = (
            {name: folder / name for name in sorted(folders)} if has_splits else {"train": folder}
        )
        self._files = {split: _images_and_classes(root) for split, root in roots.items()}
        self._classes = _class_names(folder, self._files)
        files = [path for split in self._files.values() for path, _ in split]
        kwargs.setdefault("config", config_of(folder, files, self._size, channels))
        super().__init__(**kwargs)

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description="Image files from a folder.",
            features=images_and_labels((*self._size, self._channels), self._classes),
            supervised_keys=("image", "label") if self._classes else None,
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(files) for split, files in self._files.items()}

    def _generate_examples(self, files):
        for path, class_name in files:
            example = {"image": _decode(path, self._size, self._channels)}
            if self._classes:
                example["label"] = class_name
            yield str(path), example


def _images_and_classes(root):
    """Pairs of path and class, the class None for a file that lies in `root` itself."""
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in _SUFFIXES)
    depths = [path.relative_to(root).parts for path in paths]
    return [
        (path, parts[0] if len(parts) > 1 else None)
        for path, parts in zip(paths, depths, strict=True)
    ]


def _class_names(folder, files):
    classes = {class_name for split in files.values() for _, class_name in split}
    if not classes:
        raise ValueError(f"No images in {folder}: expected files in {', '.join(_SUFFIXES)}.")
    if None in classes and len(classes) > 1:
        raise ValueError(
            f"Some images of {folder} lie in a class' folder and some do not. Move all of them "
            "into folders named after their class, or none."
        )
    return sorted(classes - {None})


def _decode(path, size, channels):
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file).convert("RGB" if channels == 3 else "L")
    except OSError as error:
        raise ValueError(f"{path} cannot be read as an image: {error}.") from error
    height, width = size
    image = ImageOps.fit(image, (width, height), method=Image.Resampling.LANCZOS)
    return np.asarray(image, np.uint8).reshape(height, width, channels)
