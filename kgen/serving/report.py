"""What a check of an exported version found, as a table."""

import dataclasses
import pathlib
from collections.abc import Mapping

import tensorflow as tf

from kgen.serving.weights import Weights


@dataclasses.dataclass
class Report:
    """What `kgen.serving.check` found.

    Attributes:
        version_dir: the folder.
        problems: why it is refused; empty if it can be served.
        card: the model card, or None.
        tensorflow_version: the TensorFlow that saved it.
        weights: the sizes, or None if they could not be read.
        signatures: name -> `SignatureDef` message.
        warmup: signature name -> batch sizes of its warm-up requests.
        runs: signature name -> batch sizes that ran through the C++ loader.
    """

    version_dir: pathlib.Path
    problems: list[str] = dataclasses.field(default_factory=list)
    card: dict | None = None
    tensorflow_version: str = "?"
    weights: Weights | None = None
    signatures: dict = dataclasses.field(default_factory=dict)
    warmup: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    runs: dict[str, list[int]] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        """The report as a table."""
        return _table(self)


def specs_of(infos: Mapping) -> list[tf.TensorSpec]:
    """The inputs or outputs of a SignatureDef."""
    return [
        tf.TensorSpec(tf.TensorShape(info.tensor_shape), tf.dtypes.as_dtype(info.dtype), name)
        for name, info in sorted(infos.items())
    ]


def _table(report: Report) -> str:
    lines = [f"{report.version_dir}: {'REFUSED' if report.problems else 'can be served'}"]
    card = report.card or {}
    versions = card.get("versions") if isinstance(card.get("versions"), Mapping) else {}
    saved_by = [f"tensorflow {report.tensorflow_version}"] + [
        f"{name} {version}" for name, version in versions.items() if name != "tensorflow"
    ]
    lines.append(f"  saved by    {', '.join(saved_by)}")
    lines.append(f"  model       {card.get('model', 'unknown: it has no model card')}")
    if report.weights:
        lines.append(
            f"  weights     {report.weights.num_variables} variables, "
            f"{report.weights.used_bytes:,} bytes, each stored once"
        )
    num_requests = sum(len(sizes) for sizes in report.warmup.values())
    lines.append(
        f"  warm-up     {num_requests} requests"
        + ("" if num_requests else ": the first clients wait for what a first call prepares")
    )
    lines.append("")
    rows = [("signature", "inputs", "outputs", "warm-up at", "ran at")]
    for name, signature in sorted(report.signatures.items()):
        sizes = (report.warmup.get(name), report.runs.get(name))
        tensors = [
            ", ".join(_describe(spec) for spec in specs_of(infos))
            for infos in (signature.inputs, signature.outputs)
        ]
        rows.append(
            (
                name,
                *tensors,
                *(", ".join(map(str, sorted(set(size or [])))) or "-" for size in sizes),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append(f"  {'  '.join(cells)}".rstrip())
    lines += ["", *(f"  refused: {problem}" for problem in report.problems)]
    return "\n".join(lines).rstrip()


def _describe(spec: tf.TensorSpec) -> str:
    if spec.shape.rank is None:
        return f"{spec.name} {spec.dtype.name}[...]"
    shape = ", ".join("?" if size is None else str(size) for size in spec.shape.as_list())
    return f"{spec.name} {spec.dtype.name}[{shape}]"
