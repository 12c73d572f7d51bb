"""What `fit`, `evaluate` and `predict` refuse: one clear error each, before any step."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from by_hand import EAGER

import kgen
from kgen.specs import (
    Attributes,
    Clips,
    Images,
    Labels,
    Points,
    Signals,
    Tokens,
    Waveforms,
)
from kgen.training import data


class Taking(kgen.ObjectiveModel):
    """Has one weight, takes what its specs say and gives zeros."""

    def __init__(self, data_spec, **kwargs):
        super().__init__(**kwargs)
        self.data_spec = data_spec
        self.weight = self.add_weight(shape=())

    def call(self, x, training=False):
        return tf.zeros(len(keras.tree.flatten(x)[0]))

    def objective(self, x, y=None, training=False):
        return {"loss": self.weight + self(x)}


class Pix2Pix(Taking):
    """From images to images."""


class Remembering(Taking):
    """Writes down what `check_batch` and `before_training` are given."""

    def check_batch(self, x, y, **what):
        self.what = what

    def before_training(self, batch):
        self.batch = batch


def taking(*data_spec, kind=Taking):
    model = kind(data_spec[0] if len(data_spec) == 1 else data_spec)
    model.compile("sgd", **EAGER)
    return model


class Whole(keras.utils.PyDataset):
    """One batch."""

    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.batch


# The kinds of data: what `fit` is given for a batch `(x,)` or `(x, y)`.
KINDS = {
    "arrays": lambda *batch: batch,
    "tensors": lambda *batch: keras.tree.map_structure(tf.constant, batch),
    "tf_data": lambda *batch: (tf.data.Dataset.from_tensors(batch),),
    "py_dataset": lambda *batch: (Whole(batch),),
}


def refused(model, message, *data, verbs=("fit", "evaluate"), **kwargs):
    for verb in verbs:
        with pytest.raises(ValueError, match=message):
            getattr(model, verb)(*data, verbose=0, **kwargs)
    assert int(model.optimizer.iterations) == int(model.steps) == 0


IMAGES, POINTS = Images((5, 6, 1)), Points(3)
PIXELS = np.full((4, 5, 6, 1), 0.5, "float32")
ROWS = np.ones((4, 3), "float32")
CLASSES = np.array([0, 1, 2, 0])
# What else a spec refuses, and with which words, is in tests/test_specs.py.
BAD = {
    "rank of images": (IMAGES, PIXELS[..., 0], r"Expected images of shape \(batch, 5, 6, 1\)"),
    "dtype of images": (IMAGES, PIXELS.astype("uint8"), "received uint8. Divide by 255"),
    "range of images": (IMAGES, 255 * PIXELS, r"Expected pixels in \[0, 1\], received values"),
    "nan in images": (IMAGES, np.nan * PIXELS, "The images hold NaN: 4 of 4"),
    "infinite images": (IMAGES, np.inf * PIXELS, "The images hold infinite values"),
    "levels of images": (Images((5, 6, 1), 2), PIXELS, "Expected pixels on 2 levels"),
    "empty": (
        IMAGES,
        PIXELS[:0],
        r"The data set is empty: received images of shape \(0, 5, 6, 1\)",
    ),
    "rank of points": (POINTS, ROWS[:, 0], r"Expected points of shape \(batch, 3\)"),
    "dtype of points": (POINTS, ROWS.astype(int), "Expected float32 points, received dtype int64"),
    "nan in points": (POINTS, np.nan * ROWS, "The points hold NaN"),
    "rank of signals": (Signals(3), ROWS, r"Expected signals of shape \(batch, 3, 1\)"),
    "length of signals": (Signals(4), ROWS[..., None], r"\(batch, 4, 1\), received \(4, 3, 1\)"),
    "dtype of signals": (Signals(3), ROWS[..., None].astype("int32"), "Expected float32 signals"),
    "rank of clips": (
        Clips((2, 5, 6, 1)),
        PIXELS,
        r"Expected clips of shape \(batch, 2, 5, 6, 1\)",
    ),
    "range of clips": (Clips((4, 5, 6, 1)), 3 * PIXELS[None], r"Expected pixels in \[0, 1\]"),
    "length of waveforms": (Waveforms(4, 8000), ROWS, r"Expected waveforms of shape \(batch, 4\)"),
    "dtype of waveforms": (Waveforms(3, 8000), ROWS.astype("int16"), r"in \[-1, 1\], .* int16"),
    "range of waveforms": (Waveforms(3, 8000), -2 * ROWS, r"Expected waveforms in \[-1, 1\]"),
    "length of tokens": (Tokens(4, 9), CLASSES[:, None], r"Expected tokens of shape \(batch, 4\)"),
    "dtype of tokens": (Tokens(3, 9), ROWS, "Expected integer tokens, received dtype float32"),
    "vocabulary": (Tokens(1, 2), CLASSES[:, None], r"Expected tokens in 0 \.\. 1, .* from 0 to 2"),
    "rank of labels": (Labels(3), CLASSES[:, None], r"Expected integer labels \(batch,\)"),
    "dtype of labels": (Labels(3), ROWS[:, 0], "Expected integer labels .* dtype float32"),
    "range of labels": (Labels(2), CLASSES, r"Expected labels in 0 \.\. 1, .* from 0 to 2"),
    "size of attributes": (Attributes(2), ROWS, r"Expected attributes of shape \(batch, 2\)"),
    "nan in attributes": (Attributes(3), np.nan * ROWS, "The attributes hold NaN"),
}
every_bad_batch = pytest.mark.parametrize(
    ("spec", "batch", "message"), BAD.values(), ids=BAD.keys()
)


@every_bad_batch
def test_a_bad_x(spec, batch, message):
    model = taking(spec)
    for kind in KINDS.values():
        refused(model, f"^x: .*{message}", *kind(batch))


@every_bad_batch
def test_a_bad_y_part_or_prediction(spec, batch, message):
    rows = np.ones((len(batch), 3), "float32") if len(batch) else ROWS
    refused(taking(POINTS, spec), f"^y: .*{message}", rows, batch)
    model = taking(({"left": POINTS, "right": [POINTS, spec]},))
    parts = {"left": rows, "right": [rows, batch]}
    refused(model, rf"^x\['right'\]\[1\]: .*{message}", parts)
    for x in (batch, tf.data.Dataset.from_tensors(batch)):
        refused(taking(spec, Labels(2)), f"^x: .*{message}", x, verbs=["predict"])


@pytest.mark.parametrize(
    "data_spec",
    [
        (IMAGES,),
        (IMAGES, Labels(3)),
        (IMAGES, Images((3, 4, 3))),
        ((IMAGES, Waveforms(20, 8000)), Attributes(2)),
        (({"left": Tokens(7, 10), "right": Signals(5)}, Clips((2, 3, 4, 1))), POINTS),
    ],
    ids=kgen.specs.describe,
)
def test_the_examples_of_every_structure_are_taken(data_spec):
    model = taking(*data_spec)
    batch = keras.tree.map_structure(lambda spec: spec.example(4), data_spec)
    for steps, kind in enumerate(KINDS.values(), 1):
        model.fit(*kind(*batch), verbose=0)
        assert int(model.steps) == steps
        model.evaluate(*kind(*batch), verbose=0)
    history = model.fit(*batch, validation_data=batch, verbose=0).history
    assert set(history) == {"loss", "val_loss"}
    np.testing.assert_array_equal(model.predict(batch[0], verbose=0), np.zeros(4))


# Other structures.


def test_a_translator_takes_images_and_images():
    model = taking(IMAGES, Images((5, 6, 3)), kind=Pix2Pix)
    colour = np.repeat(PIXELS, 3, axis=-1)
    pair = r"\(images \(5, 6, 1\), images \(5, 6, 3\)\)"
    refused(model, rf"Pix2Pix takes {pair}, received x alone: y is missing", PIXELS)
    refused(model, "x alone: y is missing", tf.data.Dataset.from_tensors(PIXELS))
    received = r"\(float32 \(4, 5, 6, 1\), float32 \(4, 5, 6, 3\)\)"
    message = (
        rf"Pix2Pix takes x = images \(5, 6, 1\), received {received}\. "
        r"Give x and y as two arguments, or a data set of pairs \(x, y\)"
    )
    refused(model, message, (PIXELS, colour))
    message = rf"Pix2Pix takes y = images \(5, 6, 3\), received {received}\."
    refused(model, message, PIXELS, (PIXELS, colour))
    refused(model, r"^y: .*\(batch, 5, 6, 3\), received \(4, 5, 6, 1\)", colour[..., :1], PIXELS)
    refused(model, r"as many rows in each part, received {'x': 4, 'y': 3}", PIXELS, colour[:3])


def test_labels_that_are_missing():
    message = (
        r"Taking needs labels beside points \(3,\): y is missing.* class, integers .* 0 \.\. 2"
    )
    refused(taking(POINTS, Labels(3)), message, ROWS)
    refused(taking(POINTS, Labels(3)), message, tf.data.Dataset.from_tensors(ROWS))
    numbers = Labels(4, meaning="number of the image")
    refused(taking(POINTS, numbers), r"the number of the image.*numpy\.arange", ROWS)


@pytest.mark.parametrize(
    ("parts", "received"),
    [
        (ROWS, r"float32 \(4, 3\)"),
        ((ROWS,), r"\(float32 \(4, 3\)\)"),
        ((ROWS, ROWS, ROWS), r"\(float32 \(4, 3\), float32 \(4, 3\), float32 \(4, 3\)\)"),
        ({"left": ROWS, "right": ROWS}, r"{'left': float32 \(4, 3\), 'right': float32 \(4, 3\)}"),
    ],
    ids=["one", "one_part", "three", "dict"],
)
def test_other_parts_than_two(parts, received):
    model = taking(((POINTS, POINTS),))
    expected = r"Taking takes x = \(points \(3,\), points \(3,\)\)"
    refused(model, f"{expected}, received {received}", parts)
    refused(model, f"{expected}, received {received}", parts, verbs=["predict"])


def test_parts_by_another_name():
    model = taking(({"left": POINTS, "right": POINTS},))
    expected = r"Taking takes x = {'left': points \(3,\), 'right': points \(3,\)}, received"
    for parts in ({"left": ROWS}, {"left": ROWS, "rigth": ROWS}, (ROWS, ROWS)):
        refused(model, expected, parts, verbs=("fit", "evaluate", "predict"))


def test_a_bare_pair():
    refused(taking(((POINTS, POINTS),)), r"give \(\(first, second\),\)", ROWS, ROWS)
    # Parts that are not alike have no views' hint.
    mixed = taking(((POINTS, {"left": POINTS}),))
    refused(mixed, r"received float32 \(4, 3\)\.$", ROWS)
    refused(taking(((IMAGES, IMAGES),)), r"Make views with kgen\.data\.views", PIXELS)


def test_parts_of_unlike_lengths():
    model = taking((POINTS, IMAGES), Labels(3))
    message = r"Taking takes as many rows in each part, received {'x\[0\]': 4, 'x\[1\]': 3, 'y': 2}"
    refused(model, message, (ROWS, PIXELS[:3]), CLASSES[:2])


# Labels that are not used, or all alike.


def test_labels_that_are_not_used_are_said_once():
    model = taking(POINTS)
    message = "Taking learns without labels: those given are not used"
    with pytest.warns(UserWarning, match=message) as caught:
        model.fit(ROWS, CLASSES, verbose=0)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(ROWS, CLASSES[:, None], verbose=0)
        model.evaluate(tf.data.Dataset.from_tensors((ROWS, CLASSES)), verbose=0)
    with pytest.warns(UserWarning, match=message):
        taking(POINTS).evaluate(ROWS, CLASSES, verbose=0)


def test_targets_that_are_not_used_are_refused():
    message = r"takes points \(3,\) without targets, received y = float32 \(4, 3\). Leave y out"
    refused(taking(POINTS), message, ROWS, ROWS)
    pair = r"received y = \(int64 \(4,\), float32 \(4, 3\)\)"
    refused(taking(POINTS), pair, ROWS, (CLASSES, ROWS))


def test_a_bad_x_is_refused_before_labels_are_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused(taking(POINTS), "^x: .*NaN", np.nan * ROWS, CLASSES)


def test_one_class_alone_is_refused_in_arrays_to_train_on():
    model = taking(POINTS, Labels(3))
    alike = np.full(4, 2)
    refused(model, "All 4 labels are 2: with one class", ROWS, alike, verbs=["fit"])
    # A batch of a data set may be of one class, and so may a test set.
    model.fit(tf.data.Dataset.from_tensors((ROWS, alike)), verbose=0)
    model.evaluate(ROWS, alike, verbose=0)


# What is looked at.


def test_arrays_are_checked_whole_and_data_sets_by_their_first_batch():
    late = np.concatenate([ROWS, np.nan * ROWS])
    refused(taking(POINTS), "NaN: 4 of 8", late, batch_size=2)
    batches = tf.data.Dataset.from_tensor_slices(late).batch(4)
    assert data.check(taking(POINTS), batches)[0].shape == (4, 3)
    refused(taking(POINTS), "NaN: 4 of 4", batches.skip(1))


def test_a_data_set_or_generator_without_batches():
    refused(taking(POINTS), "it gave no batch", tf.data.Dataset.from_tensor_slices(ROWS).take(0))
    refused(taking(POINTS), "generator is empty: it gave no batch", iter_of(), steps_per_epoch=1)


def iter_of(*batches):
    yield from batches


def test_a_generator_is_checked_and_trained_on_whole():
    refused(taking(POINTS), "^x: .*NaN", iter_of((np.nan * ROWS,)), verbs=["fit"])
    model = taking(POINTS)
    batches = iter_of((ROWS,), (ROWS,))
    model.fit(batches, steps_per_epoch=2, verbose=0)
    assert int(model.steps) == 2
    assert next(batches, None) is None


def test_validation_data_is_checked():
    model = taking(POINTS, Labels(3))
    for validation in (
        (np.nan * ROWS, CLASSES),
        tf.data.Dataset.from_tensors((np.nan * ROWS, CLASSES)),
    ):
        refused(model, "^x: .*NaN", ROWS, CLASSES, verbs=["fit"], validation_data=validation)
    message = "y is missing"
    refused(model, message, ROWS, CLASSES, verbs=["fit"], validation_data=(ROWS,))


@pytest.mark.parametrize(
    ("given", "size", "count"), [({}, 4, 4), (dict(batch_size=3), 3, 4), (dict(batch_size=9), 4, 4)]
)
def test_what_the_hooks_are_given(given, size, count):
    model = taking(POINTS, Labels(3), kind=Remembering)
    model.fit(ROWS, CLASSES, verbose=0, **given)
    assert model.what == dict(size=size, count=count, training=True)
    x, y = model.batch
    np.testing.assert_array_equal(x, ROWS[:size])
    np.testing.assert_array_equal(y, CLASSES[:size])
    model.evaluate(ROWS[:2], CLASSES[:2], verbose=0)
    assert model.what == dict(size=2, count=2, training=False)


def test_a_model_without_a_spec_is_not_checked():
    model = taking(None)
    model.fit(np.full((4, 2), np.nan), np.zeros(4), verbose=0)
    assert int(model.steps) == 1
    assert model.predict(np.full((4, 2), np.nan), verbose=0).shape == (4,)
