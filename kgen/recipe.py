"""What recipes share: flags from a dataclass, strategy, precision, results."""

import contextlib
import dataclasses
import json
import os
import pathlib
import platform
import sys
import time

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags, logging

from kgen import callbacks, data, evaluation, plots, serving

_DEFINE = {bool: flags.DEFINE_bool, int: flags.DEFINE_integer, float: flags.DEFINE_float}


def option(default, help):
    """A field of a recipe's `Config`: its default and the text that `--help` shows."""
    return dataclasses.field(default=default, metadata={"help": help})


def run(main, config_class):
    """Parse the command line into a `config_class` and call `main(config)`.

    Args:
        main: function of one argument, the configuration.
        config_class: frozen dataclass; each field made by `option` becomes a flag.
    """
    fields = dataclasses.fields(config_class)
    for field in fields:
        define = _DEFINE.get(type(field.default), flags.DEFINE_string)
        define(field.name, field.default, field.metadata["help"])
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[field.name])

    def start(argv):
        # TensorFlow reports every renamed input of an export at the level of information.
        logging.set_verbosity(logging.WARNING)
        main(config_class(**{field.name: flags.FLAGS[field.name].value for field in fields}))

    app.run(start)


def strategy(name):
    """The distribution strategy of a name.

    Args:
        name: "none", "mirrored" (all GPUs of this machine, or its CPU) or "multi_worker" (the
            machines that `TF_CONFIG` lists).

    Returns:
        tf.distribute.Strategy.

    Raises:
        ValueError: for another name.
    """
    if name == "none":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        # TensorFlow's choice of devices leaves logical CPUs out.
        cpus = [device.name for device in tf.config.list_logical_devices("CPU")]
        return tf.distribute.MirroredStrategy(
            None if tf.config.list_logical_devices("GPU") else cpus
        )
    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    raise ValueError(f"Unknown strategy '{name}'. One of: none, mirrored, multi_worker.")


def set_up(config):
    """Seed Python, NumPy and TensorFlow; set the precision that the machine computes best.

    Args:
        config: a configuration with `seed` and `mixed_precision`. With it, weights stay in float32
            and arithmetic is in bfloat16.
    """
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy("mixed_bfloat16" if config.mixed_precision else "float32")


def fingerprint(config, *, but=()):
    """The configuration as JSON: what a resumed run must agree on.

    Args:
        config: the configuration.
        but: names of flags that training does not depend on, beside the folders.
    """
    but = (*but, "run_dir", "export_dir", "data_dir")
    values = {k: v for k, v in dataclasses.asdict(config).items() if k not in but}
    return json.dumps(values, sort_keys=True)


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
    configuration = dataclasses.asdict(config)
    for folder in ("run_dir", "export_dir", "data_dir", "classifier_dir"):
        configuration.pop(folder, None)
    write_json(
        path,
        dict(
            metrics=metrics,
            config=configuration,
            versions=versions,
            seconds=seconds,
            device=device,
        ),
    )


def write_json(path, content):
    """Write JSON under a temporary name, then rename: readers never see half a file."""
    with plots.replace_atomically(path) as stream:
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


def choose(name, value, table):
    """The entry `value` of a flag's table, or a ValueError that lists the names that exist."""
    if value not in table:
        raise ValueError(f"--{name}={value} does not exist. One of: {', '.join(table)}.")
    return table[value]


def verbosity():
    """Keras' `verbose`: a moving progress bar on a terminal, a line an epoch elsewhere."""
    return 1 if sys.stdout.isatty() else 2


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


def publish(model, name, config, *, metrics, pictures, seconds, protocol):
    """What every recipe of a served model ends with: figures, pictures, `.keras` file, SavedModel.

    Args:
        model: the trained model.
        name: the recipe's; everything goes to `<config.export_dir>/<name>/`.
        config: the configuration.
        metrics: dict of name -> dict with `value` and `protocol`.
        pictures: dict of name -> function from the model to a picture, as `kgen.plots` gives.
        seconds: dict of name -> wall-clock seconds.
        protocol: str, what every figure was measured on.

    Returns:
        The path of the published version.
    """
    results = pathlib.Path(config.export_dir) / name
    report(metrics, protocol)
    for title, picture in pictures.items():
        plots.save_png(picture(model), results / f"{title}.png")
    write_metrics(results / "metrics.json", metrics, config, seconds)
    save_model(model, results / f"{name}.keras")
    version = serving.export(model, results)
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


def image_generator(config, name, build, *, labels=False):
    """Train, measure, draw and publish a generator of images: what the GANs' recipes share.

    Args:
        config: the configuration, with `dataset`, `data_dir`, `batch_size`, `epochs`,
            `num_samples`, `classifier_dir`, `strategy`, `mixed_precision`, `seed`, `run_dir`,
            `export_dir`.
        name: the recipe's.
        build: function from the configuration to the compiled model.
        labels: bool, whether the model trains on `(images, labels)`.

    Returns:
        The metrics that it writes.
    """
    # First: a strategy of several workers must exist before TensorFlow does anything else.
    replicas = strategy(config.strategy)
    set_up(config)
    check_folders(config, name)
    load = dict(batch_size=config.batch_size, seed=config.seed, data_dir=config.data_dir or None)
    train = data.load(
        config.dataset, "train", shuffle=True, drop_remainder=True, labels=labels, **load
    )
    test = data.load(config.dataset, "test", **load)
    with replicas.scope():
        model = build(config)
    check_folders(config, name, model=model)
    backup = callbacks.BackupAndRestore(
        f"{config.run_dir}/backup",
        fingerprint=fingerprint(config, but=("num_samples", "classifier_dir")),
    )
    pictures = {
        "samples": lambda model: plots.sample_grid(model, seed=config.seed),
        "interpolations": lambda model: plots.interpolation_grid(model, seed=config.seed),
    }
    seconds = {}
    is_chief = replicas.extended.should_checkpoint
    if is_chief:
        # Before the training: data without labels must not fail after it.
        with timer(seconds, "classifier"):
            features = evaluation.classifier_features(
                config.dataset, cache_dir=config.classifier_dir, data_dir=config.data_dir or None
            )
    with timer(seconds, "training"):
        model.fit(
            train,
            epochs=config.epochs,
            verbose=verbosity(),
            callbacks=[
                keras.callbacks.TensorBoard(config.run_dir),
                callbacks.PictureLogger(config.run_dir, pictures, every=max(1, config.epochs // 5)),
                backup,  # Last: once an epoch is backed up, it is not run again.
            ],
        )
    if not is_chief:
        return {}
    with timer(seconds, "evaluation"):
        metrics = evaluation.sample_quality(
            model,
            test,
            features.extractor,
            classifier=features.classifier,
            num_samples=config.num_samples,
            train=data.load(config.dataset, "train", **load),
            seed=config.seed,
        )
    protocol = f"{config.dataset}, test images"
    publish(
        model, name, config, metrics=metrics, pictures=pictures, seconds=seconds, protocol=protocol
    )
    backup.clear()
    return metrics


def pixel_model(config, name, build, *, labels=False, optimizer=None):
    """Train, measure, draw and publish a model of exact likelihood: what their recipes share.

    Args:
        config: the configuration, with `dataset`, `train_split`, `test_split`, `data_dir`,
            `binarize`, `batch_size`, `epochs`, `learning_rate`, `strategy`, `mixed_precision`,
            `seed`, `run_dir`, `export_dir`.
        name: the recipe's.
        build: function from the configuration to the model, not yet compiled.
        labels: bool, whether the model trains on `(images, labels)`.
        optimizer: function from the number of steps to an optimizer; by default Adam, whose
            learning rate falls to 0 along a cosine.

    Returns:
        The metrics that it writes.
    """
    # First: a strategy of several workers must exist before TensorFlow does anything else.
    replicas = strategy(config.strategy)
    set_up(config)
    check_folders(config, name)
    binarize = None if config.binarize == "none" else config.binarize
    load = dict(
        batch_size=config.batch_size,
        seed=config.seed,
        data_dir=config.data_dir or None,
        labels=labels,
    )
    train = data.load(config.dataset, config.train_split, shuffle=True, binarize=binarize, **load)
    # A figure is measured on one draw, whatever epoch it is.
    test_binarize = "fixed" if binarize == "dynamic" else binarize
    test = data.load(config.dataset, config.test_split, binarize=test_binarize, **load)
    steps = config.epochs * int(train.cardinality())
    with replicas.scope():
        model = build(config)
        model.compile((optimizer or _cosine_adam(config))(steps))
    check_folders(config, name, model=model)
    backup = callbacks.BackupAndRestore(f"{config.run_dir}/backup", fingerprint=fingerprint(config))
    images, classes = next(iter(test)) if labels else (next(iter(test)), None)
    images, classes = images[:8], None if classes is None else classes[:8]
    pictures = {
        "samples": lambda model: plots.sample_grid(model, seed=config.seed),
        "completions": lambda model: plots.completion_grid(
            model, images, classes, seed=config.seed
        ),
    }
    seconds = {}
    with timer(seconds, "training"):
        model.fit(
            train,
            validation_data=test,
            epochs=config.epochs,
            verbose=verbosity(),
            callbacks=[
                keras.callbacks.TensorBoard(config.run_dir),
                callbacks.PictureLogger(config.run_dir, pictures, every=max(1, config.epochs // 5)),
                backup,  # Last: once an epoch is backed up, it is not run again.
            ],
        )
    with timer(seconds, "evaluation"):
        nats = mean_term(model, test, "loss")["value"]
    metrics = {
        "test_negative_log_likelihood": dict(
            value=nats,
            bits_per_dim=float(evaluation.bits_per_dim(-nats, model.image_shape)),
            protocol=f"exact -log p, mean over the test images, nats, {model.num_levels} levels"
            + (", given the label" if labels else ""),
        )
    }
    if not replicas.extended.should_checkpoint:
        return metrics
    publish(
        model,
        name,
        config,
        metrics=metrics,
        pictures=pictures,
        seconds=seconds,
        protocol=f"{config.dataset}, binarize={config.binarize}",
    )
    backup.clear()
    return metrics


def _cosine_adam(config):
    decay = keras.optimizers.schedules.CosineDecay
    return lambda steps: keras.optimizers.Adam(decay(config.learning_rate, steps))
