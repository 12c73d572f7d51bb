"""What one example of a model's data is.

A model says what it takes in `data_spec`, a structure of specs in Keras' `(x, y)` form:

    Images((28, 28, 1))                       x alone, as a VAE
    (Images((28, 28, 1)), Labels(10))         x and y, as a GAN with labels
    ((Images(s), Images(s)),)                 x is a pair, and there is no y, as SimCLR
    (Images(a), Images(b))                    x and y, both images, as pix2pix

One walk over this structure serves the check of what `fit` is given, `kgen.data.from_arrays`, the
warm-up requests and the model card of an export, and the examples of the tests.
"""

import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf

from kgen import checks
from kgen.quantities import SHARE, Quantity

register = keras.saving.register_keras_serializable(package="kgen")


class Spec:
    """Base of the specs: shape and dtype of one example, its check, an example, its meaning.

    A subclass is a frozen dataclass with `noun` (the word of its messages), `shape` (without the
    batch) and `dtype`, and overrides `check`, `example` and `quantity`.
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


@register
@dataclasses.dataclass(frozen=True)
class Images(Spec):
    """Float32 images in [0, 1], channels last.

    Args:
        shape: `(height, width, channels)`; a side may be None for any size.
        num_levels: int, L, where pixels lie on the levels k / (L - 1); or None.
    """

    shape: tuple
    num_levels: int | None = None
    noun = "images"

    def __post_init__(self):
        known = checks.image_shape([1 if side is None else side for side in self.shape])
        sides = zip(self.shape, known, strict=True)
        self._set(shape=tuple(None if side is None else size for side, size in sides))

    def _check(self, batch):
        checks.images(batch, self.shape)
        if self.num_levels:
            checks.levels(batch, self.num_levels)

    def example(self, count, seed=0):
        """Images of the levels, or of black and white pixels, which lie on the levels of all."""
        levels = self.num_levels or 2
        draws = np.random.default_rng(seed).integers(0, levels, size=self._size(count))
        return (draws / (levels - 1)).astype("float32")

    def quantity(self):
        """Intensities in [0, 1]."""
        meaning = "pixels, channels last: 0 is black, 1 the full intensity"
        return Quantity(meaning, **SHARE, num_levels=self.num_levels)


@register
@dataclasses.dataclass(frozen=True)
class Clips(Spec):
    """Float32 video in [0, 1].

    Args:
        shape: `(frames, height, width, channels)`.
    """

    shape: tuple
    noun = "clips"

    def __post_init__(self):
        self._set(
            shape=checks.sizes("shape", self.shape, ("frames", "height", "width", "channels"))
        )

    def _check(self, batch):
        checks.images(batch, self.shape, "clips")

    def example(self, count, seed=0):
        """Clips of black and white pixels."""
        draws = np.random.default_rng(seed).integers(0, 2, size=self._size(count))
        return draws.astype("float32")

    def quantity(self):
        """Intensities in [0, 1]."""
        return Quantity("pixels of frames, channels last: 0 is black, 1 full intensity", **SHARE)


class _Numbers(Spec):
    """Float32 numbers of any finite range."""

    def _check(self, batch):
        checks.numbers(batch, self.shape, self.noun)

    def example(self, count, seed=0):
        """Standard normal numbers."""
        return np.random.default_rng(seed).normal(size=self._size(count)).astype("float32")


@register
@dataclasses.dataclass(frozen=True)
class Points(_Numbers):
    """Float32 vectors of any finite range: toys, tables, spectra.

    Args:
        dim: int >= 1.
    """

    dim: int
    noun = "points"

    def __post_init__(self):
        checks.positive_integer("dim", self.dim)

    @property
    def shape(self):
        """`(dim,)`."""
        return (self.dim,)

    def quantity(self):
        """Numbers on the data's own scale."""
        return Quantity("coordinates of points, on the scale of the training data")


@register
@dataclasses.dataclass(frozen=True)
class Signals(_Numbers):
    """Float32 sequences of any finite range.

    Args:
        length: int >= 1.
        channels: int >= 1.
    """

    length: int
    channels: int = 1
    noun = "signals"

    def __post_init__(self):
        checks.positive_integer("length", self.length)
        checks.positive_integer("channels", self.channels)

    @property
    def shape(self):
        """`(length, channels)`."""
        return (self.length, self.channels)

    def quantity(self):
        """Numbers on the data's own scale."""
        return Quantity("values of a signal over time, on the scale of the training data")


@register
@dataclasses.dataclass(frozen=True)
class Waveforms(Spec):
    """Float32 sound in [-1, 1], one channel.

    Args:
        num_samples: int >= 1.
        sample_rate: int >= 1, samples per second.
    """

    num_samples: int
    sample_rate: int
    noun = "waveforms"

    def __post_init__(self):
        checks.positive_integer("num_samples", self.num_samples)
        checks.positive_integer("sample_rate", self.sample_rate)

    @property
    def shape(self):
        """`(num_samples,)`."""
        return (self.num_samples,)

    def _check(self, batch):
        checks.numbers(batch, self.shape, "waveforms", low=-1.0, high=1.0)

    def example(self, count, seed=0):
        """Uniform noise of half the full range."""
        draws = np.random.default_rng(seed).uniform(-0.5, 0.5, size=self._size(count))
        return draws.astype("float32")

    def quantity(self):
        """Amplitudes in [-1, 1]."""
        return Quantity(f"amplitudes, {self.sample_rate} per second", minimum=-1.0, maximum=1.0)


@register
@dataclasses.dataclass(frozen=True)
class Tokens(Spec):
    """Integer sequences, such as words or codes of a codebook.

    Args:
        length: int >= 1.
        vocabulary_size: int >= 1; tokens are 0 .. vocabulary_size - 1.
    """

    length: int
    vocabulary_size: int
    noun = "tokens"
    dtype = "int32"

    def __post_init__(self):
        checks.positive_integer("length", self.length)
        checks.positive_integer("vocabulary_size", self.vocabulary_size)

    @property
    def shape(self):
        """`(length,)`."""
        return (self.length,)

    def _check(self, batch):
        checks.integers(batch, self.shape, self.vocabulary_size, "tokens")

    def example(self, count, seed=0):
        """Uniform tokens."""
        draws = np.random.default_rng(seed).integers(0, self.vocabulary_size, self._size(count))
        return draws.astype("int32")

    def quantity(self):
        """Indices of the vocabulary."""
        last = self.vocabulary_size - 1
        return Quantity("an entry of the vocabulary", minimum=0, maximum=last)


@register
@dataclasses.dataclass(frozen=True)
class Labels(Spec):
    """One integer class per example.

    Args:
        num_classes: int >= 2; labels are 0 .. num_classes - 1.
        meaning: what the integer says, such as "class" or "number of the image".
    """

    num_classes: int
    meaning: str = "class"
    noun = "labels"
    dtype = "int32"
    shape = ()

    def __post_init__(self):
        checks.integer_at_least("num_classes", self.num_classes, 2)

    def _check(self, batch):
        checks.labels(batch, self.num_classes)

    def example(self, count, seed=0):
        """All classes in turn."""
        return ((np.arange(count) + seed) % self.num_classes).astype("int32")

    def quantity(self):
        """A class."""
        return Quantity(f"the {self.meaning}", minimum=0, maximum=self.num_classes - 1)

    def __str__(self):
        return f"labels 0 .. {self.num_classes - 1}"


@register
@dataclasses.dataclass(frozen=True)
class Attributes(_Numbers):
    """Float32 conditions of any finite range: continuous ones, or several binary ones.

    Args:
        dim: int >= 1.
    """

    dim: int
    noun = "attributes"

    def __post_init__(self):
        checks.positive_integer("dim", self.dim)

    @property
    def shape(self):
        """`(dim,)`."""
        return (self.dim,)

    def quantity(self):
        """Numbers on the data's own scale."""
        return Quantity("attributes, on the scale of the training data")


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


def of_shape(shape):
    """The spec of what a network takes or makes, by its shape without the batch.

    A GAN that is built from networks learns here what it generates: images of rank 3, clips of
    rank 4, signals of rank 2, points of rank 1.

    Raises:
        ValueError: for another rank.
    """
    shape = tuple(shape)
    if len(shape) in (1, 2):
        return (Points if len(shape) == 1 else Signals)(*shape)
    if len(shape) in (3, 4):
        return (Images if len(shape) == 3 else Clips)(shape)
    raise ValueError(
        "Expected images (height, width, channels), clips (frames, height, width, channels), "
        f"signals (length, channels) or points (dim,), received shape {shape}."
    )


def x_and_y(data_spec):
    """The specs of x and of y, None where there is no y.

    A list is read as a tuple: saving a model makes lists of the tuples among its arguments.

    Raises:
        ValueError: if `data_spec` is a tuple of none, or of more than two.
    """
    if not isinstance(data_spec, (tuple, list)):
        return data_spec, None
    if len(data_spec) not in (1, 2):
        raise ValueError(
            f"A data_spec is x, (x,) or (x, y), received {len(data_spec)} parts. Where x has "
            "several parts, nest them: ((a, b, c),)."
        )
    return tuple(data_spec) if len(data_spec) == 2 else (*data_spec, None)


def leaves(structure, role="x"):
    """Each spec of a structure with its role: "x", "x[0]", "x['left']", ..."""
    if isinstance(structure, dict):
        parts = structure.items()
    elif isinstance(structure, (tuple, list)):
        parts = enumerate(structure)
    else:
        return [(role, structure)]
    return [leaf for key, part in parts for leaf in leaves(part, f"{role}[{key!r}]")]


def pairs(structure, values, role="x"):
    """Each spec of a structure with its role and its value: `(role, spec, value)`.

    Raises:
        TypeError: if the values have another structure.
    """
    if isinstance(structure, dict):
        if not isinstance(values, dict) or set(values) != set(structure):
            raise TypeError(role)
        parts = [(key, part, values[key]) for key, part in structure.items()]
    elif isinstance(structure, (tuple, list)):
        if not isinstance(values, (tuple, list)) or len(values) != len(structure):
            raise TypeError(role)
        both = zip(structure, values, strict=True)
        parts = [(index, part, value) for index, (part, value) in enumerate(both)]
    else:
        if isinstance(values, (dict, tuple, list)):
            raise TypeError(role)
        return [(role, structure, values)]
    return [each for key, part, value in parts for each in pairs(part, value, f"{role}[{key!r}]")]


def describe(structure):
    """A structure in words: "(images (8, 8, 1), labels 0 .. 9)"."""
    if isinstance(structure, dict):
        return (
            "{" + ", ".join(f"{key!r}: {describe(part)}" for key, part in structure.items()) + "}"
        )
    if isinstance(structure, (tuple, list)):
        inside = ", ".join(describe(part) for part in structure)
        return f"({inside},)" if len(structure) == 1 else f"({inside})"
    return str(structure)


def example(structure, count, seed=0):
    """A valid batch of a structure: one array per spec, each drawn from a seed of its own."""
    if isinstance(structure, dict):
        return {
            key: example(part, count, seed + i) for i, (key, part) in enumerate(structure.items())
        }
    if isinstance(structure, (tuple, list)):
        return tuple(example(part, count, seed + i) for i, part in enumerate(structure))
    return structure.example(count, seed)
