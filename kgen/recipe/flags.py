"""From a dataclass to flags, and how a run is set up."""

import dataclasses
import json
import sys

import keras
import tensorflow as tf
from absl import app, flags, logging

from kgen import optimizers

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


def cosine_adam(config):
    """Adam whose learning rate falls to 0 along a cosine, as a function of the number of steps."""
    decay = keras.optimizers.schedules.CosineDecay
    return lambda steps: optimizers.Adam(decay(config.learning_rate, steps))


def choose(name, value, table):
    """The entry `value` of a flag's table, or a ValueError that lists the names that exist."""
    if value not in table:
        raise ValueError(f"--{name}={value} does not exist. One of: {', '.join(table)}.")
    return table[value]


def verbosity():
    """Keras' `verbose`: a moving progress bar on a terminal, a line an epoch elsewhere."""
    return 1 if sys.stdout.isatty() else 2
