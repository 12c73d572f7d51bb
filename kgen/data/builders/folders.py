"""What the builders of a user's folder share: its files, its splits, its place on disk."""

import collections
import hashlib
import os
import pathlib
import re
import shutil

import tensorflow_datasets as tfds

from kgen.data.quiet import quiet_warnings

SPLITS = dict(
    train="train",
    training="train",
    val="validation",
    valid="validation",
    validation="validation",
    dev="validation",
    test="test",
    testing="test",
)
"""Names of folders, in lower case, that are splits -> what TFDS calls these splits."""


class FolderBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A builder whose prepared copy follows its folder: a new one takes the old one's place."""

    def __init__(self, folder, files, settings, **kwargs):
        self.folder = folder
        self._has_own_config = "config" not in kwargs
        kwargs.setdefault("config", config_of(folder, files, settings))
        with quiet_warnings():
            super().__init__(**kwargs)

    def download_and_prepare(self, **kwargs):
        """Prepare the data set, then delete the copies of earlier states of the folder."""
        super().download_and_prepare(**kwargs)
        if not self._has_own_config:
            return
        own = pathlib.Path(self.data_dir).parent
        for other in own.parent.glob(f"{own.name.rpartition('_')[0]}_*"):
            if other != own:
                shutil.rmtree(other, ignore_errors=True)


def existing_folder(source):
    """`source` as an absolute path, or a ValueError if it is not a folder."""
    folder = pathlib.Path(os.path.expanduser(source)).resolve()
    if not folder.is_dir():
        raise ValueError(f"source must be a folder, received '{source}', which is not one.")
    return folder


def visible_files(root):
    """The files below a folder that are not hidden, each once.

    Links are followed where what they lead to is not taken already: a file or folder itself comes
    before a link to it. Hidden is what begins with a dot, and `__MACOSX`.

    Returns:
        `(files, links)`: sorted paths, and those of the links that are left out.
    """
    files, left_out, seen = [], [], set()
    waiting, links = [pathlib.Path(root)], []
    while waiting or links:
        path = waiting.pop() if waiting else links.pop(0)
        real = os.path.realpath(path)
        if real in seen or not os.path.exists(real):
            left_out.append(path)
            continue
        seen.add(real)
        if path.is_file():
            files.append(path)
            continue
        for entry in sorted(path.iterdir()) if path.is_dir() else ():
            if not entry.name.startswith(".") and entry.name != "__MACOSX":
                (links if entry.is_symlink() else waiting).append(entry)
    return sorted(files), sorted(left_out)


def split_of(builder, split):
    """A split as its builder calls it: "val[:50%]" is "validation[:50%]" where that exists."""

    def known(word):
        name = SPLITS.get(word[0].lower())
        return (
            name if word[0] not in builder.info.splits and name in builder.info.splits else word[0]
        )

    return re.sub(r"[A-Za-z]\w*", known, split) if isinstance(split, str) else split


def find_splits(folder, files, names=None):
    """The roots of the splits of a folder: split -> path.

    Args:
        folder: absolute path.
        files: the files of the data set below it.
        names: names of folders that are splits; () says that there are none; None takes those
            that are commonly called so, see `SPLITS`.

    Raises:
        ValueError: if some top folders are splits and others are not, if two are the same split,
            or if splits lie inside the folders of classes.
    """
    parts = [file.relative_to(folder).parts for file in files]
    tops = collections.Counter(part[0] if len(part) > 1 else "" for part in parts)
    if names is None:
        splits = {top: SPLITS[top.lower()] for top in tops if top.lower() in SPLITS}
    else:
        splits = _named_splits(folder, tops, names)
    others = sorted(set(tops) - set(splits))
    if splits and others:
        seen = ", ".join(f"{top or 'no folder'}: {tops[top]}" for top in sorted(tops))
        raise ValueError(
            f"Of the folders in {folder}, {', '.join(sorted(splits))} "
            f"{'are splits' if len(splits) > 1 else 'is a split'}, but "
            f"{', '.join(top or 'files beside them' for top in others)} "
            f"{'are' if len(others) > 1 or not others[0] else 'is'} not "
            f"(pictures by folder: {seen}). Move all classes into splits, or none; or say with "
            "splits=('train', 'val') which folders are splits, and with splits=() that all are "
            "classes."
        )
    twice = [name for name, count in collections.Counter(splits.values()).items() if count > 1]
    if twice:
        same = sorted(top for top, name in splits.items() if name in twice)
        raise ValueError(
            f"The folders {', '.join(same)} of {folder} would be one split, '{twice[0]}'. Rename "
            "one, or name all with splits=, which keeps their names."
        )
    inner = {part[1] for part in parts if len(part) > 2}
    if not splits and names is None and inner and {top.lower() for top in inner} <= set(SPLITS):
        raise ValueError(
            f"The folders {', '.join(sorted(inner))} lie inside the classes of {folder}. Put the "
            "splits on top, train/cat, not cat/train; splits=() takes all as training images."
        )
    return {name: folder / top for top, name in splits.items()} or {"train": folder}


def _named_splits(folder, tops, names):
    """The splits of these names, or a ValueError if there are others, or folders besides."""
    seen = ", ".join(f"{top or 'no folder'}: {tops[top]}" for top in sorted(tops))
    missing = [name for name in names if name not in tops]
    besides = sorted(set(tops) - set(names)) if names else []
    if missing or besides:
        what = f"has no pictures in {missing}" if missing else f"holds {besides} besides"
        raise ValueError(
            f"splits={names!r}, but {folder} {what} (pictures by folder: {seen}). Name all of its "
            "folders as they are spelled, or none with splits=(); take what is no split out."
        )
    for name in names:
        if not re.fullmatch(r"[\w-]+", name) or name == "all":
            raise ValueError(
                f"A split cannot be called '{name}': rename the folder, with letters, digits, _ "
                "and - alone, and not 'all', which means all splits."
            )
    return {name: name for name in names}


def config_of(folder, files, settings):
    """A TFDS configuration whose name changes with the folder, its files and the settings.

    TFDS keeps a prepared data set for ever under its configuration's name, and would not see that a
    file was added or changed. The part before the last "_" depends on folder and settings alone.

    Args:
        folder: absolute path.
        files: paths of the files to be read.
        settings: whatever else decides on the examples.

    Returns:
        tfds.core.BuilderConfig.
    """
    place = hashlib.sha256(repr((str(folder), settings)).encode()).hexdigest()[:8]
    digest = hashlib.sha256()
    for file in sorted(files):
        status = file.stat()
        digest.update(repr((str(file), status.st_size, status.st_mtime_ns)).encode())
    stem = "".join(letter if letter.isalnum() else "_" for letter in folder.name)
    return tfds.core.BuilderConfig(name=f"{stem}_{place}_{digest.hexdigest()[:12]}")
