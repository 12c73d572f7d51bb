"""Flags: the fields of a recipe's `Config`, a dataclass that inherits those that recipes share."""

import dataclasses
import json
import pathlib
import re
import sys

from absl import app, flags, logging

_DEFINE = {bool: flags.DEFINE_bool, int: flags.DEFINE_integer, float: flags.DEFINE_float}


def option(default, help, *, may_change=False):
    """A field of a `Config` that is a flag.

    Args:
        default: its default, which also says its type.
        help: the text that `--help` shows.
        may_change: whether an interrupted run may resume with another value, because the training
            does not depend on it. So may every folder, a flag whose name ends in `_dir`.
    """
    return dataclasses.field(default=default, metadata=dict(help=help, may_change=may_change))


@dataclasses.dataclass(frozen=True)
class RunFlags:
    """The flags of every recipe. For another default alone, a `Config` repeats the bare field.

    batch_size: int = 128
    """

    data_dir: str = option("", "folder of prepared data sets; TFDS' own by default")
    batch_size: int = option(64, "images per step, over all replicas")
    seed: int = option(0, "of weights, data order and all that is drawn at random")
    run_dir: str = option("runs", "checkpoint and TensorBoard logs; an interrupted run resumes")
    export_dir: str = option("saved_models", "where <recipe>/<version>/ and its pictures go")


@dataclasses.dataclass(frozen=True)
class Flags(RunFlags):
    """The flags of a recipe that trains one model on one data set."""

    dataset: str = option(
        "digits",
        "a TFDS data set of images (digits needs no network); or a folder of pictures, /my/photos, "
        "in colour and 64 x 64, or image_folder/size=128,source=/my/photos. Its folders train, val "
        "and test are the splits train, validation and test; without such, all is train",
    )
    levels: int = option(0, "to how many values pixels are rounded; 0: as the data set has them")
    train_split: str = option("train", "split to train on, such as train or train[:90%]")
    test_split: str = option(
        "test",
        "split to measure on, such as test or train[90%:]; where there is no test, it is "
        "validation, or else the last tenth of train, which then does not train",
    )
    epochs: int = option(30, "passes over the training images")
    strategy: str = option("none", "none, mirrored or multi_worker")
    mixed_precision: bool = option(False, "compute in bfloat16, keep weights in float32")


def run(main, config_class):
    """Parse the command line into a `config_class` and call `main(config)`.

    Args:
        main: function of one argument, the configuration.
        config_class: frozen dataclass; each field becomes a flag.
    """
    described = _described(config_class)
    fields = dataclasses.fields(config_class)
    for field in fields:
        define = _DEFINE.get(type(field.default), flags.DEFINE_string)
        define(field.name, field.default, described[field.name]["help"])
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[field.name])

    def start(argv):
        # TensorFlow reports every renamed input of an export at the level of information.
        logging.set_verbosity(logging.WARNING)
        main(config_class(**{field.name: flags.FLAGS[field.name].value for field in fields}))

    app.run(start)


def fingerprint(config):
    """The configuration as JSON: what a resumed run must agree on."""
    described = _described(type(config))
    values = {
        name: value
        for name, value in without_folders(config).items()
        if not described[name]["may_change"]
    }
    if "dataset" in values:
        # Whole: two folders of one name are two data sets.
        values["dataset"] = config.dataset
    return json.dumps(values, sort_keys=True)


def without_folders(config):
    """The configuration as a dict, without the folders of the machine that it ran on.

    Of a folder that is the data set the name stays.
    """
    values = dataclasses.asdict(config)
    kept = {name: value for name, value in values.items() if not name.endswith("_dir")}
    if "dataset" in kept:
        kept["dataset"] = re.sub(
            r"(source=|^(?=[/~.]))([^,]*)",
            lambda found: found[1] + pathlib.PurePath(found[2]).name,
            kept["dataset"],
            count=1,
        )
    return kept


def choose(name, value, table):
    """The entry `value` of a flag's table, or a ValueError that lists the names that exist."""
    if value not in table:
        raise ValueError(f"--{name}={value} does not exist. One of: {', '.join(table)}.")
    return table[value]


def _described(config_class):
    """What `option` says of each field: a bare field keeps what the inherited one says."""
    described = {}
    for parent in reversed(config_class.__mro__):
        for name, field in getattr(parent, "__dataclass_fields__", {}).items():
            described[name] = field.metadata or described.get(name)
    return described
