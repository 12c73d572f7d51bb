"""The versions on the disk and those in memory: loads new ones, then lets go of old ones."""

import contextlib
import dataclasses
import logging
import os
import pathlib
import threading
from collections.abc import Callable, Iterator

from kgen.serving.local.configuration import ModelConfig
from kgen.serving.local.engine import Servable
from kgen.serving.local.errors import Code, ServingError

# States of a version, named as in TF Serving's ModelVersionStatus.
START, LOADING, AVAILABLE, UNLOADING, END = "START", "LOADING", "AVAILABLE", "UNLOADING", "END"

# What is remembered of versions that are gone.
_MAX_ENDED = 20

_log = logging.getLogger(__name__)


@dataclasses.dataclass
class VersionState:
    """What is known of a version."""

    state: str = START
    error: ServingError | None = None
    servable: Servable | None = None
    # The files of a version that failed: it is tried again when they change.
    files: frozenset | None = None


@dataclasses.dataclass
class _Model:
    config: ModelConfig
    versions: dict[int, VersionState] = dataclasses.field(default_factory=dict)
    wanted: dict[int, pathlib.Path] = dataclasses.field(default_factory=dict)
    # Why its folder cannot be read; "" if it can.
    problem: str = ""


class Manager:
    """Keeps the wanted versions of all models in memory.

    A new version is loaded and warmed before an old one goes, and an old one goes when the last
    request that holds it has ended. One thread does all of it.

    Args:
        find_models: returns the models to serve; called at each poll.
        load: loads a version, (name, folder) -> `Servable`.
        poll_seconds: time between two looks at the disk.
    """

    def __init__(
        self,
        find_models: Callable[[], list[ModelConfig]],
        load: Callable[[str, pathlib.Path], Servable],
        *,
        poll_seconds: float = 1.0,
    ):
        self._find_models = find_models
        self._load = load
        self._poll_seconds = poll_seconds
        self._models: dict[str, _Model] = {}
        self._lock = threading.Lock()
        self._stopping = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="versions", daemon=True)
        # Set when each version that was found at the start is loaded or has failed.
        self.ready = threading.Event()

    def start(self) -> None:
        """Begins to load, in the background."""
        self._scan()
        self._thread.start()

    def reload(self, find_models: Callable[[], list[ModelConfig]]) -> None:
        """Serves other models from now on; they are loaded in the background."""
        self._find_models = find_models
        self._wake.set()

    def stop(self) -> None:
        """Stops watching, and frees the versions that no request holds."""
        self._stopping = True
        self._wake.set()
        self._thread.join()
        for model in self._models.values():
            with self._lock:
                for state in model.versions.values():
                    if state.state == AVAILABLE:
                        state.state = UNLOADING
            self._unload(model)

    @contextlib.contextmanager
    def servable(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> Iterator[Servable]:
        """Holds a version as long as a request needs it.

        Args:
            name: name of the model.
            version: a version; by default the newest one that is available.
            label: a label of the configuration, instead of a version.

        Raises:
            ServingError: NOT_FOUND, or UNAVAILABLE where it is being loaded.
        """
        with self._lock:
            servable = self._find(name, version, label)
            servable.num_users += 1
        try:
            yield servable
        finally:
            with self._lock:
                servable.num_users -= 1

    def _find(self, name: str, version: int | None, label: str | None) -> Servable:
        if not name:
            raise ServingError(Code.INVALID_ARGUMENT, "ModelSpec has no name specified.")
        model = self._models.get(name)
        if label is not None:
            version = model.config.labels.get(label) if model else None
            if version is None:
                raise ServingError(
                    Code.INVALID_ARGUMENT, f"Unrecognized servable version label: {label}"
                )
        request = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        versions = dict(model.versions) if model else {}
        if version is not None:
            versions = {key: state for key, state in versions.items() if key == version}
        available = [key for key, state in versions.items() if state.state == AVAILABLE]
        if available:
            return versions[max(available)].servable
        if any(state.state in (START, LOADING) for state in versions.values()):
            raise ServingError(Code.UNAVAILABLE, f"Servable is loading: {request}. Try again.")
        raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {request}")

    def names(self) -> list[str]:
        """The names of the models."""
        with self._lock:
            return sorted(self._models)

    def states(self, name: str, version: int | None = None) -> dict[int, VersionState]:
        """The versions of a model, or one of them: version -> state.

        Raises:
            ServingError: NOT_FOUND.
        """
        with self._lock:
            model = self._models.get(name)
            states = {
                key: dataclasses.replace(state)
                for key, state in sorted(model.versions.items() if model else ())
                if version in (None, key)
            }
        if not states:
            what = "any versions" if version is None else f"version {version}"
            raise ServingError(Code.NOT_FOUND, f"Could not find {what} of model {name}")
        return states

    def _watch(self) -> None:
        while not self._stopping:
            try:
                self._scan()
                for model in list(self._models.values()):
                    self._update(model)
            except Exception:  # the disk may be gone for a while; the server must outlive it
                _log.exception("Cannot read the versions; trying again.")
            self.ready.set()
            self._wake.wait(self._poll_seconds)
            self._wake.clear()

    def _scan(self) -> None:
        configs = {config.name: config for config in self._find_models()}
        wanted, problems = {}, {}
        for name, config in configs.items():
            try:
                wanted[name] = config.find_versions()
            # As in TF Serving, what is served stays while the folder is away. Versions that are
            # missing in a folder that is there are withdrawn, the last one too.
            except OSError as error:
                problems[name] = str(error)
        with self._lock:
            for name, config in configs.items():
                model = self._models.setdefault(name, _Model(config))
                model.config = config
                problem = problems.get(name, "")
                if problem and problem != model.problem:
                    _log.warning("%s stays as it is: %s", name, problem)
                model.problem = problem
            for name, model in list(self._models.items()):
                if name not in configs:
                    model.wanted = {}
                model.wanted = wanted.get(name, model.wanted)
                for version in model.wanted:
                    model.versions.setdefault(version, VersionState())
                ended = [key for key, item in model.versions.items() if item.state == END]
                gone = sorted(key for key in ended if key not in model.wanted)
                for version in gone[: max(len(gone) - _MAX_ENDED, 0)]:
                    del model.versions[version]
                if name not in configs and len(ended) == len(model.versions):
                    del self._models[name]

    def _update(self, model: _Model) -> None:
        for version in sorted(model.wanted, reverse=True):
            if self._stopping:
                return
            state = model.versions[version]
            if state.state in (START, END):
                files = _list_files(model.wanted[version])
                if state.error is None or state.files != files:
                    self._load_version(model, version, files)
        # An old version stays as long as none of the wanted ones could be loaded.
        with self._lock:
            available = {v for v, state in model.versions.items() if state.state == AVAILABLE}
            if not model.wanted or available & set(model.wanted):
                for version in available - set(model.wanted):
                    model.versions[version].state = UNLOADING
        self._unload(model)

    def _load_version(self, model: _Model, version: int, files: frozenset) -> None:
        name, state = model.config.name, model.versions[version]
        with self._lock:
            state.state, state.error = LOADING, None
        try:
            servable = self._load(name, model.wanted[version])
        except Exception as error:
            if not isinstance(error, ServingError):
                _log.exception("%s version %d", name, version)
                error = ServingError(Code.INTERNAL, f"{type(error).__name__}: {error}")
            _log.error("%s version %d is broken and not served: %s", name, version, error)
            with self._lock:
                state.state, state.error, state.files = END, error, files
            return
        with self._lock:
            state.state, state.servable = AVAILABLE, servable
        _log.info("%s version %d is available.", name, version)

    def _unload(self, model: _Model) -> None:
        for version, state in sorted(model.versions.items()):
            with self._lock:
                servable = state.servable
                if state.state != UNLOADING or servable.num_users:
                    continue  # the next poll looks again
                state.state, state.servable = END, None
            servable.close()
            _log.info("%s version %d is unloaded.", model.config.name, version)


def _list_files(folder: pathlib.Path) -> frozenset:
    found = []
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(os.path.join(parent, name))
                found.append((parent, name, status.st_size, status.st_mtime_ns, status.st_ino))
    return frozenset(found)
