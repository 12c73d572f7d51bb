"""Writes the golden file of each case that has none: `PYTHONPATH=. python tests/write_goldens.py`.

`goldens/<case>.keras` is a model after two steps, its optimizers included; `goldens/<case>.npz`
holds inputs and outputs of its endpoints, and what `evaluate` said. Later versions must load the
one and give the other: `test_goldens.py`. A golden file is written once, and never again.
"""

import pathlib
import zipfile

import keras
import numpy as np
import tensorflow as tf
from cases import CASES, compiled, examples

GOLDENS = pathlib.Path(__file__).parent / "goldens"


def golden_endpoints(model):
    """The endpoints whose outputs are numbers that no rounding turns into another sample."""
    return {
        name: endpoint
        for name, endpoint in model.endpoints().items()
        if name != "sample_png" and "temperature" not in endpoint.inputs
    }


def write(case):
    """Train the case's model for two steps and record it."""
    model = compiled(case)
    data = examples(model, 16)
    model.fit(*data, batch_size=8, verbose=0, shuffle=False)
    if case.second_stage:
        case.second_stage(model, *data)
    arrays = {}
    for place, part in enumerate(keras.tree.flatten(data)):
        arrays[f"data/{place}"] = part
    for name, endpoint in golden_endpoints(model).items():
        inputs = endpoint.example(2)
        outputs = endpoint.function(*(tf.constant(value) for value in inputs.values()))
        arrays |= {f"{name}/inputs/{key}": value for key, value in inputs.items()}
        arrays |= {f"{name}/outputs/{key}": value.numpy() for key, value in outputs.items()}
    results = model.evaluate(*data, batch_size=16, verbose=0, return_dict=True)
    arrays |= {f"evaluate/{name}": np.float32(value) for name, value in results.items()}
    np.savez_compressed(GOLDENS / f"{case.name}.npz", **arrays)
    path = GOLDENS / f"{case.name}.keras"
    model.save(path)
    compress(path)


def compress(path):
    """Deflate the archive, which Keras stores as it is: most of a tiny model's file is zeros."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


if __name__ == "__main__":
    GOLDENS.mkdir(exist_ok=True)
    for case in CASES:
        if not (GOLDENS / f"{case.name}.keras").exists():
            keras.backend.clear_session()
            write(case)
            print(case.name)
