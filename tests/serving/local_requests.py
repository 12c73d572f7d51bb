"""Requests to the development server, and two models beside the stand-in for it to serve."""

import json
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    predict_pb2,
)

from tests.serving.stand_in import LATENT_DIM

LATENTS = np.random.default_rng(0).normal(size=(3, LATENT_DIM)).astype(np.float32)
SEEDS = np.array([[0, 1], [2, 3]], np.int32)
MAX_REQUEST_BYTES = 200_000

# float32 sums in another order: a few units in the last place.
CLOSE = dict(rtol=1e-5, atol=1e-6)


def mix(numbers, words, levels):
    """All types at once; strings come back joined, so that none can get lost on the way."""
    return {
        "numbers": numbers * 2.0,
        "words": tf.strings.join([words, words]),
        "word_bytes": words,
        "levels": 255 - levels,
    }


def count(steps):
    """Takes about 5 us a step."""
    limit = tf.reduce_max(steps)
    last = tf.while_loop(lambda i: i < limit, lambda i: (i + 1,), [tf.constant(0)])[0]
    return {"steps": tf.fill(tf.shape(steps), last)}


def new_request(model, signature, version=None, **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(
            value if isinstance(value, tensor_pb2.TensorProto) else tf.make_tensor_proto(value)
        )
    return request


def predict(stub, *args, **inputs):
    outputs = stub.Predict(new_request(*args, **inputs), timeout=60).outputs
    return {name: tf.make_ndarray(proto) for name, proto in outputs.items()}


def refusal(call, *args, **kwargs):
    with pytest.raises(grpc.RpcError) as caught:
        call(*args, **kwargs)
    return caught.value.code().name, caught.value.details()


def http_call(server, path, body=None, method=None, headers=()):
    """Returns the status, the parsed JSON (or text), and the headers."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    request = urllib.request.Request(server.rest_address + path, data, dict(headers), method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            status, content = response.status, response.read()
            kind, headers = response.headers["Content-Type"], response.headers
    except urllib.error.HTTPError as error:
        with error:
            status, content = error.code, error.read()
            kind, headers = error.headers["Content-Type"], error.headers
    is_json = kind == "application/json" and content
    return status, json.loads(content) if is_json else content, headers


def rest(server, model, body):
    return http_call(server, f"/v1/models/{model}:predict", body)[:2]
