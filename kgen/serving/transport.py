"""What the client and its two transports, gRPC and REST, have in common."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from kgen.version import __version__

USER_AGENT = f"kgen/{__version__}"


class ServingError(Exception):
    """A server's answer that is no result.

    Attributes:
        code: gRPC's name of the status, for REST too: "INVALID_ARGUMENT" (400), "UNAUTHENTICATED"
            (401), "NOT_FOUND" (404: no such model or version), "RESOURCE_EXHAUSTED" (413, 429),
            "UNAVAILABLE" (503, or no connection), "DEADLINE_EXCEEDED" (504, or no answer in time).
        message: the server's own words.
    """

    def __init__(self, code: str, message: str):
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        """The code and the message."""
        return f"{self.code}: {self.message}"


class Tensor(NamedTuple):
    """An input or output of a signature: its dtype's name, and its shape, None where open."""

    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        """As in "float32[?, 28, 28, 1]"."""
        return f"{self.dtype}[{', '.join('?' if n is None else str(n) for n in self.shape)}]"


class Signature(NamedTuple):
    """The inputs and the outputs of a signature, by name."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


class VersionStatus(NamedTuple):
    """A version of a model on the server.

    Attributes:
        version: its number.
        state: "START", "LOADING", "AVAILABLE", "UNLOADING" or "END".
        code: "OK", or the code of what went wrong.
        message: what went wrong.
    """

    version: int
    state: str
    code: str
    message: str


def read_signatures(signature_defs: Mapping) -> dict[str, Signature]:
    """Turns `SignatureDef` messages into what a client needs of them."""
    return {
        name: Signature(_read_tensors(message.inputs), _read_tensors(message.outputs))
        for name, message in sorted(signature_defs.items())
        if name != "__saved_model_init_op"
    }


def _read_tensors(infos: Mapping) -> dict[str, Tensor]:
    return {
        name: Tensor(
            tf.dtypes.as_dtype(info.dtype).name,
            tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim),
        )
        for name, info in sorted(infos.items())
    }


def numpy_dtype(tensor: Tensor) -> np.dtype:
    """What NumPy holds a tensor as: strings are objects, of type bytes."""
    return np.dtype(tf.dtypes.as_dtype(tensor.dtype).as_numpy_dtype)
