"""The variables of a SavedModel: are their files whole, and is each weight stored once?"""

import collections
import dataclasses
import hashlib
import pathlib
import re

import numpy as np
import tensorflow as tf

_PREFIX = pathlib.PurePath("variables", "variables")


@dataclasses.dataclass(frozen=True)
class Weights:
    """What `check_weights` found.

    Attributes:
        num_variables: how many variables the signatures read.
        used_bytes: the size of these.
        stored_bytes: the size of all that is stored.
    """

    num_variables: int
    used_bytes: int
    stored_bytes: int


def check_weights(version_dir, graph_def) -> Weights:
    """Reads all variables of a SavedModel.

    Args:
        version_dir: folder of the version.
        graph_def: the part of its graph that the signatures use.

    Raises:
        ValueError: a file is missing, broken or truncated; a weight is stored twice, stored without
            being used, or holds NaN.
    """
    version_dir = pathlib.Path(version_dir)
    handles = [node for node in graph_def.node if node.op == "VarHandleOp"]
    used_bytes = sum(_num_bytes(node) for node in handles)
    index = version_dir / f"{_PREFIX}.index"
    if not index.exists():
        if handles:
            raise ValueError(
                f"{index} is missing, but the signatures read {len(handles)} variables: TF Serving "
                "calls such a version available and then fails every request."
            )
        return Weights(0, 0, 0)
    _check_files(index)
    stored = _read(version_dir / _PREFIX)
    stored_bytes = sum(size for size, _ in stored.values())
    # A counter beside the weights is no harm.
    if stored_bytes > 1.01 * used_bytes + 64:
        raise ValueError(
            f"{stored_bytes:,} bytes of variables are stored, but the signatures use "
            f"{used_bytes:,}: {_surplus(stored)}"
        )
    return Weights(len(handles), used_bytes, stored_bytes)


def _num_bytes(node) -> int:
    shape = tf.TensorShape(node.attr["shape"].shape)
    return (shape.num_elements() or 0) * tf.dtypes.as_dtype(node.attr["dtype"].type).size


def _check_files(index: pathlib.Path) -> None:
    shards = [path.name for path in index.parent.glob("variables.data-*-of-*")]
    expected = [re.fullmatch(r"variables\.data-\d{5}-of-(\d{5})", name) for name in shards]
    totals = {int(match[1]) for match in expected if match}
    if len(totals) != 1 or len(shards) != totals.pop():
        raise ValueError(
            f"Files of the variables are missing in {index.parent}: it holds variables.index and "
            f"{sorted(shards) or 'no variables.data-00000-of-00001'}."
        )


def _read(prefix: pathlib.Path) -> dict[str, tuple[int, str]]:
    """Reads each stored array: name -> (bytes, digest of its content, "" if it is constant)."""
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        found = {}
        for name, dtype in sorted(reader.get_variable_to_dtype_map().items()):
            array = reader.get_tensor(name)  # Compares the checksum.
            if dtype == tf.string:
                continue
            if dtype.is_floating and np.isnan(array.astype(np.float32)).any():
                raise ValueError(f"The weight {name!r} holds NaN: training diverged.")
            digest = hashlib.sha256(array.tobytes()).hexdigest() if array.size else ""
            constant = array.size and (array == array.flat[0]).all()
            found[name] = (array.nbytes, "" if constant else f"{array.shape} {digest}")
        return found
    except (tf.errors.OpError, IndexError, RuntimeError) as error:
        raise ValueError(
            f"The variables in {prefix.parent} are broken or truncated: {error}."
        ) from error


def _surplus(stored: dict[str, tuple[int, str]]) -> str:
    by_content = collections.defaultdict(list)
    for name, (_, content) in stored.items():
        if content:
            by_content[content].append(name)
    copies = [names for names in by_content.values() if len(names) > 1]
    if copies:
        return (
            f"weights are stored twice, such as {copies[0][0]!r} and {copies[0][1]!r}. Do not call "
            "track() of Keras' ExportArchive; kgen.serving.export does not."
        )
    return (
        "something else is stored too, such as an optimizer's moments or a network that no "
        f"signature calls. The names are {sorted(stored)[:6]}, ..."
    )
