"""Which models to serve, and which of their versions: from a folder, or from models.config."""

import contextlib
import dataclasses
import os
import pathlib
import re
from collections.abc import Iterable, Mapping

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from kgen.serving.local.errors import invalid


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A model to serve.

    Attributes:
        name: what clients call it.
        base_path: folder that holds the versions.
        num_latest: how many of the newest versions to serve; None for all of them.
        specific: the versions to serve, instead of the newest.
        labels: label -> version.
    """

    name: str
    base_path: pathlib.Path
    num_latest: int | None = 1
    specific: frozenset[int] | None = None
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def find_versions(self) -> dict[int, pathlib.Path]:
        """The folders of the versions to serve: version -> path. Other children are ignored.

        Raises:
            OSError: there is no such folder, or it cannot be read.
        """
        found = {
            int(name): self.base_path / name
            for name in os.listdir(self.base_path)
            # TF Serving reads versions as int64.
            if re.fullmatch("[0-9]{1,18}", name) and (self.base_path / name).is_dir()
        }
        if self.specific is not None:
            return {version: path for version, path in found.items() if version in self.specific}
        kept = sorted(found) if self.num_latest is None else sorted(found)[-self.num_latest :]
        return {version: found[version] for version in kept}


class Directory:
    """Every folder of a directory is a model: its name, and the newest version in it.

    A model stays one when its folder vanishes, as one of TF Serving's configuration file does: a
    volume may be away for a while.

    Args:
        path: the directory.
    """

    def __init__(self, path):
        self._path = path
        self._found: dict[str, ModelConfig] = {}

    def find_models(self) -> list[ModelConfig]:
        """What is there now, and what was."""
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self._path):
                if entry.is_dir() and not entry.name.startswith("."):
                    self._found[entry.name] = ModelConfig(entry.name, pathlib.Path(entry.path))
        return [config for _, config in sorted(self._found.items())]


def from_file(path) -> list[ModelConfig]:
    """Reads TF Serving's `--model_config_file`. A relative base_path starts at the file's folder.

    Raises:
        ServingError: the file is not such a text, or asks for what this server cannot do.
        OSError: the file cannot be read.
    """
    path = pathlib.Path(path)
    message = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(path.read_text(), message)
    except text_format.ParseError as error:
        raise invalid(f"{path}: {error}") from error
    return from_message(message, folder=path.parent)


def from_message(message, *, folder: pathlib.Path = pathlib.Path()) -> list[ModelConfig]:
    """Reads a `ModelServerConfig` message.

    Args:
        message: the message.
        folder: where a relative base_path starts.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    if message.WhichOneof("config") != "model_config_list":
        raise invalid(
            "ServerModelConfig type not supported by HandleReloadConfigRequest."
            " Only ModelConfigList is currently supported"
        )
    configs = [_from_model(model, folder) for model in message.model_config_list.config]
    _check_unique(config.name for config in configs)
    return configs


def _from_model(model, folder: pathlib.Path) -> ModelConfig:
    if not model.name or not model.base_path:
        raise invalid(f"A model needs a name and a base_path: {model}")
    if model.model_platform not in ("", "tensorflow"):
        raise invalid(f"Model {model.name}: the platform {model.model_platform!r} is not known.")
    policy = model.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    return ModelConfig(
        model.name,
        folder / model.base_path,
        num_latest=None if choice == "all" else max(policy.latest.num_versions, 1),
        specific=frozenset(policy.specific.versions) if choice == "specific" else None,
        labels=dict(model.version_labels),
    )


def _check_unique(names: Iterable[str]) -> None:
    seen = set()
    for name in names:
        if name in seen:
            raise invalid(f"Illegal to list model {name} multiple times in config list")
        seen.add(name)
