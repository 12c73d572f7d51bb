"""The steps of a run: start, data, training."""

import functools
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from kgen import callbacks, data, evaluation, serving
from kgen.callbacks.chief import is_chief as is_chief
from kgen.data.catalog import find_builder
from kgen.experiment.flags import choose, fingerprint


def start(config, name):
    """What comes first: the strategy, the folders, the seeds and the precision.

    A strategy of several workers must exist before TensorFlow does anything else.

    Args:
        config: `Flags`. Its `strategy` is "none", "mirrored" (all GPUs of this machine, or its CPU)
            or "multi_worker" (the machines that `TF_CONFIG` lists). With `mixed_precision`, weights
            stay in float32 and arithmetic is in bfloat16.
        name: the recipe's, under which its results are published.

    Returns:
        tf.distribute.Strategy, in whose scope the model is to be built.

    Raises:
        ValueError: for another strategy.
        OSError: if a folder cannot be written.
    """
    strategies = dict(
        none=tf.distribute.get_strategy,
        mirrored=_mirrored,
        multi_worker=tf.distribute.MultiWorkerMirroredStrategy,
    )
    strategy = choose("strategy", config.strategy, strategies)()
    check_folders(config, name)
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy("mixed_bfloat16" if config.mixed_precision else "float32")
    return strategy


def check_folders(config, name):
    """Raise OSError if the folders of a recipe cannot be written."""
    serving.check_writable(pathlib.Path(config.export_dir) / name)
    serving.check_writable(config.run_dir)


def info(config):
    """`kgen.data.info` of the configured data set: its image shape, levels and classes."""
    return data.info(config.dataset, levels=config.levels or None, data_dir=config.data_dir or None)


def data_name(config):
    """What protocols call the configured data: a name, or a folder's, the levels if set, and what
    stands in for the split `test` where there is none."""
    name = info(config).name
    name = f"{name} in {config.levels} levels" if config.levels else name
    measured = split_of(config, config.test_split)
    return name if measured == config.test_split else f"{name}, '{measured}' in place of 'test'"


def load(config, split, *, shuffle=False, binarize="none", **arguments):
    """Batches of the configured data set, by `kgen.data.load`.

    Args:
        config: `Flags`.
        split: such as `config.train_split`; see `split_of`.
        shuffle: bool, whether each epoch has its own order, as training wants.
        binarize: "none", or as in `kgen.data.load`. Data that are not shuffled are there to be
            measured on, so "dynamic" means "fixed" for them: one draw, whatever epoch it is.
        **arguments: of `kgen.data.load`: `labels`, `drop_remainder`.
    """
    if binarize == "dynamic" and not shuffle:
        binarize = "fixed"
    return data.load(
        config.dataset,
        split_of(config, split),
        batch_size=config.batch_size,
        shuffle=shuffle,
        seed=config.seed,
        binarize=None if binarize == "none" else binarize,
        levels=config.levels or None,
        data_dir=config.data_dir or None,
        **arguments,
    )


def split_of(config, split):
    """A split as it is read: where a data set has no `test`, something is held out all the same.

    Only where both flags have their defaults: then `test` is the split `validation`, or the last
    tenth of `train`, which does not train. What is done is printed once.

    Args:
        config: `Flags`.
        split: such as `config.test_split`.

    Returns:
        str.
    """
    if (config.train_split, config.test_split) != ("train", "test"):
        return split
    return _stand_ins(config.dataset, config.data_dir).get(split, split)


@functools.cache
def _stand_ins(dataset, data_dir):
    splits = data.info(dataset, data_dir=data_dir or None).num_examples
    if not splits or "test" in splits or "train" not in splits:
        return {}
    if "validation" in splits:
        print("There is no split 'test': measured is 'validation'.")
        return {"test": "validation"}
    if splits["train"] < 20:
        raise ValueError(
            f"There are {splits['train']} pictures, too few to hold some out to measure on. Give "
            "more, or say what to train and to measure on: --train_split=train --test_split=train."
        )
    print("There is no split 'test': 'train[:90%]' trains, 'train[90%:]' is measured.")
    return {"train": "train[:90%]", "test": "train[90%:]"}


def arrays(config, split):
    """All images and labels of a split, as two NumPy arrays."""
    images, labels = zip(*load(config, split, labels=True).as_numpy_iterator(), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def filenames(config, split):
    """The names of a split's pictures, in the order of `arrays`, where they come from files."""
    if "filename" not in find_builder(config.dataset, config.data_dir or None).info.features:
        return None
    names = load(config, split, features="filename").as_numpy_iterator()
    return np.array([name.decode() for batch in names for name in batch])


def classifier_features(config):
    """The features on which samples are measured, of a classifier of the configured data set.

    Data without labels have none: they get `kgen.evaluation.random_features`, and no classifier.
    Call it before the training: what fails should not fail after it.

    Args:
        config: `Flags` with `classifier_dir`, where the classifier is kept.

    Returns:
        `kgen.evaluation.ClassifierFeatures`.
    """
    described = info(config)
    if (described.num_classes or 0) < 2:
        print(f"{described.name} has no classes: samples are measured on random features.")
        extractor = evaluation.random_features(described.image_shape)
        return evaluation.ClassifierFeatures(extractor, None, None)
    test = load(config, config.test_split)
    if int(test.cardinality()) == 1 and len(next(iter(test))) < 6:
        raise ValueError(
            f"{described.name} has fewer than 6 test images: precision and recall, of 5 "
            "neighbours, need more. Choose a larger --test_split."
        )
    # Where there is a `test`, the classifier is the same whatever part a run trains on.
    splits = split_of(config, config.train_split), split_of(config, config.test_split)
    return evaluation.classifier_features(
        config.dataset,
        cache_dir=config.classifier_dir,
        splits=splits if "test" not in described.num_examples else ("train", "test"),
        data_dir=config.data_dir or None,
    )


def cosine_decay(config, batches):
    """A learning rate that falls from `config.learning_rate` to 0 over the epochs of `batches`."""
    steps = config.epochs * int(batches.cardinality())
    return keras.optimizers.schedules.CosineDecay(config.learning_rate, steps)


def backup(config, name="backup"):
    """The callback that resumes an interrupted run of this configuration from `run_dir/name`."""
    return callbacks.BackupAndRestore(
        pathlib.Path(config.run_dir) / name, fingerprint=fingerprint(config)
    )


def train(model, batches, config, *, pictures, validation_data=None, extra_callbacks=()):
    """`fit` with TensorBoard's logs and five times the pictures; an interrupted run resumes.

    Args:
        model: compiled kgen model.
        batches: tf.data.Dataset.
        config: `Flags`.
        pictures: dict of name -> function from the model to a picture, as `kgen.plots` gives.
        validation_data: tf.data.Dataset, or None.
        extra_callbacks: further callbacks. What they log is in TensorBoard's logs too.

    Raises:
        OSError: if the disk has no room for what will be published.
    """
    # A `.keras` file with two moments per weight, and a SavedModel.
    serving.check_writable(config.export_dir, num_bytes=4 * 4 * model.count_params())
    model.fit(
        batches,
        validation_data=validation_data,
        epochs=config.epochs,
        # A moving progress bar on a terminal, a line per epoch elsewhere.
        verbose=1 if sys.stdout.isatty() else 2,
        callbacks=[
            *extra_callbacks,
            keras.callbacks.TensorBoard(config.run_dir),
            callbacks.PictureLogger(config.run_dir, pictures, every=max(1, config.epochs // 5)),
            backup(config),  # Last: once an epoch is backed up, it is not run again.
        ],
    )


def _mirrored():
    # TensorFlow's choice of devices leaves logical CPUs out.
    cpus = [device.name for device in tf.config.list_logical_devices("CPU")]
    gpus = tf.config.list_logical_devices("GPU")
    return tf.distribute.MirroredStrategy(None if gpus else cpus)
