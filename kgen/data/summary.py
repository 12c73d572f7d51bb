"""What a network must know about a data set before it reads the data."""

import collections.abc
import dataclasses

import numpy as np

from kgen.data.catalog import (
    FASHION_MNIST_CLASSES,
    find_builder,
    is_local,
    is_plain,
    prepare,
)
from kgen.data.features import find_images, find_labels

# Integer images of TFDS that hold 0 and 1, not 0 and 255.
_BINARY = ("binarized_mnist", "binary_alpha_digits", "dsprites")


@dataclasses.dataclass(frozen=True)
class DatasetSummary:
    """Shape and sizes of a data set.

    Attributes:
        name: name of the data set; of a folder, the folder's.
        image_shape: `(height, width, channels)`, or `(dim,)` for points.
        num_levels: how many values a pixel can take (256; 17 for `digits`; 65,536 for pictures of
            16 bits), or None for points and for images of floats. A pixel is
            `level / (num_levels - 1)`.
        num_examples: examples of each split. Empty while the data set is not downloaded.
        class_names: a name for each class, or () without labels.
    """

    name: str
    image_shape: tuple[int, ...]
    num_levels: int | None
    num_examples: collections.abc.Mapping[str, int]
    class_names: tuple[str, ...] = ()

    @property
    def num_classes(self):
        """The number of classes, or None without labels."""
        return len(self.class_names) or None


def info(name, *, levels=None, data_dir=None):
    """Describe a data set without reading it, for networks that depend on its shape.

    Data sets that need no network are prepared; nothing is ever downloaded.

    Args:
        name: as in `kgen.data.load`.
        levels: as there; `num_levels` is then this number.
        data_dir: folder of prepared data sets, TFDS' own by default.

    Returns:
        `DatasetSummary`.

    Raises:
        ValueError: if the name does not exist, or the data are not images of one size.
    """
    builder = find_builder(name, data_dir)
    if is_local(builder):
        builder = prepare(builder)
    _, image = find_images(builder)
    _, label = find_labels(builder)
    class_names = tuple(getattr(label, "names", None) or ())
    if builder.name == "fashion_mnist":
        class_names = FASHION_MNIST_CLASSES
    return DatasetSummary(
        name=name if is_plain(name) else display_name(builder),
        image_shape=tuple(image.shape),
        num_levels=levels or pixel_levels(builder, image)[0],
        num_examples={split: part.num_examples for split, part in builder.info.splits.items()},
        class_names=class_names,
    )


def display_name(builder):
    """What a protocol calls a data set: a folder's own name, not its path."""
    folder = getattr(builder, "folder", None)
    return builder.name if folder is None else folder.name


def pixel_levels(builder, feature):
    """(number of values a pixel can take, stored value of a white pixel), or (None, None)."""
    if not np.issubdtype(np.dtype(feature.np_dtype), np.integer):
        return None, None
    if builder.name in _BINARY:
        return 2, 1
    top = np.iinfo(feature.np_dtype).max
    return getattr(builder, "num_levels", top + 1), getattr(builder, "max_value", top)
