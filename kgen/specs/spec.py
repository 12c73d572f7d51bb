"""The base of the specs, and those of endpoints' inputs that are no data."""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from kgen import checks
from kgen.quantities import Quantity


class Spec:
    """Base of the specs: shape and dtype of one example, its check, an example, its meaning.

    A subclass is a frozen dataclass with `noun` (the word of its messages), `shape` (without the
    batch) and `dtype`, and overrides `_check`, `example` and `quantity`.
    """

    noun = "values"
    dtype = "float32"

    def check(self, batch, role="x"):
        """Raise ValueError if a batch is not of this spec.

        Args:
            batch: NumPy array or tensor, the batch first.
            role: what the batch is, such as "x" or "x[1]", for the message.
        """
        with checks.role(role):
            self._check(np.asarray(batch))

    def _check(self, batch):
        raise NotImplementedError(f"{type(self).__name__} must define _check(batch).")

    def example(self, count, seed=0):
        """A valid batch, a function of the seed: the rows of a small one begin those of a larger.

        Args:
            count: int, number of rows.
            seed: int.

        Returns:
            NumPy array `(count, *shape)` of the spec's dtype.
        """
        raise NotImplementedError(f"{type(self).__name__} must define example(count, seed).")

    def tensor_spec(self, name=None):
        """The `tf.TensorSpec` of a batch of any size."""
        return tf.TensorSpec((None, *self.shape), self.dtype, name=name)

    def of_means(self):
        """The spec of means of such values, which lie between the levels of images on levels."""
        return self

    def quantity(self):
        """What the entries mean: `kgen.quantities.Quantity`."""
        return Quantity(self.noun)

    def get_config(self):
        """The constructor's arguments."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        return cls(**config)

    def __str__(self):
        return f"{self.noun} {tuple(self.shape)}"

    def _size(self, count):
        return (count, *(16 if side is None else side for side in self.shape))

    def _set(self, **values):
        for name, value in values.items():
            object.__setattr__(self, name, value)


@dataclasses.dataclass(frozen=True)
class Values(Spec):
    """What is no data, but an input of an endpoint: latents, a temperature, a mask.

    Args:
        shape: without the batch.
        dtype: "float32", "int32", "uint8" or "string".
        meaning: `Quantity`, or None. Its bounds hold for `example` too.
    """

    shape: tuple = ()
    dtype: str = "float32"
    meaning: Quantity | None = None
    noun = "values"

    def example(self, count, seed=0):
        """Numbers of the middle half of the range; integers in turn; gray; a tiny PNG file.

        The range is that of `meaning`, else [0, 1] for numbers and 0 for integers.
        """
        size = self._size(count)
        if self.dtype == "uint8":
            return np.full(size, 127, np.uint8)
        if self.dtype == "string":
            image = np.full((1, 1, 1), 127, np.uint8)
            return np.full(size, tf.io.encode_png(image).numpy(), object)
        if self.dtype == "float32":
            low, high = self._range(1.0)
            draws = np.random.default_rng(seed).random(size)
            return (low + (high - low) * (0.25 + 0.5 * draws)).astype("float32")
        low, high = self._range(0)
        numbers = np.arange(math.prod(size)).reshape(size)
        # From 0 where the range has it: a seed's reaches from -2^31.
        first = min(max(low, 0), high)
        return (first + numbers % (high - first + 1)).astype(self.dtype)

    def _range(self, width):
        """The bounds of `meaning`; where one is missing, `width` from the other."""
        meaning = self.meaning or Quantity("")
        low = meaning.exclusive_minimum if meaning.minimum is None else meaning.minimum
        high = meaning.maximum
        if low is None:
            low = 0 if high is None else min(0, high - width)
        return low, low + width if high is None else high

    def quantity(self):
        """The meaning that was given."""
        return self.meaning


@dataclasses.dataclass(frozen=True)
class Seeds(Spec):
    """Int32 seeds `(batch, 2)` of an endpoint: the same row draws the same sample."""

    noun = "seeds"
    dtype = "int32"
    shape = (2,)

    def example(self, count, seed=0):
        """The rows `(seed, i)`."""
        return np.stack([np.full(count, seed), np.arange(count)], axis=-1).astype("int32")

    def quantity(self):
        """None: the name says it."""
        return None
