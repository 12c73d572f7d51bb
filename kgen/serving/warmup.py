"""Synthetic requests: the warm-up file of an export, and the inputs of its check."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from kgen.endpoints import Endpoint

# Where TF Serving looks for it, and how many records it accepts.
WARMUP_FILE = pathlib.PurePath("assets.extra", "tf_serving_warmup_requests")
MAX_RECORDS = 1000


def synthesize_inputs(
    input_signature: Sequence[tf.TensorSpec], batch_size: int
) -> dict[str, np.ndarray]:
    """Makes valid inputs for a signature that is read from a folder, always the same.

    There only names say what an input is; see `kgen.Endpoint.example`.

    Args:
        input_signature: named specs with an open dimension 0.
        batch_size: number of rows. The rows of a small batch begin those of a larger one.

    Returns:
        input name -> array.
    """
    return Endpoint(None, list(input_signature)).example(batch_size)


def write_warmup(
    version_dir: pathlib.Path,
    inputs: Sequence[tuple[str, Mapping[str, np.ndarray]]],
    *,
    model_name: str,
) -> None:
    """Writes the requests that TF Serving runs before it calls a version available.

    A record that fails makes the load fail, so the file also guards a deployment.

    Args:
        version_dir: folder of the version.
        inputs: pairs (signature name, {input name: array}), at most 1,000.
        model_name: name in the records' model_spec.
    """
    from tensorflow_serving.apis import prediction_log_pb2

    path = version_dir / WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature_name, arrays in inputs:
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = model_name
            request.model_spec.signature_name = signature_name
            for name, array in arrays.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
            writer.write(log.SerializeToString())


def read_warmup(version_dir) -> list[tuple[str, dict[str, np.ndarray]]]:
    """Reads the warm-up requests of a version.

    Returns:
        Pairs (signature name, {input name: array}); none if there is no file.

    Raises:
        ValueError: the file is broken, or holds something else or too much.
    """
    from google.protobuf.message import DecodeError
    from tensorflow_serving.apis import prediction_log_pb2

    path = pathlib.Path(version_dir) / WARMUP_FILE
    if not path.exists():
        return []
    requests, num_bytes = [], 0
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            num_bytes += len(record) + 16  # Its length and two checksums.
            request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
            arrays = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
            requests.append((request.model_spec.signature_name or "serving_default", arrays))
        if num_bytes != path.stat().st_size:
            raise ValueError("the file ends within its header")
    except (tf.errors.OpError, DecodeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: record {len(requests)} is broken: {error}. A record that fails makes TF "
            "Serving refuse the version."
        ) from error
    if len(requests) > MAX_RECORDS:
        raise ValueError(
            f"{path} holds {len(requests)} records: TF Serving refuses more than {MAX_RECORDS}."
        )
    return requests
