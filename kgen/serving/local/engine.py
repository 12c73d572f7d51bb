"""One loaded version of a model: loads, warms up, checks requests and runs them."""

import os
import pathlib
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from kgen.serving import c_api
from kgen.serving.local import tensors
from kgen.serving.local.errors import Code, ServingError, invalid

DEFAULT_SIGNATURE = "serving_default"
WARMUP_FILE = pathlib.PurePath("assets.extra", "tf_serving_warmup_requests")
MAX_WARMUP_RECORDS = 1000

# Runs of a version at once. Each uses several processors; more would only slow one another down,
# and the warm-up of the next version most of all, which has no more than its share.
_NUM_RUNS = 2 * (os.cpu_count() or 1)

_FRAME = struct.Struct("<QI")  # length, its checksum; behind the record comes another checksum
_CHECKSUM_BYTES = 4


class Servable:
    """A version in memory.

    Args:
        library: what `c_api.load_library` returned.
        name: name of the model.
        version_dir: folder of the version.
        max_batch_size: largest dimension 0 of a request, or None.

    Raises:
        ServingError: the version is broken; the message says where.
    """

    def __init__(self, library, name: str, version_dir: pathlib.Path, *, max_batch_size=None):
        self.name = name
        self.version = int(version_dir.name)
        self.max_batch_size = max_batch_size
        # Requests that hold this version; the manager of the versions counts them.
        self.num_users = 0
        self._places = threading.Semaphore(_NUM_RUNS)
        self.signatures = _read_signatures(version_dir)
        try:
            self._session = c_api.Session(library, str(version_dir.absolute()))
        except c_api.TensorFlowError as error:
            raise _from_tensorflow(error) from error
        try:
            self._warm_up(version_dir / WARMUP_FILE)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Frees the memory. No `predict` may be under way."""
        self._session.close()

    def predict(
        self,
        signature_name: str,
        inputs: Mapping[str, object],
        *,
        output_filter: Sequence[str] = (),
        timeout_ms: int = 0,
    ) -> dict[str, object]:
        """Runs a signature.

        Args:
            signature_name: name of the signature; "" is "serving_default".
            inputs: input name -> value, see `kgen.serving.local.tensors`.
            output_filter: outputs to compute; all if empty.
            timeout_ms: milliseconds after which the run is cancelled; 0 means never.

        Returns:
            output name -> value.

        Raises:
            ServingError: FAILED_PRECONDITION for an unknown signature, INVALID_ARGUMENT for wrong
                names, types, shapes or an oversize batch, else what TensorFlow reported.
        """
        signature_name = signature_name or DEFAULT_SIGNATURE
        signature = self.signatures.get(signature_name)
        if signature is None:
            raise ServingError(
                Code.FAILED_PRECONDITION, f'Serving signature key "{signature_name}" not found.'
            )
        self._check_inputs(signature, inputs)
        names = _checked_outputs(signature, output_filter)
        feeds = [(signature.inputs[key].name, value) for key, value in inputs.items()]
        fetches = [signature.outputs[key].name for key in names]
        deadline = time.monotonic() + timeout_ms / 1000
        if not self._places.acquire(timeout=timeout_ms / 1000 if timeout_ms else None):
            raise ServingError(Code.DEADLINE_EXCEEDED, "Timed out waiting for other requests")
        try:
            options = b""
            if timeout_ms:
                rest = max(int(1000 * (deadline - time.monotonic())), 1)
                options = config_pb2.RunOptions(timeout_in_ms=rest).SerializeToString()
            values = self._session.run(feeds, fetches, run_options=options)
        except c_api.TensorFlowError as error:
            raise _from_tensorflow(error) from error
        except RuntimeError as error:
            raise ServingError(Code.UNIMPLEMENTED, str(error)) from error
        finally:
            self._places.release()
        return dict(zip(names, values, strict=True))

    def _check_inputs(self, signature, inputs: Mapping[str, object]) -> None:
        given, expected = set(inputs), set(signature.inputs)
        if given != expected:
            raise invalid(
                f"input size does not match signature: {len(given)}!={len(expected)} "
                f"len({_braces(given)}) != len({_braces(expected)}). "
                f"Sent extra: {_braces(given - expected)}. "
                f"Missing but required: {_braces(expected - given)}."
            )
        for key, value in inputs.items():
            info, shape = signature.inputs[key], tensors.value_shape(value)
            wanted = None
            if not info.tensor_shape.unknown_rank:
                wanted = [dim.size for dim in info.tensor_shape.dim]
            if tensors.value_dtype(value) != info.dtype or not _fits(shape, wanted):
                wanted = "[?]" if wanted is None else wanted
                raise invalid(
                    f"input {key!r}: expected {tensors.dtype_name(info.dtype)}{wanted}, received "
                    f"{tensors.dtype_name(tensors.value_dtype(value))}{list(shape)}."
                )
            if self.max_batch_size and shape and shape[0] > self.max_batch_size:
                raise invalid(
                    f"Task size {shape[0]} is larger than maximum input batch size "
                    f"{self.max_batch_size}"
                )

    def _warm_up(self, path: pathlib.Path) -> None:
        for i, record in enumerate(_read_records(path)):
            if i == MAX_WARMUP_RECORDS:
                raise invalid(f"{path}: more than {MAX_WARMUP_RECORDS} warm-up records.")
            try:
                request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
                inputs = {
                    key: tensors.from_proto(key, proto, max_bytes=2**31)
                    for key, proto in request.inputs.items()
                }
                self.predict(request.model_spec.signature_name, inputs)
            except (DecodeError, ServingError) as error:
                code = getattr(error, "code", Code.DATA_LOSS)
                raise ServingError(code, f"{path}: warm-up record {i} failed: {error}") from error


def _read_signatures(version_dir: pathlib.Path) -> dict[str, meta_graph_pb2.SignatureDef]:
    path = version_dir / "saved_model.pb"
    try:
        saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except OSError as error:
        raise ServingError(Code.NOT_FOUND, f"{path}: {error.strerror}.") from error
    except DecodeError as error:
        raise ServingError(Code.DATA_LOSS, f"{path} is damaged: {error}") from error
    if not saved_model.meta_graphs:
        raise ServingError(Code.DATA_LOSS, f"{path} holds no graph.")
    meta_graph = saved_model.meta_graphs[0]
    # TensorFlow loads such a folder without a word, and then every call fails.
    has_variables = any(node.op == "VarHandleOp" for node in meta_graph.graph_def.node)
    index = version_dir / "variables" / "variables.index"
    if has_variables and not index.exists():
        raise ServingError(Code.NOT_FOUND, f"{index} is missing.")
    # Copies: a part of a message keeps all of it in memory, and the graph is large.
    return {
        name: meta_graph_pb2.SignatureDef.FromString(signature.SerializeToString())
        for name, signature in meta_graph.signature_def.items()
        if name != "__saved_model_init_op"
    }


def _read_records(path: pathlib.Path) -> Iterator[bytes]:
    """Reads a TFRecord file, if there is one.

    Its checksums need a library that is not here, and are not read. A version may be withdrawn
    meanwhile: the open file can be read to its end all the same.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        size = os.fstat(file.fileno()).st_size
        while frame := file.read(_FRAME.size):
            if len(frame) == _FRAME.size:
                length, _ = _FRAME.unpack(frame)
                if length + _CHECKSUM_BYTES <= size - file.tell():
                    yield file.read(length)
                    file.read(_CHECKSUM_BYTES)
                    continue
            raise ServingError(Code.DATA_LOSS, f"{path} is truncated.")


def _checked_outputs(signature, output_filter: Sequence[str]) -> list[str]:
    for i, key in enumerate(output_filter):
        if key not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {key} "
                f"Outputs expected to be in the set {_braces(signature.outputs)}."
            )
        if key in output_filter[:i]:
            raise invalid(f"duplicate output tensor alias: {key}")
    return list(output_filter) or sorted(signature.outputs)


def _fits(shape: tuple[int, ...], wanted: list[int] | None) -> bool:
    if wanted is None:
        return True
    return len(shape) == len(wanted) and all(
        expected in (-1, size) for size, expected in zip(shape, wanted, strict=True)
    )


def _braces(names) -> str:
    return "{" + ",".join(sorted(names)) + "}"


def _from_tensorflow(error: c_api.TensorFlowError) -> ServingError:
    return ServingError(Code(error.code), str(error))
