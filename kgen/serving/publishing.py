"""Numbered versions of a model that appear whole or not at all.

TF Serving polls `directory` and loads every folder whose name is a number, without asking whether
it is complete. A version is therefore written to `.tmp-<version>-<process>-<token>` beside the
others, synchronised to the disk, and renamed; and renamed to a name that is no number before any of
it is deleted. Whatever renames a version holds a lock on `directory` meanwhile.
"""

import contextlib
import errno
import fcntl
import os
import pathlib
import re
import secrets
import shutil
from collections.abc import Callable, Iterator

# Holds the highest number ever published. Servers ignore what is no number.
_LAST_VERSION = ".last_version"
_TEMPORARY_LAST = ".tmp-last-"
_ROLLED_BACK = ".rolled_back-"


def list_versions(directory) -> list[int]:
    """The published version numbers in `directory`, ascending."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    return sorted(int(name) for name in names if re.fullmatch("[0-9]+", name))


def check_writable(directory, *, num_bytes: int = 0) -> None:
    """Checks that a version can be published in `directory`; creates the folder if missing.

    Call it before training: a run of hours should not end in "read-only file system".

    Args:
        directory: base folder of the model's versions.
        num_bytes: what the version will need on the disk.

    Raises:
        OSError: the folder cannot be created or written, or the disk is too full, with what to do.
    """
    directory = pathlib.Path(directory)
    with _explained(directory):
        directory.mkdir(parents=True, exist_ok=True)
        with _temporary_folder(directory, version=0) as folder:
            probe = folder / "probe"
            probe.write_bytes(bytes(4096))
            _synchronise(probe)
        free = shutil.disk_usage(directory).free
        if free < num_bytes:
            raise OSError(errno.ENOSPC, f"{num_bytes:,} bytes needed, {free:,} free")


def publish(directory, write: Callable[[pathlib.Path], None]) -> pathlib.Path:
    """Publishes what `write` puts into a temporary folder as the next version.

    The version is one more than the highest published one; of two exporters that finish together,
    the later one takes the number after. Folders left by exporters that died are removed first.

    Args:
        directory: base folder of the model's versions; created if missing.
        write: called once with the path of an empty folder. If it raises, nothing is published
            and the folder is removed.

    Returns:
        The path of the published version, `directory/<version>`.

    Raises:
        OSError: the folder cannot be written or the disk is full, with what to do.
    """
    directory = pathlib.Path(directory)
    with _explained(directory):
        directory.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(directory)
        with _temporary_folder(directory, _next_version(directory)) as folder:
            write(folder)
            for path in [*folder.rglob("*"), folder]:
                _synchronise(path)
            with _locked(directory):
                version = _rename_to_next(folder, directory)
                # The version is published: a disk that is full now takes nothing of that back.
                with contextlib.suppress(OSError):
                    _remember_last(directory)
    _synchronise(directory)
    return version


def rollback(directory) -> pathlib.Path:
    """Takes the newest version out of service, so that the one before is served again.

    The folder is renamed to `.rolled_back-<version>`, which servers ignore. It can be looked at
    there, and renaming it back serves it again; its number is not given to another version.

    Args:
        directory: base folder of the model's versions.

    Returns:
        The path of the version that is the newest now.

    Raises:
        ValueError: there is no earlier version to go back to; nothing is changed.
        OSError: the folder cannot be written, with what to do.
    """
    directory = pathlib.Path(directory)
    with _explained(directory, "roll back"), _locked(directory):
        versions = list_versions(directory)
        if len(versions) < 2:
            raise ValueError(
                f"{directory.absolute()} has the versions {versions}: to roll back, expected one "
                "to take out of service and an earlier one to serve. Export a good version "
                "instead, or bring back a folder that was taken out before."
            )
        _remember_last(directory)
        newest = directory / str(versions[-1])
        out_of_service = directory / f"{_ROLLED_BACK}{newest.name}"
        if out_of_service.exists():  # A version that was brought back by copying it.
            out_of_service = directory / f"{out_of_service.name}-{secrets.token_hex(4)}"
        newest.rename(out_of_service)
        _synchronise(directory)
    return directory / str(versions[-2])


def prune(directory, keep: int = 3) -> list[int]:
    """Removes what is older than the newest `keep` versions, rolled back versions included.

    A server never sees a version partly removed: its folder is renamed before it is deleted. What
    a removal that was killed leaves behind is removed by the next export.

    Args:
        directory: base folder of the model's versions.
        keep: how many versions stay, at least 1. A rollback needs 2.

    Returns:
        The numbers of the removed versions, ascending.

    Raises:
        ValueError: `keep` is not a positive integer.
        OSError: the folder cannot be written, with what to do.
    """
    if not isinstance(keep, int) or keep < 1:
        raise ValueError(f"keep: expected an integer of 1 or more, received {keep!r}.")
    directory = pathlib.Path(directory)
    old = []
    with _explained(directory, "remove versions"):
        with _locked(directory):
            versions = list_versions(directory)
            kept = versions[-keep:]
            folders = [(version, directory / str(version)) for version in versions]
            for folder in directory.glob(f"{_ROLLED_BACK}*"):
                number = re.match("[0-9]+", folder.name.removeprefix(_ROLLED_BACK))
                if number:
                    folders.append((int(number[0]), folder))
            for version, folder in folders:
                if kept and version < kept[0]:
                    name = f".tmp-{version}-{os.getpid()}-{secrets.token_hex(4)}"
                    old.append((version, folder.rename(directory / name)))
            _synchronise(directory)
        for _, folder in old:
            shutil.rmtree(folder, ignore_errors=True)
    return sorted(version for version, _ in old)


def _next_version(directory: pathlib.Path) -> int:
    # A removed version's number is not given again: a server may still hold it in memory.
    try:
        last = int((directory / _LAST_VERSION).read_text())
    except (FileNotFoundError, ValueError):
        last = 0
    return max(last, *list_versions(directory), 0) + 1


def _remember_last(directory: pathlib.Path) -> None:
    temporary = directory / f"{_TEMPORARY_LAST}{os.getpid()}-{secrets.token_hex(4)}"
    temporary.write_text(f"{_next_version(directory) - 1}\n")
    temporary.replace(directory / _LAST_VERSION)


def _rename_to_next(folder: pathlib.Path, directory: pathlib.Path) -> pathlib.Path:
    while True:
        version = directory / str(_next_version(directory))
        try:
            os.rename(folder, version)
            return version
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise


@contextlib.contextmanager
def _locked(directory: pathlib.Path) -> Iterator[None]:
    """Waits until nobody else renames versions in `directory`.

    On a file system without locks it does not wait: each rename is atomic all the same.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _temporary_folder(directory: pathlib.Path, version: int) -> Iterator[pathlib.Path]:
    """Makes a folder locked by this exporter, and removes it unless it was renamed."""
    descriptor = None
    while descriptor is None:
        # A second turn only if, between mkdir and the lock, another exporter took the folder for an
        # abandoned one.
        folder = directory / f".tmp-{version}-{os.getpid()}-{secrets.token_hex(4)}"
        folder.mkdir()
        descriptor = _lock(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _remove_abandoned(directory: pathlib.Path) -> None:
    for folder in directory.glob(".tmp-[0-9]*"):
        descriptor = _lock(folder, wanted_if_unsupported=False)
        if descriptor is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)
    with _locked(directory):  # As whoever is writing one.
        for file in directory.glob(f"{_TEMPORARY_LAST}*"):
            file.unlink(missing_ok=True)


def _lock(folder: pathlib.Path, *, wanted_if_unsupported: bool = True) -> int | None:
    """Locks a folder: its exporter holds the lock as long as it lives, whatever kills it.

    A process number alone would not tell the living from the dead across containers, nor after
    the number was given to another process.

    Args:
        folder: a temporary folder.
        wanted_if_unsupported: what to do on a file system without locks: the exporter goes on
            without one, and nobody removes what cannot be known to be abandoned.

    Returns:
        A descriptor to close, or None if another exporter holds or removed the folder.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        locked = os.path.samestat(os.fstat(descriptor), os.stat(folder))
    except (BlockingIOError, FileNotFoundError):
        locked = False
    except OSError:
        locked = wanted_if_unsupported
    if locked:
        return descriptor
    os.close(descriptor)
    return None


def _synchronise(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_ADVICE = {
    errno.EROFS: "The file system is read-only: choose a folder on a writable one.",
    errno.EACCES: "Choose another folder, or give this user the right to write there.",
    errno.EPERM: "Choose another folder, or give this user the right to write there.",
    errno.ENOSPC: "The disk is full: free space (old versions can be removed) or choose another.",
    errno.EDQUOT: "The disk quota is used up: remove old versions or choose another folder.",
    errno.EFBIG: "A file is larger than the system allows here: see `ulimit -f`.",
    errno.EEXIST: "A file is in the way: move it, or choose another folder.",
    errno.ENOTDIR: "A file is in the way: move it, or choose another folder.",
    errno.EIO: "The disk reported an error: free space there or choose another folder.",
}


@contextlib.contextmanager
def _explained(directory: pathlib.Path, task: str = "publish a model") -> Iterator[None]:
    """Turns an OSError of the disk into one that names the folder and says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in _ADVICE:
            raise
        raise OSError(
            error.errno,
            f"Cannot {task} in {directory.absolute()}: {error.strerror}. "
            f"{_ADVICE[error.errno]} Nothing was published, and the versions there are unchanged",
        ) from error
