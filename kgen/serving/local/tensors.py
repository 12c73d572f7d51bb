"""TensorProto <-> the values of `kgen.serving.c_api`: an array, or (joined bytes, lengths)."""

import math

import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2

from kgen.serving import c_api
from kgen.serving.local.errors import invalid

# NumPy's own limit is 64; no signature has a tensor of more than a few dimensions.
MAX_RANK = 32

# Field of TensorProto for each type, where the values are not in tensor_content.
_VALUE_FIELDS = {
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_UINT8: "int_val",
    types_pb2.DT_STRING: "string_val",
}


def dtype_name(dtype: int) -> str:
    """The name of a DataType: "float", "int32", as TensorFlow writes it."""
    try:
        return types_pb2.DataType.Name(dtype).removeprefix("DT_").lower()
    except ValueError:
        return f"type {dtype}"


def value_dtype(value) -> int:
    """The DataType of a value."""
    return c_api.STRING if isinstance(value, tuple) else c_api.TENSOR_TYPES[value.dtype]


def value_shape(value) -> tuple[int, ...]:
    """The shape of a value."""
    return value[1].shape if isinstance(value, tuple) else value.shape


def from_strings(strings: list[bytes], shape) -> tuple[np.ndarray, np.ndarray]:
    """Makes the value of a string tensor."""
    lengths = np.fromiter(map(len, strings), np.int64, len(strings)).reshape(shape)
    return np.frombuffer(b"".join(strings), np.uint8), lengths


def to_strings(value: tuple[np.ndarray, np.ndarray]) -> list[bytes]:
    """The strings of a value in row-major order."""
    joined, ends = value[0].tobytes(), np.cumsum(value[1].ravel()).tolist()
    return [joined[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def from_proto(name: str, proto: tensor_pb2.TensorProto, *, max_bytes: int):
    """Reads a tensor of a request.

    Both forms are read: `tensor_content`, and the `*_val` fields, where fewer values than elements
    mean that the last one is repeated (none at all: zeros), as in TensorFlow's C++.

    Args:
        name: for the error.
        proto: the tensor.
        max_bytes: largest size of the array. A few bytes can ask for any shape.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    if proto.dtype not in _VALUE_FIELDS:
        served = ", ".join(dtype_name(dtype) for dtype in _VALUE_FIELDS)
        raise invalid(
            f"tensor parsing error: {name}: type {dtype_name(proto.dtype)} is none of {served}."
        )
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise invalid(f"tensor parsing error: {name}: the shape {list(shape)} is not known.")
    if len(shape) > MAX_RANK:
        raise invalid(f"tensor parsing error: {name}: {len(shape)} dimensions.")
    is_string = proto.dtype == types_pb2.DT_STRING
    dtype = np.dtype(np.int64) if is_string else c_api.NUMPY_TYPES[proto.dtype]
    size = math.prod(shape)
    # A dimension of 0 counts as 1: NumPy refuses the others if they are too large.
    num_bytes = dtype.itemsize * math.prod(max(dim, 1) for dim in shape)
    if num_bytes > max_bytes:
        raise invalid(
            f"tensor parsing error: {name}: the shape {list(shape)} takes {num_bytes:,} bytes, "
            f"but the server allows {max_bytes:,}."
        )
    if proto.tensor_content and not is_string:
        if len(proto.tensor_content) != size * dtype.itemsize:
            raise invalid(
                f"tensor parsing error: {name}: tensor_content has {len(proto.tensor_content):,} "
                f"bytes, but {dtype}{list(shape)} takes {size * dtype.itemsize:,}."
            )
        return np.frombuffer(proto.tensor_content, dtype).reshape(shape)
    values = getattr(proto, _VALUE_FIELDS[proto.dtype])
    if len(values) > size:
        raise invalid(
            f"tensor parsing error: {name}: {len(values)} values for the shape {list(shape)}."
        )
    if is_string:
        strings = list(values) or [b""]
        if (size - len(strings)) * len(strings[-1]) > max_bytes:
            raise invalid(f"tensor parsing error: {name}: the repeated string is too long.")
        strings += strings[-1:] * (size - len(strings))
        return from_strings(strings[:size], shape)
    try:
        given = np.fromiter(values, dtype, len(values))
    except OverflowError as error:
        raise invalid(f"tensor parsing error: {name}: a value is no {dtype}.") from error
    array = np.empty(size, dtype)
    array[: given.size] = given
    array[given.size :] = given[-1] if given.size else 0
    return array.reshape(shape)


def fill_proto(proto: tensor_pb2.TensorProto, value) -> None:
    """Writes a value into an empty message."""
    proto.dtype = value_dtype(value)
    for size in value_shape(value):
        proto.tensor_shape.dim.add(size=size)
    if isinstance(value, tuple):
        proto.string_val.extend(to_strings(value))
    else:
        proto.tensor_content = value.tobytes()
