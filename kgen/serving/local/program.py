"""The program: reads the flags, listens, and stops when it is told to."""

import argparse
import functools
import json
import logging
import os
import pathlib
import signal
import sys
import threading

from kgen.serving import c_api
from kgen.serving.local import configuration
from kgen.serving.local.engine import Servable
from kgen.serving.local.errors import ServingError
from kgen.serving.local.grpc_service import start_grpc
from kgen.serving.local.metrics import Metrics
from kgen.serving.local.rest import RestServer
from kgen.serving.local.watching import AVAILABLE, Manager

_GRACE_SECONDS = 5.0

_log = logging.getLogger(__name__)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m kgen.serving.local",
        description="Serves SavedModels as TF Serving does. For development, not for production.",
    )
    add = parser.add_argument
    add("directory", nargs="?", help="folder of the models: <model>/<version>/")
    add("--model_config_file", help="TF Serving's model_config_list, instead of a folder")
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--grpc_port", type=int, default=8500, help="0 takes a free one")
    add("--rest_port", type=int, default=8501, help="0 takes a free one")
    add("--max_batch_size", type=int, help="largest dimension 0 of a request")
    add("--max_request_bytes", type=int, default=2**28, help="largest request")
    add("--rest_api_timeout_in_ms", type=int, default=30000, help="longest run over REST")
    add("--rest_api_enable_cors_support", action="store_true", help="let any page call the server")
    add(
        "--file_system_poll_wait_seconds",
        type=float,
        default=1.0,
        help="time between two looks for new versions",
    )
    add("--address_file", help="write the addresses there, as JSON, when the models are loaded")
    add("--until_stdin_closes", action="store_true", help="stop at the end of the standard input")
    flags = parser.parse_args(arguments)
    if (flags.directory is None) == (flags.model_config_file is None):
        parser.error("give a folder of models, or --model_config_file")
    if flags.directory is not None and not os.path.isdir(flags.directory):
        parser.error(f"{flags.directory} is no folder; `kgen.serving.export` makes one")
    if flags.directory is not None and list(pathlib.Path(flags.directory).glob("*/saved_model.pb")):
        parser.error(f"{flags.directory} holds the versions of one model: give the folder above it")
    return flags


def main(arguments: list[str]) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit status."""
    flags = _parse(arguments)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO, stream=sys.stderr)
    # It writes a traceback for each message that cannot be parsed: whoever sends them fills a disk.
    logging.getLogger("grpc._common").setLevel(logging.CRITICAL)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    if flags.until_stdin_closes:
        threading.Thread(target=_wait_for_stdin, args=(stopping,), daemon=True).start()
    try:
        return _serve(flags, stopping)
    except (OSError, ServingError) as error:
        _log.error("%s", error)
        return 1


def _serve(flags: argparse.Namespace, stopping: threading.Event) -> int:
    if flags.model_config_file is not None:
        configs = configuration.from_file(flags.model_config_file)
        find_models = lambda: configs  # noqa: E731
    else:
        find_models = configuration.Directory(flags.directory).find_models
    # A second of work, which the first version pays, in the background.
    library = functools.cache(c_api.load_library)

    def load(name: str, version_dir: pathlib.Path) -> Servable:
        return Servable(library(), name, version_dir, max_batch_size=flags.max_batch_size)

    manager = Manager(find_models, load, poll_seconds=flags.file_system_poll_wait_seconds)
    metrics = Metrics()
    rest_server = RestServer(
        manager,
        metrics,
        (flags.host, flags.rest_port),
        max_request_bytes=flags.max_request_bytes,
        timeout_ms=flags.rest_api_timeout_in_ms,
        cors=flags.rest_api_enable_cors_support,
    )
    host = f"[{flags.host}]" if ":" in flags.host else flags.host
    grpc_server, grpc_port = start_grpc(
        manager,
        metrics,
        f"{host}:{flags.grpc_port}",
        max_request_bytes=flags.max_request_bytes,
    )
    addresses = {"grpc": f"{host}:{grpc_port}", "rest": f"{host}:{rest_server.server_port}"}
    manager.start()
    threading.Thread(target=rest_server.serve_forever, name="rest", daemon=True).start()
    _log.info("This server is for development, not for production: use TF Serving there.")
    _log.info("gRPC %s  REST http://%s", addresses["grpc"], addresses["rest"])
    while not manager.ready.wait(0.1) and not stopping.is_set():
        pass
    _report(manager)
    if flags.address_file:
        _write(pathlib.Path(flags.address_file), json.dumps(addresses))
    stopping.wait()
    rest_server.shutdown()
    rest_server.server_close()
    grpc_server.stop(_GRACE_SECONDS).wait()
    manager.stop()
    return 0


def _report(manager: Manager) -> None:
    for name in manager.names():
        try:
            states = manager.states(name)
        except ServingError:
            states = {}
        served = [str(key) for key, state in states.items() if state.state == AVAILABLE]
        _log.info("%s: %s", name, f"version {', '.join(served)}" if served else "no version yet")


def _write(path: pathlib.Path, text: str) -> None:
    temporary = path.with_name(f".tmp-{path.name}")
    temporary.write_text(text)
    temporary.replace(path)


def _wait_for_stdin(stopping: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    stopping.set()
