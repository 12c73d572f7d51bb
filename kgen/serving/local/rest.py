"""TF Serving's REST API: predict, status, metadata, metrics, and a page to play with."""

import contextlib
import json
import logging
import mimetypes
import os
import pathlib
import re
import socket
import time
import urllib.parse
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2

from kgen.serving.local import grpc_service, json_tensors
from kgen.serving.local.engine import DEFAULT_SIGNATURE
from kgen.serving.local.errors import Code, ServingError, invalid
from kgen.serving.local.metrics import Metrics
from kgen.serving.local.watching import Manager

# tensorflow_serving/model_servers/http_rest_api_util.cc
_VERSION = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_PREDICT = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_VERSION}:(?P<method>classify|regress|predict)", re.IGNORECASE
)
_STATUS = re.compile(
    rf"/v1/models(?:/(?P<name>[^/:]+))?{_VERSION}(?P<metadata>/metadata)?", re.IGNORECASE
)
_METRICS_PATH = "/monitoring/prometheus/metrics"
# For the page. TF Serving has no list of its models.
_MODELS_PATH = "/models.json"
_PAGE = pathlib.Path(__file__).resolve().parents[1] / "page"
_JSON, _TEXT = "application/json", "text/plain"
_GZIP = 31  # zlib's number for it

_log = logging.getLogger(__name__)


class RestServer(ThreadingHTTPServer):
    """Listens for HTTP. One thread a connection.

    Args:
        manager: holds the models.
        metrics: counts.
        address: host and port; port 0 takes a free one.
        max_request_bytes: larger bodies get 413, whether as sent or after decompression.
        timeout_ms: milliseconds after which a run is cancelled.
        cors: allow pages of other servers to call this one.

    Raises:
        OSError: the address is taken.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        manager: Manager,
        metrics: Metrics,
        address: tuple[str, int],
        *,
        max_request_bytes: int,
        timeout_ms: int,
        cors: bool,
    ):
        self.manager = manager
        self.metrics = metrics
        self.max_request_bytes = max_request_bytes
        self.timeout_ms = timeout_ms
        self.cors = cors
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def handle_error(self, request, client_address):
        """A client that went away is no error of the server."""
        # Whatever else happens is logged, and answered with 500, by the handler.


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Seconds that a silent connection may stay.
    timeout = 120
    # An answer is one packet where it fits, and does not wait for an acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: RestServer
    _waits_for_continue = False

    def handle_expect_100(self) -> bool:
        """Notes that the client waits: `_read_body` may still refuse the body."""
        self._waits_for_continue = True
        return True

    def do_GET(self):  # noqa: N802
        self._answer(self._get)

    def do_POST(self):  # noqa: N802
        self._answer(self._post)

    def do_OPTIONS(self):  # noqa: N802
        self._answer(self._preflight)

    def _refuse(self):
        self._answer(self._malformed)

    # Of other methods http.server says 501; TF Serving says 400.
    do_PUT = do_PATCH = do_DELETE = do_HEAD = _refuse  # noqa: N815

    def _answer(self, respond) -> None:
        self.model, self.api, started = "", "", time.monotonic()
        try:
            body = self._read_body()
            code, status = Code.OK, Code.OK.http_status
            kind, content = respond(self._read_path(), body)
        except ServingError as error:
            code, status = error.code, getattr(error, "http_status", error.code.http_status)
            kind, content = _JSON, _error(error.message)
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:
            _log.exception("Unexpected, at %.200r", self.requestline)
            code, status = Code.INTERNAL, Code.INTERNAL.http_status
            kind, content = _JSON, _error(f"{type(error).__name__}: {error}")
        self._send(status, kind, content)
        if self.api:
            seconds = time.monotonic() - started
            self.server.metrics.record(self.model, code, seconds, api=self.api, entrypoint="REST")

    def _read_path(self) -> str:
        try:
            return urllib.parse.urlsplit(self.path).path
        except ValueError as error:
            raise invalid(f"Malformed request: {self.command} {self.path}: {error}") from error

    def _read_body(self) -> bytes:
        # Until it is read, what follows on this connection is the body, and no request.
        closes, self.close_connection = self.close_connection, True
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            raise _refused("Send the body in one piece, with Content-Length.", 411)
        text = self.headers.get("Content-Length", "0").strip()
        if not re.fullmatch("[0-9]{1,18}", text):
            raise invalid(f"Content-Length: {text!r} is no number.")
        limit = self.server.max_request_bytes
        if int(text) > limit:
            raise _refused(f"The body has {int(text):,} bytes; {limit:,} are allowed.", 413)
        if self._waits_for_continue:
            self._waits_for_continue = False
            self.send_response_only(100)
            self.end_headers()
            self.wfile.flush()
        body = self.rfile.read(int(text))
        if len(body) != int(text):
            raise ConnectionError("The client went away.")
        self.close_connection = closes
        if body and "gzip" in self.headers.get("Content-Encoding", "").lower():
            return _decompress(body, limit)
        return body

    def _get(self, path: str, body: bytes) -> tuple[str, bytes]:
        if path == _METRICS_PATH:
            return _TEXT, self.server.metrics.text().encode()
        if path == _MODELS_PATH:
            return _JSON, json.dumps({"models": self.server.manager.names()}).encode()
        match = _STATUS.fullmatch(path)
        if not match:
            return (
                self._page(path) if not path.lower().startswith("/v1/") else self._malformed(path)
            )
        name, version, label = _read_match(match)
        if not name:
            raise invalid("Missing model name in request.")
        manager = self.server.manager
        if not match["metadata"]:
            message = grpc_service.model_status(manager, name, version)
            return _JSON, _to_json(message)
        with manager.servable(name, version, label) as servable:
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            grpc_service.fill_metadata(response, servable)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        metadata = {
            "model_spec": _to_dict(response.model_spec),
            "metadata": {"signature_def": _to_dict(signatures)},
        }
        return _JSON, json.dumps(metadata, indent=1).encode()

    def _post(self, path: str, body: bytes) -> tuple[str, bytes]:
        match = _PREDICT.fullmatch(path)
        if not match:
            return self._malformed(path)
        self.api = match["method"].capitalize()
        if self.api != "Predict":
            message = f"{self.api} is not served: kgen exports Predict signatures alone."
            raise ServingError(Code.UNIMPLEMENTED, message)
        document = json_tensors.parse_request(body)
        with self.server.manager.servable(*_read_match(match)) as servable:
            self.model = servable.name
            signature_name = document.get("signature_name") or DEFAULT_SIGNATURE
            if signature_name not in servable.signatures:
                raise invalid(
                    f'Serving signature name: "{signature_name}" not found in signature def'
                )
            signature = servable.signatures[signature_name]
            inputs, in_rows = json_tensors.read_inputs(document, signature)
            timeout_ms = self.server.timeout_ms
            outputs = servable.predict(signature_name, inputs, timeout_ms=timeout_ms)
        return _JSON, json_tensors.write_outputs(outputs, in_rows=in_rows)

    def _preflight(self, path: str, body: bytes) -> tuple[str, bytes]:
        if not re.search("https?://", self.headers.get("Origin", "")):
            message = "Origin header is missing in CORS preflight"
            raise ServingError(Code.FAILED_PRECONDITION, message)
        return _JSON, b""

    def _malformed(self, path: str, body: bytes = b"") -> tuple[str, bytes]:
        if not path.lower().startswith("/v1/"):
            raise ServingError(Code.NOT_FOUND, f"Not found: {path}")
        raise invalid(f"Malformed request: {self.command} {path}")

    def _page(self, path: str) -> tuple[str, bytes]:
        name = urllib.parse.unquote(path).lstrip("/") or "index.html"
        if name not in os.listdir(_PAGE):
            raise ServingError(Code.NOT_FOUND, f"Not found: {path}")
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return kind, (_PAGE / name).read_bytes()

    def _send(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        if self.server.cors:
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Access-Control-Allow-Methods", "POST, GET")
            self.send_header("Access-Control-Allow-Headers", "Content-Type")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_error(self, code, message=None, explain=None):
        """Answers what is no HTTP."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self._send(code, _JSON, _error(str(message or self.responses[code][0])))

    def version_string(self) -> str:
        return "kgen.serving.local"

    def log_message(self, format, *args):
        """Requests are counted and not logged."""


def _read_match(match: re.Match) -> tuple[str, int | None, str | None]:
    name = urllib.parse.unquote(match["name"] or "")
    label = match["label"] and urllib.parse.unquote(match["label"])
    if match["version"] and int(match["version"]) >= 2**63:
        raise invalid(f"Failed to convert version: {match['version']} to numeric.")
    return name, match["version"] and int(match["version"]), label


def _decompress(body: bytes, limit: int) -> bytes:
    """Undoes gzip. TF Serving does too, and takes 100 MB."""
    stream = zlib.decompressobj(_GZIP)
    try:
        content = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise invalid(f"The body is no gzip: {error}.") from error
    if len(content) > limit:
        raise _refused(f"The body has more than {limit:,} bytes after decompression.", 413)
    if not stream.eof or stream.unused_data:
        raise invalid("The body is no gzip: it is truncated, or more follows.")
    return content


def _refused(message: str, http_status: int) -> ServingError:
    """An error with a status that none of TF Serving's codes has."""
    error = invalid(message)
    error.http_status = http_status
    return error


def _error(message: str) -> bytes:
    return json.dumps({"error": message}).encode()


def _to_dict(message) -> dict:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _to_json(message) -> bytes:
    return json.dumps(_to_dict(message), indent=1).encode()
