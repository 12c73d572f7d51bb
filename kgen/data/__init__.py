"""Data sets and input pipelines."""

import importlib

from kgen.data.arrays import from_arrays as from_arrays
from kgen.data.augment import colour_augmentation as colour_augmentation
from kgen.data.augment import grey_augmentation as grey_augmentation
from kgen.data.augment import imagenet_augmentation as imagenet_augmentation
from kgen.data.augment import one_view as one_view
from kgen.data.augment import two_views as two_views
from kgen.data.augment import views as views
from kgen.data.loading import load as load
from kgen.data.summary import DatasetSummary as DatasetSummary
from kgen.data.summary import info as info
from kgen.data.unpaired import zip_unpaired as zip_unpaired
from kgen.epochs import set_epoch as set_epoch


def __getattr__(name):
    # TFDS takes seconds to import: only who uses `kgen.data.builders` pays for it.
    if name == "builders":
        return importlib.import_module("kgen.data.builders")
    raise AttributeError(f"module 'kgen.data' has no attribute '{name}'")
