"""nginx with deploy/nginx.conf in front of the development server."""

import json
import shutil
import subprocess
import urllib.error
import urllib.request

import numpy as np
import pytest

from kgen import serving
from kgen.serving import local
from tests.serving import proxy as proxies
from tests.serving.proxy import BURST, TOKEN

TOO_LARGE = 64 * 2**20 + 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("proxy")


@pytest.fixture(scope="module")
def port(version_dir, folder):
    proxies.find_nginx()
    # A server of one model, whatever else the session publishes.
    shutil.copytree(version_dir.parent, folder / "models" / "stand_in")
    with local.serving(folder / "models") as server:
        addresses = dict(grpc_address=server.grpc_address, rest_address=server.rest_address)
        with proxies.proxy(folder, **addresses) as port:
            yield port


def ask(folder, port, path, body=None, token=TOKEN):
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"https://localhost:{port}{path}", body, headers)
    try:
        with urllib.request.urlopen(request, context=proxies.trusting(folder)) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)["error"]


def test_nginx_accepts_the_configuration(tmp_path):
    nginx = proxies.find_nginx()
    addresses = dict(grpc_address="127.0.0.1:8500", rest_address="http://127.0.0.1:8501")
    proxies.write_configuration(tmp_path, **addresses)
    command = [nginx, "-t", "-e", "stderr", "-c", tmp_path / "nginx.conf"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_rest_needs_the_token_and_a_limited_body(folder, port):
    path = "/v1/models/stand_in:predict"
    body = json.dumps({"signature_name": "sample", "inputs": {"seed": [[0, 0]]}}).encode()
    status, answer = ask(folder, port, path, body)
    assert status == 200 and len(json.loads(answer)["outputs"]) == 1
    for token in (None, "", "wrong", TOKEN[:-1], f"{TOKEN}0"):
        assert ask(folder, port, path, body, token)[0] == 401
    status, message = ask(folder, port, path, bytes(TOO_LARGE))
    assert status == 413 and "64 MB" in message
    # The server's own words pass.
    status, message = ask(folder, port, path, b"{}")
    assert status == 400 and "proxy" not in message
    status, message = ask(folder, port, "/v1/models/nobody")
    assert status == 404 and "nobody" in message


def test_the_page_needs_no_token_and_all_else_is_hidden(folder, port):
    for path in ("/", "/page.js", "/page.css"):
        assert ask(folder, port, path, token=None)[0] == 200
    for path in ("/monitoring/prometheus/metrics", "/models.json", "/nginx.conf", "/v1/models"):
        assert ask(folder, port, path)[0] == 404, path


def test_grpc_through_the_proxy(folder, port):
    options = dict(model="stand_in", certificates=folder / "secrets" / "tls.crt", max_retries=0)
    with serving.Client(f"grpcs://localhost:{port}", token=TOKEN, **options) as client:
        assert client.sample(3, seed=0).shape == (3, 9, 7, 1)
        assert client.status()[0].state == "AVAILABLE"
        rows = TOO_LARGE // (9 * 7 * 4) + 1
        with pytest.raises(serving.ServingError, match="^RESOURCE_EXHAUSTED: .*64 MB"):
            client.encode(np.zeros((rows, 9, 7, 1), np.float32))
    for token in (None, "wrong"):
        with serving.Client(f"grpcs://localhost:{port}", token=token, **options) as client:
            with pytest.raises(serving.ServingError, match="^UNAUTHENTICATED"):
                client.status()


def test_wrong_tokens_are_limited_in_rate(folder, port):
    """The rate is that of an address. Last, for it is used up then."""
    statuses = [
        ask(folder, port, "/v1/models/stand_in", token="wrong")[0] for _ in range(BURST + 20)
    ]
    assert set(statuses) == {401, 429}
    # A client with a token has a share of its own.
    assert ask(folder, port, "/v1/models/stand_in")[0] == 200
