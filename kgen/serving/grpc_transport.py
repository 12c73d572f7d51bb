"""Calls TF Serving over gRPC, with its official stubs."""

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import error_codes_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from kgen.serving.transport import (
    USER_AGENT,
    ServingError,
    Signature,
    VersionStatus,
    read_signatures,
)

_OPTIONS = [
    # gRPC's own limit is 4 MiB, some hundred images.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # The client waits between its attempts; the channel must have tried again by then.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.primary_user_agent", USER_AGENT),
]


class GrpcTransport:
    """One channel, which threads may share.

    Args:
        target: "host:port".
        model: name of the model.
        encrypted: use TLS.
        certificates: bytes of PEM certificates to trust instead of the system's, or None.
        token: sent as "authorization: Bearer <token>", or None.
    """

    def __init__(
        self,
        target: str,
        model: str,
        *,
        encrypted: bool,
        certificates: bytes | None,
        token: str | None,
    ):
        self._model = model
        self._metadata = [] if token is None else [("authorization", f"Bearer {token}")]
        if encrypted:
            credentials = grpc.ssl_channel_credentials(certificates)
            self._channel = grpc.secure_channel(target, credentials, _OPTIONS)
        else:
            self._channel = grpc.insecure_channel(target, _OPTIONS)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(
        self,
        name: str,
        signature: Signature,
        arrays: dict[str, np.ndarray],
        *,
        version: int | None,
        timeout: float,
    ) -> dict[str, np.ndarray]:
        """Runs a signature once.

        Raises:
            ServingError: the server's answer.
        """
        request = predict_pb2.PredictRequest()
        self._fill(request.model_spec, version)
        request.model_spec.signature_name = name
        for key, array in arrays.items():
            dtype = tf.dtypes.as_dtype(signature.inputs[key].dtype)
            request.inputs[key].CopyFrom(tf.make_tensor_proto(array, dtype, array.shape))
        response = self._call(self._predictions.Predict, request, timeout)
        return {key: tf.make_ndarray(value) for key, value in response.outputs.items()}

    def signatures(self, *, version: int | None, timeout: float) -> dict[str, Signature]:
        """The signatures of a version, or of the newest."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        self._fill(request.model_spec, version)
        response = self._call(self._predictions.GetModelMetadata, request, timeout)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return read_signatures(signatures.signature_def)

    def status(self, *, version: int | None, timeout: float) -> list[VersionStatus]:
        """The states of a version, or of all."""
        request = get_model_status_pb2.GetModelStatusRequest()
        self._fill(request.model_spec, version)
        response = self._call(self._models.GetModelStatus, request, timeout)
        state = get_model_status_pb2.ModelVersionStatus.State
        return [
            VersionStatus(
                item.version,
                state.Name(item.state),
                error_codes_pb2.Code.Name(item.status.error_code),
                item.status.error_message,
            )
            for item in response.model_version_status
        ]

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def _fill(self, model_spec, version: int | None) -> None:
        model_spec.name = self._model
        if version is not None:
            model_spec.version.value = version

    def _call(self, method, request, timeout: float):
        try:
            return method(request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise ServingError(error.code().name, error.details() or "") from error
