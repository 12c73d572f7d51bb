"""Builders of the files in a user's folder."""

import hashlib
import os
import pathlib

import tensorflow_datasets as tfds


def existing_folder(source):
    """`source` as an absolute path, or a ValueError if it is not a folder."""
    folder = pathlib.Path(os.path.expanduser(source)).resolve()
    if not folder.is_dir():
        raise ValueError(f"source must be a folder, received '{source}', which is not one.")
    return folder


def config_of(folder, files, *settings):
    """A TFDS configuration whose name changes with the folder, its files and the settings.

    TFDS keeps a prepared data set for ever under its configuration's name, and would not see that a
    file was added or changed.

    Args:
        folder: absolute path.
        files: paths of the files to be read.
        settings: whatever else decides on the examples.

    Returns:
        tfds.core.BuilderConfig.
    """
    digest = hashlib.sha256(repr((str(folder), settings)).encode())
    for file in sorted(files):
        status = file.stat()
        digest.update(repr((str(file), status.st_size, status.st_mtime_ns)).encode())
    stem = "".join(letter if letter.isalnum() else "_" for letter in folder.name)
    return tfds.core.BuilderConfig(name=f"{stem}_{digest.hexdigest()[:12]}")
