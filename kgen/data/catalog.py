"""From a name to a prepared TFDS builder."""

import contextlib
import difflib
import os
import pathlib
import re
import socket
import urllib.request
import warnings

from kgen.data.quiet import quiet_preparation, quiet_warnings

# Where Debian's package dataset-fashion-mnist puts its files.
FASHION_MNIST_FOLDER = "/usr/share/datasets/fashion-mnist"
FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
_FASHION_MNIST_HOST = "fashion-mnist.s3-website.eu-central-1.amazonaws.com"


def find_builder(name, data_dir=None):
    """The TFDS builder of a name; nothing is downloaded or prepared.

    Args:
        name: "digits", "gaussian_ring", "cifar10", "image_folder/size=128,source=/my/images": a
            name of TFDS or of `kgen.data.builders`, perhaps with a configuration, a version or
            arguments, as in `tfds.builder`. Or a folder, "/my/images": of IDX files, of a data set
            that TFDS prepared, or of pictures, which become colour of 64 x 64. Or a builder, which
            is returned; `tfds.ImageFolder` is read as `kgen.data.builders.ImageFolder` reads it.
        data_dir: folder of prepared data sets, TFDS' own by default.

    Returns:
        tfds.core.DatasetBuilder.

    Raises:
        ValueError: if the name does not exist, with the names near it.
    """
    import tensorflow_datasets as tfds

    from kgen.data import builders

    if isinstance(name, tfds.core.DatasetBuilder):
        if data_dir is not None:
            raise ValueError("Give data_dir to the builder, not beside it.")
        return _resizing(name) if isinstance(name, tfds.ImageFolder) else name
    if isinstance(name, os.PathLike):
        return _of_folder(os.fspath(name), data_dir)
    if not isinstance(name, str) or not name:
        raise ValueError(f"Expected the name of a data set or a TFDS builder, received {name!r}.")
    if _is_path(name):
        return _of_folder(name, data_dir)
    base = name.split("/")[0].split(":")[0]
    folder = pathlib.Path(os.path.expanduser(data_dir or tfds.core.constants.DATA_DIR)) / base
    known = sorted(tfds.list_builders(with_community_datasets=False))
    # A name before ":" is a namespace ("huggingface:mnist"); a folder may hold a data set alone.
    if base not in known and not name.startswith(f"{base}:") and not folder.is_dir():
        near = difflib.get_close_matches(base, known, n=5) or builders.NAMES
        here = f" There is a folder of this name: './{name}'." if os.path.isdir(name) else ""
        raise ValueError(
            f"Unknown data set '{base}'.{here} Near names: {', '.join(near)}. "
            "All names: tensorflow_datasets.list_builders()."
        )
    if base in ("image_folder", "idx_images") and "source=" not in name:
        raise ValueError(
            f"'{base}' needs its folder: '{base}/source=/path/to/folder', or a builder such as "
            "kgen.data.builders.ImageFolder(source=folder, size=64)."
        )
    if base == "image_folder":
        return builders.ImageFolder(**_folder_options(name), data_dir=data_dir)
    with quiet_warnings():
        builder = tfds.builder(name, data_dir=data_dir)
        if base == "fashion_mnist" and not builder.is_prepared() and _has_local_fashion_mnist():
            return builders.IdxImages(
                source=FASHION_MNIST_FOLDER, class_names=FASHION_MNIST_CLASSES, data_dir=data_dir
            )
        return builder


def _is_path(name):
    """Whether a name is that of a folder: "/a", "~/a", "./a", "../a", or "a/b" if it is there."""
    if name.startswith((os.sep, "~", f".{os.sep}", f"..{os.sep}")):
        return True
    return os.sep in name and "=" not in name and os.path.isdir(name)


def is_plain(name):
    """Whether a name is short enough to be shown: neither a folder nor one with a folder in it."""
    return isinstance(name, str) and "=" not in name and not _is_path(name)


def _of_folder(name, data_dir):
    import tensorflow_datasets as tfds

    from kgen.data import builders

    folder = pathlib.Path(os.path.expanduser(name))
    if not folder.is_dir():
        raise ValueError(f"There is no folder '{name}'.")
    if (folder / "dataset_info.json").is_file():
        return tfds.builder_from_directory(folder)
    if any("-ubyte" in file.name for file in folder.iterdir()):
        return builders.IdxImages(source=folder, data_dir=data_dir)
    return builders.ImageFolder(source=folder, data_dir=data_dir)


def _folder_options(name):
    """The arguments in "image_folder/size=16x24,value_range=0:4095,splits=a+b,source=/a, b"."""
    readers = dict(
        size=lambda text: tuple(map(int, text.split("x"))) if "x" in text else int(text),
        channels=int,
        background=str,
        value_range=lambda text: tuple(map(float, text.split(":"))),
        on_error=str,
        splits=lambda text: tuple(filter(None, text.split("+"))),
        source=str,
    )
    text = name.partition("/")[2]
    # A comma in a path is no end of it.
    parts = re.split(rf",(?=(?:{'|'.join(readers)})=)", text)
    options = dict(part.partition("=")[::2] for part in parts)
    unknown = sorted(set(options) - set(readers))
    try:
        if unknown:
            raise ValueError(f"no option {', '.join(unknown)}")
        return {key: readers[key](value) for key, value in options.items()}
    except ValueError as error:
        raise ValueError(
            f"'{name}' cannot be read ({error}). Its options are {', '.join(readers)}, such as "
            "'image_folder/size=64x96,value_range=0:4095,splits=train+val,source=/my/photos'."
        ) from None


def _resizing(builder):
    """A `tfds.ImageFolder`, which gives images of any sizes, as one whose images fill a batch."""
    from kgen.data import builders

    shape = builder.info.features["image"].shape
    size = (64, 64) if None in shape[:2] else tuple(shape[:2])
    if None in shape[:2]:
        warnings.warn(
            "The pictures of this tfds.ImageFolder are scaled and cropped to 64 x 64; "
            "tfds.ImageFolder(folder, shape=(128, 128, 3)) chooses another size.",
            stacklevel=3,
        )
    return builders.ImageFolder(
        source=builder.data_dir,
        size=size,
        channels=shape[2] or 3,
        splits=tuple(builder.info.splits),
    )


def is_local(builder):
    """Whether a data set can be prepared without a network."""
    from kgen.data import builders

    return builder.name in builders.NAMES


def prepare(builder):
    """Download and prepare a data set if it is not there yet.

    Args:
        builder: tfds.core.DatasetBuilder.

    Returns:
        The prepared builder.

    Raises:
        RuntimeError: if it could not be downloaded or prepared, with what to do.
        ValueError: if a file of a local data set is not what it should be.
    """
    import tensorflow_datasets as tfds

    if isinstance(builder, tfds.TranslateFolder):
        # It reads its files anew each time.
        return builder
    if not _is_prepared(builder):
        _download_and_prepare(builder)
    if not builder.info.splits:
        # Another process prepared it after this builder had looked.
        builder.info.read_from_directory(builder.data_dir)
    return builder


def _download_and_prepare(builder):
    import tensorflow_datasets as tfds

    if builder.name == "fashion_mnist" and _is_offline(_FASHION_MNIST_HOST):
        # TFDS would try again and again, for minutes.
        raise RuntimeError(_advice(builder, f"{_FASHION_MNIST_HOST} cannot be reached"))
    try:
        with quiet_preparation() if is_local(builder) else contextlib.nullcontext():
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(try_download_gcs=False)
            )
    except Exception as error:
        if _is_prepared(builder):
            # Another process, such as a worker of the same training, was faster.
            return
        if is_local(builder) and isinstance(error, ValueError):
            raise
        raise RuntimeError(_advice(builder, f"{type(error).__name__}: {error}")) from error


def _is_prepared(builder):
    with quiet_warnings():
        return builder.is_prepared()


def _advice(builder, cause):
    from kgen.data import builders

    cause = cause.rstrip(".")
    message = f"Could not prepare the data set '{builder.name}' in {builder.data_dir}: {cause}."
    if builder.name == "fashion_mnist":
        return f"{message} Without a network: apt-get install dataset-fashion-mnist."
    if is_local(builder):
        return f"{message} data_dir chooses another folder."
    return f"{message} Data sets that need no network: {', '.join(builders.NAMES)}."


def _has_local_fashion_mnist():
    names = ("train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz")
    return all((pathlib.Path(FASHION_MNIST_FOLDER) / name).is_file() for name in names)


def _is_offline(host):
    if urllib.request.getproxies():
        return False
    try:
        socket.getaddrinfo(host, 80)
    except OSError:
        return True
    return False
