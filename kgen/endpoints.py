"""An endpoint of a served model: a function, and what its inputs and outputs mean."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from kgen.quantities import QUANTITIES, Quantity
from kgen.specs import Images, Seeds, Spec, Values


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """What a model serves under one name.

        Endpoint(lambda images: {"latents": encode(images)}, {"images": Images((28, 28, 1))})

    Attributes:
        function: takes the inputs as tensors, in order, and returns a dict of tensors.
        inputs: name -> spec of one row; or a list of named `tf.TensorSpec` with an open first
            dimension, whose names then say what they mean (`kgen.quantities.QUANTITIES`).
        outputs: name -> `Quantity` or spec, for outputs whose name alone does not say what they
            mean.
    """

    function: Callable[..., dict[str, tf.Tensor]]
    inputs: Mapping[str, Spec] | Sequence[tf.TensorSpec]
    outputs: Mapping[str, Spec | Quantity] = dataclasses.field(default_factory=dict)

    @property
    def signature(self):
        """The inputs as named `tf.TensorSpec`s, the batch first."""
        if isinstance(self.inputs, Mapping):
            return [spec.tensor_spec(name) for name, spec in self.inputs.items()]
        return list(self.inputs)

    def example(self, batch_size):
        """Valid inputs, always the same: name -> array; the rows of few begin those of many."""
        return {name: spec.example(batch_size) for name, spec in self._specs().items()}

    def meaning(self, name):
        """What an input or output means, as a dict; empty where nobody said."""
        meaning = {**self._specs(), **self.outputs}.get(name)
        meaning = meaning.quantity() if isinstance(meaning, Spec) else meaning
        meaning = meaning or QUANTITIES.get(name)
        return {} if meaning is None else meaning.as_dict()

    def _specs(self):
        if isinstance(self.inputs, Mapping):
            return self.inputs
        return {spec.name: _by_name(spec) for spec in self.inputs}


def _by_name(spec):
    """What a named tensor is where nobody said it."""
    shape = tuple(spec.shape[1:])
    if spec.name == "seed" and shape == (2,):
        return Seeds()
    if spec.name == "images" and len(shape) == 3 and spec.dtype == tf.float32:
        return Images(shape)
    return Values(shape, spec.dtype.name, QUANTITIES.get(spec.name))
