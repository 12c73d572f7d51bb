"""The development server while versions come, go and are broken."""

import contextlib
import json
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from kgen import serving
from kgen.serving import local
from tests.serving.stand_in import single

# Polls often, so that the tests need not wait.
POLL = "--file_system_poll_wait_seconds=0.1"
WARMUP = pathlib.PurePath("assets.extra", "tf_serving_warmup_requests")


def export_constant(directory, value):
    """A version whose two outputs are `value` everywhere; one of them is a variable."""
    variable = tf.Variable([float(value)])
    constant = single(lambda x: {"variable": 0 * x + variable, "constant": 0 * x + value})
    return serving.export(constant, directory, check=False, warmup_batch_sizes=(1,))


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Two versions to copy: they answer 1 and 2."""
    directory = tmp_path_factory.mktemp("exports")
    return {value: export_constant(directory / str(value), value) for value in (1, 2)}


def publish(source, directory, version, damage=None):
    """Copies a version as an export appears: at once."""
    directory.mkdir(parents=True, exist_ok=True)
    temporary = directory / f".tmp-{secrets.token_hex(4)}"
    shutil.copytree(source, temporary)
    if damage:
        damage(temporary)
    os.rename(temporary, directory / str(version))


def withdraw(directory, version):
    temporary = directory / f".tmp-{secrets.token_hex(4)}"
    os.rename(directory / str(version), temporary)
    shutil.rmtree(temporary)


def states(server, model="constant"):
    """version -> (state, error message), or the error of the request."""
    try:
        with urllib.request.urlopen(f"{server.rest_address}/v1/models/{model}") as response:
            entries = json.loads(response.read())["model_version_status"]
    except urllib.error.HTTPError as error:
        with error:
            return {"error": json.loads(error.read())["error"]}
    return {
        int(entry["version"]): (entry["state"], entry["status"]["error_message"])
        for entry in entries
    }


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def new_request(model="constant", num_rows=2, version=None):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    if version is not None:
        request.model_spec.version.value = version
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.zeros((num_rows, 3), np.float32)))
    return request


@contextlib.contextmanager
def connected(server):
    with grpc.insecure_channel(server.grpc_address) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def answer(stub, **options):
    """Returns the version and the one value that an answer consists of."""
    response = stub.Predict(new_request(**options), timeout=60)
    values = {float(v) for p in response.outputs.values() for v in tf.make_ndarray(p).ravel()}
    (value,) = values
    return response.model_spec.version.value, value


def resident_bytes(server):
    text = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return 1024 * int(text.split("VmRSS:")[1].split()[0])


def test_new_versions_and_rollbacks_under_load(tmp_path, exports):
    directory = tmp_path / "constant"
    # Odd versions answer 1 and even ones 2.
    publish(exports[1], directory, 1)
    seen, failures, stopping = [], [], threading.Event()

    def ask(stub):
        while not stopping.is_set():
            try:
                version, value = answer(stub, num_rows=5)
                if value != 2 - version % 2:
                    failures.append((version, value))
                seen.append(version)
            except Exception as error:
                failures.append(error)

    with local.serving(tmp_path, flags=[POLL]) as server, connected(server) as stub:
        threads = [threading.Thread(target=ask, args=(stub,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for version in (2, 3, 4):
                publish(exports[2 - version % 2], directory, version)
                wait_for(lambda version=version: seen and seen[-1] == version)
            withdraw(directory, 4)
            wait_for(lambda: seen[-1] == 3)
            wait_for(lambda: states(server)[4] == ("END", ""))
        finally:
            stopping.set()
            for thread in threads:
                thread.join()
        assert not failures
        assert set(seen) == {1, 2, 3, 4}
        assert {key: state for key, (state, _) in states(server).items()} == {
            1: "END",
            2: "END",
            3: "AVAILABLE",
            4: "END",
        }
        with pytest.raises(grpc.RpcError) as caught:
            answer(stub, version=1)
        assert caught.value.details() == "Servable not found for request: Specific(constant, 1)"


def remove_variables(folder):
    shutil.rmtree(folder / "variables")


def truncate_variables(folder):
    (path,) = (folder / "variables").glob("variables.data-*")
    os.truncate(path, path.stat().st_size // 2)


def remove_graph(folder):
    (folder / "saved_model.pb").unlink()


def truncate_graph(folder):
    path = folder / "saved_model.pb"
    os.truncate(path, path.stat().st_size // 2)


def truncate_warmup(folder):
    os.truncate(folder / WARMUP, (folder / WARMUP).stat().st_size - 3)


def rename_warmup_input(folder):
    content = (folder / WARMUP).read_bytes()
    # The name of the input has one letter; its key in the map is the field 1 of length 1.
    assert b"\x0a\x01x" in content
    (folder / WARMUP).write_bytes(content.replace(b"\x0a\x01x", b"\x0a\x01y"))


DAMAGES = {
    remove_variables: "variables.index is missing",
    truncate_variables: "",  # TensorFlow's words
    remove_graph: "saved_model.pb: No such file",
    truncate_graph: "saved_model.pb is damaged",
    truncate_warmup: "is truncated",
    rename_warmup_input: "warm-up record 0 failed",
}


def test_broken_versions_are_not_served(tmp_path, exports):
    directory = tmp_path / "constant"
    publish(exports[1], directory, 1)
    with local.serving(tmp_path, flags=[POLL]) as server, connected(server) as stub:
        for version, (damage, message) in enumerate(DAMAGES.items(), 2):
            publish(exports[2], directory, version, damage)
            wait_for(lambda version=version: states(server).get(version, " ")[0] == "END")
            assert message in states(server)[version][1] != "", damage
            assert answer(stub) == (1, 1.0), damage
        # A version that is being copied fails at first, and is tried again when it changes.
        shutil.copy(exports[2] / "saved_model.pb", directory / "2")
        shutil.copytree(exports[2] / "variables", directory / "9" / "variables")
        wait_for(lambda: states(server).get(9, " ")[0] == "END")
        shutil.copy(exports[2] / "saved_model.pb", directory / "9")
        wait_for(lambda: answer(stub) == (9, 2.0))
        # A broken newest version that goes away leaves what is served.
        publish(exports[1], directory, 10, remove_graph)
        wait_for(lambda: states(server).get(10, " ")[0] == "END")
        withdraw(directory, 10)
        time.sleep(0.3)
        assert answer(stub) == (9, 2.0)


def slow_warmup(folder):
    """The largest file that is allowed: 1,000 records."""
    record = (folder / WARMUP).read_bytes()
    (folder / WARMUP).write_bytes(record * (1000 // 2))


def test_loading_says_unavailable(tmp_path, exports):
    directory = tmp_path / "constant"
    directory.mkdir()
    (directory / "not a version").mkdir()
    with local.serving(tmp_path, flags=[POLL]) as server, connected(server) as stub:
        assert states(server) == {"error": "Could not find any versions of model constant"}
        codes, statuses = [], set()
        publish(exports[1], directory, 1, slow_warmup)
        while not codes or codes[-1] != "OK":
            statuses |= {state for state, _ in [states(server).get(1, ("none", ""))]}
            try:
                assert answer(stub) == (1, 1.0)
                codes.append("OK")
            except grpc.RpcError as error:
                codes.append(error.code().name)
        assert [codes[i] for i in range(len(codes)) if codes[i] != codes[i - 1] or not i] in (
            ["NOT_FOUND", "UNAVAILABLE", "OK"],
            ["UNAVAILABLE", "OK"],
        )
        assert "LOADING" in statuses


def is_open(server, path):
    for link in pathlib.Path(f"/proc/{server.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if link.readlink() == path:
                return True
    return False


def test_a_version_withdrawn_while_it_is_loaded(tmp_path, exports):
    directory = tmp_path / "constant"
    publish(exports[1], directory, 1)
    with local.serving(tmp_path, flags=[POLL]) as server, connected(server) as stub:
        publish(exports[2], directory, 2, slow_warmup)
        wait_for(lambda: is_open(server, directory / "2" / WARMUP))
        assert states(server)[2][0] == "LOADING"
        withdraw(directory, 2)
        wait_for(lambda: states(server)[2][0] == "END")
        # What it had open it could read to the end.
        assert states(server)[2] == ("END", "")
        assert answer(stub) == (1, 1.0)


@pytest.mark.parametrize("error", [OSError(116, "Stale file handle"), KeyboardInterrupt()])
def test_a_load_that_fails_leaves_no_model_behind(exports, monkeypatch, error):
    from kgen.serving.local import engine

    sessions = []

    class Session:
        def __init__(self, library, path):
            sessions.append(self)
            self.is_open = True

        def run(self, feeds, fetches, *, run_options):
            raise error

        def close(self):
            self.is_open = False

    monkeypatch.setattr(engine.c_api, "Session", Session)
    with pytest.raises(type(error)):
        engine.Servable(None, "constant", exports[1])
    assert [session.is_open for session in sessions] == [False]


@pytest.mark.parametrize("is_from_file", [False, True])
def test_what_is_served_stays_while_its_folder_is_away(tmp_path, exports, is_from_file):
    """As in TF Serving: without the base path nothing changes; one without versions unloads."""
    models = tmp_path / "models"
    publish(exports[1], models / "constant", 1)
    flags, log = [POLL], tmp_path / "log"
    if is_from_file:
        config = tmp_path / "models.config"
        config.write_text(
            f'model_config_list {{ config {{ name: "constant" base_path: "{models}/constant" }} }}'
        )
        flags.append(f"--model_config_file={config}")
    with (
        log.open("w") as file,
        local.serving(None if is_from_file else models, flags=flags, log_file=file) as server,
        connected(server) as stub,
    ):
        for path in (models, models / "constant"):
            path.rename(tmp_path / "away")
            time.sleep(0.5)
            assert answer(stub) == (1, 1.0)
            (tmp_path / "away").rename(path)
            time.sleep(0.3)
            assert answer(stub) == (1, 1.0)
        # Said once each time, not at each look.
        assert log.read_text().count("constant stays as it is") == 2
        shutil.rmtree(models / "constant" / "1")
        wait_for(lambda: states(server)[1][0] == "END")
        with pytest.raises(grpc.RpcError) as caught:
            answer(stub)
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND


CONFIG = """
model_config_list {
  config {
    name: "newest" base_path: "constant" model_platform: "tensorflow"
  }
  config {
    name: "two" base_path: "constant"
    model_version_policy { latest { num_versions: 2 } }
    version_labels { key: "stable" value: 2 } version_labels { key: "gone" value: 1 }
  }
  config {
    name: "first" base_path: "%s"
    model_version_policy { specific { versions: 1 } }
  }
  config { name: "all" base_path: "constant" model_version_policy { all {} } }
}
"""


def test_configuration_file_and_reload(tmp_path, exports):
    for version in (1, 2, 3):
        publish(exports[2 - version % 2], tmp_path / "constant", version)
    config = tmp_path / "models.config"
    config.write_text(CONFIG % (tmp_path / "constant"))
    flags = [POLL, f"--model_config_file={config}"]
    with local.serving(None, flags=flags) as server, connected(server) as stub:
        found = {name: set(states(server, name)) for name in ("newest", "two", "first", "all")}
        assert found == {"newest": {3}, "two": {2, 3}, "first": {1}, "all": {1, 2, 3}}
        assert answer(stub, model="first") == (1, 1.0)
        assert answer(stub, model="all", version=2) == (2, 2.0)
        labelled = new_request("two")
        labelled.model_spec.version_label = "stable"
        assert stub.Predict(labelled).model_spec.version.value == 2
        url = f"{server.rest_address}/v1/models/two/labels/stable:predict"
        with urllib.request.urlopen(url, b'{"instances": [[0, 0, 0]]}') as response:
            (prediction,) = json.loads(response.read())["predictions"]
        assert prediction == {"constant": [2.0] * 3, "variable": [2.0] * 3}
        labelled.model_spec.version_label = "gone"
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(labelled)
        assert caught.value.details() == "Servable not found for request: Specific(two, 1)"

        with grpc.insecure_channel(server.grpc_address) as channel:
            models = model_service_pb2_grpc.ModelServiceStub(channel)
            request = model_management_pb2.ReloadConfigRequest()
            with pytest.raises(grpc.RpcError) as caught:
                models.HandleReloadConfigRequest(request)
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
            request.config.model_config_list.config.add(
                name="new", base_path=str(tmp_path / "constant")
            )
            models.HandleReloadConfigRequest(request)
            wait_for(lambda: states(server, "new").get(3) == ("AVAILABLE", ""))
            wait_for(lambda: "error" in states(server, "newest"))
            status = get_model_status_pb2.GetModelStatusRequest()
            status.model_spec.name = "all"
            with pytest.raises(grpc.RpcError) as caught:
                models.GetModelStatus(status)
            assert caught.value.code() == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    "text", ["no config", 'model_config_list { config { name: "x" } }', "custom_model_config {}"]
)
def test_broken_configuration_is_refused(tmp_path, text):
    from kgen.serving.local import configuration, errors

    (tmp_path / "models.config").write_text(text)
    with pytest.raises(errors.ServingError):
        configuration.from_file(tmp_path / "models.config")


def test_memory_is_flat(tmp_path, exports):
    directory = tmp_path / "constant"
    publish(exports[1], directory, 1)
    with local.serving(tmp_path, flags=[POLL]) as server, connected(server) as stub:
        for _ in range(100):
            answer(stub, num_rows=3000)
        before = resident_bytes(server)
        for _ in range(300):
            answer(stub, num_rows=3000)
        # 300 requests and answers of 36 and 72 kB: 32 MB if they stayed.
        assert resident_bytes(server) - before < 8e6


def test_process_ends_with_its_parent(tmp_path, exports):
    publish(exports[1], tmp_path / "constant", 1)
    # Starts a server, says its process number, and is killed before it can stop it.
    script = (
        "import importlib.util, sys, time\n"
        f"spec = importlib.util.spec_from_file_location('starting', {local.starting.__file__!r})\n"
        "module = sys.modules['starting'] = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        f"with module.serving({str(tmp_path)!r}) as server:\n"
        "    print(server.process.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    with parent:
        number = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    wait_for(lambda: not is_running(number))


def is_running(number):
    try:
        # A zombie, whose new parent has not asked for its status, has ended too.
        return pathlib.Path(f"/proc/{number}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_python_dash_m(tmp_path):
    """What the documentation says to type; it starts the program anew, without Python's TF."""
    tmp_path.joinpath("models").mkdir()
    log, address_file = tmp_path / "log", tmp_path / "addresses"
    command = [sys.executable, "-m", "kgen.serving.local", "models", "--grpc_port=0"]
    command += ["--rest_port=0", f"--address_file={address_file}"]
    environment = os.environ | {"PYTHONPATH": str(pathlib.Path(serving.__file__).parents[2])}
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=tmp_path, stderr=file, env=environment)
    try:
        wait_for(lambda: address_file.exists() or process.poll() is not None, 120)
        rest = json.loads(address_file.read_text())["rest"]
        with urllib.request.urlopen(f"http://{rest}/monitoring/prometheus/metrics") as response:
            assert response.status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    assert "for development, not for production" in log.read_text()
