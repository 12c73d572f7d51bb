"""Files that appear whole or not at all, and folders that can hold them."""

import contextlib
import os
import pathlib


@contextlib.contextmanager
def replace_atomically(path):
    """Opens a binary stream whose content takes the place of `path` when the block ends well.

    Until then the content has a temporary name in the same folder. If the block raises, the old
    file stays as it was; a process that is killed leaves the temporary file behind as well. A
    reader never sees a part of the content, and a power failure does not either, because the
    content is flushed to the disk before it gets its name.

    Args:
        path: The file to write; missing folders are made.

    Yields:
        A binary stream, open for writing.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        # The rename itself lives in the folder, which has to reach the disk too.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def check_folder(folder, name):
    """Raises OSError unless files can be written in a folder, which is made where it is missing.

    Args:
        folder: A `pathlib.Path`.
        name: What the argument is called, such as "log_dir".
    """
    probe = folder / f".{os.getpid()}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        message = f"{error.strerror}. Choose a {name} that can be written: {folder}"
        raise OSError(error.errno, message) from error
