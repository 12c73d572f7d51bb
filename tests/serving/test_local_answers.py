"""The development server over real sockets: what it answers."""

import base64
import urllib.error
import urllib.request

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
)

from kgen import serving
from tests.serving.local_requests import (
    CLOSE,
    LATENTS,
    SEEDS,
    http_call,
    new_request,
    predict,
    refusal,
    rest,
)
from tests.serving.stand_in import IMAGE_SHAPE, LATENT_DIM


def test_grpc_equals_python(stub, model):
    images = np.random.default_rng(1).random((5, *IMAGE_SHAPE), np.float32)
    decoded = predict(stub, "stand_in", "decode", latents=LATENTS)["images"]
    np.testing.assert_allclose(decoded, model.decode(LATENTS)["images"], **CLOSE)
    encoded = predict(stub, "stand_in", "encode", images=images)["latents"]
    np.testing.assert_allclose(encoded, model.encode(images)["latents"], **CLOSE)
    samples = predict(stub, "stand_in", "sample", seed=SEEDS)["images"]
    np.testing.assert_allclose(samples, model.sample(SEEDS)["images"], **CLOSE)
    (png, _) = predict(stub, "stand_in", "sample_png", seed=SEEDS)["images_bytes"]
    # Rounding to a level is half of 1/255.
    np.testing.assert_allclose(tf.io.decode_png(png) / 255, samples[0], atol=0.5 / 255 + 1e-5)


def test_rest_equals_grpc(server, stub):
    images = predict(stub, "stand_in", "decode", latents=LATENTS)["images"]
    named = [{"latents": row.tolist()} for row in LATENTS]
    for key, answer, value in [
        ("instances", "predictions", LATENTS.tolist()),
        ("instances", "predictions", named),
        ("inputs", "outputs", LATENTS.tolist()),
        ("inputs", "outputs", {"latents": LATENTS.tolist()}),
    ]:
        body = {"signature_name": "decode", key: value}
        status, document = rest(server, "stand_in", body)
        assert (status, list(document)) == (200, [answer])
        # The shortest decimal of a float32 gives it back bit for bit.
        np.testing.assert_array_equal(np.array(document[answer], np.float32), images)


def test_answers_name_the_version_and_the_signature(stub):
    images = np.zeros((1, *IMAGE_SHAPE), np.float32)
    for version in (None, 1):
        spec = stub.Predict(new_request("stand_in", "", version, images=images)).model_spec
        assert (spec.name, spec.version.value) == ("stand_in", 1)
        assert spec.signature_name == "serving_default"


def test_all_types_in_both_forms(server, stub):
    numbers = np.array([[1, 2], [3, 4]], np.float32)
    words = np.array([[b"a", b"\xff\x00"], [b"", b"long" * 50]], object)
    levels = np.array([0, 250], np.uint8)
    inputs = dict(numbers=numbers, words=words, levels=levels)
    result = predict(stub, "mixed", "mix", **inputs)
    np.testing.assert_array_equal(result["numbers"], 2 * numbers)
    np.testing.assert_array_equal(result["words"], words + words)
    np.testing.assert_array_equal(result["word_bytes"], words)
    np.testing.assert_array_equal(result["levels"], np.array([255, 5], np.uint8))

    encoded = [[{"b64": base64.b64encode(word).decode()} for word in row] for row in words]
    rows = [
        {"numbers": a, "words": b, "levels": c}
        for a, b, c in zip(numbers.tolist(), encoded, levels.tolist(), strict=True)
    ]
    status, document = rest(server, "mixed", {"signature_name": "mix", "instances": rows})
    assert status == 200
    first, second = document["predictions"]
    assert second == {
        "numbers": [6.0, 8.0],
        "words": ["", "long" * 100],
        "word_bytes": encoded[1],
        "levels": 5,
    }
    assert first["words"] == ["aa", "\ufffd\x00\ufffd\x00"]
    columns = {"numbers": numbers.tolist(), "words": [["a", "ü"]] * 2, "levels": [1, 2]}
    status, document = rest(server, "mixed", {"signature_name": "mix", "inputs": columns})
    assert status == 200
    assert document["outputs"]["words"] == [["aa", "üü"]] * 2
    assert document["outputs"]["levels"] == [254, 253]


def test_value_fields_and_repeated_values(stub):
    def tensor(dtype, shape, **values):
        shape = tf.TensorShape(shape).as_proto()
        return tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum, tensor_shape=shape, **values)

    result = predict(
        stub,
        "mixed",
        "mix",
        numbers=tensor(tf.float32, (3, 2), float_val=[1, 2, 5]),
        words=tensor(tf.string, (3, 2), string_val=[b"x"]),
        levels=tensor(tf.uint8, (3,), int_val=[]),
    )
    np.testing.assert_array_equal(result["numbers"], [[2, 4], [10, 10], [10, 10]])
    np.testing.assert_array_equal(result["words"], [[b"xx", b"xx"]] * 3)
    np.testing.assert_array_equal(result["levels"], [255] * 3)


def test_not_a_number_goes_through(server, stub):
    values = np.array([[np.nan, np.inf], [-np.inf, 0.1]], np.float32)
    inputs = dict(numbers=values, words=np.array([["a", "b"]] * 2), levels=np.zeros(2, np.uint8))
    np.testing.assert_array_equal(predict(stub, "mixed", "mix", **inputs)["numbers"], 2 * values)
    body = (
        b'{"signature_name": "mix", "inputs": {"words": [["a", "b"]], "levels": [0], "numbers": [['
    )
    url = f"{server.rest_address}/v1/models/mixed:predict"
    with urllib.request.urlopen(url, body + b"NaN, -Infinity]]}}") as response:
        assert b'"numbers": [[NaN, -Infinity]]' in response.read()


def test_output_filter(stub):
    request = new_request(
        "mixed",
        "mix",
        numbers=np.ones((1, 2), np.float32),
        words=[["a", "b"]],
        levels=np.zeros(1, np.uint8),
    )
    request.output_filter.extend(["levels"])
    assert list(stub.Predict(request).outputs) == ["levels"]
    request.output_filter[:] = ["none"]
    code, details = refusal(stub.Predict, request)
    assert code == "INVALID_ARGUMENT" and "output tensor alias not found in signature" in details
    request.output_filter[:] = ["levels", "levels"]
    assert refusal(stub.Predict, request) == (
        "INVALID_ARGUMENT",
        "duplicate output tensor alias: levels",
    )


def test_status_and_metadata(server, channel, stub, version_dir):
    available = {
        "version": "1",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    for path in ("/v1/models/stand_in", "/v1/models/stand_in/versions/1"):
        status, document, _ = http_call(server, path)
        assert (status, document) == (200, {"model_version_status": [available]})
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "stand_in"
    status = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request)
    (entry,) = status.model_version_status
    assert entry.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE

    signatures = serving.read_signatures(version_dir)
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "stand_in"
    response = stub.GetModelMetadata(request)
    assert (response.model_spec.name, response.model_spec.version.value) == ("stand_in", 1)
    served = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(served)
    assert dict(served.signature_def) == signatures
    status, document, _ = http_call(server, "/v1/models/stand_in/metadata")
    assert status == 200
    assert document["model_spec"] == {"name": "stand_in", "signature_name": "", "version": "1"}
    described = document["metadata"]["signature_def"]["signature_def"]
    assert set(described) == set(signatures)
    assert described["decode"]["inputs"]["latents"]["dtype"] == "DT_FLOAT"
    dims = described["decode"]["inputs"]["latents"]["tensor_shape"]["dim"]
    assert [dim["size"] for dim in dims] == ["-1", str(LATENT_DIM)]


def test_metrics_count_by_model_and_status(server, stub):
    def counts():
        status, text, _ = http_call(server, "/monitoring/prometheus/metrics")
        assert status == 200
        lines = [line.rsplit(" ", 1) for line in text.decode().splitlines() if line[0] != "#"]
        return {name: float(value) for name, value in lines}

    before = counts()
    predict(stub, "stand_in", "decode", latents=LATENTS)
    rest(server, "none", {"instances": [1]})
    rest(server, "stand_in", {"instances": [1]})
    after = counts()
    changed = {name: after[name] - before.get(name, 0) for name in after}
    prefix = ":tensorflow:serving:request_count"
    assert changed[prefix + '{model_name="stand_in",status="OK"}'] == 1
    assert changed[prefix + '{model_name="stand_in",status="INVALID_ARGUMENT"}'] == 1
    # A name that does not exist is no label: anyone could fill the memory with them.
    assert changed[prefix + '{model_name="",status="NOT_FOUND"}'] == 1
