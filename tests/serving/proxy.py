"""Runs deploy/nginx.conf on this machine: its paths, ports and names are replaced, nothing else."""

import contextlib
import pathlib
import shutil
import socket
import ssl
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).parents[2]
# Requests that a client may be ahead of the rate, which is one a second in tests.
BURST = 30
TOKEN = "0123456789abcdef" * 4


def find_nginx() -> str:
    """The path of nginx. Skips the test where it is not installed, or lacks what is used."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if not nginx or not shutil.which("openssl"):
        pytest.skip("no nginx or no openssl: apt-get install nginx-light openssl")
    features = subprocess.run([nginx, "-V"], capture_output=True, text=True).stderr
    for feature in ("ssl_module", "v2_module", "auth_request_module"):
        if feature not in features:
            pytest.skip(f"this nginx has no {feature}")
    return nginx


def write_configuration(folder: pathlib.Path, *, grpc_address: str, rest_address: str) -> int:
    """Writes the configuration for this machine to `folder`; returns the port of the proxy."""
    secrets = folder / "secrets"
    secrets.mkdir()
    (secrets / "tokens.conf").write_text(f'"Bearer {TOKEN}" somebody;\n')
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", secrets / "tls.key", "-out", secrets / "tls.crt"),
        ],
        check=True,
        capture_output=True,
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name, changes in {
        "grpc.conf": {},
        "nginx.conf": {
            "/etc/nginx/mime.types": _write_types(folder),
            "/etc/nginx/secrets": secrets,
            "/etc/nginx/grpc.conf": folder / "grpc.conf",
            "/usr/share/kgen/page": ROOT / "kgen/serving/page",
            "/tmp/nginx": folder / "nginx",
            "listen 8443": f"listen 127.0.0.1:{port}",
            "rate=100r/s": "rate=1r/s",
            "burst=200": f"burst={BURST}",
            "tf-serving:8501": rest_address.removeprefix("http://"),
            "tf-serving:8500": grpc_address,
        },
    }.items():
        text = (ROOT / "deploy" / name).read_text()
        for old, new in changes.items():
            assert old in text, f"deploy/{name} has no {old!r}"
            text = text.replace(old, str(new))
        (folder / name).write_text(text)
    return port


def _write_types(folder: pathlib.Path) -> pathlib.Path:
    path = folder / "mime.types"
    path.write_text("types { text/html html; text/css css; text/javascript js; }\n")
    return path


@contextlib.contextmanager
def proxy(folder: pathlib.Path, **addresses):
    """A proxy that runs while the block does: its port."""
    nginx = find_nginx()
    port = write_configuration(folder, **addresses)
    command = [nginx, "-e", "stderr", "-c", str(folder / "nginx.conf")]
    # Not as a daemon, and with the user that it has.
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*command, "-g", "daemon off;"], stderr=log, cwd=folder)
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def trusting(folder: pathlib.Path) -> ssl.SSLContext:
    """What trusts the proxy's certificate alone."""
    return ssl.create_default_context(cafile=str(folder / "secrets" / "tls.crt"))
