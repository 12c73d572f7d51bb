"""Each bad input gets one clear error, before training starts where that can be."""

import re
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from by_hand import EAGER
from keras import layers

import kgen
from kgen import networks

SHAPE = (5, 6, 1)


def images(seed=0, count=6, shape=SHAPE):
    return np.random.RandomState(seed).uniform(size=(count, *shape)).astype("float32")


FIRST, SECOND = images(0), images(1)
NUMBERS = np.arange(6)
# As messages show a pair of batches.
PAIR = r"\(float32 \(\d, 5, 6, 1\), float32 \(\d, 5, 6, 1\)\)"


def dense(input_shape, size=3):
    return keras.Sequential([keras.Input(input_shape), layers.Flatten(), layers.Dense(size)])


def parts():
    return dense(SHAPE), dense((3,), 2)


PAIRED = {
    "SimCLR": lambda: kgen.SimCLR(*parts()),
    "MoCo": lambda: kgen.MoCo(*parts(), queue_size=6),
    "BYOL": lambda: kgen.BYOL(*parts(), dense((2,), 2)),
    "SimSiam": lambda: kgen.SimSiam(*parts(), dense((2,), 2)),
    "BarlowTwins": lambda: kgen.BarlowTwins(*parts()),
    "VICReg": lambda: kgen.VICReg(*parts()),
    "ExemplarMetric": lambda: kgen.ExemplarMetric(*parts()),
}
NUMBERED = {
    "ExemplarNetwork": lambda: kgen.ExemplarNetwork(dense(SHAPE), 6),
    "NPID": lambda: kgen.NPID(*parts(), 6),
}
every_pair_model = pytest.mark.parametrize("name", PAIRED)
every_numbered_model = pytest.mark.parametrize("name", NUMBERED)


def compiled(model, **arguments):
    model.compile("sgd", **(arguments or EAGER))
    return model


def data_set(*values, batch_size=3):
    return tf.data.Dataset.from_tensor_slices(values).batch(batch_size)


def generator(*batches):
    """Only its first batch is looked at before training."""
    yield from batches


def refused(model, message, *arguments, verbs=("fit", "evaluate"), **kwargs):
    for verb in verbs:
        with pytest.raises(ValueError, match=message):
            getattr(model, verb)(*arguments, verbose=0, **kwargs)
    assert int(model.optimizer.iterations.numpy()) == 0


@every_pair_model
def test_images_instead_of_pairs(name):
    model = compiled(PAIRED[name]())
    pair = r"\(images \(5, 6, 1\), images \(5, 6, 1\)\)"
    message = rf"{name} takes x = {pair}, received float32 \(6, 5, 6, 1\).*kgen\.data\.views"
    refused(model, message, FIRST)
    refused(model, message, FIRST, NUMBERS)
    three = ", ".join([r"float32 \(6, 5, 6, 1\)"] * 3)
    refused(model, rf"received \({three}\)", (FIRST, SECOND, FIRST))


@every_pair_model
def test_a_bare_pair_is_read_as_images_and_labels(name):
    model = compiled(PAIRED[name]())
    message = r"A bare pair is read as \(x, y\): give \(\(first, second\),\)"
    refused(model, message, FIRST, SECOND)
    refused(model, message, data_set(FIRST, SECOND))
    with pytest.raises(ValueError, match=message):
        model.fit(generator((FIRST, SECOND)), steps_per_epoch=1, verbose=0)


def test_views_of_different_shapes():
    model = compiled(PAIRED["SimCLR"]())
    turned = images(shape=(6, 5, 1))
    # Each view is looked at.
    expected = r"Expected images of shape \(batch, 5, 6, 1\), received \(6, 6, 5, 1\)"
    refused(model, r"x\[1\]: " + expected, (FIRST, turned))
    refused(model, r"x\[0\]: " + expected, (turned, FIRST))
    refused(model, r"x\[1\]: .* received uint8", (FIRST, SECOND.astype("uint8")))
    message = r"SimCLR takes as many rows in each part, received {'x\[0\]': 6, 'x\[1\]': 5}"
    refused(model, message, (FIRST, SECOND[:5]))
    # A later batch is not; the step itself says it.
    batches = generator(((FIRST, SECOND),), ((FIRST, SECOND[:4]),))
    with pytest.raises(tf.errors.InvalidArgumentError, match="needs two views of one shape"):
        model.fit(batches, steps_per_epoch=2, verbose=0)


@every_pair_model
def test_a_batch_of_one(name):
    model = compiled(PAIRED[name]())
    message = rf"{name} compares the images of a batch.*batch of 1. Use a batch_size of at least 2"
    refused(model, message, (FIRST[:1], SECOND[:1]))
    refused(model, message, data_set((FIRST, SECOND), batch_size=1))
    refused(model, message, (FIRST, SECOND), batch_size=1, verbs=["fit"])
    message = r"last batch has 1 of 4 images.*Leave it out, or choose another batch_size"
    refused(model, message, (FIRST[:4], SECOND[:4]), batch_size=3, verbs=["fit"])


@pytest.mark.parametrize("arguments", [EAGER, dict(jit_compile=False)], ids=["eager", "graph"])
def test_a_later_batch_of_one(arguments):
    """Nobody sees it coming; the step itself says it."""
    model = compiled(PAIRED["SimCLR"](), **arguments)
    message = "SimCLR compares the images of a batch.*received a batch of one.*drop_remainder=True"
    for verb in (model.fit, model.evaluate):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            verb(data_set((FIRST[:4], SECOND[:4])), verbose=0)


@pytest.mark.parametrize("size", [4, 5, 12])
def test_a_queue_that_the_batch_does_not_divide(size):
    model = compiled(PAIRED["MoCo"]())
    pairs = (images(0, 12), images(1, 12))
    message = f"batch of {size} does not divide the queue of MoCo, queue_size=6. Use a queue_size"
    refused(model, message, data_set(pairs, batch_size=size), verbs=["fit"])
    whole = tuple(view[: 2 * size] for view in pairs)
    refused(model, message, whole, batch_size=size, verbs=["fit"])
    # Evaluation moves no queue.
    model.evaluate(data_set(pairs, batch_size=size), verbose=0)


@pytest.mark.parametrize("name", ["SimCLR", "MoCo", "CPC"])
def test_labels_that_nobody_uses(name):
    """Said once by each model, and the loss is what it is without them."""

    def build():
        keras.utils.set_random_seed(0)
        if name == "CPC":
            return compiled(kgen.CPC.for_images(SHAPE, patch_size=2, embedding_dim=2))
        return compiled(PAIRED[name]())

    x = FIRST if name == "CPC" else (FIRST, SECOND)
    model = build()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with_labels = model.fit(x, NUMBERS, batch_size=6, epochs=2, verbose=0).history
        model.fit(data_set(x, NUMBERS, batch_size=6), verbose=0)
        model.evaluate(x, NUMBERS, verbose=0)
    said = [str(each.message) for each in caught]
    assert said == [f"{name} learns without labels: those given are not used."]
    # It points to the caller's line.
    assert caught[0].filename == __file__
    without = build().fit(x, batch_size=6, epochs=2, verbose=0).history
    assert with_labels == without
    with pytest.warns(UserWarning, match="learns without labels"):
        build().evaluate(x, NUMBERS, verbose=0)


@every_numbered_model
def test_numbers_that_miss_or_do_not_fit(name):
    model = compiled(NUMBERED[name]())
    message = rf"{name} needs labels .*the number of each image.* 0 \.\. 5: .*numpy.arange"
    refused(model, message, FIRST)
    refused(model, message, data_set(FIRST))
    refused(model, r"y: .* labels in 0 \.\. 5, received values from 1 to 6", FIRST, NUMBERS + 1)
    refused(model, r"y: .* labels in 0 \.\. 5, received values from -1 to 4", FIRST, NUMBERS - 1)
    refused(model, r"Expected integer labels \(batch,\).*float32", FIRST, NUMBERS.astype("float32"))
    refused(model, r"Expected integer labels .*\(6, 6\)", FIRST, np.eye(6, dtype=int))
    refused(
        model, rf"{name} takes x = images \(5, 6, 1\), received {PAIR}", (FIRST, SECOND), NUMBERS
    )
    later = data_set(FIRST, np.array([0, 1, 2, 3, 4, 6]))
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=r"labels in 0 \.\. 5"):
        model.fit(later, verbose=0)


@pytest.mark.parametrize("name", PAIRED)
def test_predict_takes_images(name):
    model = PAIRED[name]()
    message = rf"{name} takes x = images \(5, 6, 1\), received {PAIR}"
    with pytest.raises(ValueError, match=message):
        model.predict((FIRST, SECOND), verbose=0)
    with pytest.raises(ValueError, match=message):
        model.predict(data_set((FIRST, SECOND)), verbose=0)


def maps():
    return keras.Sequential([keras.Input(SHAPE), layers.Conv2D(2, 3)])


def any_size():
    return keras.applications.MobileNetV2(
        alpha=0.35, include_top=False, weights=None, pooling="avg", input_shape=None
    )


BAD_MODELS = {
    "encoder_of_maps": (
        lambda: kgen.SimCLR(maps(), dense((3,))),
        r"encoder '.*' must give vectors \(batch, size\), received .*\(None, 3, 4, 2\).*pooling",
    ),
    "encoder_of_images_of_any_size": (
        lambda: kgen.SimCLR(any_size(), dense((1280,))),
        r"takes images of any size, \(None, None, 3\).*input_shape=\(height, width, channels\)",
    ),
    "encoder_of_vectors": (
        lambda: kgen.SimCLR(dense((30,)), dense((3,))),
        r"image_shape must be \(height, width, channels\), received \(30,\)",
    ),
    "encoder_that_is_none": (
        lambda: kgen.SimCLR(lambda x: x, dense((3,))),
        "encoder must be a keras.Model, received function",
    ),
    "projector_of_other_vectors": (
        lambda: kgen.SimCLR(dense(SHAPE), dense((4,))),
        r"projector '.*' takes inputs of shape \(None, 4\), but '.*' gives vectors .*\(None, 3\)",
    ),
    "projector_of_npid": (
        lambda: kgen.NPID(dense(SHAPE), dense((4,)), 6),
        r"projector '.*' takes inputs of shape \(None, 4\)",
    ),
    "projector_of_maps": (
        lambda: kgen.SimCLR(
            dense(SHAPE), keras.Sequential([keras.Input((3,)), layers.Reshape((3, 1))])
        ),
        "projector '.*' must give vectors",
    ),
    "predictor_of_other_size": (
        lambda: kgen.BYOL(*parts(), dense((2,), 3)),
        r"predictor '.*' gives outputs of shape \(3,\), expected \(2,\): what the projector gives",
    ),
    "predictor_of_other_vectors": (
        lambda: kgen.SimSiam(*parts(), dense((3,), 2)),
        r"predictor '.*' takes inputs of shape \(None, 3\)",
    ),
    "one_instance": (
        lambda: kgen.ExemplarNetwork(dense(SHAPE), 1),
        "num_instances must be an integer of at least 2, received 1",
    ),
    "queue": (lambda: kgen.MoCo(*parts(), queue_size=0), "queue_size must be an integer"),
    "ema_decay": (lambda: kgen.MoCo(*parts(), ema_decay=1.5), r"ema_decay must be in \[0, 1\]"),
    "ema_decay_of_byol": (
        lambda: kgen.BYOL(*parts(), dense((2,), 2), ema_decay=-0.1),
        "ema_decay must be at least 0",
    ),
    "bank_momentum": (
        lambda: kgen.NPID(*parts(), 6, bank_momentum=2),
        r"bank_momentum must be in \[0, 1\]",
    ),
    "barlow_weight": (lambda: kgen.BarlowTwins(*parts(), weight=-1), "weight must be at least 0"),
    "vicreg_weight": (
        lambda: kgen.VICReg(*parts(), covariance_weight=-1),
        "covariance_weight must be at least 0",
    ),
    "metric": (
        lambda: kgen.ExemplarMetric(*parts(), metric="semi_hard"),
        r"metric must be a function \(embeddings, labels\).*received 'semi_hard'",
    ),
    "filters": (
        lambda: networks.contrastive_encoder(SHAPE, 3, filters=(0,)),
        "each of filters must be an integer of at least 1",
    ),
}


@pytest.mark.parametrize(("build", "message"), BAD_MODELS.values(), ids=BAD_MODELS.keys())
def test_bad_models(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("temperature", [0, 0.0, -0.5, np.nan, None, "0.5"])
def test_temperature(temperature):
    for build in (
        lambda: kgen.SimCLR(*parts(), temperature=temperature),
        lambda: kgen.MoCo(*parts(), temperature=temperature),
        lambda: kgen.NPID(*parts(), 6, temperature=temperature),
        lambda: kgen.CPC.for_images(SHAPE, temperature=temperature),
    ):
        with pytest.raises(
            ValueError, match=f"temperature must be .*{re.escape(repr(temperature))}"
        ):
            build()
