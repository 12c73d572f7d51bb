"""PredictionService and ModelService of TF Serving over gRPC."""

import contextlib
import time
from collections.abc import Iterator
from concurrent import futures

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from kgen.serving.local import configuration, tensors
from kgen.serving.local.engine import DEFAULT_SIGNATURE, Servable
from kgen.serving.local.errors import Code, ServingError, invalid
from kgen.serving.local.metrics import Metrics
from kgen.serving.local.watching import Manager

# Most of them wait for a place in `Servable.predict`.
NUM_THREADS = 64


def start_grpc(
    manager: Manager, metrics: Metrics, address: str, *, max_request_bytes: int
) -> tuple[grpc.Server, int]:
    """Starts to listen.

    Args:
        manager: holds the models.
        metrics: counts.
        address: "host:port"; port 0 takes a free one.
        max_request_bytes: larger messages get RESOURCE_EXHAUSTED. Answers have no limit.

    Returns:
        The server, and its port.

    Raises:
        OSError: the address is taken.
    """
    server = grpc.server(
        futures.ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="grpc"),
        options=[
            ("grpc.max_receive_message_length", max_request_bytes),
            ("grpc.max_send_message_length", -1),
            # Else a second server takes the same port without a word.
            ("grpc.so_reuseport", 0),
        ],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(manager, metrics, max_request_bytes=max_request_bytes), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(manager), server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"Cannot listen on {address} for gRPC: choose another port.") from error
    server.start()
    return server, port


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata."""

    def __init__(self, manager: Manager, metrics: Metrics, *, max_request_bytes: int):
        self._manager = manager
        self._metrics = metrics
        self._max_request_bytes = max_request_bytes

    def Predict(self, request, context):  # noqa: N802
        """Runs a signature."""
        started, code, known = time.monotonic(), Code.UNKNOWN, ""
        try:
            with (
                _aborting(context),
                self._manager.servable(*_read_spec(request)) as servable,
            ):
                known = servable.name
                response = self._predict(servable, request, _timeout_ms(context))
                code = Code.OK
                return response
        except Exception:
            code = _code(context)
            raise
        finally:
            seconds = time.monotonic() - started
            self._metrics.record(known, code, seconds, api="Predict", entrypoint="GRPC")

    def _predict(self, servable: Servable, request, timeout_ms: int):
        inputs = {
            key: tensors.from_proto(key, proto, max_bytes=self._max_request_bytes)
            for key, proto in request.inputs.items()
        }
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        outputs = servable.predict(
            name, inputs, output_filter=list(request.output_filter), timeout_ms=timeout_ms
        )
        response = predict_pb2.PredictResponse()
        _fill_spec(response.model_spec, servable)
        response.model_spec.signature_name = name
        for key, value in outputs.items():
            tensors.fill_proto(response.outputs[key], value)
        return response

    def GetModelMetadata(self, request, context):  # noqa: N802
        """Describes the signatures; "signature_def" is the only metadata field."""
        with _aborting(context):
            name, version, label = _read_spec(request)
            # Before the model is looked up, as TF Serving does.
            if not request.metadata_field:
                raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
            for field in request.metadata_field:
                if field != "signature_def":
                    raise invalid(f"Metadata field {field} is not supported")
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            with self._manager.servable(name, version, label) as servable:
                fill_metadata(response, servable)
            return response

    def Classify(self, request, context):  # noqa: N802
        """Not served: kgen exports Predict signatures."""
        return _refuse(context, "Classify")

    def Regress(self, request, context):  # noqa: N802
        """Not served: kgen exports Predict signatures."""
        return _refuse(context, "Regress")

    def MultiInference(self, request, context):  # noqa: N802
        """Not served: kgen exports Predict signatures."""
        return _refuse(context, "MultiInference")


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and HandleReloadConfigRequest."""

    def __init__(self, manager: Manager):
        self._manager = manager

    def GetModelStatus(self, request, context):  # noqa: N802
        """Lists the versions of a model and their states."""
        with _aborting(context):
            name, version, _ = _read_spec(request)
            return model_status(self._manager, name, version)

    def HandleReloadConfigRequest(self, request, context):  # noqa: N802
        """Serves the models of a new configuration; answers before they are loaded."""
        with _aborting(context):
            configs = configuration.from_message(request.config)
            self._manager.reload(lambda: configs)
            return model_management_pb2.ReloadConfigResponse()


def model_status(manager: Manager, name: str, version: int | None):
    """Makes a GetModelStatusResponse.

    Raises:
        ServingError: NOT_FOUND.
    """
    response = get_model_status_pb2.GetModelStatusResponse()
    for number, state in manager.states(name, version).items():
        status = response.model_version_status.add(version=number)
        status.state = get_model_status_pb2.ModelVersionStatus.State.Value(state.state)
        status.status.SetInParent()
        if state.error is not None:
            status.status.error_code = state.error.code
            status.status.error_message = state.error.message
    return response


def fill_metadata(response, servable: Servable) -> None:
    """Fills a GetModelMetadataResponse."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for key, signature in servable.signatures.items():
        signatures.signature_def[key].CopyFrom(signature)
    _fill_spec(response.model_spec, servable)
    response.metadata["signature_def"].Pack(signatures)


def _fill_spec(model_spec, servable: Servable) -> None:
    model_spec.name = servable.name
    model_spec.version.value = servable.version


def _read_spec(request) -> tuple[str, int | None, str | None]:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    spec = request.model_spec
    choice = spec.WhichOneof("version_choice")
    version = spec.version.value if choice == "version" else None
    label = spec.version_label if choice == "version_label" else None
    return spec.name, version, label


def _timeout_ms(context) -> int:
    remaining = context.time_remaining()
    # Without a deadline some versions of grpcio give None and others a year.
    return 0 if remaining is None or remaining > 1e6 else max(int(remaining * 1000), 1)


@contextlib.contextmanager
def _aborting(context) -> Iterator[None]:
    try:
        yield
    except ServingError as error:
        context.abort(grpc.StatusCode[error.code.name], error.short_message())


def _code(context) -> Code:
    status = context.code()
    return Code[status.name] if isinstance(status, grpc.StatusCode) else Code.UNKNOWN


def _refuse(context, method: str):
    message = f"{method} is not served: kgen exports Predict signatures alone. Call Predict."
    context.abort(grpc.StatusCode.UNIMPLEMENTED, message)
