"""Servers of both protocols that do what a test tells them to: fail, hang, swap versions."""

import base64
import concurrent.futures
import contextlib
import json
import re
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

HTTP_STATUS = {"INVALID_ARGUMENT": 400, "UNAUTHENTICATED": 401, "NOT_FOUND": 404} | {
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


class Refusal(Exception):
    """Code and message of an answer that is no result."""


class Script:
    """A model `scale`: y = version * x, z = "<version>" in bytes a row.

    Attributes:
        versions: those that are available.
        before: functions that are called before the next predictions, one each.
        calls: (version asked for, number of rows) of each prediction.
        tokens: the authorization of each call.
        num_inputs: the size of x.
    """

    def __init__(self, versions=(1,), num_inputs=3):
        self.versions = list(versions)
        self.before = []
        self.calls = []
        self.tokens = []
        self.num_inputs = num_inputs

    def signature(self):
        signature = meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/predict")
        for infos, name, dtype, size in [
            (signature.inputs, "x", tf.float32, self.num_inputs),
            (signature.outputs, "y", tf.float32, self.num_inputs),
            (signature.outputs, "z_bytes", tf.string, None),
        ]:
            infos[name].dtype = dtype.as_datatype_enum
            for dim in (-1, size) if size else (-1,):
                infos[name].tensor_shape.dim.add(size=dim)
        return {"scale": signature}

    def predict(self, version, x):
        self.calls.append((version, len(x)))
        if self.before:
            self.before.pop(0)()
        if not self.versions or (version and version not in self.versions):
            raise Refusal("NOT_FOUND", f"Servable not found for request: Specific(m, {version})")
        served = version or max(self.versions)
        return served, {
            "y": np.float32(served) * x,
            "z_bytes": np.array([b"%d" % served] * len(x), object),
        }


def fail(code, message="scripted"):
    def refuse():
        raise Refusal(code, message)

    return refuse


class _Grpc(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    def __init__(self, script):
        self.script = script

    def _note(self, context):
        self.script.tokens.append(dict(context.invocation_metadata()).get("authorization"))

    def Predict(self, request, context):  # noqa: N802
        self._note(context)
        spec = request.model_spec
        version = spec.version.value if spec.HasField("version") else None
        try:
            served, outputs = self.script.predict(version, tf.make_ndarray(request.inputs["x"]))
        except Refusal as error:
            context.abort(grpc.StatusCode[error.args[0]], error.args[1])
        response = predict_pb2.PredictResponse()
        response.model_spec.version.value = served
        for key, value in outputs.items():
            response.outputs[key].CopyFrom(tf.make_tensor_proto(value, shape=value.shape))
        return response

    def GetModelMetadata(self, request, context):  # noqa: N802
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=self.script.signature())
        response.metadata["signature_def"].Pack(signatures)
        return response

    def GetModelStatus(self, request, context):  # noqa: N802
        response = get_model_status_pb2.GetModelStatusResponse()
        for version in self.script.versions:
            response.model_version_status.add(version=version, state=30)
        return response


@contextlib.contextmanager
def grpc_server(script, credentials=None, *, port=0):
    """Serves `script`; yields "host:port"."""
    pool = concurrent.futures.ThreadPoolExecutor(4)
    server = grpc.server(pool, options=[("grpc.max_receive_message_length", -1)])
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Grpc(script), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_Grpc(script), server)
    if credentials is None:
        port = server.add_insecure_port(f"localhost:{port}")
    else:
        port = server.add_secure_port(f"localhost:{port}", credentials)
    server.start()
    try:
        yield f"localhost:{port}"
    finally:
        server.stop(None).wait()
        pool.shutdown()


class _Rest(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):  # noqa: N802
        script = self.server.script
        if self.path.endswith("/metadata"):
            signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=script.signature())
            document = {"metadata": {"signature_def": json_format.MessageToDict(signatures)}}
        else:
            status = {"error_code": "OK", "error_message": ""}
            document = {
                "model_version_status": [
                    {"version": str(version), "state": "AVAILABLE", "status": status}
                    for version in script.versions
                ]
            }
        self._send(200, json.dumps(document).encode())

    def do_POST(self):  # noqa: N802
        self.server.script.tokens.append(self.headers["Authorization"])
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        version = re.search("/versions/([0-9]+):predict", self.path)
        try:
            _, outputs = self.server.script.predict(
                version and int(version[1]), np.array(body["inputs"]["x"], np.float32)
            )
        except Refusal as error:
            code, message = error.args
            if code == "HTML":
                self._send(413, message.encode())
            else:
                self._send(HTTP_STATUS[code], json.dumps({"error": message}).encode())
            return
        strings = [{"b64": base64.b64encode(z).decode()} for z in outputs["z_bytes"]]
        document = {"outputs": {"y": outputs["y"].tolist(), "z_bytes": strings}}
        self._send(200, json.dumps(document).encode())

    def _send(self, status, content):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def rest_server(script, context: ssl.SSLContext | None = None, *, port=0):
    """Serves `script`; yields the address."""
    server = ThreadingHTTPServer(("localhost", port), _Rest)
    server.daemon_threads = True
    server.script = script
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        scheme = "http" if context is None else "https"
        yield f"{scheme}://localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
