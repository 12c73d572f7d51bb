"""Writes TF Serving's configuration files beside the models of a folder.

    python -m kgen.serving.configuration saved_models/
    python -m kgen.serving.configuration saved_models/ --base_path=$PWD/saved_models

The first is for a server that sees the folder as /models, as TF Serving's images do; the second for
one on this machine. Run it again when a model is added: a server that was started with
--model_config_file_poll_wait_seconds then loads it. New versions of a model need nothing.
"""

import argparse
import os
import pathlib
from collections.abc import Sequence

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from kgen.serving import publishing

MODELS_FILE = "models.config"
BATCHING_FILE = "batching.config"
MONITORING_FILE = "monitoring.config"

# What `kgen.serving.export` warms up by default.
BATCH_SIZES = (1, 8, 32)
METRICS_PATH = "/monitoring/prometheus/metrics"


def write(
    directory,
    *,
    base_path="/models",
    batch_sizes: Sequence[int] = BATCH_SIZES,
    num_threads: int = 4,
) -> list[str]:
    """Writes `models.config`, `batching.config` and `monitoring.config`, each under a temporary
    name that is then renamed.

    Args:
        directory: holds the models, `<model>/<version>/`. Folders without a version are left out: a
            server would wait for one before it starts.
        base_path: where the server sees `directory`. An absolute path: TF Serving takes no other.
        batch_sizes: sizes to which the server pads its batches, ascending; each should be warmed up
            by `export(warmup_batch_sizes=...)`. A request with more rows than the last is refused.
        num_threads: batches that the server computes at a time, over all models.

    Returns:
        The names of the models, sorted.

    Raises:
        ValueError: a relative `base_path`, sizes that do not ascend from 1 or more, or no model.
        OSError: the folder cannot be read or written.
    """
    directory, base_path = pathlib.Path(directory), pathlib.PurePosixPath(base_path)
    batch_sizes = list(batch_sizes)
    if not base_path.is_absolute():
        raise ValueError(f"base_path: expected an absolute path, received '{base_path}'.")
    if not batch_sizes or batch_sizes != sorted(set(batch_sizes)) or batch_sizes[0] < 1:
        raise ValueError(f"batch_sizes: expected ascending sizes from 1, received {batch_sizes}.")
    if num_threads < 1:
        raise ValueError(f"num_threads: expected 1 or more, received {num_threads}.")
    names = sorted(
        entry.name
        for entry in os.scandir(directory)
        if entry.is_dir() and publishing.list_versions(entry.path)
    )
    if not names:
        raise ValueError(f"{directory} holds no published model; `kgen.serving.export` makes one.")
    header = "# Written by `python -m kgen.serving.configuration`.\n"
    for name, text in (
        (MODELS_FILE, _models(names, base_path)),
        (BATCHING_FILE, _batching(batch_sizes, num_threads)),
        (MONITORING_FILE, f'prometheus_config {{\n  enable: true\n  path: "{METRICS_PATH}"\n}}\n'),
    ):
        temporary = directory / f".tmp-{os.getpid()}-{name}"
        temporary.write_text(header + text)
        temporary.replace(directory / name)
    return names


def _models(names: Sequence[str], base_path: pathlib.PurePosixPath) -> str:
    message = model_server_config_pb2.ModelServerConfig()
    for name in names:
        message.model_config_list.config.add(
            name=name, base_path=str(base_path / name), model_platform="tensorflow"
        )
    return text_format.MessageToString(message)


def _batching(batch_sizes: Sequence[int], num_threads: int) -> str:
    # A queue as long as the threads need to stay busy: beyond it, requests get UNAVAILABLE.
    lines = [
        f"max_batch_size {{ value: {batch_sizes[-1]} }}",
        "batch_timeout_micros { value: 1000 }",
        "max_enqueued_batches { value: 100 }",
        f"num_batch_threads {{ value: {num_threads} }}",
        *(f"allowed_batch_sizes: {size}" for size in batch_sizes),
    ]
    return "\n".join(lines) + "\n"


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m kgen.serving.configuration",
        description="Writes TF Serving's configuration files beside the models of a folder.",
    )
    parser.add_argument("directory", help="folder of the models: <model>/<version>/")
    parser.add_argument("--base_path", default="/models", help="where the server sees the folder")
    parser.add_argument(
        "--batch_sizes",
        type=int,
        nargs="+",
        default=BATCH_SIZES,
        help="sizes of the batches that the server makes, those that exports are warmed up for",
    )
    parser.add_argument("--num_threads", type=int, default=4, help="batches computed at a time")
    flags = vars(parser.parse_args())
    directory = flags.pop("directory")
    try:
        names = write(directory, **flags)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"{directory}: {', '.join(names)}")


if __name__ == "__main__":
    _main()
