"""The JSON of TF Serving's REST API <-> the values of `kgen.serving.c_api`.

Rows: `{"instances": [...]}` -> `{"predictions": [...]}`, one item per example. Columns:
`{"inputs": ...}` -> `{"outputs": ...}`, one array a tensor. Where a signature has one input
or one output, the array stands without its name. Binary strings are `{"b64": "..."}`.

Reference: tensorflow_serving/util/json_tensor.cc.
"""

import base64
import binascii
import itertools
import json
from collections.abc import Iterable

import numpy as np
from tensorflow.core.framework import types_pb2

from kgen.serving import c_api
from kgen.serving.local import tensors
from kgen.serving.local.errors import invalid

_MAX_QUOTED = 256

# Numbers that are written at a time: some 15 ms, in which no other thread runs. Much smaller pieces
# would be worse. Who waits for the interpreter insists after 5 ms, and starts anew whenever NumPy
# has let go of it for a moment.
_PIECE = 2**15


def parse_request(body: bytes) -> dict:
    """Parses the body of a predict request.

    Raises:
        ServingError: INVALID_ARGUMENT: it is no JSON object, or `signature_name` is no string.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        what = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise invalid(f"JSON Parse error: {what}") from error
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {_quote(document)} Is not object")
    if not isinstance(document.get("signature_name", ""), str):
        raise invalid(
            f"JSON Value: {_quote(document)} not formatted correctly. 'signature_name' key must be "
            "a string value."
        )
    return document


def read_inputs(document: dict, signature) -> tuple[dict, bool]:
    """Reads the inputs of a request.

    Args:
        document: what `parse_request` returned.
        signature: SignatureDef.

    Returns:
        input name -> value, and whether the request is in rows.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    infos = signature.inputs
    if "instances" in document and "inputs" in document:
        raise invalid(
            f"JSON Value: {_quote(document)} Not formatted correctly expecting only one of "
            "'inputs' or 'instances' keys to exist "
        )
    if "instances" in document:
        instances = document["instances"]
        if not isinstance(instances, list):
            raise invalid(
                f"JSON Value: {_quote(document)} Expecting 'instances' to be an list/array"
            )
        if not instances:
            raise invalid(f"JSON Value: {_quote(document)} No values in 'instances' array")
        columns = _columns(instances, infos)
    elif "inputs" in document:
        columns = document["inputs"]
        if not _is_object(columns):
            if len(infos) > 1:
                raise invalid(
                    "inputs is a plain value/list, but expecting an object as multiple input "
                    "tensors required as per tensorinfo_map"
                )
            columns = {key: columns for key in infos}
        for key in infos:
            if key not in columns:
                raise invalid(f"Missing named input: {key} in 'inputs' object.")
    else:
        raise invalid("Missing 'inputs' or 'instances' key")
    # Further columns are ignored, as in TF Serving.
    inputs = {key: _read_tensor(key, columns[key], infos[key].dtype) for key in infos}
    return inputs, "instances" in document


def _columns(instances: list, infos) -> dict:
    if not isinstance(instances[0], dict) and len(infos) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    are_objects, names = _is_object(instances[0]), set(infos)
    for i, item in enumerate(instances):
        if _is_object(item) != are_objects:
            what = ("object", "list") if are_objects else ("value/list", "object")
            raise invalid(f"Expecting {what[0]} but got {what[1]} at item {i} of input list")
        if are_objects and item.keys() != names:
            raise invalid(
                f"Failed to process element: {i} of 'instances' list. JSON object: {_quote(item)} "
                f"keys must be equal to: {','.join(sorted(infos))}"
            )
    if are_objects:
        return {key: [item[key] for item in instances] for key in infos}
    return {key: instances for key in infos}


def _read_tensor(name: str, value, dtype: int):
    shape, items = _flatten(name, value)
    if dtype == types_pb2.DT_STRING:
        return tensors.from_strings([_read_string(name, item) for item in items], shape)
    numpy_type = c_api.NUMPY_TYPES.get(dtype)
    if numpy_type is None:
        raise invalid(f"input {name!r}: JSON to {tensors.dtype_name(dtype)} is not served.")
    # bool is a subclass of int in Python, and no number in JSON.
    allowed = {int, float} if numpy_type.kind == "f" else {int}
    wrong = set(map(type, items)) - allowed
    if wrong:
        item = next(item for item in items if type(item) in wrong)
        raise invalid(_wrong_type(name, item, dtype))
    try:
        # Overflowing to infinity is what C++ does too.
        with np.errstate(over="ignore"):
            return np.array(items, numpy_type).reshape(shape)
    except (OverflowError, ValueError) as error:
        raise invalid(f"input {name!r}: {error}.") from error


def _flatten(name: str, value) -> tuple[list[int], list]:
    """Takes nested lists apart level by level, in C: an image has thousands of small ones."""
    shape, items = [], [value]
    while list in (types := set(map(type, items))):
        lengths = set(map(len, items)) if types == {list} else set()
        if len(lengths) != 1:
            raise invalid(
                f"input {name!r}: Encountered list at unexpected size at level: {len(shape)}: "
                "the lists of one level must have one length."
            )
        shape.append(lengths.pop())
        if len(shape) > tensors.MAX_RANK:
            raise invalid(f"input {name!r}: more than {tensors.MAX_RANK} levels of lists.")
        items = list(itertools.chain.from_iterable(items))
    return shape, items


def _read_string(name: str, item) -> bytes:
    if isinstance(item, str):
        try:
            return item.encode()
        except UnicodeEncodeError as error:
            raise invalid(f"input {name!r}: JSON Value: {_quote(item)} is no UTF-8.") from error
    if not isinstance(item, dict):
        raise invalid(_wrong_type(name, item, types_pb2.DT_STRING))
    if _is_object(item):
        raise invalid(
            f"input {name!r}: JSON Value: {_quote(item)} not formatted correctly for base64 data"
        )
    try:
        text = item["b64"].rstrip("=")
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(f"input {name!r}: Unable to base64 decode") from error


def write_outputs(outputs: dict, *, in_rows: bool) -> bytes:
    """Writes the answer to a predict request.

    Numbers are the shortest that give the same float32; NaN and Infinity stand as such.

    Raises:
        ServingError: INVALID_ARGUMENT: an answer in rows needs outputs of one batch size.
    """
    if in_rows:
        sizes = {key: tensors.value_shape(value)[:1] for key, value in outputs.items()}
        if () in sizes.values() or len(set(sizes.values())) != 1:
            raise invalid(
                f"The outputs have the dimensions 0 {sizes}: ask for columns, with 'inputs' in "
                "place of 'instances'."
            )
    values = {key: _writable(key, value) for key, value in outputs.items()}
    if len(values) == 1:
        answer = _to_text(next(iter(values.values())))
    elif in_rows:
        rows = zip(*values.values(), strict=True)
        answer = _array(_object(values, map(_to_text, row)) for row in rows)
    else:
        answer = _object(values, map(_to_text, values.values()))
    return _object(["predictions" if in_rows else "outputs"], [answer]).encode()


def _to_text(value) -> str:
    """JSON of an array, a number or lists; of a large array row by row."""
    if isinstance(value, np.ndarray) and value.ndim > 1 and value.size > _PIECE:
        return _array(map(_to_text, value))
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    return json.dumps(value)


def _array(texts: Iterable[str]) -> str:
    return f"[{', '.join(texts)}]"


def _object(names: Iterable[str], texts: Iterable[str]) -> str:
    pairs = zip(map(json.dumps, names), texts, strict=True)
    return f"{{{', '.join(f'{name}: {text}' for name, text in pairs)}}}"


def _writable(name: str, value):
    """Lists of strings, or an array whose entries Python writes as the shortest numbers."""
    if isinstance(value, tuple):
        strings = tensors.to_strings(value)
        if name.endswith("_bytes"):
            items = [{"b64": base64.b64encode(item).decode()} for item in strings]
        else:
            items = [item.decode(errors="replace") for item in strings]
        array = np.empty(len(items), object)
        array[:] = items
        return array.reshape(tensors.value_shape(value)).tolist()
    if value.dtype != np.float32:
        return value
    # Through text: 0.1 in float32 is 0.10000000149011612 in Python's float.
    shortest = np.empty(value.size)
    for start in range(0, value.size, _PIECE):
        piece = slice(start, start + _PIECE)
        shortest[piece] = value.ravel()[piece].astype("U")
    return shortest.reshape(value.shape)


def _is_object(item) -> bool:
    """Whether it is a JSON object other than {"b64": "..."}."""
    is_base64 = isinstance(item, dict) and len(item) == 1 and isinstance(item.get("b64"), str)
    return isinstance(item, dict) and not is_base64


def _wrong_type(name: str, item, dtype: int) -> str:
    return (
        f"input {name!r}: JSON Value: {_quote(item)} is not of expected type: "
        f"{tensors.dtype_name(dtype)}"
    )


def _quote(value) -> str:
    try:
        text = json.dumps(value)
    except RecursionError:
        text = "..."
    return text if len(text) <= _MAX_QUOTED else text[:_MAX_QUOTED] + "..."
