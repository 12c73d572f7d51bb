"""One export of the stand-in, for the tests that only read it, and a server of it."""

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    prediction_service_pb2_grpc,
)

from kgen import serving
from kgen.serving import local
from tests.serving.local_requests import MAX_REQUEST_BYTES, count, mix
from tests.serving.stand_in import Endpoints, StandIn


@pytest.fixture(scope="session")
def model():
    return StandIn()


@pytest.fixture(scope="session")
def version_dir(model, tmp_path_factory):
    return serving.export(model, tmp_path_factory.mktemp("served") / "stand_in")


@pytest.fixture(scope="module")
def server(version_dir, tmp_path_factory):
    directory = tmp_path_factory.mktemp("local")
    (directory / "stand_in").symlink_to(version_dir.parent)
    (directory / "notes.txt").write_text("no model")
    (directory / "empty").mkdir()
    specs = [
        tf.TensorSpec((None, 2), tf.float32, name="numbers"),
        tf.TensorSpec((None, 2), tf.string, name="words"),
        tf.TensorSpec((None,), tf.uint8, name="levels"),
    ]
    model = Endpoints(
        mix=(mix, specs), count=(count, [tf.TensorSpec((None,), tf.int32, name="steps")])
    )
    serving.export(model, directory / "mixed", check=False, warmup_batch_sizes=(1,))
    flags = [
        f"--max_request_bytes={MAX_REQUEST_BYTES}",
        "--max_batch_size=32",
        "--rest_api_timeout_in_ms=1000",
        "--rest_api_enable_cors_support",
    ]
    with local.serving(directory, flags=flags) as server:
        yield server


@pytest.fixture(scope="module")
def channel(server):
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.grpc_address, options=options) as channel:
        yield channel


@pytest.fixture(scope="module")
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)
