"""Runs the signatures of an exported version with the loader of TF Serving, in its own process."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

import numpy as np

from kgen.serving import c_api

Arrays = Mapping[str, np.ndarray]


def read_meta_graph(version_dir):
    """Reads the graph that TF Serving serves, without loading the model.

    Args:
        version_dir: folder that holds `saved_model.pb`.

    Returns:
        A `MetaGraphDef` message.

    Raises:
        FileNotFoundError: the folder holds no `saved_model.pb`.
        ValueError: the file is broken, or holds no graph with the tag "serve".
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    path = pathlib.Path(version_dir) / "saved_model.pb"
    try:
        saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except DecodeError as error:
        raise ValueError(f"{path} is broken or truncated: {error}.") from error
    for meta_graph in saved_model.meta_graphs:
        if "serve" in meta_graph.meta_info_def.tags:
            return meta_graph
    raise ValueError(f"{path} holds no graph with the tag 'serve', the one that is served.")


def read_signatures(version_dir) -> dict:
    """Reads the SignatureDefs of a SavedModel, without loading the model.

    Args:
        version_dir: folder that holds `saved_model.pb`.

    Returns:
        A dict: signature name -> `SignatureDef` message.

    Raises:
        FileNotFoundError: the folder holds no `saved_model.pb`.
        ValueError: the file is broken, or holds no graph with the tag "serve".
    """
    signatures = dict(read_meta_graph(version_dir).signature_def)
    signatures.pop("__saved_model_init_op", None)
    return signatures


def run_requests(
    version_dir, requests: Sequence[tuple[str, Arrays]]
) -> list[dict[str, np.ndarray]]:
    """Loads an exported version once and runs requests in order.

    The model is loaded by TensorFlow's C API in a process that never imports Python's TensorFlow,
    so what loads here loads in TF Serving. That process starts in about a second and uses the CPU.

    Args:
        version_dir: folder of one version, `saved_models/vae/1`.
        requests: pairs (signature name, {input name: array}). Arrays of dtype float32, int32,
            uint8, or for strings object or bytes.

    Returns:
        For each request a dict: output name -> array. Strings come as object arrays of bytes.

    Raises:
        ValueError: an unknown signature, or inputs that are not those of the signature.
        RuntimeError: the model does not load, or a signature fails, with TensorFlow's message.
    """
    version_dir = pathlib.Path(version_dir).absolute()
    signatures = read_signatures(version_dir)
    job = {"saved_model": str(version_dir), "requests": []}
    arrays = {}
    for i, (name, inputs) in enumerate(requests):
        if name not in signatures:
            raise ValueError(f"No signature {name!r}: {version_dir} has {sorted(signatures)}.")
        signature = signatures[name]
        if set(inputs) != set(signature.inputs):
            raise ValueError(
                f"Signature {name!r} takes the inputs {sorted(signature.inputs)}, "
                f"but received {sorted(inputs)}."
            )
        for key, value in inputs.items():
            # As objects: NumPy's own strings end at their last byte that is not 0.
            is_string = signature.inputs[key].dtype == c_api.STRING
            array = np.asarray(value, object if is_string else None)
            c_api.put_value(arrays, f"{i}/{key}", _pack(array))
        job["requests"].append(
            {
                "signature": name,
                "inputs": {key: signature.inputs[key].name for key in inputs},
                "outputs": {key: info.name for key, info in sorted(signature.outputs.items())},
            }
        )
    results = _run_job(job, arrays)
    return [
        {key: _unpack(c_api.get_value(results, f"{i}/{key}")) for key in request["outputs"]}
        for i, request in enumerate(job["requests"])
    ]


def run_signatures(version_dir, inputs: Mapping[str, Arrays]) -> dict[str, dict[str, np.ndarray]]:
    """Runs several signatures of an exported version once each; see `run_requests`.

    Args:
        version_dir: folder of one version.
        inputs: signature name -> {input name: array}.

    Returns:
        signature name -> {output name: array}.
    """
    results = run_requests(version_dir, list(inputs.items()))
    return dict(zip(inputs, results, strict=True))


def _run_job(job: dict, arrays: dict) -> dict:
    environment = os.environ.copy()
    # The parent may hold all of a GPU's memory; the proof does not need the device.
    environment["CUDA_VISIBLE_DEVICES"] = "-1"
    environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with tempfile.TemporaryDirectory(prefix="kgen-") as folder:
        folder = pathlib.Path(folder)
        (folder / "job.json").write_text(json.dumps(job))
        np.savez(folder / "inputs.npz", **arrays)
        process = subprocess.run(
            [sys.executable, c_api.__file__, str(folder)],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
        if process.returncode != 0:
            raise RuntimeError(
                f"TensorFlow's C++ loader, which TF Serving uses, failed on {job['saved_model']} "
                f"(exit status {process.returncode}): {process.stderr.strip()[-2000:]}"
            )
        with np.load(folder / "outputs.npz") as archive:
            return {key: archive[key] for key in archive.files}


def _pack(array: np.ndarray):
    if array.dtype.kind not in "OSU":
        return array
    strings = [item.encode() if isinstance(item, str) else bytes(item) for item in array.ravel()]
    lengths = np.array([len(item) for item in strings], np.int64).reshape(array.shape)
    return np.frombuffer(b"".join(strings), np.uint8), lengths


def _unpack(value) -> np.ndarray:
    if not isinstance(value, tuple):
        return value
    joined, lengths = value[0].tobytes(), value[1]
    ends = np.cumsum(lengths.ravel()).tolist()
    strings = np.empty(lengths.size, object)
    for i, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        strings[i] = joined[start:end]
    return strings.reshape(lengths.shape)
