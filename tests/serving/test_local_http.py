"""The development server's HTTP: where a request ends, what is answered to no request at all."""

import contextlib
import gzip
import json
import logging
import socket
import threading
import tracemalloc

import numpy as np
import pytest

from kgen.serving.local import json_tensors, rest
from kgen.serving.local.errors import Code, ServingError
from kgen.serving.local.metrics import Metrics

MAX_REQUEST_BYTES = 100_000
PREDICT = b"POST /v1/models/none:predict HTTP/1.1\r\n"


class NoModels:
    """In place of the manager of the versions."""

    def names(self):
        raise RuntimeError("a mistake in the server")

    def servable(self, name, version, label):
        raise ServingError(Code.NOT_FOUND, f"no {name}")


@pytest.fixture(scope="module")
def address():
    server = rest.RestServer(
        NoModels(),
        Metrics(),
        ("127.0.0.1", 0),
        max_request_bytes=MAX_REQUEST_BYTES,
        timeout_ms=1000,
        cors=False,
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.server_address[:2]
    server.shutdown()
    thread.join()
    server.server_close()


class Connection:
    """Bytes to the server, and its answers."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=10)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.file.close()
        self.socket.close()

    def ask(self, data):
        self.socket.sendall(data)
        return self.answer()

    def answer(self):
        """Status, document and whether the server closes; None if it hung up."""
        line = self.file.readline()
        if not line:
            return None
        headers = {}
        while (header := self.file.readline().strip()) != b"":
            name, value = header.split(b": ", 1)
            headers[name] = value
        body = self.file.read(int(headers.get(b"Content-Length", 0)))
        document = json.loads(body) if body else None
        return int(line.split()[1]), document, headers.get(b"Connection") == b"close"


def with_length(body, *headers):
    lines = [b"Content-Length: %d" % len(body), *headers]
    return PREDICT + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def test_a_client_that_waits_before_it_sends_the_body(address):
    head = PREDICT + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    with Connection(address) as connection:
        for _ in range(2):
            assert connection.ask(head)[0] == 100
            status, document, closes = connection.ask(b"{}")
            assert (status, document, closes) == (404, {"error": "no none"}, False)
        # What is too large is refused before it is sent.
        status, document, closes = connection.ask(head.replace(b"2\r", b"200000\r"))
        assert status == 413 and "100,000 are allowed" in document["error"] and closes


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [
        (b"POST http://[ HTTP/1.1\r\n", b"28", 400),
        (PREDICT, b"28, 28", 400),
        (PREDICT, b"28\r\nTransfer-Encoding: chunked", 411),
        (PREDICT, b"1000028", 413),
        (b"BREW / HTTP/1.1\r\n", b"28", 501),
    ],
)
def test_a_body_is_never_run_as_a_request(address, start, length, expected):
    body = b"GET /v1/models HTTP/1.1\r\n\r\n "
    assert len(body) == 28
    with Connection(address) as connection:
        status, document, closes = connection.ask(
            start + b"Content-Length: " + length + b"\r\n\r\n" + body
        )
        assert status == expected and list(document) == ["error"]
        # Either the body was read, or nothing more is.
        assert closes == (expected != 400 or length != b"28")
        if closes:
            with contextlib.suppress(ConnectionResetError):
                assert connection.answer() is None
        else:
            status, document, _ = connection.ask(with_length(b"{}"))
            assert (status, document) == (404, {"error": "no none"})


@pytest.mark.parametrize(
    "path", [b"/" + b"a" * 300, b"/" + b"a/" * 3000, b"/page.js/x", b"/%00", b"/.", b"/../page.py"]
)
def test_paths_that_are_no_files(address, path):
    with Connection(address) as connection:
        status, document, _ = connection.ask(b"GET " + path + b" HTTP/1.1\r\n\r\n")
        assert status == 404 and document["error"].startswith("Not found: /")


def test_what_the_server_did_not_expect_is_logged(address, caplog):
    with Connection(address) as connection, caplog.at_level(logging.ERROR):
        status, document, _ = connection.ask(b"GET /models.json HTTP/1.1\r\n\r\n")
    assert (status, document) == (500, {"error": "RuntimeError: a mistake in the server"})
    (record,) = caplog.records
    assert "GET /models.json" in record.getMessage() and "Traceback" in caplog.text


def test_an_error_of_the_disk_is_answered(address, monkeypatch, caplog):
    def fail(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(rest.os, "listdir", fail)
    with Connection(address) as connection:
        status, document, _ = connection.ask(b"GET /page.js HTTP/1.1\r\n\r\n")
    assert status == 500 and "Input/output error" in document["error"]
    assert "Traceback" in caplog.text


def test_compressed_bodies(address):
    encoding = b"Content-Encoding: gzip"
    packed = gzip.compress(b"{}")
    table = [
        (packed, 404, "no none"),
        (b"{}", 400, "no gzip"),
        (packed[:-1], 400, "no gzip: it is truncated"),
        (packed + b"x", 400, "or more follows"),
        (gzip.compress(bytes(MAX_REQUEST_BYTES)), 400, "JSON Parse error"),
        # 100 kB that would be 100 MB.
        (gzip.compress(bytes(10**8)), 413, "100,000 bytes after decompression"),
    ]
    with Connection(address) as connection:
        for body, expected, message in table:
            status, document, closes = connection.ask(with_length(body, encoding))
            assert status == expected and message in document["error"] and not closes
        assert connection.ask(b"GET /v1/models HTTP/1.1\r\n%s\r\n\r\n" % encoding)[0] == 400


def test_a_large_answer_is_written_in_pieces():
    """A copy of 128 bytes a number, made at once, holds up all other requests."""
    images = np.random.default_rng(0).random((2, 128, 128, 3), np.float32)
    assert images[0].size > json_tensors._PIECE
    tracemalloc.start()
    try:
        text = json_tensors.write_outputs({"images": images}, in_rows=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100 * images.size
    predictions = np.array(json.loads(text)["predictions"])
    np.testing.assert_array_equal(predictions.astype(np.float32), images)
    # The shortest that give the same float32.
    assert str(images[1, 2, 3, 0]).encode() in text
