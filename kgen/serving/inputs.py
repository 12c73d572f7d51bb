"""Completes and checks what a caller gives to a signature, before it is sent."""

import secrets
from collections.abc import Mapping

import numpy as np

from kgen.serving.transport import Signature, Tensor, numpy_dtype

INT32 = np.iinfo(np.int32)

# Left out, they have the value that the models' own methods have.
DEFAULTS = {"seed": None, "temperature": 1.0}


def complete(
    name: str, signature: Signature, given: tuple, inputs: Mapping
) -> dict[str, np.ndarray]:
    """Makes the arrays of a request.

    Args:
        name: name of the signature, for messages.
        signature: what it takes.
        given: what was passed by position: nothing, the number of rows as an int, or the one input
            that has no name and no default.
        inputs: what was passed by name. An array with one dimension less than the input, such as a
            label or a mask for all, is repeated for each row. `seed` may be an int, or None
            for a fresh one: row i is then `(seed, i)`, as in `kgen.seeds.seed_rows`.

    Returns:
        input name -> array, all of one number of rows.

    Raises:
        TypeError: inputs that are missing, unknown, or of another kind.
        ValueError: shapes, ranges or numbers of rows that do not fit.
    """
    wants = f"{name} takes {_listed(signature.inputs)}"
    inputs, num_rows = dict(inputs), None
    if len(given) > 1:
        raise TypeError(
            f"{wants}: pass them by name; at most one goes without, or the number of rows."
        )
    if given and isinstance(given[0], (int, np.integer)) and not isinstance(given[0], bool):
        num_rows = int(given[0])
        if num_rows < 1:
            raise ValueError(f"{name}: the number of rows must be 1 or more, received {num_rows}.")
    elif given:
        free = [key for key in signature.inputs if key not in inputs and key not in DEFAULTS]
        if len(free) != 1:
            raise TypeError(f"{wants}: pass them by name, since {free} could be meant.")
        inputs[free[0]] = given[0]
    inputs = {key: value for key, value in DEFAULTS.items() if key in signature.inputs} | inputs
    if set(inputs) != set(signature.inputs):
        raise TypeError(f"{wants}, but received {sorted(inputs) or 'none'}.")
    seed = None
    if _is_seed(signature.inputs, inputs):
        seed = _checked_seed(inputs.pop("seed"))
    arrays = {
        key: _convert(f"{name}: {key}", value, signature.inputs[key])
        for key, value in inputs.items()
    }
    # The one range that all models share. A server that joins requests would refuse others' too.
    temperature = arrays.get("temperature", np.ones(1))
    if not (np.isfinite(temperature) & (temperature > 0)).all():
        raise ValueError(f"{name}: temperature must be above 0, received {temperature}.")
    shared = [key for key, array in arrays.items() if array.ndim < len(signature.inputs[key].shape)]
    num_rows = _num_rows(name, num_rows, {key: arrays[key] for key in arrays if key not in shared})
    for key in shared:
        arrays[key] = np.repeat(arrays[key][None], num_rows, axis=0)
    if seed is not None:
        rows = np.arange(num_rows, dtype=np.int32)
        arrays["seed"] = np.stack([np.full_like(rows, seed), rows], axis=-1)
    return {key: arrays[key] for key in signature.inputs}


def _listed(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{key} {tensor}" for key, tensor in tensors.items())


def _is_seed(wanted: Mapping[str, Tensor], inputs: Mapping) -> bool:
    """Whether rows are to be made from one seed."""
    return wanted.get("seed") == Tensor("int32", (None, 2)) and (
        inputs["seed"] is None or np.ndim(inputs["seed"]) == 0
    )


def _checked_seed(seed) -> int:
    if seed is None:
        return secrets.randbits(31)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"seed: expected an int or int32 rows (n, 2), received {seed!r}.")
    if not INT32.min <= seed <= INT32.max:
        raise ValueError(f"A seed must lie between {INT32.min} and {INT32.max}, received {seed}.")
    return int(seed)


def _convert(where: str, value, tensor: Tensor) -> np.ndarray:
    """An array of the tensor's dtype, with all its dimensions or without the first."""
    dtype = numpy_dtype(tensor)
    # As objects: NumPy's own strings end at their last byte that is not 0.
    array = np.asarray(value, object if tensor.dtype == "string" else None)
    if tensor.dtype == "string":
        array = _convert_strings(where, array)
    elif array.dtype.kind not in ("iub" if dtype.kind in "iu" else "fiub"):
        raise TypeError(f"{where}: expected {tensor}, received dtype {array.dtype}.")
    elif dtype.kind in "iu" and array.size:
        limits = np.iinfo(dtype)
        if not limits.min <= array.min() <= array.max() <= limits.max:
            raise ValueError(
                f"{where}: expected {tensor}, received values from {array.min()} to {array.max()}."
            )
    array = array.astype(dtype)
    rank = len(tensor.shape)
    inner = array.shape[1:] if array.ndim == rank else array.shape
    fits = array.ndim in (rank, rank - 1) and all(
        wanted in (None, size) for wanted, size in zip(tensor.shape[1:], inner, strict=True)
    )
    if not fits:
        raise ValueError(f"{where}: expected {tensor}, received shape {list(array.shape)}.")
    return array


def _convert_strings(where: str, array: np.ndarray) -> np.ndarray:
    strings = np.empty(array.size, object)
    for i, item in enumerate(array.ravel()):
        item = item.encode() if isinstance(item, str) else item
        if not isinstance(item, bytes):
            raise TypeError(f"{where}: expected str or bytes, received {type(item).__name__}.")
        strings[i] = bytes(item)
    return strings.reshape(array.shape)


def _num_rows(name: str, num_rows: int | None, arrays: Mapping[str, np.ndarray]) -> int:
    found = {key: len(array) for key, array in arrays.items()}
    if num_rows is not None:
        found["the number of rows"] = num_rows
    if not found:
        raise TypeError(f"{name}: say how many rows, as in client.{name}(16, seed=0).")
    if len(set(found.values())) > 1:
        raise ValueError(f"{name}: the inputs have unlike numbers of rows: {found}.")
    return next(iter(found.values()))
