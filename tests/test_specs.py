"""What a spec refuses, its examples, and what else is read off it."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import kgen
from kgen import specs
from kgen.quantities import QUANTITIES, Quantity
from kgen.specs import (
    Attributes,
    Clips,
    Images,
    Labels,
    Points,
    Seeds,
    Signals,
    Tokens,
    Values,
    Waveforms,
)

DATA = (
    Images((5, 6, 1)),
    Images((5, 6, 3), num_levels=4),
    Images((None, None, 1)),
    Clips((3, 5, 6, 1)),
    Points(3),
    Signals(7),
    Signals(7, 2),
    Waveforms(20, 8000),
    Tokens(7, 10),
    Labels(3),
    Labels(50, meaning="number of the image"),
    Attributes(4),
)
INPUTS = (
    Seeds(),
    Values((2,)),
    Values((2, 3), "int32", Quantity("of a mask", minimum=0, maximum=1)),
    Values((), "int32"),
    Values((2,), "uint8"),
    Values((), "string"),
)
every_data = pytest.mark.parametrize("spec", DATA, ids=str)
every_spec = pytest.mark.parametrize("spec", DATA + INPUTS, ids=str)


# Checks.


@every_data
def test_an_example_passes_its_own_check(spec):
    for batch in (spec.example(6), spec.example(1, seed=3)):
        spec.check(batch)
        spec.check(tf.constant(batch))


PICTURES, CLIP = np.full((4, 5, 6, 1), 0.5, "float32"), np.full((4, 3, 5, 6, 1), 0.5, "float32")
POINTS, SIGNALS = np.ones((4, 3), "float32"), np.ones((4, 7, 1), "float32")
SOUND, CODES, CLASSES = np.full((4, 20), 0.5, "float32"), np.ones((4, 7), "int32"), np.arange(4)


def with_value(batch, value):
    """Another number in the third row."""
    changed = batch.copy()
    changed[2].flat[0] = value
    return changed


BAD = {
    "images": (
        Images((5, 6, 1)),
        (PICTURES[..., 0], r"Expected images of shape \(batch, 5, 6, 1\), received \(4, 5, 6\)"),
        (PICTURES[:, :, :4], r"received \(4, 5, 4, 1\)"),
        (PICTURES.astype("uint8"), "received uint8. Divide by 255"),
        (PICTURES.astype("int64"), "received dtype int64"),
        (255 * PICTURES, "received values from 127.5 to 127.5. Divide by 255"),
        (with_value(PICTURES, -0.5), "received values from -0.5 to 0.5. Rescale"),
        (with_value(PICTURES, np.nan), "The images hold NaN: 1 of 4"),
        (with_value(PICTURES, np.inf), "The images hold infinite values"),
        (PICTURES[:0], "The data set is empty"),
    ),
    "images on levels": (
        Images((5, 6, 1), num_levels=2),
        (PICTURES, r"pixels on 2 levels, k / 1 with k = 0 \.\. 1, but 100 %"),
    ),
    "images of any size": (
        Images((None, None, 1)),
        (np.zeros((4, 5, 6, 3), "float32"), r"\(batch, any, any, 1\), received \(4, 5, 6, 3\)"),
    ),
    "clips": (
        Clips((3, 5, 6, 1)),
        (PICTURES, r"Expected clips of shape \(batch, 3, 5, 6, 1\), received \(4, 5, 6, 1\)"),
        (CLIP.astype("uint8"), "Expected float32 clips in .0, 1., received uint8"),
        (3 * CLIP, r"received values from 1.5 to 1.5"),
        (with_value(CLIP, np.nan), "The clips hold NaN: 1 of 4"),
    ),
    "points": (
        Points(3),
        (POINTS[0], r"Expected points of shape \(batch, 3\), received \(3,\)"),
        (POINTS[:, :2], r"received \(4, 2\)"),
        (POINTS.astype(int), "Expected float32 points, received dtype int64"),
        (with_value(POINTS, np.nan), "The points hold NaN: 1 of 4"),
        (with_value(POINTS, -np.inf), "The points hold infinite values"),
        (POINTS[:0], "The data set is empty"),
    ),
    "signals": (
        Signals(7),
        (SIGNALS[..., 0], r"Expected signals of shape \(batch, 7, 1\), received \(4, 7\)"),
        (SIGNALS[:, :6], r"received \(4, 6, 1\)"),
        (SIGNALS.astype("int32"), "Expected float32 signals, received dtype int32"),
        (with_value(SIGNALS, np.nan), "The signals hold NaN: 1 of 4"),
    ),
    "waveforms": (
        Waveforms(20, 8000),
        (SOUND[:, :10], r"Expected waveforms of shape \(batch, 20\), received \(4, 10\)"),
        (SOUND[..., None], r"received \(4, 20, 1\)"),
        (SOUND.astype("int16"), r"Expected float32 waveforms in \[-1, 1\], received dtype int16"),
        (3 * SOUND, r"Expected waveforms in \[-1, 1\], received values from 1.5 to 1.5"),
        (-3 * SOUND, r"received values from -1.5 to -1.5"),
        (with_value(SOUND, np.nan), "The waveforms hold NaN: 1 of 4"),
    ),
    "tokens": (
        Tokens(7, 10),
        (CODES[:, :6], r"Expected tokens of shape \(batch, 7\), received \(4, 6\)"),
        (CODES.astype("float32"), "Expected integer tokens, received dtype float32"),
        (with_value(CODES, 10), r"Expected tokens in 0 \.\. 9, received values from 1 to 10"),
        (with_value(CODES, -1), "received values from -1 to 1"),
        (CODES[:0], "The data set is empty"),
    ),
    "labels": (
        Labels(4),
        (CLASSES[:, None], r"Expected integer labels \(batch,\), received shape \(4, 1\)"),
        (CLASSES.astype("float32"), "received shape .* and dtype float32"),
        (CLASSES + 1, r"Expected labels in 0 \.\. 3, received values from 1 to 4"),
        (CLASSES - 1, "received values from -1 to 2"),
    ),
    "attributes": (
        Attributes(3),
        (POINTS[:, :2], r"Expected attributes of shape \(batch, 3\), received \(4, 2\)"),
        (POINTS.astype(bool), "Expected float32 attributes, received dtype bool"),
        (with_value(POINTS, np.nan), "The attributes hold NaN: 1 of 4"),
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_batch_is_refused_under_its_role(name):
    spec, *table = BAD[name]
    for batch, message in table:
        for kind in (np.asarray, tf.constant):
            with pytest.raises(ValueError, match=rf"^y\['left'\]: .*{message}"):
                spec.check(kind(batch), "y['left']")


def test_half_precision_and_any_size_pass():
    Images((5, 6, 1)).check(PICTURES.astype("float16"))
    Images((None, None, 1)).check(np.zeros((2, 3, 9, 1), "float32"))
    Labels(4).check(CLASSES.astype("uint8"))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Images((5, 6)), "image_shape must be"),
        (lambda: Images((5, 0, 1)), "each side of image_shape must be an integer of at least 1"),
        (lambda: Clips((5, 6, 1)), r"shape must be \(frames, height, width, channels\)"),
        (lambda: Points(0), "dim must be an integer of at least 1"),
        (lambda: Signals(7, 0), "channels must be an integer"),
        (lambda: Waveforms(20, 0), "sample_rate must be an integer"),
        (lambda: Tokens(7, 0), "vocabulary_size must be an integer"),
        (lambda: Labels(1), "num_classes must be an integer of at least 2"),
        (lambda: Attributes(1.5), "dim must be an integer"),
    ],
)
def test_a_spec_of_nothing_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


# Examples.


@every_spec
def test_examples_are_of_the_shape_and_dtype(spec):
    batch = spec.example(5)
    kind = "object" if spec.dtype == "string" else spec.dtype
    assert batch.dtype == kind
    assert spec.tensor_spec().is_compatible_with(tf.constant(batch))


@every_spec
def test_the_rows_of_a_small_example_begin_those_of_a_larger(spec):
    np.testing.assert_array_equal(spec.example(9)[:4], spec.example(4))
    np.testing.assert_array_equal(spec.example(4, seed=2), spec.example(4, seed=2))


@every_data
def test_examples_are_a_function_of_the_seed(spec):
    batches = [spec.example(6, seed=seed).tobytes() for seed in range(3)]
    assert len(set(batches)) == 3


def test_examples_cover_levels_classes_and_vocabulary():
    assert set(Images((5, 6, 3), num_levels=4).example(8).flat) == set(
        np.float32([0, 1 / 3, 2 / 3, 1])
    )
    # Black and white lie on the levels of every likelihood.
    assert set(Images((5, 6, 1)).example(8).flat) == {0.0, 1.0}
    assert set(Labels(3).example(3)) == {0, 1, 2}
    assert set(Tokens(7, 10).example(30).flat) == set(range(10))
    np.testing.assert_array_equal(Seeds().example(3, seed=4), [[4, 0], [4, 1], [4, 2]])


@pytest.mark.parametrize(
    ("dtype", "bounds", "least", "largest"),
    [
        ("float32", {}, 0.25, 0.75),
        ("float32", dict(minimum=-1.0, maximum=1.0), -0.5, 0.5),
        ("float32", dict(exclusive_minimum=2.0), 2.25, 2.75),
        ("float32", dict(maximum=-3.0), -3.75, -3.25),
        ("int32", {}, 0, 0),
        ("int32", dict(minimum=0, maximum=4), 0, 4),
        ("int32", dict(minimum=1, maximum=3), 1, 3),
        ("int32", dict(minimum=2), 2, 2),
        ("int32", dict(minimum=-(2**31), maximum=2**31 - 1), 0, 99),
        ("int32", dict(maximum=-2), -2, -2),
    ],
)
def test_examples_of_an_input_keep_its_bounds(dtype, bounds, least, largest):
    drawn = Values((10,), dtype, Quantity("a number", **bounds)).example(10)
    assert drawn.dtype == dtype
    assert least <= drawn.min() and drawn.max() <= largest
    if dtype == "int32":
        assert (drawn.min(), drawn.max()) == (least, largest)
    else:
        assert len(set(drawn.flat)) == 100


# What else is read off a spec.


def test_tensor_specs():
    assert Images((5, None, 3)).tensor_spec("images") == tf.TensorSpec(
        (None, 5, None, 3), tf.float32, name="images"
    )
    assert Labels(3).tensor_spec() == tf.TensorSpec((None,), tf.int32)
    assert Seeds().tensor_spec("seed") == tf.TensorSpec((None, 2), tf.int32, name="seed")
    assert Waveforms(20, 8000).tensor_spec() == tf.TensorSpec((None, 20), tf.float32)


def test_quantities():
    assert Images((5, 6, 1), num_levels=4).quantity().as_dict() == {
        "description": "pixels, channels last: 0 is black, 1 the full intensity",
        "unit": "1",
        "minimum": 0.0,
        "maximum": 1.0,
        "num_levels": 4,
    }
    sound = Waveforms(20, 8000).quantity()
    assert "8000 per second" in sound.description
    assert (sound.minimum, sound.maximum) == (-1.0, 1.0)
    assert (Tokens(7, 10).quantity().minimum, Tokens(7, 10).quantity().maximum) == (0, 9)
    labels = Labels(50, meaning="number of the image").quantity()
    assert (labels.description, labels.maximum) == ("the number of the image", 49)
    assert Points(3).quantity().minimum is None
    assert Values(meaning=QUANTITIES["weight"]).quantity() == QUANTITIES["weight"]
    # The names of these say it all.
    assert Seeds().quantity() is None and Values().quantity() is None


@every_data
def test_examples_lie_in_the_range_that_the_quantity_says(spec):
    meaning, batch = spec.quantity(), spec.example(8)
    assert meaning.description
    assert meaning.minimum is None or meaning.minimum <= batch.min()
    assert meaning.maximum is None or batch.max() <= meaning.maximum


@every_data
def test_serialization(spec):
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(spec)))
    restored = keras.saving.deserialize_keras_object(config)
    assert restored == spec and hash(restored) == hash(spec)
    assert config["registered_name"] == f"kgen>{type(spec).__name__}"


@keras.saving.register_keras_serializable(package="tests")
class Anything(kgen.ObjectiveModel):
    """Takes whatever it is told."""

    def __init__(self, data_spec, **kwargs):
        super().__init__(**kwargs)
        self.data_spec = data_spec


@pytest.mark.parametrize(
    "data_spec",
    [
        Images((5, 6, 1)),
        (Images((5, 6, 1)), Labels(3)),
        ((Images((5, 6, 1)), Waveforms(20, 8000)),),
        ({"left": Points(3), "right": Tokens(7, 10)}, Attributes(4)),
    ],
    ids=specs.describe,
)
def test_a_model_keeps_its_structure_of_specs(data_spec):
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(Anything(data_spec))))
    restored = keras.saving.deserialize_keras_object(config).data_spec
    # JSON has no tuples.
    for one, other in zip(specs.x_and_y(restored), specs.x_and_y(data_spec), strict=True):
        assert specs.describe(one) == specs.describe(other)


def test_specs_are_values():
    assert Images([5, 6, 1]) == Images((5, 6, 1)) != Images((5, 6, 1), num_levels=4)
    assert Points(3) != Attributes(3)
    with pytest.raises(AttributeError):
        Points(3).dim = 4


# Structures.


def test_of_shape():
    assert specs.of_shape((3,)) == Points(3)
    assert specs.of_shape([7, 2]) == Signals(7, 2)
    assert specs.of_shape((5, 6, 1)) == Images((5, 6, 1))
    assert specs.of_shape((3, 5, 6, 1)) == Clips((3, 5, 6, 1))
    for shape in ((), (1, 2, 3, 4, 5)):
        with pytest.raises(ValueError, match=r"Expected images .* received shape \("):
            specs.of_shape(shape)


A, B, C = Points(1), Points(2), Labels(3)


def test_x_and_y():
    assert specs.x_and_y(A) == (A, None)
    assert specs.x_and_y((A,)) == (A, None)
    assert specs.x_and_y((A, C)) == (A, C)
    assert specs.x_and_y(((A, B),)) == ((A, B), None)
    for wrong in ((), (A, B, C)):
        with pytest.raises(ValueError, match=f"received {len(wrong)} parts.*nest them"):
            specs.x_and_y(wrong)


def test_pairs_name_each_part():
    structure = ({"left": A, "right": [B, C]}, C)
    roles = ["y[0]['left']", "y[0]['right'][0]", "y[0]['right'][1]", "y[1]"]
    # The order of a dict's keys does not matter.
    values = ({"right": (2, 3), "left": 1}, 4)
    assert specs.pairs(structure, values, "y") == list(
        zip(roles, (A, B, C, C), (1, 2, 3, 4), strict=True)
    )


@pytest.mark.parametrize(
    ("structure", "values"),
    [
        (A, (1,)),
        (A, {"left": 1}),
        ((A, B), 1),
        ((A, B), (1,)),
        ((A, B), (1, 2, 3)),
        ((A, B), {0: 1, 1: 2}),
        ((A, B), (1, (2, 3))),
        ({"left": A}, 1),
        ({"left": A}, (1,)),
        ({"left": A}, {"right": 1}),
        ({"left": A}, {"left": 1, "right": 2}),
    ],
)
def test_values_of_another_structure_make_no_pairs(structure, values):
    with pytest.raises(TypeError):
        specs.pairs(structure, values)


def test_describe():
    assert specs.describe(Images((5, 6, 1))) == "images (5, 6, 1)"
    assert specs.describe((Images((None, 6, 1)), Labels(10))) == (
        "(images (None, 6, 1), labels 0 .. 9)"
    )
    assert specs.describe(((A, B),)) == "((points (1,), points (2,)),)"
    assert specs.describe({"left": A, "right": B}) == "{'left': points (1,), 'right': points (2,)}"
    assert specs.describe(Tokens(7, 10)) == "tokens (7,)"
