"""The model card: a JSON file in the version's folder that says what is served."""

import json
import math
import numbers
import pathlib
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from kgen.serving.endpoints import TracedEndpoint, num_variable_bytes
from kgen.version import __version__

MODEL_CARD_FILE = pathlib.PurePath("assets.extra", "model_card.json")


def write(
    version_dir: pathlib.Path,
    model,
    endpoints: Sequence[TracedEndpoint],
    *,
    metrics: Mapping | None = None,
    config: Mapping | None = None,
) -> None:
    """Writes `assets.extra/model_card.json`.

    It holds `model` (the class), `versions` of kgen, Keras and TensorFlow, `variable_bytes` (the
    size of the weights), `signatures` (name ->
    `inputs` and `outputs`, each with dtype, shape, description, unit and range, see
    `kgen.quantities`), `metrics` and `config`. JSON has no NaN: such a figure is null.

    Args:
        version_dir: folder of the version.
        model: the exported model.
        endpoints: its traced endpoints.
        metrics: name -> dict with `value` and `protocol`.
        config: what the model was trained with.
    """

    def describe(endpoint, name, tensor):
        known = endpoint.meaning(name)
        return {"dtype": tensor.dtype.name, "shape": tensor.shape.as_list(), **known}

    card = {
        "model": type(model).__name__,
        "versions": {
            "kgen": __version__,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
        },
        "variable_bytes": num_variable_bytes(endpoints),
        "signatures": {
            endpoint.name: {
                "inputs": {
                    spec.name: describe(endpoint.endpoint, spec.name, spec)
                    for spec in endpoint.input_signature
                },
                "outputs": {
                    name: describe(endpoint.endpoint, name, tensor)
                    for name, tensor in endpoint.concrete_function.structured_outputs.items()
                },
            }
            for endpoint in endpoints
        },
        "metrics": _plain(metrics or {}),
        "config": _plain(config or {}),
    }
    path = version_dir / MODEL_CARD_FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(card, indent=2, allow_nan=False) + "\n")


def read(version_dir) -> dict | None:
    """Reads the model card of a version; None if it has none.

    Raises:
        ValueError: the file is no JSON object.
    """
    path = pathlib.Path(version_dir) / MODEL_CARD_FILE
    try:
        card = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}.") from error
    if not isinstance(card, dict):
        raise ValueError(f"{path}: expected a JSON object, received {type(card).__name__}.")
    return card


def _plain(value):
    """What JSON can hold of a value."""
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers.
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, numbers.Real):
        return float(value) if math.isfinite(value) else None
    return str(value)
