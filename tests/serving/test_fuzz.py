"""A server that is sent garbage says what is wrong with it, lives on, and keeps nothing of it.

The number of requests is in the environment variable KGEN_FUZZ_REQUESTS; a run of 10,000 takes some
minutes.
"""

import collections
import http.client
import json
import os
import pathlib
import shutil
import socket
import time
import urllib.parse

import grpc
import pytest

pytest.importorskip("hypothesis", reason="no hypothesis: pip install -e '.[test]'")

from hypothesis import HealthCheck, given, settings

from kgen import serving
from kgen.serving import local
from tests.serving.garbage import MAX_BATCH_SIZE, MAX_REQUEST_BYTES, MODEL, raw_bytes
from tests.serving.grpc_garbage import GRPC_KINDS, grpc_requests
from tests.serving.rest_garbage import REST_KINDS, rest_requests

DEFAULT = 400
NUM_REQUESTS = int(os.environ.get("KGEN_FUZZ_REQUESTS", DEFAULT))
# A thread pool may still grow a little, and a connection take its time to close.
SLACK = 8
MEGABYTES_OF_CACHES = 64


def fuzz(share):
    """Settings for a share of the requests: the same ones in each run of the default size."""
    return settings(
        max_examples=max(int(share * NUM_REQUESTS), 1),
        deadline=None,
        database=None,
        derandomize=NUM_REQUESTS == DEFAULT,
        suppress_health_check=list(HealthCheck),
    )


class Served:
    """The server, and what it had open before the garbage."""

    def __init__(self, server):
        self.grpc_address = server.grpc_address
        self.host = urllib.parse.urlsplit(server.rest_address).netloc
        self.process = server.process
        self.good_answer = self.ask_well()
        for _ in range(20):
            self.ask_well()
        self.before = self.usage()

    def ask_well(self):
        """A good request over each protocol."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        body = json.dumps({"signature_name": "sample", "inputs": {"seed": [[1, 2]]}})
        connection.request("POST", f"/v1/models/{MODEL}:predict", body)
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        assert response.status == 200, answer
        with serving.Client(self.grpc_address, MODEL) as client:
            return json.loads(answer)["outputs"], client.sample(1, seed=7).tolist()

    def usage(self):
        """Open files, threads and megabytes of memory."""
        folder = pathlib.Path("/proc", str(self.process.pid))
        status = dict(
            line.split(":", 1)
            for line in (folder / "status").read_text().splitlines()
            if ":" in line
        )
        memory = int(status["VmRSS"].split()[0]) / 1024
        return len(list((folder / "fd").iterdir())), int(status["Threads"]), memory

    def check_alive(self):
        """It answers as before, and holds no more than before."""
        assert self.process.poll() is None
        assert self.ask_well() == self.good_answer
        deadline = time.monotonic() + 20
        while True:
            files, threads, memory = self.usage()
            grown = files - self.before[0], threads - self.before[1], memory - self.before[2]
            if max(grown[:2]) <= SLACK and grown[2] <= MEGABYTES_OF_CACHES:
                return
            assert time.monotonic() < deadline, (
                f"grown by {grown[0]} files, {grown[1]} threads and {grown[2]:.0f} MB"
            )
            time.sleep(0.2)


@pytest.fixture(scope="module")
def served(version_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    shutil.copytree(version_dir.parent, folder / MODEL)
    flags = [f"--max_batch_size={MAX_BATCH_SIZE}", f"--max_request_bytes={MAX_REQUEST_BYTES}"]
    with (
        (folder / "log").open("w") as log,
        local.serving(folder, flags=flags, log_file=log) as server,
    ):
        served = Served(server)
        yield served
    text = (folder / "log").read_text()
    # What the server did not expect it would have logged.
    assert "Traceback" not in text, text[-4000:]


@pytest.fixture
def seen():
    """Counts of the kinds of requests, and of the statuses that came."""
    return collections.Counter()


def test_garbage_over_rest(served, seen, request):
    connection = http.client.HTTPConnection(served.host, timeout=60)
    request.addfinalizer(connection.close)

    @fuzz(0.45)
    @given(garbage=rest_requests())
    def run(garbage):
        try:
            status, kind, answer = send(connection, garbage)
        except (http.client.RemoteDisconnected, ConnectionError):
            # An answer may close the connection; a second attempt is on a new one.
            connection.close()
            status, kind, answer = send(connection, garbage)
        assert status in garbage.allowed, (garbage.kind, status, answer[:300])
        if status != 200 and garbage.method != "HEAD":
            assert kind == "application/json"
            error = json.loads(answer)["error"]
            assert isinstance(error, str) and error
        if status == 200 and garbage.kind == "unknown path":
            assert answer.startswith(b"<!doctype html>")
        seen[garbage.kind, status] += 1

    run()
    connection.close()
    report(seen)
    # hypothesis does not draw evenly: a small run may miss a kind.
    assert NUM_REQUESTS < 10_000 or {kind for kind, _ in seen} == set(REST_KINDS)
    served.check_alive()


def send(connection, request):
    connection.putrequest(request.method, request.path or "/", skip_accept_encoding=True)
    names = {name for name, _ in request.headers}
    for name, value in request.headers:
        connection.putheader(name, value)
    if not names & {"Content-Length", "Transfer-Encoding"}:
        connection.putheader("Content-Length", str(len(request.body)))
    connection.endheaders()
    if not names:
        try:
            connection.send(request.body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # Refused by its headers: the answer is there to be read.
    response = connection.getresponse()
    answer = response.read()
    if response.will_close:
        connection.close()
    return response.status, response.getheader("Content-Type"), answer


def test_garbage_over_grpc(served, seen):
    # Larger than the server's limit, so that the server is the one who refuses.
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(served.grpc_address, options) as channel:

        @fuzz(0.45)
        @given(request=grpc_requests())
        def run(request):
            try:
                channel.unary_unary(request.method)(request.body, timeout=60)
                status = "OK"
            except grpc.RpcError as error:
                status = error.code().name
                assert error.details(), request.kind
            assert status in request.allowed, (request.kind, status)
            seen[request.kind, status] += 1

        run()
    report(seen)
    # hypothesis does not draw evenly: a small run may miss a kind.
    assert NUM_REQUESTS < 10_000 or {kind for kind, _ in seen} == set(GRPC_KINDS)
    served.check_alive()


@pytest.mark.parametrize("protocol", ["gRPC", "REST"])
def test_bytes_that_are_no_request(served, protocol):
    address = served.grpc_address if protocol == "gRPC" else served.host
    host, port = address.rsplit(":", 1)

    @fuzz(0.05)
    @given(parts=raw_bytes)
    def run(parts):
        before, data, times, after = parts
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            try:
                connection.sendall(before + times * data + after)
                connection.shutdown(socket.SHUT_WR)
                answer = read_all(connection)
            except OSError:
                return  # Closed by the server in the middle of it.
        if protocol == "REST" and answer.startswith(b"HTTP/1.1"):
            assert b'{"error"' in answer or answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 100"))

    run()
    served.check_alive()


def read_all(connection):
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except TimeoutError:
        pass
    return b"".join(parts)


def report(seen):
    """Prints what was sent, for those who run this by hand with -s."""
    for (kind, status), count in sorted(seen.items(), key=str):
        print(f"{kind:24} {status!s:22} {count:6}")
