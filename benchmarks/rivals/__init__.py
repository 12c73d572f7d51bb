"""One file a library and family: the model, written the way that library's users write it.

Each has a function `contenders(case, images, batch_size)` that yields `Contender`s.
"""

import dataclasses
from collections.abc import Callable


class LeftOut(Exception):
    """Why a contender cannot be had, raised when it is made."""


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to train a model.

    Attributes:
        name: str.
        make: function without arguments, which builds the model and returns `train`. `train()`
            passes once over the images and returns when all steps are done.
        own_way: bool, whether it is the loop that the library gives or its documentation shows,
            not one that was tuned by hand.
        same_work: bool; if not, it has no goal.
        compiled: bool, whether `torch.compile` takes part, whose compiler lives in the process.
        library: a name of `libraries.REQUIREMENTS`, which fills it in.
    """

    name: str
    make: Callable
    own_way: bool = False
    same_work: bool = True
    compiled: bool = False
    library: str = ""

    def __call__(self):
        """Build the model; returns `train`."""
        return self.make()
