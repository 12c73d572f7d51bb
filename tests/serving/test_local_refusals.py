"""The development server over real sockets: what it refuses."""

import contextlib
import http.client
import json
import pathlib
import socket
import subprocess
import sys

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

from kgen.serving import local
from tests.serving.local_requests import (
    LATENTS,
    MAX_REQUEST_BYTES,
    http_call,
    new_request,
    predict,
    refusal,
    rest,
)
from tests.serving.stand_in import LATENT_DIM


def test_grpc_refusals(stub):
    def refused(*args, **inputs):
        return refusal(stub.Predict, new_request(*args, **inputs), timeout=60)

    decode = ("stand_in", "decode")
    assert refused("none", "", latents=LATENTS) == (
        "NOT_FOUND",
        "Servable not found for request: Latest(none)",
    )
    assert refused("empty", "", latents=LATENTS)[0] == "NOT_FOUND"
    assert refused(*decode, 7, latents=LATENTS) == (
        "NOT_FOUND",
        "Servable not found for request: Specific(stand_in, 7)",
    )
    assert refused("", "", latents=LATENTS) == (
        "INVALID_ARGUMENT",
        "ModelSpec has no name specified.",
    )
    assert refused("stand_in", "none", latents=LATENTS) == (
        "FAILED_PRECONDITION",
        'Serving signature key "none" not found.',
    )
    code, details = refused(*decode, images=LATENTS)
    assert code == "INVALID_ARGUMENT"
    assert "Sent extra: {images}. Missing but required: {latents}." in details
    for wrong, received in [
        (LATENTS.astype(np.int32), "received int32[3, 4]"),
        (LATENTS[:, :3], "received float[3, 3]"),
        (LATENTS[0], "received float[4]"),
        (np.float32(1), "received float[]"),
        ([["a"]], "received string[1, 1]"),
    ]:
        code, details = refused(*decode, latents=wrong)
        assert code == "INVALID_ARGUMENT"
        assert "expected float[-1, 4]" in details and received in details
    code, details = refused(*decode, latents=LATENTS.astype(np.float64))
    assert code == "INVALID_ARGUMENT" and "type double" in details
    code, details = refused(*decode, latents=np.zeros((33, LATENT_DIM), np.float32))
    assert code == "INVALID_ARGUMENT"
    assert details == "Task size 33 is larger than maximum input batch size 32"
    assert refused(*decode, latents=np.zeros(MAX_REQUEST_BYTES, np.uint8))[0] == (
        "RESOURCE_EXHAUSTED"
    )
    assert refusal(stub.Predict, predict_pb2.PredictRequest())[1] == "Missing ModelSpec"
    labelled = new_request(*decode, latents=LATENTS)
    labelled.model_spec.version_label = "stable"
    assert refusal(stub.Predict, labelled) == (
        "INVALID_ARGUMENT",
        "Unrecognized servable version label: stable",
    )


def test_malformed_tensors(stub):
    def refused(**changes):
        proto = tf.make_tensor_proto(LATENTS)
        for name, value in changes.items():
            if name == "shape":
                del proto.tensor_shape.dim[:]
                for size in value:
                    proto.tensor_shape.dim.add(size=size)
            elif isinstance(value, list):
                proto.tensor_content = b""
                getattr(proto, name)[:] = value
            else:
                setattr(proto, name, value)
        code, details = refusal(stub.Predict, new_request("stand_in", "decode", latents=proto))
        assert code == "INVALID_ARGUMENT"
        assert details.startswith("tensor parsing error: latents: ")
        return details

    assert "tensor_content has 47 bytes" in refused(tensor_content=bytes(47))
    assert "13 values" in refused(float_val=[1.0] * 13)
    assert "not known" in refused(shape=(-1, 4))
    assert "100 dimensions" in refused(shape=(1,) * 100)
    # A few bytes that ask for all the memory there is.
    assert "the server allows" in refused(shape=(2**40, 4), float_val=[1.0])
    assert "the server allows" in refused(shape=(0, 2**62), float_val=[])
    assert "type complex64" in refused(dtype=tf.complex64.as_datatype_enum)
    assert "type 9999" in refused(dtype=9999)
    proto = tf.make_tensor_proto(np.zeros(2, np.uint8))
    proto.tensor_content = b""
    proto.int_val[:] = [256]
    request = new_request("mixed", "mix", numbers=[[1.0, 2.0]], words=[["a", "b"]], levels=proto)
    code, details = refusal(stub.Predict, request)
    assert (code, details) == (
        "INVALID_ARGUMENT",
        "tensor parsing error: levels: a value is no uint8.",
    )


def test_rest_refusals(server):
    latents = LATENTS.tolist()
    table = [
        (b"", "The document is empty"),
        (b"{", "JSON Parse error"),
        (b'{"instances": "\xff"}', "JSON Parse error"),
        (b"[" * 150_000, "nested too deeply"),
        (b'{"instances": ' + b"[" * 900 + b"]" * 900 + b"}", "levels of lists"),
        (b'{"instances": [[' + b"9" * 5000 + b"]]}", "JSON Parse error"),
        (b'{"instances": [[1e999, 1, 1, 1], [1, 2, 3, ' + b"9" * 400 + b"]]}", "too large"),
        (b"[1]", "Is not object"),
        (b"{}", "Missing 'inputs' or 'instances' key"),
        ({"instances": latents, "inputs": latents}, "expecting only one of"),
        ({"instances": 1}, "to be an list/array"),
        ({"instances": []}, "No values in 'instances' array"),
        ({"instances": latents, "signature_name": 1}, "must be a string value"),
        ({"instances": latents, "signature_name": "none"}, '"none" not found in signature def'),
        ({"instances": [[1, 2], [1]]}, "Encountered list at unexpected size"),
        ({"instances": [[1, 2, 3, 4], 1]}, "Encountered list at unexpected size"),
        ({"instances": [[1, 2]]}, "expected float[-1, 4], received float[1, 2]"),
        ({"instances": [["a", "b", "c", "d"]]}, '"a" is not of expected type: float'),
        ({"instances": [[True, 1, 1, 1]]}, "true is not of expected type: float"),
        ({"instances": [[None, 1, 1, 1]]}, "null is not of expected type: float"),
        ({"instances": [{"none": 1}]}, "keys must be equal to: latents"),
        ({"instances": [{"latents": latents[0]}, latents[0]]}, "Expecting object but got list"),
        ({"instances": [latents[0], {"latents": latents[0]}]}, "Expecting value/list but got"),
        ({"inputs": {"none": 1}}, "Missing named input: latents in 'inputs' object."),
        ({"instances": latents * 11}, "Task size 33 is larger than maximum input batch size 32"),
    ]
    for body, message in table:
        if isinstance(body, dict):
            body = {"signature_name": "decode"} | body
        elif body.startswith(b'{"instances": [['):
            body = b'{"signature_name": "decode", ' + body[1:]
        status, document = rest(server, "stand_in", body)
        assert status == 400 and list(document) == ["error"], body
        assert message in document["error"], document["error"]
    mixed = {"numbers": [1.0, 2.0], "words": ["a", "b"], "levels": 1}
    for changes, message in [
        ({"levels": 256}, "out of bounds for uint8"),
        ({"levels": 1.0}, "1.0 is not of expected type: uint8"),
        ({"words": [1, 2]}, "1 is not of expected type: string"),
        ({"words": ["a", {"b64": "?"}]}, "Unable to base64 decode"),
        ({"words": ["a", {"b64": 1}]}, "not formatted correctly for base64 data"),
        ({"words": ["a", "\ud800"]}, "is no UTF-8"),
    ]:
        body = {"signature_name": "mix", "instances": [mixed | changes]}
        status, document = rest(server, "mixed", body)
        assert status == 400 and message in document["error"], document
    for plain in ("instances", "inputs"):
        status, document = rest(server, "mixed", {"signature_name": "mix", plain: [[1.0]]})
        assert status == 400 and f"{plain} is a plain" in document["error"]


def test_paths_and_methods(server):
    table = [
        ("GET", "/v1/models/none", 404, "Could not find any versions of model none"),
        ("GET", "/v1/models/stand_in/versions/7", 404, "Could not find version 7 of model"),
        ("GET", "/v1/models/none/metadata", 404, "Servable not found for request: Latest(none)"),
        ("POST", "/v1/models/none:predict", 404, "Latest(none)"),
        ("POST", "/v1/models/stand_in/versions/7:predict", 404, "Specific(stand_in, 7)"),
        ("POST", "/v1/models/stand_in/labels/x:predict", 400, "Unrecognized servable version"),
        ("POST", f"/v1/models/x/versions/{2**64}:predict", 400, "Failed to convert version"),
        ("POST", "/v1/models/stand_in:classify", 501, "Classify is not served"),
        ("POST", "/v1/models/stand_in", 400, "Malformed request: POST /v1/models/stand_in"),
        ("GET", "/v1/models/stand_in:predict", 400, "Malformed request"),
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("PUT", "/v1/models/stand_in:predict", 400, "Malformed request: PUT"),
        ("BREW", "/v1/models/stand_in", 501, "Unsupported method"),
        ("GET", "/v2", 404, "Not found"),
        ("GET", "/../../pyproject.toml", 404, "Not found"),
        ("GET", "/%2e%2e/exporting.py", 404, "Not found"),
        ("GET", "/%00", 404, "Not found"),
    ]
    for method, path, expected, message in table:
        body = b'{"instances": [1]}' if method != "GET" else None
        status, document, _ = http_call(server, path, body, method)
        assert status == expected and message in document["error"], (method, path, document)


def test_oversize_and_unmeasured_bodies(server):
    status, document = rest(server, "stand_in", b"0" * (MAX_REQUEST_BYTES + 1))
    assert status == 413 and "200,000 are allowed" in document["error"]
    for headers, expected in [
        ({"Content-Length": "many"}, 400),
        ({"Content-Length": "-1"}, 400),
        ({"Content-Length": str(10**30)}, 400),
        ({"Content-Length": str(10**12)}, 413),
        ({"Transfer-Encoding": "chunked"}, 411),
    ]:
        connection = http.client.HTTPConnection(server.rest_address.removeprefix("http://"))
        connection.putrequest("POST", "/v1/models/stand_in:predict")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        assert response.status == expected
        assert list(json.loads(response.read())) == ["error"]
        connection.close()


def test_deadlines(server, stub):
    # 10 million steps are about a minute; the flag says 1000 ms.
    status, document = rest(server, "mixed", {"signature_name": "count", "instances": [10**7]})
    assert status == 504 and "error" in document
    request = new_request("mixed", "count", steps=[10**7])
    assert refusal(stub.Predict, request, timeout=0.3)[0] == "DEADLINE_EXCEEDED"
    np.testing.assert_array_equal(predict(stub, "mixed", "count", steps=[3, 5])["steps"], [5, 5])


def test_what_is_not_served_says_so(stub):
    for call, request in [
        (stub.Classify, classification_pb2.ClassificationRequest()),
        (stub.Regress, regression_pb2.RegressionRequest()),
        (stub.MultiInference, inference_pb2.MultiInferenceRequest()),
    ]:
        code, details = refusal(call, request)
        assert code == "UNIMPLEMENTED" and "Call Predict." in details
    for fields, message in [
        (["signature_def", "other"], "Metadata field other is not supported"),
        ([], "GetModelMetadataRequest must specify at least one metadata_field"),
    ]:
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
        assert refusal(stub.GetModelMetadata, request)[1] == "Missing ModelSpec"
        # The fields are looked at before the model.
        for name in ("stand_in", "none"):
            request.model_spec.name = name
            assert refusal(stub.GetModelMetadata, request) == ("INVALID_ARGUMENT", message)


def test_garbage_on_either_port(server, stub):
    for address in (server.grpc_address, server.rest_address.removeprefix("http://")):
        host, port = address.split(":")
        for garbage in [
            b"",
            b"\x00" * 1000,
            b"\xff\xfe garbage \r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /" + b"a" * 100_000,
            b"POST /v1/models/stand_in:predict HTTP/1.1\r\nContent-Length: 100\r\n\r\n{",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 1000,
        ]:
            with socket.create_connection((host, int(port)), timeout=10) as connection:
                # The server may have hung up already.
                with contextlib.suppress(OSError):
                    connection.sendall(garbage)
                    connection.shutdown(socket.SHUT_WR)
    with grpc.insecure_channel(server.grpc_address) as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        assert refusal(call, b"\xff" * 100)[0] == "INTERNAL"
        assert refusal(channel.unary_unary("/none/None"), b"")[0] == "UNIMPLEMENTED"
    assert predict(stub, "stand_in", "decode", latents=LATENTS)["images"].shape[0] == 3


def test_pages_of_other_servers_may_call(server):
    _, _, headers = http_call(server, "/v1/models/stand_in")
    assert headers["Access-Control-Allow-Origin"] == "*"
    origin = {"Origin": "https://example.org"}
    path = "/v1/models/stand_in:predict"
    status, _, headers = http_call(server, path, method="OPTIONS", headers=origin)
    assert status == 200 and headers["Access-Control-Allow-Headers"] == "Content-Type"
    assert http_call(server, path, method="OPTIONS")[0] == 400


def test_program_refuses_wrong_flags(tmp_path, server, version_dir):
    program = [sys.executable, str(pathlib.Path(local.__file__).parent)]
    for flags, message in [
        ([], "give a folder of models, or --model_config_file"),
        ([str(tmp_path / "none")], "is no folder"),
        ([str(version_dir.parent)], "give the folder above it"),
        ([f"--model_config_file={tmp_path}/none"], "No such file"),
    ]:
        process = subprocess.run([*program, *flags], capture_output=True, text=True)
        assert process.returncode != 0 and message in process.stderr
    port = server.grpc_address.rsplit(":", 1)[1]
    flags = [str(tmp_path), "--rest_port=0", f"--grpc_port={port}"]
    process = subprocess.run([*program, *flags], capture_output=True, text=True)
    assert process.returncode == 1 and "choose another port" in process.stderr
