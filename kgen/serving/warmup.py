"""Synthetic requests: the warm-up file of an export, and the inputs of its check."""

import pathlib
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

# Where TF Serving looks for it, and how many records it accepts.
WARMUP_FILE = pathlib.PurePath("assets.extra", "tf_serving_warmup_requests")
MAX_RECORDS = 1000


def synthesize_inputs(
    input_signature: Sequence[tf.TensorSpec], batch_size: int
) -> dict[str, np.ndarray]:
    """Makes valid inputs for an endpoint, always the same.

    float32 of rank 4 is 0 or 1: an image on the levels of every model. Other float32 is uniform in
    [0.25, 0.75): a latent vector, a temperature. An int32 input
    whose name ends in "seed" or "seeds" has the rows (0, i); any other int32 is 0, a label or
    index that always exists. uint8 is 127, and a string is a PNG file of one gray pixel.

    Args:
        input_signature: named specs with an open dimension 0.
        batch_size: number of rows. The rows of a small batch begin those of a larger one.

    Returns:
        input name -> array.
    """
    return {spec.name: _synthesize(spec, batch_size) for spec in input_signature}


def _synthesize(spec: tf.TensorSpec, batch_size: int) -> np.ndarray:
    shape = (batch_size, *spec.shape.as_list()[1:])
    if spec.dtype == tf.float32:
        generator = np.random.default_rng(zlib.crc32(spec.name.encode()))
        values = (0.25 + 0.5 * generator.random(shape)).astype(np.float32)
        return np.round(values) if len(shape) == 4 else values
    if spec.dtype == tf.uint8:
        return np.full(shape, 127, np.uint8)
    if spec.dtype == tf.string:
        return np.full(shape, tf.io.encode_png(np.full((1, 1, 1), 127, np.uint8)).numpy(), object)
    array = np.zeros(shape, np.int32)
    if spec.name.endswith(("seed", "seeds")) and len(shape) == 2:
        array[:, -1] = np.arange(batch_size)
    return array


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
