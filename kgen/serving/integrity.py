"""The proof of an export: what the C++ loader computes is what Python computes."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from kgen.serving import graphs
from kgen.serving.endpoints import TracedEndpoint
from kgen.serving.loading import run_requests

# Both sides run the same kernels, but TensorFlow may fuse and reorder float32 sums otherwise:
# about 1e-6 an operation, and up to a hundred operations deep.
FLOAT32_TOLERANCE = 1e-4
# bfloat16 keeps 8 bits: one rounding is 4e-3, and fused operations skip some of them.
HALF_TOLERANCE = 5e-2

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def check_version(
    version_dir: pathlib.Path,
    endpoints: Sequence[TracedEndpoint],
    inputs: Sequence[tuple[str, Mapping[str, np.ndarray]]],
) -> None:
    """Runs a written version through the C++ loader and compares it with Python.

    Values are compared to 1e-4 of the largest value of an output (5e-2 where the endpoint computes
    in float16 or bfloat16), PNG images within one level, other strings and integers exactly. A
    signature that draws samples is compared in shape and type only where the two sides cannot
    round alike (half precision, or Python on a GPU), since one rounding may change a whole sample.
    Requests of several batch sizes to one signature that share their first rows must share the
    results of these rows too: a row may not depend on those beside it. The integers of a signature
    that ranks (`top_k`) are always compared in shape and type only.

    Args:
        version_dir: folder of the version.
        endpoints: what was exported.
        inputs: pairs (signature name, {input name: array}).

    Raises:
        RuntimeError: the version does not load, or a signature fails there.
        ValueError: an output differs, holds NaN, has not one row an input row, or a row of it
            depends on the other rows.
    """
    by_name = {"serving_default": endpoints[0]} | {item.name: item for item in endpoints}
    results = run_requests(version_dir, inputs)
    previous = {}
    for (name, arrays), outputs in zip(inputs, results, strict=True):
        endpoint = by_name[name]
        batch_size = len(next(iter(arrays.values())))
        expected = _run_in_python(endpoint, arrays)
        tolerance = _tolerance(endpoint)
        graph_def = endpoint.concrete_function.graph.as_graph_def()
        for key, value in outputs.items():
            where = f"Signature {name!r}, output {key!r}, batch size {batch_size}"
            problem = defect(value, batch_size)
            if problem:
                raise ValueError(f"{where}: {problem}")
            problem = difference(value, expected[key], _allowed(value, tolerance, graph_def))
            if problem:
                raise ValueError(f"{where}: the exported model differs from Python's: {problem}.")
        given, before = previous.get(name, (arrays, outputs))
        if _begin_alike(arrays, given):
            problem = row_dependence(outputs, before, tolerance, graph_def)
            if problem:
                raise ValueError(f"Signature {name!r}, batch size {batch_size}: {problem}")
        previous[name] = (arrays, outputs)


def defect(value: np.ndarray, batch_size: int) -> str:
    """Says what is wrong with an output by itself, or returns ""."""
    if value.ndim == 0 or len(value) != batch_size:
        rows = len(value) if value.ndim else "a scalar"
        return f"expected {batch_size} rows, received {rows}."
    if value.dtype == np.float32 and np.isnan(value).any():
        return (
            "NaN for inputs in [0.25, 0.75]. Look for NaN in the weights (training diverged), or "
            "for a domain that the endpoint should check."
        )
    return ""


def row_dependence(
    outputs: Mapping[str, np.ndarray],
    others: Mapping[str, np.ndarray],
    tolerance: float | None,
    graph_def,
) -> str:
    """Says where rows differ that two requests began with alike, or returns "".

    Args:
        outputs: output name -> array, of one request.
        others: the same of another one, of more or fewer rows.
        tolerance: see `difference`.
        graph_def: the graph of the signature.
    """
    for key, value in outputs.items():
        count = min(len(value), len(others[key]))
        problem = difference(
            value[:count], others[key][:count], _allowed(value, tolerance, graph_def)
        )
        if problem:
            return (
                f"output {key!r}: a row's result depends on the rows beside it (batches of "
                f"{len(value)} and {len(others[key])} rows begin alike, and their results differ "
                f"{problem}). TF Serving joins requests of unlike clients: compute each row by "
                "itself."
            )
    return ""


def _begin_alike(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> bool:
    count = min(len(next(iter(arrays.values()))) for arrays in (first, second))
    return all(np.array_equal(first[key][:count], second[key][:count]) for key in first)


def difference(value: np.ndarray, expected: np.ndarray, tolerance: float | None) -> str:
    """Says how two outputs differ, or returns "" if they agree.

    Args:
        value: float32, int32, uint8 or object (bytes) array.
        expected: the same from the other side.
        tolerance: largest difference of floats, as a share of the largest finite value of
            `expected` (at least 0.01); None compares shape and type only.

    Returns:
        A phrase, or "".
    """
    if value.shape != expected.shape or value.dtype != expected.dtype:
        return f"{value.dtype}{value.shape} instead of {expected.dtype}{expected.shape}"
    if tolerance is None or value.size == 0:
        return ""
    if value.dtype == np.float32:
        finite = np.isfinite(expected)
        if not np.array_equal(value[~finite], expected[~finite]):
            return "infinite values are in other places"
        value, expected = value[finite], expected[finite]
        error = np.max(np.abs(value - expected), initial=0.0)
        # The floor is for outputs near 0 that come from the cancellation of larger terms.
        allowed = tolerance * np.max(np.abs(expected), initial=0.01)
        return "" if error <= allowed else f"by {error:.3g}, where {allowed:.3g} is allowed"
    if value.dtype == object:
        unequal = [
            i
            for i, (a, b) in enumerate(zip(value.ravel(), expected.ravel(), strict=True))
            if a != b and not _same_picture(a, b)
        ]
        return f"strings {unequal} are unequal" if unequal else ""
    error = np.max(np.abs(value.astype(np.int64) - expected.astype(np.int64)))
    # A float that was rounded to a level may fall on either side.
    allowed = 1 if value.dtype == np.uint8 else 0
    return "" if error <= allowed else f"by {error}, where {allowed} is allowed"


def _same_picture(first: bytes, second: bytes) -> bool:
    if not (first.startswith(_PNG_MAGIC) and second.startswith(_PNG_MAGIC)):
        return False
    first, second = (tf.io.decode_png(item).numpy().astype(np.int64) for item in (first, second))
    return first.shape == second.shape and np.abs(first - second).max(initial=0) <= 1


def _run_in_python(
    endpoint: TracedEndpoint, arrays: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    tensors = [tf.constant(arrays[spec.name], spec.dtype) for spec in endpoint.input_signature]
    # TensorFloat-32 keeps 10 bits on a GPU, far coarser than the tolerance.
    enabled = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        return {key: value.numpy() for key, value in endpoint.function(*tensors).items()}
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(enabled)


def _tolerance(endpoint: TracedEndpoint) -> float | None:
    graph_def = endpoint.concrete_function.graph.as_graph_def()
    if graphs.is_random(graph_def) and tf.config.list_logical_devices("GPU"):
        return None
    return row_tolerance(graph_def)


def _allowed(value: np.ndarray, tolerance: float | None, graph_def) -> float | None:
    # One rounding may exchange two neighbours; the values they were found by are compared.
    return None if value.dtype == np.int32 and graphs.is_ranking(graph_def) else tolerance


def row_tolerance(graph_def) -> float | None:
    """How far two runs of one graph may lie apart at unlike batch sizes; see `difference`."""
    half = graphs.is_half_precision(graph_def)
    if half and graphs.is_random(graph_def):
        return None
    return HALF_TOLERANCE if half else FLOAT32_TOLERANCE
