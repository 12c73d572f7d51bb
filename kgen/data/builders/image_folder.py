"""A folder of image files of any sizes."""

import collections
import functools
import os
import warnings

import numpy as np
import tensorflow_datasets as tfds

from kgen.data.builders import pictures
from kgen.data.builders.features import images_and_labels
from kgen.data.builders.folders import (
    FolderBuilder,
    existing_folder,
    find_splits,
    visible_files,
)


class ImageFolder(FolderBuilder):
    """Image files, scaled so that they cover a size, and cropped at the centre.

        folder/[split/][class/]**/name.png

    Splits are top folders named train, val, test or the like (`folders.SPLITS`); without them all
    is `train`. Classes are the folders below; without them there are no labels. Pictures are read
    as a person sees them: upright, transparent parts on the background, the first one of several
    in a file, with all levels of 16-bit and float files, colours of 8 bits in sRGB where a profile
    says that they are not. Unlike `tfds.ImageFolder`, this decodes
    and resizes once, so that images of any sizes fill a batch and epochs read fast. Features:
    `image`, `label` if there are classes, `filename`, the path within the folder.

        kgen.data.load(ImageFolder(source="/my/photos", size=128), "train", batch_size=32)

    Args:
        source: the folder. Hidden files are left out; links are followed, each file is taken once.
        size: height and width of the images: an int, or a tuple `(height, width)`.
        channels: 3 for colour, 1 for grey. Another number: that of TIFFs which have it.
        background: what transparent parts lie on, a colour such as "white" or "#404040"; "keep"
            gives the transparency as one channel more, RGBA or grey and alpha.
        value_range: `(low, high)`, the values that become 0 and 1, such as `(0, 4095)` for 12 bits
            in files of 16; by default the range of the files' own type, and [0, 1] for floats.
        on_error: "raise" names all files that cannot be read, "skip" leaves them out and warns.
        splits: names of the top folders that are splits, () if all are classes, None to go by
            their names.
        kwargs: as in tfds.core.GeneratorBasedBuilder: `data_dir`.

    Raises:
        ValueError: if the folder holds no images, some images have a class and some have none,
            splits and classes are mixed, a file cannot be read, or an argument is out of range.
    """

    VERSION = tfds.core.Version("2.1.0")

    def __init__(
        self,
        *,
        source,
        size=64,
        channels=3,
        background="white",
        value_range=None,
        on_error="raise",
        splits=None,
        **kwargs,
    ):
        size = (size, size) if isinstance(size, int) else size
        splits = (splits,) if isinstance(splits, str) else splits
        _check_arguments(size, channels, background, value_range, on_error)
        size, value_range = tuple(size), None if value_range is None else tuple(value_range)
        self._on_error = on_error
        folder = existing_folder(source)
        found, self._links = visible_files(folder)
        readable = pictures.suffixes()
        paths = [path for path in found if path.suffix.lower() in readable]
        self._left_out = collections.Counter(
            path.suffix.lower() or "no ending"
            for path in found
            if path.suffix.lower() not in readable
        )
        if not paths:
            raise ValueError(
                f"No images that Pillow reads in {folder}: "
                f"{_listing(self._left_out) or 'it is empty'}."
            )
        others = [path for path in paths if path.suffix.lower() not in (".tif", ".tiff")]
        if channels not in (1, 3) and others:
            raise ValueError(
                f"channels={channels} is for TIFFs of {channels} channels, which {others[0].name} "
                "is not. Pictures with transparency: channels=3, background='keep'."
            )
        self._files = {
            split: _files_and_classes(root, paths)
            for split, root in find_splits(folder, paths, splits).items()
        }
        self._classes = _class_names(folder, self._files)
        dtype = pictures.stored_dtype(paths, channels, value_range)
        self.max_value = pictures.top_level(dtype, value_range)
        self.num_levels = None if self.max_value is None else self.max_value + 1
        self._is_ranged = value_range is not None
        self._shape = (*size, channels + (background == "keep"))
        self._dtype = dtype
        self._read = functools.partial(
            pictures.read,
            size=size,
            channels=channels,
            background=background,
            value_range=value_range,
            dtype=dtype,
        )
        settings = (size, channels, background, value_range, on_error, splits)
        super().__init__(folder, paths, settings, **kwargs)
        for message in self._remarks():
            warnings.warn(f"{self.folder}: {message}", stacklevel=2)

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description="Image files from a folder.",
            features=images_and_labels(self._shape, self._classes, self._dtype, filename=True),
            supervised_keys=("image", "label") if self._classes else None,
        )

    def _split_generators(self, dl_manager):
        self._brightest = 0
        self._damaged, last = [], list(self._files)[-1]
        return {
            split: self._generate_examples(files, is_last=split == last)
            for split, files in self._files.items()
        }

    def _generate_examples(self, files, is_last):
        num_read = 0
        classes = dict(files)
        for path, image in pictures.read_all(list(classes), self._read):
            if isinstance(image, Exception):
                self._damaged.append(f"{path}: {image or type(image).__name__}")
                continue
            num_read += 1
            self._brightest = max(self._brightest, image.max())
            name = path.relative_to(self.folder).as_posix()
            label = {"label": classes[path]} if self._classes else {}
            yield name, {"image": image, "filename": name, **label}
        if is_last and self._damaged:
            self._report(sum(map(len, self._files.values())))
        top = self.max_value or 1
        if is_last and (self._is_ranged or self._dtype != np.uint8) and self._brightest < top / 8:
            warnings.warn(
                f"{self.folder}: the largest value of all pictures is {self._brightest:g} of "
                f"{top:g}, so that all are nearly black. Is another value_range meant, such as "
                "(0, 4095) for 12 bits in files of 16?",
                stacklevel=2,
            )
        if not num_read and self._on_error == "skip":
            raise ValueError(f"None of the {len(classes)} pictures could be read.")

    def _remarks(self):
        """What is left out, and what may not be meant, one sentence each."""
        if self._left_out:
            yield (
                f"{_listing(self._left_out)} left out, endings that Pillow does not read. Convert "
                "photographs of other formats, such as .heic, first."
            )
        if self._links:
            names = ", ".join(str(path.relative_to(self.folder)) for path in self._links[:5])
            yield (
                f"{len(self._links)} links left out, which lead nowhere or to what is taken under "
                f"its own name ({names}{', ...' if len(self._links) > 5 else ''})."
            )
        by_split = {split: {name for _, name in pairs} for split, pairs in self._files.items()}
        missing = sorted(set(self._classes) - by_split.get("train", set(self._classes)))
        if missing:
            yield f"no pictures of the classes {', '.join(missing)} in train."
        taken = {path.parent for pairs in self._files.values() for path, _ in pairs}
        taken |= {parent for path in taken for parent in path.parents}
        roots = [self.folder, *(self.folder / part for part in os.listdir(self.folder))]
        empty = sorted(
            str(path.relative_to(self.folder))
            for root in roots
            if root.is_dir() and not root.name.startswith((".", "__"))
            for path in root.iterdir()
            if path.is_dir()
            and path not in taken
            and not path.name.startswith((".", "__"))
            and not path.is_symlink()
        )
        # Without classes, folders have no meaning of their own.
        if empty and self._classes:
            yield f"no pictures in {', '.join(empty)}."

    def _report(self, count):
        """Raises or warns, and names all files that could not be read."""
        lines = "\n  ".join(self._damaged)
        number = f"{len(self._damaged):,} of {count:,} pictures in {self.folder}"
        if self._on_error == "raise":
            raise ValueError(
                f"{number} cannot be read. Mend or remove them, or leave them out with "
                f"on_error='skip':\n  {lines}"
            )
        warnings.warn(f"{number} cannot be read and are left out:\n  {lines}", stacklevel=2)


def _check_arguments(size, channels, background, value_range, on_error):
    from PIL import ImageColor

    is_pair = isinstance(size, (tuple, list)) and len(size) == 2
    if not is_pair or not all(type(side) is int and side >= 1 for side in size):
        raise ValueError(f"size must be an int or (height, width) >= 1, received {size!r}.")
    if not isinstance(channels, int) or channels < 1:
        raise ValueError(f"channels must be 1 (grey), 3 (colour) or more, received {channels!r}.")
    if background != "keep":
        try:
            ImageColor.getrgb(background)
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(
                f"background must be a colour such as 'white' or '#404040', or 'keep', received "
                f"{background!r}."
            ) from error
    elif channels not in (1, 3):
        raise ValueError("background='keep' needs channels=1 or channels=3.")
    if value_range is not None and not (
        np.shape(value_range) == (2,)
        and np.isfinite(value_range).all()
        and value_range[0] < value_range[1]
    ):
        raise ValueError(f"value_range must be (low, high), low < high, received {value_range!r}.")
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error must be 'raise' or 'skip', received {on_error!r}.")


def _listing(counts):
    return ", ".join(f"{count:,} x {suffix}" for suffix, count in counts.most_common())


def _files_and_classes(root, paths):
    """Pairs of path and class, the class None for a file that lies in `root` itself."""
    return [
        (path, parts[0] if len(parts) > 1 else None)
        for path in paths
        if path.is_relative_to(root)
        for parts in [path.relative_to(root).parts]
    ]


def _class_names(folder, files):
    without = {
        split: [path for path, class_name in pairs if class_name is None]
        for split, pairs in files.items()
    }
    classes = {class_name for pairs in files.values() for _, class_name in pairs} - {None}
    if classes and any(without.values()):
        where = ", ".join(f"{len(paths):,} in {split}" for split, paths in without.items() if paths)
        example = next(paths[0] for paths in without.values() if paths)
        raise ValueError(
            f"Some images of {folder} lie in a class' folder and some do not ({where}, such as "
            f"{example.relative_to(folder)}). Move all of them into folders named after their "
            "class, or none."
        )
    return sorted(classes)
