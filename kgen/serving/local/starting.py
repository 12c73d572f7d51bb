"""Starts the development server in a process of its own, and stops it."""

import contextlib
import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

_STOP_SECONDS = 20.0


@dataclasses.dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        grpc_address: "host:port".
        rest_address: "http://host:port".
        process: its process.
    """

    grpc_address: str
    rest_address: str
    process: subprocess.Popen


@contextlib.contextmanager
def serving(
    directory,
    *,
    flags: Sequence[str] = (),
    log_file=None,
    start_seconds: float = 120.0,
) -> Iterator[Server]:
    """Serves the models of a folder while the block runs, on free ports of this machine.

    The block begins when each model is loaded or has failed to. The process ends with the
    block, and also when this process dies.

    Args:
        directory: folder of the models, `<model>/<version>/`; None with `--model_config_file`.
        flags: further flags of `python -m kgen.serving.local`, such as "--max_batch_size=8".
        log_file: an open file for the server's log; by default the standard error.
        start_seconds: how long the start may take.

    Yields:
        The `Server`.

    Raises:
        RuntimeError: it ended at once, with its log on `log_file`.
        TimeoutError: it did not start in time.
    """
    with tempfile.TemporaryDirectory(prefix="kgen-") as folder:
        address_file = pathlib.Path(folder, "addresses")
        command = [
            sys.executable,
            str(pathlib.Path(__file__).parent),
            *([] if directory is None else [str(directory)]),
            "--grpc_port=0",
            "--rest_port=0",
            f"--address_file={address_file}",
            "--until_stdin_closes",
            *flags,
        ]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=log_file)
        try:
            addresses = _wait(process, address_file, time.monotonic() + start_seconds)
            yield Server(addresses["grpc"], f"http://{addresses['rest']}", process)
        finally:
            _stop(process)


def _wait(process: subprocess.Popen, address_file: pathlib.Path, deadline: float) -> dict:
    while not address_file.exists():
        if process.poll() is not None:
            raise RuntimeError(
                f"The development server ended with status {process.returncode}; its log says why."
            )
        if time.monotonic() > deadline:
            raise TimeoutError("The development server did not start in time; its log says why.")
        time.sleep(0.05)
    return json.loads(address_file.read_text())


def _stop(process: subprocess.Popen) -> None:
    process.stdin.close()
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
