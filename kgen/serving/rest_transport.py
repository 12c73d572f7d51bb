"""Calls TF Serving's REST API."""

import base64
import json
import ssl
import urllib.parse

import numpy as np
import urllib3
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2

from kgen.serving.transport import (
    USER_AGENT,
    ServingError,
    Signature,
    Tensor,
    VersionStatus,
    numpy_dtype,
    read_signatures,
)

_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_NUM_CONNECTIONS = 64


class RestTransport:
    """A pool of connections, which threads may share.

    Args:
        base: "http://host:port" or "https://host/prefix".
        model: name of the model.
        certificates: bytes of PEM certificates to trust instead of the system's, or None.
        token: sent as "Authorization: Bearer <token>", or None.
    """

    def __init__(self, base: str, model: str, *, certificates: bytes | None, token: str | None):
        self._url = f"{base.rstrip('/')}/v1/models/{urllib.parse.quote(model, safe='')}"
        headers = {"User-Agent": USER_AGENT, "Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        context = None
        if certificates is not None:
            context = ssl.create_default_context(cadata=certificates.decode())
        self._pool = urllib3.PoolManager(
            maxsize=_NUM_CONNECTIONS, headers=headers, ssl_context=context
        )

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
        body = {
            "signature_name": name,
            "inputs": {key: _to_json(array) for key, array in arrays.items()},
        }
        path = f"{_version_path(version)}:predict"
        outputs = self._call("POST", path, timeout, json.dumps(body).encode())["outputs"]
        # A single output comes without its name.
        if len(signature.outputs) == 1:
            outputs = {next(iter(signature.outputs)): outputs}
        return {key: _from_json(outputs[key], info) for key, info in signature.outputs.items()}

    def signatures(self, *, version: int | None, timeout: float) -> dict[str, Signature]:
        """The signatures of a version, or of the newest."""
        answer = self._call("GET", f"{_version_path(version)}/metadata", timeout)
        message = get_model_metadata_pb2.SignatureDefMap()
        json_format.ParseDict(
            answer["metadata"]["signature_def"], message, ignore_unknown_fields=True
        )
        return read_signatures(message.signature_def)

    def status(self, *, version: int | None, timeout: float) -> list[VersionStatus]:
        """The states of a version, or of all."""
        answer = self._call("GET", _version_path(version), timeout)
        return [
            VersionStatus(
                int(item["version"]),
                item["state"],
                item["status"]["error_code"],
                item["status"]["error_message"],
            )
            for item in answer["model_version_status"]
        ]

    def close(self) -> None:
        """Closes the connections."""
        self._pool.clear()

    def _call(self, method: str, path: str, timeout: float, body: bytes | None = None) -> dict:
        try:
            response = self._pool.request(
                method,
                self._url + path,
                body=body,
                timeout=urllib3.Timeout(total=timeout),
                redirect=False,
                # What a server closed since the last call is opened again; the client retries.
                retries=urllib3.Retry(0, redirect=False),
            )
        except urllib3.exceptions.MaxRetryError as error:
            raise _unanswered(error.reason) from error
        except urllib3.exceptions.HTTPError as error:
            raise _unanswered(error) from error
        try:
            answer = json.loads(response.data)
        except ValueError:
            answer = None
        if response.status == 200 and isinstance(answer, dict):
            return answer
        code = _CODES.get(response.status, "INTERNAL")
        if isinstance(answer, dict) and "error" in answer:
            raise ServingError(code, str(answer["error"]))
        text = response.data[:300].decode(errors="replace")
        raise ServingError(
            code, f"{self._url}{path}: HTTP status {response.status}, not from TF Serving: {text}"
        )


def _unanswered(error: Exception | None) -> ServingError:
    timed_out = isinstance(error, urllib3.exceptions.TimeoutError) and not isinstance(
        error, urllib3.exceptions.ConnectTimeoutError
    )
    return ServingError("DEADLINE_EXCEEDED" if timed_out else "UNAVAILABLE", str(error))


def _version_path(version: int | None) -> str:
    return "" if version is None else f"/versions/{version}"


def _to_json(array: np.ndarray):
    if array.dtype.kind != "O":
        return array.tolist()
    encoded = np.empty(array.size, object)
    for i, item in enumerate(array.ravel()):
        encoded[i] = {"b64": base64.b64encode(item).decode()}
    return encoded.reshape(array.shape).tolist()


def _from_json(value, tensor: Tensor) -> np.ndarray:
    dtype = numpy_dtype(tensor)
    shape = (-1, *tensor.shape[1:]) if None not in tensor.shape[1:] else None
    if dtype.kind == "O":
        strings = _strings(value)
        array = np.empty(len(strings), object)
        array[:] = strings
    else:
        array = np.array(value, dtype)
    if shape is None:
        return array
    # No row has no inner shape in JSON.
    return array.reshape(shape) if array.size else np.empty((0, *shape[1:]), dtype)


def _strings(value) -> list[bytes]:
    """The strings in nested lists, in order."""
    if isinstance(value, list):
        return [item for part in value for item in _strings(part)]
    return [base64.b64decode(value["b64"]) if isinstance(value, dict) else value.encode()]
