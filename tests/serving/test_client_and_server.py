"""The client against the development server, over real sockets: the same arrays as Python's."""

import concurrent.futures
import shutil
import time

import numpy as np
import pytest
import tensorflow as tf
from cases import CASES

from kgen import serving
from kgen.serving import local, publishing
from tests.serving.stand_in import IMAGE_SHAPE, LATENT_DIM, Endpoints, StandIn

# One of each way to draw.
SAMPLERS = ("vae", "conditional_gan", "made")
both = pytest.mark.parametrize("protocol", ["gRPC", "REST"])

# Kernels may round differently at another batch size.
CLOSE = dict(rtol=1e-5, atol=1e-5)


def address(server, protocol):
    return server.grpc_address if protocol == "gRPC" else server.rest_address


@pytest.fixture(scope="module")
def models():
    return {case.name: case.build() for case in CASES if case.name in SAMPLERS} | {
        "stand_in": StandIn()
    }


@pytest.fixture(scope="module")
def server(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name, model in models.items():
        serving.export(model, folder / name, check=False, warmup_batch_sizes=[2])
    with local.serving(folder, flags=["--max_batch_size=8"]) as server:
        yield server


@both
def test_the_arrays_of_python(server, models, protocol):
    model = models["stand_in"]
    images = np.random.default_rng(0).random((11, *IMAGE_SHAPE), np.float32)
    latents = np.random.default_rng(1).normal(size=(11, LATENT_DIM))
    with serving.Client(address(server, protocol), "stand_in", max_batch_size=4) as client:
        np.testing.assert_allclose(client.encode(images), model.encode(images)["latents"], **CLOSE)
        np.testing.assert_allclose(client.decode(latents), model.decode(latents)["images"], **CLOSE)
        pngs = client.sample_png(11, seed=5)
        samples = client.sample(11, seed=5)
    for png, sample in zip(pngs, samples, strict=True):
        # Rounding to a level is half of 1/255, and a float at the middle may go either way.
        assert np.abs(tf.io.decode_png(png) / 255 - sample).max() <= 0.5 / 255 + 1e-5


def test_both_protocols_agree(server):
    with (
        serving.Client(server.grpc_address, "stand_in") as over_grpc,
        serving.Client(server.rest_address, "stand_in") as over_rest,
    ):
        assert over_grpc.signatures() == over_rest.signatures()
        assert over_grpc.status() == over_rest.status() == [(1, "AVAILABLE", "OK", "")]
        # The same kernels at the same batch size; JSON keeps every bit.
        np.testing.assert_array_equal(over_grpc.sample(5, seed=1), over_rest.sample(5, seed=1))
        pngs = [client.sample_png(5, seed=1).tolist() for client in (over_grpc, over_rest)]
        assert pngs[0] == pngs[1]


@pytest.mark.parametrize("name", SAMPLERS)
def test_samples_are_those_of_python_alone_and_among_others(server, models, name):
    model, count = models[name], 5
    labels, given = {}, {}
    if "labels" in model.endpoints()["sample"].inputs:
        labels = {"labels": np.arange(count) % model.condition.num_classes}
        given = {"condition": labels["labels"]}
    expected = {seed: model.sample(count, seed=seed, **given).numpy() for seed in (0, 1)}

    def draw(seed):
        with serving.Client(server.grpc_address, name) as client:
            return client.sample(count, seed=seed, **labels)

    np.testing.assert_allclose(draw(0), expected[0], atol=1e-4)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for seed, samples in zip([0, 1] * 4, pool.map(draw, [0, 1] * 4), strict=True):
            np.testing.assert_allclose(samples, expected[seed], atol=1e-4)
    assert np.abs(expected[0] - expected[1]).max() > 1e-3


@both
def test_refusals_are_the_servers_own(server, protocol):
    where = address(server, protocol)
    with serving.Client(where, "nobody") as client:
        with pytest.raises(serving.ServingError, match="^NOT_FOUND: .*nobody"):
            client.sample(1)
    with serving.Client(where, "stand_in", version=7) as client:
        with pytest.raises(serving.ServingError, match="^NOT_FOUND"):
            client.status()
    with serving.Client(where, "stand_in") as client:
        with pytest.raises(serving.ServingError, match="^INVALID_ARGUMENT: .*8"):
            client.sample(9, seed=0)
    with serving.Client(where, "conditional_gan") as client:
        with pytest.raises(serving.ServingError, match="^INVALID_ARGUMENT"):
            client.sample(2, seed=0, labels=3)


@pytest.fixture(scope="module")
def shifts(tmp_path_factory):
    """Exports of models that add 1, 2 or 3: number -> folder."""

    def shift(number):
        signature = [tf.TensorSpec((None, 1), tf.float32, name="x")]
        return Endpoints(shift=(lambda x: {"y": x + number}, signature))

    folder = tmp_path_factory.mktemp("shifts")
    return {
        number: serving.export(shift(number), folder / str(number), check=False)
        for number in (1, 2, 3)
    }


@both
def test_versions_come_and_go_during_calls(tmp_path, shifts, protocol):
    """Each version adds its number to the input: no call fails, no answer is mixed."""

    def publish(number):
        publishing.publish(
            tmp_path / "shift",
            lambda folder: shutil.copytree(shifts[number], folder, dirs_exist_ok=True),
        )

    publish(1)
    stop, seen = time.monotonic() + 60, set()
    with local.serving(tmp_path, flags=["--file_system_poll_wait_seconds=0.1"]) as server:
        with serving.Client(address(server, protocol), "shift", max_batch_size=2) as client:

            def call_until(number):
                while number not in seen and time.monotonic() < stop:
                    answers = set(client.shift(np.zeros((20, 1))).ravel().tolist())
                    assert len(answers) == 1, "answers of two versions in one call"
                    seen.update(answers)
                assert number in seen

            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                for act, number in [(publish, 2), (publish, 3), (serving.rollback, 2)]:
                    seen.clear()
                    callers = [pool.submit(call_until, number) for _ in range(4)]
                    act(tmp_path / "shift" if act is serving.rollback else number)
                    for caller in callers:
                        caller.result()
