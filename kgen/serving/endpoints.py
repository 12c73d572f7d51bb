"""Traces the endpoints of a model, and refuses what TF Serving could not serve."""

import dataclasses
from collections.abc import Callable, Sequence

import tensorflow as tf

from kgen.endpoints import Endpoint
from kgen.serving import graphs

BOUNDARY_DTYPES = (tf.float32, tf.int32, tf.uint8, tf.string)

# Attributes that ExportArchive keeps on the object that it saves.
_RESERVED_NAMES = ("serving_default", "variables", "trainable_variables", "non_trainable_variables")


@dataclasses.dataclass(frozen=True)
class TracedEndpoint:
    """An endpoint of a model, traced.

    Attributes:
        name: name of the signature.
        endpoint: what the model gave.
        function: the traced `tf.function`: takes the inputs in order, returns a dict of tensors.
    """

    name: str
    endpoint: Endpoint
    function: Callable[..., dict[str, tf.Tensor]]

    @property
    def input_signature(self) -> tuple[tf.TensorSpec, ...]:
        """One named `tf.TensorSpec` per input."""
        return tuple(self.endpoint.signature)

    @property
    def concrete_function(self):
        """The one trace of `function`."""
        return self.function.get_concrete_function()


def trace_endpoints(model) -> list[TracedEndpoint]:
    """Traces `model.endpoints()`, with autograph off, and checks each trace.

    TF Serving joins requests along dimension 0, so every input and output must have rank 1 or more
    and an open dimension 0; its REST interface has no float16, bfloat16; and what a call gives must
    depend on its inputs alone.

    Args:
        model: has a method `endpoints()` that returns a dict: name -> `kgen.Endpoint`, the first
            being the default; or a pair of its function and its inputs.

    Returns:
        The endpoints in their order.

    Raises:
        TypeError: `model` has no endpoints, or they are not of this form.
        ValueError: a signature that cannot be served, with the endpoint and the tensor.
    """
    if not callable(getattr(model, "endpoints", None)):
        raise TypeError(
            f"Expected a model with a method endpoints(), but received {type(model).__name__}. "
            "Export the kgen model that holds the networks, not a network."
        )
    endpoints = model.endpoints()
    if not endpoints:
        raise ValueError(f"{type(model).__name__}.endpoints() returned no endpoint.")
    return [_trace(name, endpoint) for name, endpoint in endpoints.items()]


def variables(endpoints: Sequence[TracedEndpoint]) -> list[tf.Variable]:
    """The variables that the endpoints read, each once."""
    found = {
        id(variable): variable
        for endpoint in endpoints
        for variable in endpoint.concrete_function.variables
    }
    return list(found.values())


def num_variable_bytes(endpoints: Sequence[TracedEndpoint]) -> int:
    """The size of the variables that the endpoints read."""
    return sum(item.shape.num_elements() * item.dtype.size for item in variables(endpoints))


def _trace(name: str, endpoint: Endpoint | tuple) -> TracedEndpoint:
    _check_name("endpoint", name)
    if name in _RESERVED_NAMES:
        raise ValueError(
            f"An endpoint cannot be called {name!r}. The first endpoint is published as "
            "'serving_default' too: put the natural default first."
        )
    endpoint = endpoint if isinstance(endpoint, Endpoint) else Endpoint(*endpoint)
    input_signature = tuple(endpoint.signature)
    for spec in input_signature:
        if not isinstance(spec, tf.TensorSpec):
            raise TypeError(f"Endpoint {name!r}: expected tf.TensorSpec, received {spec!r}.")
        if not spec.name:
            raise ValueError(
                f"Endpoint {name!r}: {spec!r} has no name. Give it one with tf.TensorSpec(..., "
                "name=...): it is the key of the input in a request."
            )
        _check_name(f"input of endpoint {name!r}", spec.name)
        check_input(f"Endpoint {name!r}, input {spec.name!r}", spec)
    names = [spec.name for spec in input_signature]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"Endpoint {name!r}: expected inputs of unlike names, received {names}.")

    traced = tf.function(endpoint.function, input_signature=input_signature, autograph=False)
    try:
        concrete_function = traced.get_concrete_function()
    except Exception as error:
        raise ValueError(
            f"Endpoint {name!r} cannot be traced with the inputs {names}. Endpoints are traced "
            "without autograph: write loops with tf.while_loop or tf.map_fn. The cause: "
            f"{type(error).__name__}: {error}"
        ) from error
    outputs = concrete_function.structured_outputs
    if not isinstance(outputs, dict) or not outputs:
        raise TypeError(
            f"Endpoint {name!r}: expected a dict of tensors, received {type(outputs).__name__}."
        )
    for key, tensor in outputs.items():
        _check_name(f"output of endpoint {name!r}", key)
        if not tf.is_tensor(tensor) and not isinstance(tensor, tf.TensorSpec):
            raise TypeError(f"Endpoint {name!r}, output {key!r}: not a tensor, but {tensor!r}.")
        check_boundary(f"Endpoint {name!r}, output {key!r}", tensor)
    graphs.check_servable(name, concrete_function.graph.as_graph_def())
    return TracedEndpoint(name, endpoint, traced)


def _check_name(what: str, name) -> None:
    if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
        raise ValueError(
            f"The name of an {what} must be made of letters, digits and inner underscores, and not "
            f"begin with a digit: received {name!r}."
        )


def check_input(where: str, spec) -> None:
    """Raises ValueError if requests with this input cannot be joined; see `check_boundary`."""
    check_boundary(where, spec)
    if None in spec.shape.as_list()[1:]:
        raise ValueError(
            f"{where}: only dimension 0 may be open, because requests of unlike shapes cannot be "
            f"joined. Received shape {spec.shape}."
        )


def check_boundary(where: str, tensor) -> None:
    """Raises ValueError if TF Serving cannot take or give a tensor in batches.

    Args:
        where: which one it is, for the message.
        tensor: has `dtype` and `shape`.
    """
    if tensor.dtype not in BOUNDARY_DTYPES:
        raise ValueError(
            f"{where}: dtype {tensor.dtype.name} cannot be served. Expected one of "
            f"{[dtype.name for dtype in BOUNDARY_DTYPES]}: cast inside the endpoint."
        )
    if tensor.shape.rank is None or tensor.shape.rank == 0:
        raise ValueError(
            f"{where}: expected rank 1 or more with dimension 0 the batch, received shape "
            f"{tensor.shape}. TF Serving joins requests along dimension 0: give one value per row, "
            "and set an unknown rank with tf.ensure_shape."
        )
    if tensor.shape[0] is not None:
        raise ValueError(
            f"{where}: dimension 0 must be the batch and stay open, but it is fixed to "
            f"{tensor.shape[0]} in shape {tensor.shape}. Compute it from the batch of the inputs."
        )
