"""Can TF Serving serve this folder? Asked without the Python model.

    python -m kgen.serving.check saved_models/vae/1

prints what the version holds and why it is refused, if it is; then the exit status is 1.
"""

import argparse
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from kgen.serving import graphs, integrity, loading, model_card, warmup, weights
from kgen.serving.endpoints import check_boundary, check_input
from kgen.serving.report import Report, specs_of

Requests = list[tuple[str, Mapping[str, np.ndarray]]]

# Batches made where the version brings no warm-up requests.
BATCH_SIZES = (1, 3, 8)
# Rows are compared with rows alone in batches of at most this many.
MAX_COMPARED_ROWS = 8


def check(version_dir) -> Report:
    """Inspects an exported version and runs each of its signatures as TF Serving would.

    Refused are: missing, broken or truncated files; weights stored twice, unused or NaN; inputs and
    outputs that are not float32, int32, uint8 or string with an open dimension 0; stateful random
    numbers, writes to variables, Python functions and `jit_compile=True`; warm-up requests that
    would fail; and, run through the server's C++ loader at several batch sizes, signatures that
    fail, give NaN, lose rows, leave the range that the model card says, or give a row other
    results in a batch than alone.

    Args:
        version_dir: folder of one version, `saved_models/vae/1`.

    Returns:
        A report. Its `problems` are empty if the version can be served.
    """
    report = Report(pathlib.Path(version_dir))
    try:
        meta_graph = loading.read_meta_graph(version_dir)
    except (OSError, ValueError) as error:
        report.problems.append(_why_unreadable(report.version_dir, error))
        return report
    report.tensorflow_version = meta_graph.meta_info_def.tensorflow_version or "?"
    report.signatures = loading.read_signatures(version_dir)
    if not report.signatures:
        report.problems.append(
            "It has no signature: save it with kgen.serving.export, or give "
            "tf.saved_model.save(..., signatures=...)."
        )
        return report
    parts = {
        name: graphs.used_part(meta_graph.graph_def, _tensor_names(signature))
        for name, signature in report.signatures.items()
    }
    for asset in meta_graph.asset_file_def:
        if not (report.version_dir / "assets" / asset.filename).exists():
            report.problems.append(f"The file assets/{asset.filename} is missing.")
    whole = not report.problems
    all_names = [name for item in report.signatures.values() for name in _tensor_names(item)]
    try:
        part = graphs.used_part(meta_graph.graph_def, all_names)
        report.weights = weights.check_weights(version_dir, part)
    except ValueError as error:
        report.problems.append(str(error))
        whole = whole and "are stored" in str(error)
    sound = [
        name for name, item in report.signatures.items() if _is_sound(report, name, item, parts)
    ]
    try:
        report.card = model_card.read(version_dir)
    except ValueError as error:
        report.problems.append(str(error))
    requests = _warmup_requests(report)
    if whole:
        _run(report, sound, parts, requests)
    return report


def _why_unreadable(version_dir: pathlib.Path, error: Exception) -> str:
    if isinstance(error, ValueError):
        return str(error)
    if not version_dir.is_dir():
        return "The folder does not exist."
    versions = [path.name for path in version_dir.iterdir() if path.name.isdigit()]
    if versions:
        return f"It holds the versions {sorted(versions, key=int)}: name one of these folders."
    return "saved_model.pb is missing: the server would try to load such a version for minutes."


def _tensor_names(signature) -> list[str]:
    return [info.name for info in signature.outputs.values()]


def _is_sound(report: Report, name: str, signature, parts: Mapping) -> bool:
    problems = []
    if not signature.inputs or not signature.outputs:
        problems.append(f"Signature {name!r}: expected inputs and outputs.")
    for kind, infos, check_spec in [
        ("input", signature.inputs, check_input),
        ("output", signature.outputs, check_boundary),
    ]:
        for spec in specs_of(infos):
            try:
                check_spec(f"Signature {name!r}, {kind} {spec.name!r}", spec)
            except ValueError as error:
                problems.append(str(error))
    try:
        graphs.check_servable(name, parts[name])
    except ValueError as error:
        problems.append(str(error))
    report.problems += problems
    return not problems


def _warmup_requests(report: Report) -> Requests:
    """The warm-up requests that fit their signature; others become problems."""
    try:
        requests = warmup.read_warmup(report.version_dir)
    except ValueError as error:
        report.problems.append(str(error))
        return []
    fitting = []
    for i, (name, arrays) in enumerate(requests):
        problem = _misfit(report.signatures.get(name), arrays)
        if problem:
            report.problems.append(
                f"Warm-up request {i}, signature {name!r}: {problem}. A request that fails makes "
                "TF Serving refuse the version."
            )
            continue
        report.warmup.setdefault(name, []).append(len(next(iter(arrays.values()))))
        fitting.append((name, arrays))
    return fitting


def _misfit(signature, arrays: Mapping[str, np.ndarray]) -> str:
    if signature is None:
        return "there is no such signature"
    specs = {spec.name: spec for spec in specs_of(signature.inputs)}
    if set(specs) != set(arrays):
        return f"expected the inputs {sorted(specs)}, received {sorted(arrays)}"
    for name, array in arrays.items():
        dtype = tf.string if array.dtype.kind in "OSU" else tf.dtypes.as_dtype(array.dtype)
        if dtype != specs[name].dtype or not specs[name].shape.is_compatible_with(array.shape):
            return (
                f"input {name!r} is {dtype.name}{list(array.shape)}, expected "
                f"{specs[name].dtype.name}{specs[name].shape}"
            )
    lengths = {len(array) if array.ndim else None for array in arrays.values()}
    return "" if len(lengths) == 1 else "its inputs have unlike numbers of rows"


def _run(report: Report, names: Sequence[str], parts: Mapping, given: Requests) -> None:
    names = list(names)
    requests, compared = [], {}
    for name in names:
        specs = specs_of(report.signatures[name].inputs)
        own = [arrays for request, arrays in given if request == name]
        own = own or [warmup.synthesize_inputs(specs, size) for size in BATCH_SIZES]
        batch = max(own, key=_num_rows)
        if _num_rows(batch) < 2:
            batch = warmup.synthesize_inputs(specs, BATCH_SIZES[1])
        batch = {key: array[:MAX_COMPARED_ROWS] for key, array in batch.items()}
        last = _num_rows(batch) - 1
        rows = [{key: array[i : i + 1] for key, array in batch.items()} for i in (0, last)]
        requests += [(name, arrays) for arrays in own]
        compared[name] = (batch, *rows)
    requests += [(name, arrays) for name, batches in compared.items() for arrays in batches]
    while requests:
        try:
            outputs = loading.run_requests(report.version_dir, requests)
            break
        except RuntimeError as error:
            report.problems.append(str(error))
            failed = re.search(r"signature '(\w+)':", str(error))
            if failed is None:
                return
            names.remove(failed[1])
            requests = [item for item in requests if item[0] != failed[1]]
    results = {name: [] for name in names}
    for (name, arrays), values in zip(requests, outputs if requests else [], strict=True):
        results[name].append((_num_rows(arrays), values))
    for name in names:
        *own, (_, batch), (_, first), (_, last) = results[name]
        report.runs[name] = sorted({size for size, _ in own})
        problems = [_defect(report.card, name, size, values) for size, values in results[name]]
        tolerance = integrity.row_tolerance(parts[name])
        if not any(problems):
            end = {key: value[-1:] for key, value in batch.items()}
            for row, within in ((first, batch), (last, end)):
                problem = integrity.row_dependence(within, row, tolerance, parts[name])
                problems.append(problem and f"Signature {name!r}, {problem}")
        report.problems += [problem for problem in problems if problem][:1]


def _num_rows(arrays: Mapping[str, np.ndarray]) -> int:
    return len(next(iter(arrays.values())))


def _defect(card, name: str, batch_size: int, outputs: Mapping[str, np.ndarray]) -> str:
    for key, value in outputs.items():
        where = f"Signature {name!r}, output {key!r}, batch size {batch_size}"
        problem = integrity.defect(value, batch_size)
        if problem:
            return f"{where}: {problem}"
        said = _said_of_output(card, name, key)
        least, largest = said.get("minimum", -np.inf), said.get("maximum", np.inf)
        if value.dtype != object and value.size:
            # A probability may round to just above 1.
            if value.min() < least - 1e-5 or value.max() > largest + 1e-5:
                return (
                    f"{where}: values from {value.min():.6g} to {value.max():.6g}, but the model "
                    f"card says {least} to {largest}."
                )
    return ""


def _said_of_output(card, name: str, key: str) -> Mapping:
    said = card
    for step in ("signatures", name, "outputs", key):
        said = said.get(step) if isinstance(said, Mapping) else None
    return said if isinstance(said, Mapping) else {}


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the reports of the given folders; returns 1 if one is refused, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m kgen.serving.check", description=check.__doc__.splitlines()[0]
    )
    parser.add_argument("version_dir", nargs="+", help="folder of one version: saved_models/vae/1")
    refused = False
    for version_dir in parser.parse_args(arguments).version_dir:
        report = check(version_dir)
        print(report)
        refused = refused or bool(report.problems)
    return int(refused)


if __name__ == "__main__":
    tf.config.set_visible_devices([], "GPU")  # A server may hold all of its memory.
    sys.exit(main())
