"""Data sets and input pipelines."""

from kgen.data.arrays import from_arrays as from_arrays
from kgen.data.epoch import set_epoch as set_epoch
from kgen.data.loading import load as load
from kgen.data.summary import DatasetSummary as DatasetSummary
from kgen.data.summary import info as info
