"""Figures, pictures and the published model of a run."""

import contextlib
import dataclasses
import json
import os
import pathlib
import platform
import time

import keras
import numpy as np
import tensorflow as tf

from kgen import plots, serving
from kgen.files import replace_atomically


@contextlib.contextmanager
def timer(seconds, name):
    """Add the wall-clock seconds of a block to the dict `seconds` under `name`."""
    start = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - start, 2)


def write_metrics(path, metrics, config, seconds):
    """Write `metrics.json`: figures with protocols, configuration, versions, time.

    Args:
        path: the file.
        metrics: dict of name -> dict with `value` and `protocol`.
        config: the configuration.
        seconds: dict of name -> wall-clock seconds.
    """
    import tensorflow_probability as tfp

    from kgen.version import __version__

    versions = dict(
        kgen=__version__,
        tensorflow=tf.__version__,
        keras=keras.__version__,
        tensorflow_probability=tfp.__version__,
        python=platform.python_version(),
    )
    gpus = [
        tf.config.experimental.get_device_details(d) for d in tf.config.list_physical_devices("GPU")
    ]
    device = (
        ", ".join(gpu.get("device_name", "GPU") for gpu in gpus) or f"{os.cpu_count()} CPU cores"
    )
    write_json(
        path,
        dict(
            metrics=metrics,
            config=_without_folders(config),
            versions=versions,
            seconds=seconds,
            device=device,
        ),
    )


def _without_folders(config):
    configuration = dataclasses.asdict(config)
    for folder in ("run_dir", "export_dir", "data_dir", "classifier_dir"):
        configuration.pop(folder, None)
    return configuration


def write_json(path, content):
    """Write JSON under a temporary name, then rename: readers never see half a file."""
    with replace_atomically(path) as stream:
        stream.write((json.dumps(content, indent=2) + "\n").encode())


def save_model(model, path):
    """Save a `.keras` file under a temporary name, then rename."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        model.save(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def mean_term(model, images, name):
    """One term of `evaluate` with its protocol.

    Args:
        model: a compiled kgen model.
        images: tf.data.Dataset.
        name: name of the term, such as "kl".

    Returns:
        dict with `value` and `protocol`.
    """
    # Several workers report arrays of one entry.
    value = float(np.mean(model.evaluate(images, verbose=0, return_dict=True)[name]))
    return dict(value=value, protocol=f"mean of the term '{name}' over the test images, nats")


def report(metrics, data_protocol):
    """Print each figure with its protocol.

    Args:
        metrics: dict of name -> dict with `value`, `protocol` and perhaps `standard_deviation` and
            `bits_per_dim`.
        data_protocol: what every figure was measured on.
    """
    print(f"On {data_protocol}:")
    for name, metric in metrics.items():
        spread = metric.get("standard_deviation")
        spread = "" if spread is None else f" +- {spread:.3f}"
        bits = f", {metric['bits_per_dim']:.3f} bits/dim" if "bits_per_dim" in metric else ""
        print(f"  {name:32} {metric['value']:10.3f}{spread}{bits}   ({metric['protocol']})")
        metric["data"] = data_protocol


def publish(model, name, config, *, metrics, pictures, seconds, protocol, served=None):
    """What every recipe of a served model ends with: figures, pictures, `.keras` file, SavedModel.

    Args:
        model: the trained model.
        name: the recipe's; everything goes to `<config.export_dir>/<name>/`.
        config: the configuration.
        metrics: dict of name -> dict with `value` and `protocol`.
        pictures: dict of name -> function from the model to a picture, as `kgen.plots` gives.
        seconds: dict of name -> wall-clock seconds.
        protocol: str, what every figure was measured on.
        served: what is exported in place of the model, such as an index of neighbours around it.

    Returns:
        The path of the published version.
    """
    results = pathlib.Path(config.export_dir) / name
    report(metrics, protocol)
    for title, picture in pictures.items():
        plots.save_png(picture(model), results / f"{title}.png")
    write_metrics(results / "metrics.json", metrics, config, seconds)
    save_model(model, results / f"{name}.keras")
    version = serving.export(
        served or model, results, metrics=metrics, config=_without_folders(config)
    )
    print(f"Published {version}; pictures and metrics.json are in {results}.")
    return version


def check_folders(config, name, *, model=None):
    """Raise OSError before training if a recipe's folders cannot be written or are nearly full.

    Args:
        config: the configuration, with `run_dir` and `export_dir`.
        name: the recipe's.
        model: once it is there, its size counts: a `.keras` file with two moments a weight, and a
            SavedModel.
    """
    num_bytes = 0 if model is None else 4 * 4 * model.count_params()
    serving.check_writable(pathlib.Path(config.export_dir) / name, num_bytes=num_bytes)
    serving.check_writable(config.run_dir)
