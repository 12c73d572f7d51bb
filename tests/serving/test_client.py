"""The client's own work: inputs, parts, versions, attempts, deadlines, errors, encryption."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
import time

import grpc
import numpy as np
import pytest

from kgen import serving
from kgen.seeds import seed_rows
from kgen.serving import client as client_module
from kgen.serving import inputs
from kgen.serving.transport import Signature, Tensor
from tests.serving.scripted_server import Script, fail, grpc_server, rest_server

SERVERS = {"gRPC": grpc_server, "REST": rest_server}
both = pytest.mark.parametrize("protocol", SERVERS)
X = np.arange(12, dtype=np.float32).reshape(4, 3)


@contextlib.contextmanager
def connected(protocol, script, **options):
    with SERVERS[protocol](script) as address, serving.Client(address, "m", **options) as client:
        yield client


@pytest.fixture(autouse=True)
def short_delays(monkeypatch):
    monkeypatch.setattr(client_module, "FIRST_DELAY", 0.02)


@both
def test_call(protocol):
    script = Script(versions=[1, 2])
    with connected(protocol, script) as client:
        outputs = client.scale(X)
        np.testing.assert_array_equal(outputs["y"], 2 * X)
        assert outputs["y"].dtype == np.float32
        assert outputs["z_bytes"].tolist() == [b"2"] * 4
        np.testing.assert_array_equal(client.predict("scale", x=X.tolist())["y"], 2 * X)
        assert client.scale(X[:0])["y"].shape == (0, 3)
        assert client.signatures() == {
            "scale": Signature(
                {"x": Tensor("float32", (None, 3))},
                {"y": Tensor("float32", (None, 3)), "z_bytes": Tensor("string", (None,))},
            )
        }
        assert client.status() == [(2, "AVAILABLE", "OK", ""), (1, "AVAILABLE", "OK", "")]
    assert script.tokens == [None] * 3


@both
def test_chosen_version(protocol):
    with connected(protocol, Script(versions=[1, 2]), version=1, max_batch_size=3) as client:
        np.testing.assert_array_equal(client.scale(X)["y"], X)


@both
def test_float32_and_nan_travel_unchanged(protocol):
    x = np.array([[0.1, 1e-40, 3.4e38], [np.nan, np.inf, -np.inf], [1 / 3, -0.0, 2**-24]], "f")
    with connected(protocol, Script()) as client:
        np.testing.assert_array_equal(client.scale(x)["y"].view("i4"), x.view("i4"))


@both
def test_parts_are_joined(protocol):
    script = Script()
    with connected(protocol, script, max_batch_size=3) as client:
        for count in (1, 3, 4, 7, 9):
            x = np.arange(count * 3, dtype=np.float32).reshape(count, 3)
            outputs = client.scale(x)
            np.testing.assert_array_equal(outputs["y"], x)
            assert len(outputs["z_bytes"]) == count
    assert [rows for _, rows in script.calls] == [1, 3, 3, 1, 3, 3, 1, 3, 3, 3]


@both
def test_one_version_answers_all_parts(protocol):
    script = Script(versions=[1])
    # Version 2 appears between the parts; both are available.
    script.before = [lambda: None, lambda: script.versions.append(2)]
    with connected(protocol, script, max_batch_size=1) as client:
        assert client.scale(X)["z_bytes"].tolist() == [b"1"] * 4
        assert client.scale(X)["z_bytes"].tolist() == [b"2"] * 4


@both
def test_a_version_that_goes_between_two_parts(protocol):
    script = Script(versions=[1, 2])
    script.before = [lambda: None, lambda: script.versions.remove(2)]
    with connected(protocol, script, max_batch_size=1) as client:
        # A rollback: all parts again, from the version before.
        assert client.scale(X)["z_bytes"].tolist() == [b"1"] * 4
    assert [version for version, _ in script.calls] == [2, 2, 1, 1, 1, 1]


@both
def test_attempts_while_unavailable(protocol):
    script = Script()
    script.before = [fail("UNAVAILABLE")] * 3
    with connected(protocol, script) as client:
        start = time.monotonic()
        np.testing.assert_array_equal(client.scale(X)["y"], X)
        # 0.02, 0.04, 0.08 s, each times a random share of at least a half.
        assert time.monotonic() - start > 0.07
        assert len(script.calls) == 4
        script.before = [fail("UNAVAILABLE", "still loading")] * 99
        client.max_retries = 2
        with pytest.raises(serving.ServingError, match="^UNAVAILABLE: still loading$"):
            client.scale(X)
        assert len(script.calls) == 7


@both
def test_other_errors_are_told_at_once(protocol):
    script = Script()
    script.before = [fail("INVALID_ARGUMENT", "tensor x: bad"), fail("UNAUTHENTICATED", "no")]
    with connected(protocol, script) as client:
        with pytest.raises(serving.ServingError) as caught:
            client.scale(X)
        assert (caught.value.code, caught.value.message) == ("INVALID_ARGUMENT", "tensor x: bad")
        with pytest.raises(serving.ServingError, match="UNAUTHENTICATED"):
            client.scale(X)
        script.versions = []
        with pytest.raises(serving.ServingError, match="NOT_FOUND: Servable not found"):
            client.scale(X)
    assert len(script.calls) == 3


@both
def test_deadline(protocol):
    script = Script()
    hang = threading.Event()
    script.before = [hang.wait]
    with connected(protocol, script, timeout=0.5) as client:
        client.signatures()
        start = time.monotonic()
        with pytest.raises(serving.ServingError, match="DEADLINE_EXCEEDED"):
            client.scale(X)
        assert 0.4 < time.monotonic() - start < 5
        hang.set()
        # All attempts share the time.
        script.before = [fail("UNAVAILABLE")] * 1000
        client.max_retries = 1000
        start = time.monotonic()
        with pytest.raises(serving.ServingError, match="UNAVAILABLE|DEADLINE_EXCEEDED"):
            client.scale(X)
        assert time.monotonic() - start < 5


@both
def test_a_server_that_starts_later(protocol):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    address = f"localhost:{port}" if protocol == "gRPC" else f"http://localhost:{port}"
    with serving.Client(address, "m", max_retries=1) as client:
        with pytest.raises(serving.ServingError, match="UNAVAILABLE"):
            client.status()
        client.max_retries = 50
        calls = []
        thread = threading.Thread(target=lambda: calls.append(client.scale(X)))
        thread.start()
        time.sleep(0.3)
        with SERVERS[protocol](Script(), port=port):
            thread.join()
        np.testing.assert_array_equal(calls[0]["y"], X)


@both
def test_large_messages(protocol):
    # 16 MB: four times what gRPC takes by default. JSON is smaller and slower.
    rows = 2**16 if protocol == "gRPC" else 2**10
    script = Script(num_inputs=64)
    x = np.random.default_rng(0).normal(size=(rows, 64)).astype(np.float32)
    with connected(protocol, script) as client:
        np.testing.assert_array_equal(client.scale(x)["y"], x)


@both
def test_signatures_that_change_with_a_version(protocol):
    script = Script()
    with connected(protocol, script) as client:
        client.scale(X)
        script.num_inputs = 2
        np.testing.assert_array_equal(client.scale(X[:, :2])["y"], X[:, :2])
        with pytest.raises(ValueError, match=r"expected float32\[\?, 2\], received shape \[4, 3\]"):
            client.scale(X)


@both
def test_wrong_names(protocol):
    with connected(protocol, Script()) as client:
        with pytest.raises(ValueError, match=r"No signature 'walk': the model has \['scale'\]"):
            client.walk(X)
        with pytest.raises(TypeError, match=r"scale takes x float32\[\?, 3\], but received \['z'"):
            client.scale(z=X)
        with pytest.raises(AttributeError):
            client._walk  # noqa: B018


@both
def test_threads_share_a_client(protocol):
    results = {}
    with connected(protocol, Script()) as client:

        def call(i):
            results[i] = client.scale(X + i)["y"]

        threads = [threading.Thread(target=call, args=(i,)) for i in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for i in range(16):
        np.testing.assert_array_equal(results[i], X + i)


def test_an_answer_that_is_not_from_tf_serving():
    script = Script()
    script.before = [fail("HTML", "<html>413 Request Entity Too Large</html>")]
    with connected("REST", script) as client:
        with pytest.raises(serving.ServingError, match="(?s)RESOURCE_EXHAUSTED: .*413.*Too Large"):
            client.scale(X)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of "localhost" that signs itself: paths of key and certificate."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate of this test")
    folder = tmp_path_factory.mktemp("certificate")
    key, chain = folder / "key.pem", folder / "chain.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout {key} -out {chain}"
    subprocess.run(
        [*command.split(), "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True,
        capture_output=True,
    )
    return key, chain


@both
def test_tls_and_token(protocol, certificate):
    key, chain = certificate
    script = Script()
    if protocol == "gRPC":
        credentials = grpc.ssl_server_credentials([(key.read_bytes(), chain.read_bytes())])
        server = grpc_server(script, credentials)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        server = rest_server(script, context)
    with server as address:
        address = address if "://" in address else f"grpcs://{address}"
        with serving.Client(address, "m", token="secret", certificates=chain) as client:
            np.testing.assert_array_equal(client.scale(X)["y"], X)
        assert script.tokens == ["Bearer secret"]
        with serving.Client(address, "m", max_retries=0) as client:
            with pytest.raises(serving.ServingError, match="UNAVAILABLE"):
                client.scale(X)


def test_addresses():
    for wrong in (
        "localhost",
        "ftp://localhost:1",
        "grpc://localhost",
        "grpc://h:1/path",
        "http://",
    ):
        with pytest.raises(ValueError, match="address: expected 'host:port'"):
            serving.Client(wrong, "m")
    for options in ({"timeout": 0}, {"max_batch_size": 0}, {"max_retries": -1}):
        with pytest.raises(ValueError, match="Expected timeout > 0"):
            serving.Client("localhost:1", "m", **options)


SAMPLE = Signature(
    {
        "labels": Tensor("int32", (None,)),
        "seed": Tensor("int32", (None, 2)),
        "temperature": Tensor("float32", (None,)),
    },
    {},
)
COMPLETE = Signature(
    {
        "images": Tensor("float32", (None, 2, 2, 1)),
        "mask": Tensor("int32", (None, 2, 2)),
        "seed": Tensor("int32", (None, 2)),
        "names": Tensor("string", (None,)),
    },
    {},
)
IMAGES = np.zeros((3, 2, 2, 1))


def test_rows_of_seeds_are_those_of_python():
    for seed in (0, -5, 2**31 - 1, -(2**31)):
        arrays = inputs.complete("sample", SAMPLE, (5,), {"seed": seed, "labels": 1})
        np.testing.assert_array_equal(arrays["seed"], seed_rows(seed, 5))
        assert arrays["seed"].dtype == np.int32
    fresh = [inputs.complete("sample", SAMPLE, (2,), {"labels": 1})["seed"] for _ in range(2)]
    assert fresh[0][0, 0] == fresh[0][1, 0] >= 0 and fresh[0][0, 0] != fresh[1][0, 0]


def test_values_for_all_rows_are_repeated():
    arrays = inputs.complete("sample", SAMPLE, (3,), {"labels": 2, "seed": 0})
    np.testing.assert_array_equal(arrays["labels"], [2, 2, 2])
    np.testing.assert_array_equal(arrays["temperature"], np.ones(3, np.float32))
    mask = np.array([[True, False], [False, True]])
    arrays = inputs.complete(
        "complete", COMPLETE, (), {"images": IMAGES, "mask": mask, "names": "a"}
    )
    np.testing.assert_array_equal(arrays["mask"], np.stack([mask] * 3))
    assert arrays["mask"].dtype == np.int32 and arrays["images"].dtype == np.float32
    assert arrays["names"].tolist() == [b"a"] * 3
    rows = np.array([[1, 2], [3, 4], [5, 6]])
    arrays = inputs.complete("sample", SAMPLE, (), {"labels": 0, "seed": rows})
    np.testing.assert_array_equal(arrays["seed"], rows)


@pytest.mark.parametrize("kind", [list, lambda names: np.array(names, object)])
def test_strings_keep_their_zeros(kind):
    given = {"images": IMAGES, "mask": np.ones((2, 2), int), "seed": 0}
    names = kind([b"a\x00", "b\x00", b"\x00\x00"])
    arrays = inputs.complete("complete", COMPLETE, (), given | {"names": names})
    assert arrays["names"].tolist() == [b"a\x00", b"b\x00", b"\x00\x00"]
    arrays = inputs.complete("complete", COMPLETE, (), given | {"names": b"a\x00"})
    assert arrays["names"].tolist() == [b"a\x00"] * 3


@pytest.mark.parametrize(
    ("signature", "given", "named", "error", "message"),
    [
        (SAMPLE, (2, 3), {}, TypeError, "at most one goes without"),
        (SAMPLE, (0,), {"labels": 1}, ValueError, "must be 1 or more"),
        (SAMPLE, (2,), {}, TypeError, r"takes labels int32\[\?\], .*but received"),
        (SAMPLE, (2,), {"labels": 1, "size": 3}, TypeError, "but received .*size"),
        (SAMPLE, (), {"labels": 1}, TypeError, r"say how many rows, as in client.name\(16"),
        (SAMPLE, (2,), {"labels": 1.5}, TypeError, r"labels: expected int32\[\?\], .*float64"),
        (SAMPLE, (2,), {"labels": 2**31}, ValueError, "values from 2147483648"),
        (SAMPLE, (2,), {"labels": 1, "temperature": 0}, ValueError, "temperature must be above 0"),
        (SAMPLE, (2,), {"labels": 1, "temperature": [1, np.nan]}, ValueError, "must be above 0"),
        (SAMPLE, (2,), {"labels": [1, 2, 3]}, ValueError, "unlike numbers of rows"),
        (SAMPLE, (2,), {"labels": [[1]]}, ValueError, r"received shape \[1, 1\]"),
        (SAMPLE, (2,), {"labels": 1, "seed": 2**31}, ValueError, "A seed must lie between"),
        (SAMPLE, (2,), {"labels": 1, "seed": 0.5}, TypeError, "seed: expected an int"),
        (SAMPLE, (2,), {"labels": 1, "seed": [1, 2, 3]}, ValueError, r"received shape \[3\]"),
        (COMPLETE, (IMAGES,), {}, TypeError, "could be meant"),
        (COMPLETE, (IMAGES,), {"mask": 1, "names": "a"}, ValueError, r"mask: .*shape \[\]"),
        (
            COMPLETE,
            (IMAGES,),
            {"mask": np.ones((2, 2), int), "names": 3},
            TypeError,
            "expected str or bytes",
        ),
        (
            COMPLETE,
            ("text",),
            {"mask": np.ones((2, 2), int), "names": "a"},
            TypeError,
            "images: expected float32.*received dtype <U4",
        ),
    ],
)
def test_wrong_inputs(signature, given, named, error, message):
    with pytest.raises(error, match=message):
        inputs.complete("name", signature, given, named)
