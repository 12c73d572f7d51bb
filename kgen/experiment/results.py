"""Figures, pictures and the published model of a run."""

import contextlib
import json
import os
import pathlib
import platform
import time

import keras
import numpy as np
import tensorflow as tf

from kgen import evaluation, plots, serving, specs
from kgen.callbacks.chief import is_chief
from kgen.experiment.flags import without_folders
from kgen.experiment.steps import backup
from kgen.files import replace_atomically
from kgen.version import __version__


@contextlib.contextmanager
def timer(seconds, name):
    """Add the wall-clock seconds of a block to the dict `seconds` under `name`."""
    start = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - start, 2)


def mean_term(model, batches, name):
    """One term of `evaluate` with its protocol.

    Args:
        model: a compiled kgen model.
        batches: tf.data.Dataset of test images.
        name: name of the term, such as "kl".

    Returns:
        dict with `value` and `protocol`.
    """
    # Several workers report arrays of one entry.
    value = float(np.mean(model.evaluate(batches, verbose=0, return_dict=True)[name]))
    return dict(value=value, protocol=f"mean of the term '{name}' over the test images, nats")


def negative_log_likelihood(model, batches):
    """The exact `-log p` of test images, given their condition where the model has one.

    Args:
        model: a compiled kgen model whose loss it is.
        batches: tf.data.Dataset of test images, or of `(images, labels)`.

    Returns:
        dict with `value` (nats), `bits_per_dim` and `protocol`.
    """
    nats = mean_term(model, batches, "loss")["value"]
    given = "" if model.condition is None else f", given {specs.describe(model.condition)}"
    return dict(
        value=nats,
        bits_per_dim=float(evaluation.bits_per_dim(-nats, model.image_shape)),
        protocol=f"exact -log p, mean over the test images, nats, {model.num_levels} levels{given}",
    )


def publish(model, name, config, metrics, pictures, seconds, *, protocol, served=None):
    """What every recipe ends with: figures, pictures, `.keras` file, SavedModel; no more backup.

    Of several workers only the first one publishes.

    Args:
        model: the trained model.
        name: the recipe's; everything goes to `<config.export_dir>/<name>/`.
        config: the configuration.
        metrics: dict of name -> dict with `value`, `protocol` and perhaps `standard_deviation`,
            `bits_per_dim`, or `balanced_accuracy` and `majority_share`. Each receives `data`,
            which is `protocol`.
        pictures: dict of name -> function from the model to a picture, as `kgen.plots` gives.
        seconds: dict of name -> wall-clock seconds.
        protocol: str, what every figure was measured on.
        served: what is exported in place of the model, such as an index of neighbours around it.
    """
    if not is_chief(model):
        return
    results = pathlib.Path(config.export_dir) / name
    print(f"On {protocol}:")
    for title, metric in metrics.items():
        spread = metric.get("standard_deviation")
        spread = "" if spread is None else f" +- {spread:.3f}"
        bits = f", {metric['bits_per_dim']:.3f} bits/dim" if "bits_per_dim" in metric else ""
        beside = ""
        if "balanced_accuracy" in metric:
            beside = f", balanced {metric['balanced_accuracy']:.3f}"
            beside += f", most frequent class {metric['majority_share']:.3f}"
        value = f"{metric['value']:10.3f}{spread}{bits}{beside}"
        print(f"  {title:32} {value}   ({metric['protocol']})")
        if "note" in metric:
            print(f"  {'':32} {'':10} note: {metric['note']}")
        metric["data"] = protocol
    for title, picture in pictures.items():
        plots.save_png(picture(model), results / f"{title}.png")
    content = dict(
        metrics=metrics,
        config=without_folders(config),
        versions=_versions(),
        seconds=seconds,
        device=_device(),
    )
    with replace_atomically(results / "metrics.json") as stream:
        stream.write((json.dumps(content, indent=2) + "\n").encode())
    _save(model, results / f"{name}.keras")
    version = serving.export(served or model, results, metrics=metrics, config=content["config"])
    print(f"Published {version}; pictures and metrics.json are in {results}.")
    backup(config).clear()


def _versions():
    import tensorflow_probability as tfp

    return dict(
        kgen=__version__,
        tensorflow=tf.__version__,
        keras=keras.__version__,
        tensorflow_probability=tfp.__version__,
        python=platform.python_version(),
    )


def _device():
    gpus = tf.config.list_physical_devices("GPU")
    details = (tf.config.experimental.get_device_details(gpu) for gpu in gpus)
    names = [each.get("device_name", "GPU") for each in details]
    return ", ".join(names) or f"{os.cpu_count()} CPU cores"


def _save(model, path):
    """Save a `.keras` file under a temporary name, then rename: readers never see half a file."""
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        model.save(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
