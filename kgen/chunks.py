"""Functions of many rows in bounded memory."""

import numpy as np

_CHUNK = 256


def in_chunks(function, inputs):
    """Applies a verb to at most 256 rows at a time, which bounds the memory it takes."""
    starts = range(0, len(inputs), _CHUNK)
    return np.concatenate([np.asarray(function(inputs[at : at + _CHUNK])) for at in starts])
