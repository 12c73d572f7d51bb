"""Random Keras layers whose draws are functions of (seed, epoch, index), image by image."""

import contextlib
import hashlib
import math

import keras
import numpy as np
import tensorflow as tf

from kgen.data.binarization import GOLDEN_GAMMA, mix


def row_keys(name, *, epoch, indices):
    """What the draws of each image start from.

        key_i = mix(mix(hash(name) + gamma (epoch + 1)) + gamma (index_i + 1))

    Args:
        name: tuple of ints and strings: the seed, and what tells its uses apart.
        epoch: int64 scalar tensor.
        indices: int64 tensor `(batch,)`.

    Returns:
        uint64 tensor `(batch,)`.
    """
    gamma = tf.constant(GOLDEN_GAMMA, tf.uint64)
    key = mix(tf.constant(_hash(name), tf.uint64) + gamma * (tf.cast(epoch, tf.uint64) + 1))
    # The shape gets lost in the shifts.
    return tf.ensure_shape(mix(key + gamma * (tf.cast(indices, tf.uint64) + 1)), indices.shape)


class RowDraws(keras.random.SeedGenerator):
    """In place of a layer's generator and of its `backend.random`.

    Keras' image layers draw their parameters for a whole batch from one seed, as arrays whose first
    axis is the batch: row i would depend on i's place in the batch. Here element e of row i of draw
    number d is

        u = mix(key_i + hash(name, d) + gamma (e + 1)) / 2^64

    as in SplitMix64, with 24 bits of u. What has no batch axis (RandomCrop's place), or goes to
    `keras.random` with the generator as its seed (GaussianNoise, Dropout), is drawn from a seed of
    the batch: the key of its first image.

    Args:
        name: tuple of ints and strings, another one for each layer.
        keys: uint64 tensor `(batch,)`, from `row_keys`.
    """

    def __init__(self, name, keys):
        # Without Keras' constructor, which makes a variable: there is no state here.
        self.name = name
        self.keys = keys
        self.num_draws = 0

    def next(self, ordered=True):
        """A seed for the whole batch: int64 `(2,)`."""
        return tf.cast(self._uniform(self.keys[:1], 2)[0] * 2.0**24, tf.int64)

    def uniform(self, shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
        """As `keras.random.uniform`, row by row."""
        draws = self._rows(shape)
        if draws is None:
            return keras.random.uniform(shape, minval, maxval, dtype=dtype, seed=self)
        minval, maxval = tf.cast(minval, tf.float32), tf.cast(maxval, tf.float32)
        return tf.cast(minval + draws * (maxval - minval), dtype or keras.config.floatx())

    def normal(self, shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
        """As `keras.random.normal`, row by row."""
        draws = self._rows(shape)
        if draws is None:
            return keras.random.normal(shape, mean, stddev, dtype=dtype, seed=self)
        # Half a step up: the quantile of 0 is infinite.
        draws = tf.math.ndtri(draws + 2.0**-25)
        return tf.cast(mean + stddev * draws, dtype or keras.config.floatx())

    def randint(self, shape, minval, maxval, dtype="int32", seed=None):
        """As `keras.random.randint`, row by row, for ranges far below 2^24."""
        draws = self._rows(shape)
        if draws is None:
            return keras.random.randint(shape, minval, maxval, dtype=dtype, seed=self)
        width = tf.cast(maxval - minval, tf.float32)
        return tf.cast(minval, dtype) + tf.cast(tf.floor(draws * width), dtype)

    def _rows(self, shape):
        """Uniform numbers `shape` in [0, 1), or None if the first axis is not the batch."""
        if not isinstance(shape, (tuple, list)) or not shape:
            return None
        batch, *rest = shape
        if not all(isinstance(size, int) for size in rest):
            return None
        if isinstance(batch, int) and batch != self.keys.shape[0]:
            return None
        return tf.reshape(self._uniform(self.keys, math.prod(rest)), (batch, *rest))

    def _uniform(self, keys, num_elements):
        """float32 `(len(keys), num_elements)` in [0, 1)."""
        self.num_draws += 1
        elements = np.arange(1, num_elements + 1, dtype=np.uint64) * np.uint64(GOLDEN_GAMMA)
        offsets = elements + np.uint64(_hash((*self.name, self.num_draws)))
        bits = tf.bitwise.right_shift(mix(keys[:, None] + offsets), np.uint64(40))
        return tf.cast(bits, tf.float32) / 2.0**24


@contextlib.contextmanager
def drawing_by_row(layer, name, keys):
    """Within the context `layer`, and the layers inside it, draw from `RowDraws(name, keys)`.

    What the attributes of the layers held comes back afterwards: a layer that is traced into a
    pipeline can be used elsewhere.
    """
    before = []
    for place, part in enumerate(layer._flatten_layers()):
        draws = RowDraws((*name, place), keys)
        attributes = vars(part)
        changes = {
            attribute: draws
            for attribute, value in attributes.items()
            if isinstance(value, keras.random.SeedGenerator)
        }
        backend = getattr(part, "backend", None)
        if hasattr(backend, "random"):
            functions = dict(uniform=draws.uniform, normal=draws.normal, randint=draws.randint)
            changes["backend"] = _Overlay(backend, random=_Overlay(backend.random, **functions))
        before.append((attributes, {key: attributes.get(key) for key in changes}))
        # Not by setattr: Keras would track the new values as parts of the layer.
        attributes.update(changes)
    try:
        yield
    finally:
        for attributes, values in before:
            for attribute, value in values.items():
                if value is None:
                    del attributes[attribute]
                else:
                    attributes[attribute] = value


class _Overlay:
    """`base`, with other attributes in front."""

    def __init__(self, base, **front):
        vars(self).update(front, _base=base)

    def __getattr__(self, name):
        return getattr(self._base, name)


def _hash(name):
    """64 bits of a tuple of ints and strings, the same in every process."""
    return int.from_bytes(hashlib.blake2b(repr(name).encode(), digest_size=8).digest())
