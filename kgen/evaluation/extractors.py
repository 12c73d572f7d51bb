"""Networks that give features: a small classifier of the data set itself, and Inception V3."""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import typing

import keras
import tensorflow as tf
from keras import layers

from kgen import checks, data
from kgen.data.catalog import find_builder, is_plain
from kgen.epochs import current_epoch
from kgen.files import replace_atomically

# A cached classifier must agree in it: raise it when the network or its training changes.
_VERSION = 1
_BATCH_SIZE = 64
_FILTERS = (32, 64, 128)
_FEATURES = "features"
_FEATURES_DIM = 128
_INCEPTION_SIZE = 299


class ClassifierFeatures(typing.NamedTuple):
    """A classifier and the features that it decides by.

    Attributes:
        extractor: keras.Model from images to the penultimate layer, float32 `(batch, 128)`, with
            the attribute `protocol`.
        classifier: keras.Model from images to logits, float32 `(batch, num_classes)`, with the
            attribute `protocol`.
        test_accuracy: share of the test images that it classifies rightly, in [0, 1].
    """

    extractor: keras.Model
    classifier: keras.Model
    test_accuracy: float


def classifier_features(
    dataset,
    *,
    cache_dir,
    splits=("train", "test"),
    epochs=5,
    seed=0,
    image_shape=None,
    data_dir=None,
    verbose=0,
):
    """A small convolutional classifier, trained on a labelled data set, as feature extractor.

    Features of ImageNet say little about grey images of 28 x 28. These are cheap, and made for the
    data; they compare only with figures of the same classifier. It is trained once and kept as
    `<cache_dir>/<name>.keras`, with `<name>.json` beside it; one that was trained with other
    arguments is trained anew. Initial weights and the order of the data have seeds of their own, so
    the global seed is neither read nor moved. Everything is float32, whatever the global policy.

    Args:
        dataset: name of a data set with labels, or a TFDS builder of one, as in `kgen.data.load`. A
            builder is known by its full name, with configuration and version.
        cache_dir: folder for the classifier.
        splits: what it learns from and what its accuracy is measured on.
        epochs: int >= 1.
        seed: int, of the initial weights and of the order of the data.
        image_shape: `(height, width, channels)` of the images that are to be measured; by default
            those of the data set. Other heights and widths resize the training images, bilinearly.
        data_dir: folder of prepared data sets, TFDS' own by default.
        verbose: as in `keras.Model.fit`.

    Returns:
        `ClassifierFeatures`.

    Raises:
        ValueError: for an unknown data set, one without labels or of a single class, or other
            channels than it has.
    """
    checks.positive_integer("epochs", epochs)
    info = data.info(dataset, data_dir=data_dir)
    # A folder is known by its path and its files, and shown by its name.
    builder = find_builder(dataset, data_dir)
    name = dataset if is_plain(dataset) else builder.info.full_name
    data_shape = checks.image_shape(info.image_shape)
    image_shape = data_shape if image_shape is None else checks.image_shape(image_shape)
    if info.num_classes is None:
        raise ValueError(f"'{name}' has no labels to learn: choose a data set with classes.")
    if info.num_classes < 2:
        raise ValueError(
            f"'{name}' has a single class, '{info.class_names[0]}', which a classifier gets right "
            "without a look at the images: choose a data set with several."
        )
    if image_shape[-1] != data_shape[-1]:
        raise ValueError(
            f"image_shape {image_shape} has other channels than the images of '{name}', "
            f"{data_shape}. A classifier of other images sees {data_shape[-1]} channel(s) only."
        )
    configuration = dict(
        version=_VERSION,
        dataset=name,
        image_shape=list(image_shape),
        num_classes=info.num_classes,
        epochs=epochs,
        seed=seed,
    )
    if tuple(splits) != ("train", "test"):
        configuration["splits"] = list(splits)
    path = pathlib.Path(cache_dir) / f"{_plain(name)}.keras"
    with _float32():
        classifier, accuracy = _read(path, configuration)
        if classifier is None:
            parts = [
                _split(
                    dataset,
                    split,
                    data_shape,
                    image_shape,
                    shuffle=trains,
                    seed=seed,
                    data_dir=data_dir,
                )
                for split, trains in zip(splits, (True, False), strict=True)
            ]
            classifier = _network(info.name, image_shape, info.num_classes, seed)
            accuracy = _train(classifier, *parts, epochs=epochs, verbose=verbose)
            _write(path, classifier, configuration, accuracy)
        features = classifier.get_layer(_FEATURES).output
        extractor = keras.Model(classifier.input, features, name=classifier.name)
    protocol = (
        f"classifier of {info.name}, test accuracy {accuracy:.4f}, {epochs} epochs, seed {seed}"
    )
    if image_shape != data_shape:
        protocol += f", images resized to {image_shape[0]}x{image_shape[1]}"
    extractor.protocol = f"penultimate layer of the {protocol}"
    classifier.protocol = protocol
    return ClassifierFeatures(extractor, classifier, accuracy)


def random_features(image_shape, *, seed=0):
    """An untrained convolutional network as feature extractor, for data without labels.

    It needs neither labels nor a network, only weights drawn from a seed. Its Frechet distances
    order models that differ much; they compare only with figures of the same extractor, and a
    trained one is the better judge: `classifier_features`, or the `encoder` of a contrastive model
    trained on the data.

    Args:
        image_shape: `(height, width, channels)`.
        seed: int, of the weights.

    Returns:
        keras.Model from float32 `(batch, *image_shape)` in [0, 1] to float32 `(batch, 128)`, with
        the attribute `protocol`.
    """
    image_shape = checks.image_shape(image_shape)
    with _float32():
        classifier = _network("random", image_shape, 2, seed, pooled=True)
        features = classifier.get_layer(_FEATURES).output
        extractor = keras.Model(classifier.input, features, name="random_features")
    extractor.protocol = (
        f"an untrained convolutional network, seed {seed}; compares only with figures of the same"
    )
    return extractor


def inception_features(image_shape):
    """Inception V3 of `keras.applications`, trained on ImageNet, up to its pooled features.

    Grey becomes colour by repetition; images are resized to 299 x 299 and rescaled to [-1, 1]
    inside. Published FIDs use other weights (a TensorFlow graph of 2015), so figures from here
    compare only with one another.

    Args:
        image_shape: `(height, width, channels)` with 1 or 3 channels.

    Returns:
        keras.Model from float32 `(batch, *image_shape)` in [0, 1] to float32 `(batch, 2048)`, with
        the attribute `protocol`.

    Raises:
        ValueError: for another number of channels.
        RuntimeError: if the weights are not there and cannot be downloaded.
    """
    image_shape = checks.image_shape(image_shape)
    if image_shape[-1] not in (1, 3):
        raise ValueError(
            f"Inception V3 takes colour or grey images, 3 channels or 1, received {image_shape}."
        )
    with _float32():
        try:
            network = keras.applications.InceptionV3(
                include_top=False,
                weights="imagenet",
                pooling="avg",
                input_shape=(_INCEPTION_SIZE, _INCEPTION_SIZE, 3),
            )
        except Exception as error:
            raise RuntimeError(
                "The ImageNet weights of Inception V3 could not be had "
                f"({type(error).__name__}: {error}). Where there is a network, call "
                "keras.applications.InceptionV3(include_top=False) once and copy "
                "~/.keras/models/inception_v3_*_notop.h5 to the same folder here; or use "
                "kgen.evaluation.classifier_features, which needs no network."
            ) from error
        inputs = keras.Input(image_shape)
        x = inputs if image_shape[-1] == 3 else layers.Concatenate()([inputs] * 3)
        x = layers.Resizing(_INCEPTION_SIZE, _INCEPTION_SIZE, interpolation="bilinear")(x)
        outputs = network(layers.Rescaling(2.0, offset=-1.0)(x), training=False)
        extractor = keras.Model(inputs, outputs, name="inception_v3")
    extractor.protocol = (
        "Keras' ImageNet weights, average pooling, bilinear resize without antialiasing from "
        f"{image_shape[0]}x{image_shape[1]} to {_INCEPTION_SIZE}x{_INCEPTION_SIZE}"
    )
    return extractor


def _network(name, image_shape, num_classes, seed, pooled=False):
    """Convolutions with batch normalization, each halving the sides; then two dense layers."""
    seeds = iter(range(100 * seed, 100 * seed + 100))

    def initializer():
        return keras.initializers.HeNormal(seed=next(seeds))

    inputs = keras.Input(image_shape)
    x = layers.Rescaling(2.0, offset=-1.0)(inputs)
    for filters in _FILTERS:
        x = layers.Conv2D(
            filters, 3, padding="same", use_bias=False, kernel_initializer=initializer()
        )(x)
        # Keras' own momentum, 0.99, takes longer than the digits' epochs to forget its start.
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.MaxPooling2D(2, padding="same")(layers.Activation("relu")(x))
    x = layers.GlobalAveragePooling2D()(x) if pooled else layers.Flatten()(x)
    x = layers.Dense(
        _FEATURES_DIM,
        activation=None if pooled else "relu",
        name=_FEATURES,
        kernel_initializer=initializer(),
    )(x)
    outputs = layers.Dense(num_classes, name="logits", kernel_initializer=initializer())(x)
    return keras.Model(inputs, outputs, name=f"classifier_{_plain(name)}")


def _train(classifier, train, test, *, epochs, verbose):
    """Train, and return the test accuracy; the classifier itself stays uncompiled."""
    steps = epochs * int(train.cardinality())
    model = keras.Model(classifier.input, classifier.output)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    caller = int(current_epoch())
    try:
        for epoch in range(epochs):
            data.set_epoch(epoch)
            model.fit(train, initial_epoch=epoch, epochs=epoch + 1, shuffle=False, verbose=verbose)
    finally:
        data.set_epoch(caller)
    return float(model.evaluate(test, verbose=0, return_dict=True)["accuracy"])


def _split(dataset, split, data_shape, image_shape, *, shuffle, seed, data_dir):
    batches = data.load(
        dataset,
        split,
        batch_size=_BATCH_SIZE,
        shuffle=shuffle,
        seed=seed,
        labels=True,
        data_dir=data_dir,
    )
    if image_shape == data_shape:
        return batches
    return batches.map(
        lambda images, labels: (tf.image.resize(images, image_shape[:2]), labels),
        num_parallel_calls=tf.data.AUTOTUNE,
    )


def _read(path, configuration):
    """The cached classifier and its accuracy, or (None, None) if there is none that agrees."""
    try:
        record = json.loads(path.with_suffix(".json").read_text())
        # The digest joins the two files: they are written one after the other.
        if record["configuration"] != configuration or record["sha256"] != _digest(path):
            return None, None
        return keras.saving.load_model(path, compile=False), record["test_accuracy"]
    except (OSError, ValueError, KeyError, TypeError):
        return None, None


def _write(path, classifier, configuration, accuracy):
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        classifier.save(temporary)
        digest = _digest(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    record = dict(configuration=configuration, test_accuracy=accuracy, sha256=digest)
    with replace_atomically(path.with_suffix(".json")) as stream:
        stream.write((json.dumps(record, indent=2) + "\n").encode())


def _digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _plain(name):
    """A name that is fit for files and for TensorFlow's scopes."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name)


@contextlib.contextmanager
def _float32():
    """Build layers in float32: a figure must not depend on the precision of the training."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
