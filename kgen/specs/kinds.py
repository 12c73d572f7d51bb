"""The kinds of data: a small serializable dataclass each."""

import dataclasses

import keras
import numpy as np

from kgen import checks
from kgen.quantities import SHARE, Quantity
from kgen.specs.spec import Spec

register = keras.saving.register_keras_serializable(package="kgen")


@register
@dataclasses.dataclass(frozen=True)
class Images(Spec):
    """Float32 images in [0, 1], channels last.

    Args:
        shape: `(height, width, channels)`; a side may be None for any size.
        num_levels: int, L, where pixels lie on the levels k / (L - 1); or None.
        missing: whether NaN is allowed, for a pixel that is not known.
    """

    shape: tuple
    num_levels: int | None = None
    missing: bool = False
    noun = "images"

    def __post_init__(self):
        known = checks.image_shape([1 if side is None else side for side in self.shape])
        if self.num_levels is not None:
            checks.integer_at_least("num_levels", self.num_levels, 2)
        sides = zip(self.shape, known, strict=True)
        self._set(shape=tuple(None if side is None else size for side, size in sides))

    def _check(self, batch):
        if self.missing and np.issubdtype(batch.dtype, np.floating):
            batch = np.nan_to_num(batch, nan=0.0)
        checks.images(batch, self.shape)
        if self.num_levels:
            checks.levels(batch, self.num_levels)

    def example(self, count, seed=0):
        """Images of the levels, or of black and white pixels, which lie on the levels of all."""
        return _on_levels(self, count, seed)

    def of_means(self):
        """Images of any intensities."""
        return Images(self.shape, missing=self.missing)

    def quantity(self):
        """Intensities in [0, 1]."""
        meaning = "pixels, channels last: 0 is black, 1 the full intensity"
        meaning += "; NaN is not known" if self.missing else ""
        return Quantity(meaning, **SHARE, num_levels=self.num_levels)


@register
@dataclasses.dataclass(frozen=True)
class Clips(Spec):
    """Float32 video in [0, 1], or volumes, whose depth is in the place of the frames.

    Args:
        shape: `(frames, height, width, channels)`.
        num_levels: int, L, where pixels lie on the levels k / (L - 1); or None.
    """

    shape: tuple
    num_levels: int | None = None
    noun = "clips"

    def __post_init__(self):
        if self.num_levels is not None:
            checks.integer_at_least("num_levels", self.num_levels, 2)
        self._set(
            shape=checks.sizes("shape", self.shape, ("frames", "height", "width", "channels"))
        )

    def _check(self, batch):
        checks.images(batch, self.shape, "clips")
        if self.num_levels:
            checks.levels(batch, self.num_levels)

    def example(self, count, seed=0):
        """Clips of the levels, or of black and white pixels."""
        return _on_levels(self, count, seed)

    def of_means(self):
        """Clips of any intensities."""
        return Clips(self.shape)

    def quantity(self):
        """Intensities in [0, 1]."""
        meaning = "pixels of frames, channels last: 0 is black, 1 full intensity"
        return Quantity(meaning, **SHARE, num_levels=self.num_levels)


class Numbers(Spec):
    """Float32 numbers, of any finite range unless `unit_interval` or `num_levels` says another."""

    unit_interval, num_levels = False, None

    def _check(self, batch):
        if not self.is_bounded:
            return checks.numbers(batch, self.shape, self.noun)
        try:
            checks.numbers(batch, self.shape, self.noun, low=0.0, high=1.0)
        except ValueError as error:
            hint = " A model of another range has a head such as kgen.heads.Normal()."
            raise ValueError(f"{error}{hint if 'values from' in str(error) else ''}") from None
        if self.num_levels:
            checks.levels(batch, self.num_levels)

    def example(self, count, seed=0):
        """Standard normal numbers; where they lie in [0, 1], its ends or the levels."""
        if self.is_bounded:
            return _on_levels(self, count, seed)
        return np.random.default_rng(seed).normal(size=self._size(count)).astype("float32")

    def of_means(self):
        """Numbers between the levels."""
        if self.num_levels is None:
            return self
        return dataclasses.replace(self, num_levels=None, unit_interval=True)

    @property
    def is_bounded(self):
        """Whether they lie in [0, 1]."""
        return self.unit_interval or self.num_levels is not None

    def _quantity(self, meaning):
        if not self.is_bounded:
            return Quantity(f"{meaning}, on the scale of the training data")
        return Quantity(meaning, **SHARE, num_levels=self.num_levels)


def _on_levels(spec, count, seed):
    """The levels of a spec, or 0 and 1, which lie on the levels of all."""
    levels = spec.num_levels or 2
    draws = np.random.default_rng(seed).integers(0, levels, size=spec._size(count))
    return (draws / (levels - 1)).astype("float32")


@register
@dataclasses.dataclass(frozen=True)
class Points(Numbers):
    """Float32 vectors of any finite range: toys, tables, spectra.

    Args:
        dim: int >= 1.
        unit_interval: bool, whether the numbers lie in [0, 1].
        num_levels: int, L, where they lie on the levels k / (L - 1); or None.
    """

    dim: int
    unit_interval: bool = False
    num_levels: int | None = None
    noun = "points"

    def __post_init__(self):
        checks.positive_integer("dim", self.dim)
        if self.num_levels is not None:
            checks.integer_at_least("num_levels", self.num_levels, 2)

    @property
    def shape(self):
        """`(dim,)`."""
        return (self.dim,)

    def quantity(self):
        """Numbers on the data's own scale."""
        return self._quantity("coordinates of points")


@register
@dataclasses.dataclass(frozen=True)
class Rows(Spec):
    """Float32 rows of a table: numbers of any finite range, and integer codes of categories.

    NaN stands for a value that is not known.

    Args:
        columns: a pair (name, num_categories) per column: codes are 0 .. num_categories - 1; None
            for numbers.
    """

    columns: tuple
    noun = "rows"

    def __post_init__(self):
        self._set(columns=tuple((str(name), count) for name, count in self.columns))
        for name, count in self.columns:
            if count is not None:
                checks.integer_at_least(f"num_categories of column '{name}'", count, 2)

    @property
    def shape(self):
        """`(num_columns,)`."""
        return (len(self.columns),)

    def _check(self, batch):
        checks.numbers(np.where(np.isnan(batch), 0.0, batch), self.shape, "rows")
        for (name, count), values in zip(self.columns, np.asarray(batch).T, strict=True):
            values = values[~np.isnan(values)]
            wrong = values[(values < 0) | (values >= count) | (values % 1 != 0)] if count else ()
            if len(wrong):
                raise ValueError(
                    f"Column '{name}' holds integer codes 0 .. {count - 1}, received {wrong[0]:g}."
                )

    def example(self, count, seed=0):
        """Standard normal numbers and uniform codes."""
        random = np.random.default_rng(seed)
        draws = random.normal(size=self._size(count))
        for index, (_, categories) in enumerate(self.columns):
            if categories is not None:
                draws[:, index] = random.integers(0, categories, size=count)
        return draws.astype("float32")

    def quantity(self):
        """The columns' names and ranges."""
        columns = ", ".join(
            name if count is None else f"{name} (0 .. {count - 1})" for name, count in self.columns
        )
        return Quantity(f"the columns {columns}; NaN is not known")

    def __str__(self):
        return f"rows of {len(self.columns)} columns"


@register
@dataclasses.dataclass(frozen=True)
class Signals(Numbers):
    """Float32 sequences of any finite range.

    Args:
        length: int >= 1.
        channels: int >= 1.
        unit_interval: bool, whether the numbers lie in [0, 1].
        num_levels: int, L, where they lie on the levels k / (L - 1); or None.
    """

    length: int
    channels: int = 1
    unit_interval: bool = False
    num_levels: int | None = None
    noun = "signals"

    def __post_init__(self):
        checks.positive_integer("length", self.length)
        checks.positive_integer("channels", self.channels)
        if self.num_levels is not None:
            checks.integer_at_least("num_levels", self.num_levels, 2)

    @property
    def shape(self):
        """`(length, channels)`."""
        return (self.length, self.channels)

    def quantity(self):
        """Numbers on the data's own scale."""
        return self._quantity("values of a signal over time")


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
