"""What examples are given beside themselves: classes and attributes."""

import dataclasses

import numpy as np

from kgen import checks
from kgen.quantities import Quantity
from kgen.specs.kinds import Numbers, register
from kgen.specs.spec import Spec


@register
@dataclasses.dataclass(frozen=True)
class Labels(Spec):
    """One integer class per example.

    Args:
        num_classes: int >= 2; labels are 0 .. num_classes - 1.
        meaning: what the integer says, such as "class" or "number of the image".
        unknown: whether -1 is allowed, for an example whose class is not known.
    """

    num_classes: int
    meaning: str = "class"
    unknown: bool = False
    noun = "labels"
    dtype = "int32"
    shape = ()

    def __post_init__(self):
        checks.integer_at_least("num_classes", self.num_classes, 2)

    def _check(self, batch):
        checks.labels(batch, self.num_classes, unknown=self.unknown)

    def example(self, count, seed=0):
        """All classes in turn, every third one unknown where that may be."""
        labels = (np.arange(count) + seed) % self.num_classes
        is_unknown = self.unknown & (np.arange(count) % 3 == 2)
        return np.where(is_unknown, -1, labels).astype("int32")

    def quantity(self):
        """A class."""
        least = -1 if self.unknown else 0
        return Quantity(f"the {self.meaning}", minimum=least, maximum=self.num_classes - 1)

    def __str__(self):
        return f"labels 0 .. {self.num_classes - 1}" + (" or -1" if self.unknown else "")


@register
@dataclasses.dataclass(frozen=True)
class Attributes(Numbers):
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
