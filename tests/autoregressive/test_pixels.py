"""The verbs of models that give each pixel its probability, and what they refuse."""

import functools
import math

import numpy as np
import pytest
import tensorflow as tf
from autoregressive.pixel_models import randomize

import kgen
from kgen import heads, networks, specs

SHAPE = (2, 3, 1)
IMAGES = np.random.RandomState(0).randint(0, 4, size=(5, *SHAPE)).astype("float32") / 3
LABELS = np.array([0, 2, 1, 1, 0])
MASK = np.array([[True, False, True], [False, True, False]])


def built(**kwargs):
    model = kgen.GatedPixelCNN.for_images(
        SHAPE,
        likelihood=heads.Categorical(4),
        network=functools.partial(
            networks.gated_pixelcnn, filters=4, num_layers=1, head_filters=(4,)
        ),
        **kwargs,
    )
    # Steps in Python: nothing is traced, so that the tests take milliseconds.
    model.compile("sgd", run_eagerly=True)
    return randomize(model)


@pytest.fixture(scope="module")
def model():
    return built()


@pytest.fixture(scope="module")
def model_of_labels():
    return built(condition=specs.Labels(3))


def test_loss_is_minus_log_prob(model):
    log_prob = model.log_prob(IMAGES).numpy()
    assert log_prob.shape == (5,) and log_prob.dtype == np.float32
    results = model.evaluate(IMAGES, verbose=0, return_dict=True)
    # Float32 means of 5 values.
    assert results["loss"] == pytest.approx(-log_prob.mean(), rel=1e-5)
    assert results["bits_per_dim"] == pytest.approx(results["loss"] / 6 / math.log(2), rel=1e-5)
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), log_prob, rtol=1e-5)


def test_loss_of_images_with_labels(model_of_labels):
    model = model_of_labels
    log_prob = model.log_prob(IMAGES, condition=LABELS).numpy()
    results = model.evaluate(IMAGES, LABELS, verbose=0, return_dict=True)
    assert results["loss"] == pytest.approx(-log_prob.mean(), rel=1e-5)
    np.testing.assert_allclose(model.predict([IMAGES, LABELS], verbose=0), log_prob, rtol=1e-5)
    pairs = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(2)
    np.testing.assert_allclose(model.predict(pairs, verbose=0), log_prob, rtol=1e-5)


def test_log_prob_by_hand(model):
    """The sum over pixels of the log-softmax at the pixel's level."""
    logits = np.float64(model.network(IMAGES))
    log_softmax = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    level = np.round(3 * IMAGES).astype(int)
    expected = np.take_along_axis(log_softmax, level, axis=-1).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(model.log_prob(IMAGES), expected, rtol=1e-5)


def test_bits_per_dim_of_a_uniform_model():
    """Without weights, each of four levels takes two bits."""
    model = kgen.PixelCNN.for_images(
        (2, 2, 3),
        likelihood=heads.Categorical(4),
        network=functools.partial(networks.pixelcnn, filters=6, num_blocks=0, head_filters=()),
    )
    for weight in model.trainable_weights:
        weight.assign(tf.zeros_like(weight))
    images = np.zeros((2, 2, 2, 3), "float32")
    np.testing.assert_allclose(model.bits_per_dim(images), [2.0, 2.0], rtol=1e-6)
    np.testing.assert_allclose(model.log_prob(images), [-12 * math.log(4)] * 2, rtol=1e-6)


def test_complete_keeps_what_is_known(model):
    completed = model.complete(IMAGES, mask=MASK, seed=0).numpy()
    np.testing.assert_array_equal(completed[:, MASK], IMAGES[:, MASK])
    np.testing.assert_allclose(3 * completed, np.round(3 * completed), atol=1e-6)
    assert (completed != IMAGES).any()
    # One mask for all, or one each; what is hidden may be anything, and does not matter.
    hidden = np.where(MASK[..., None], IMAGES, np.float32(7.0))
    for images, mask in ((IMAGES, np.stack([MASK] * 5)), (hidden, MASK.tolist())):
        np.testing.assert_array_equal(model.complete(images, mask=mask, seed=0), completed)
    np.testing.assert_array_equal(model.complete(IMAGES, mask=np.ones_like(MASK)), IMAGES)


def test_fresh_seeds(model):
    first, second = model.sample(20).numpy(), model.sample(20).numpy()
    assert (first != second).any()


OFF_LEVELS = IMAGES + np.float32(0.1) * (IMAGES < 0.5)
BAD_IMAGES = {
    "off_the_levels": (OFF_LEVELS, r"on 4 levels, k / 3 .*, but \d+ % of the pixels are not"),
    "nan": (np.full_like(IMAGES, np.nan), "hold NaN"),
    "bytes": (np.zeros((5, *SHAPE), "uint8"), "received uint8. Divide by 255"),
    "channels": (np.zeros((5, 2, 3, 3), "float32"), r"\(batch, 2, 3, 1\), received \(5, 2, 3, 3\)"),
    "size": (np.zeros((5, 3, 2, 1), "float32"), r"received \(5, 3, 2, 1\)"),
    "no_channels": (IMAGES[..., 0], r"received \(5, 2, 3\).*Add the channel axis"),
    "none": (IMAGES[:0], "data set is empty"),
}


@pytest.mark.parametrize("verb", ["fit", "evaluate", "log_prob", "bits_per_dim", "complete"])
@pytest.mark.parametrize(("images", "message"), BAD_IMAGES.values(), ids=BAD_IMAGES.keys())
def test_bad_images(model, verb, images, message):
    arguments = dict(mask=np.ones_like(MASK)) if verb == "complete" else {}
    with pytest.raises(ValueError, match=message):
        getattr(model, verb)(images, **arguments)


def test_off_levels_in_validation_data_and_data_sets(model):
    data = tf.data.Dataset.from_tensors(OFF_LEVELS)
    with pytest.raises(ValueError, match="on 4 levels"):
        model.fit(data, verbose=0)
    with pytest.raises(ValueError, match="on 4 levels"):
        model.fit(IMAGES, validation_data=data, verbose=0)


BAD_MASKS = {
    "integers": (MASK.astype("int32"), "bool mask .* received shape .* dtype int32"),
    "floats": (MASK.astype("float32"), "dtype float32"),
    "size": (MASK.T, r"bool mask of shape \(2, 3\) or \(batch, 2, 3\).*received shape \(3, 2\)"),
    "channels": (np.ones((5, 2, 3, 1), bool), r"received shape \(5, 2, 3, 1\)"),
    "row": (MASK[0], r"received shape \(3,\)"),
    "batch": (np.stack([MASK] * 4), "Received 4 masks for 5 images"),
}


@pytest.mark.parametrize(("mask", "message"), BAD_MASKS.values(), ids=BAD_MASKS.keys())
def test_bad_masks(model, mask, message):
    with pytest.raises(ValueError, match=message):
        model.complete(IMAGES, mask=mask)


BAD_TEMPERATURES = [0.0, -1.0, math.nan, math.inf, [1.0, 1.0, 0.0, 1.0, 1.0]]


@pytest.mark.parametrize("temperature", BAD_TEMPERATURES, ids=str)
def test_bad_temperatures(model, temperature):
    with pytest.raises(ValueError, match="temperature must be above 0"):
        model.sample(5, temperature=temperature)
    with pytest.raises(ValueError, match="temperature must be above 0"):
        model.complete(IMAGES, mask=MASK, temperature=temperature)


def test_number_of_temperatures(model):
    with pytest.raises(ValueError, match=r"5 of them, one per image, received shape \(3,\)"):
        model.sample(5, temperature=[1.0, 2.0, 1.0])


def test_a_served_temperature_of_0_is_refused(model):
    sample = model.endpoints()["sample"].function
    with pytest.raises(tf.errors.InvalidArgumentError, match="temperature must be above 0"):
        sample(tf.zeros((2, 2), tf.int32), tf.constant([1.0, 0.0]))


def test_unknown_labels(model_of_labels):
    for label in (3, -1):
        labels = np.where(LABELS == 2, label, LABELS)
        for call in (
            lambda labels=labels: model_of_labels.log_prob(IMAGES, condition=labels),
            lambda labels=labels: model_of_labels.sample(5, condition=labels),
            lambda labels=labels: model_of_labels.complete(IMAGES, mask=MASK, condition=labels),
            lambda labels=labels: model_of_labels.fit(IMAGES, labels, verbose=0),
            lambda label=label: model_of_labels.sample(5, condition=label),
        ):
            with pytest.raises(
                ValueError, match=rf"labels in 0 \.\. 2, received values from .*{label}"
            ):
                call()
    with pytest.raises(ValueError, match="integer labels"):
        model_of_labels.sample(5, condition=1.0)


def test_labels_that_miss_or_are_too_many(model, model_of_labels):
    for verb in (model_of_labels.log_prob, model_of_labels.bits_per_dim):
        with pytest.raises(ValueError, match="was made with a condition: pass condition="):
            verb(IMAGES)
        with pytest.raises(ValueError, match="one value or 5, one per example, received 4"):
            verb(IMAGES, condition=LABELS[:4])
        with pytest.raises(ValueError, match="one value or 5, one per example, received 1"):
            verb(IMAGES, condition=LABELS[:1])
    with pytest.raises(ValueError, match="needs labels"):
        model_of_labels.fit(IMAGES, verbose=0)
    message = r"takes x = \(images \(2, 3, 1\), labels 0 \.\. 2\), received float32 \(5, 2, 3, 1\)"
    with pytest.raises(ValueError, match=message):
        model_of_labels.predict(IMAGES, verbose=0)
    for call in (
        lambda: model_of_labels.sample(5, condition=LABELS[:4]),
        lambda: model_of_labels.complete(IMAGES, mask=MASK, condition=LABELS[:4]),
    ):
        with pytest.raises(ValueError, match="one value or 5, one per example"):
            call()
    for call in (
        lambda: model.log_prob(IMAGES, condition=LABELS),
        lambda: model.sample(5, condition=LABELS),
        lambda: model.complete(IMAGES, mask=MASK, condition=1),
    ):
        with pytest.raises(ValueError, match="was made without a condition"):
            call()


@pytest.mark.parametrize("num_samples", [0, -1, 1.5])
def test_num_samples(model, num_samples):
    with pytest.raises(ValueError, match="num_samples must be an integer of at least 1"):
        model.sample(num_samples)


@pytest.fixture(scope="module")
def served():
    """The endpoints by name, each traced once, with what they take."""
    model = kgen.GatedPixelCNN.for_images(
        (2, 2, 1),
        likelihood=heads.Categorical(3),
        condition=specs.Labels(3),
        network=functools.partial(networks.gated_pixelcnn, filters=2, num_layers=1),
    )
    endpoints = model.endpoints()

    @functools.cache
    def traced(name):
        endpoint = endpoints[name]
        return tf.function(endpoint.function, input_signature=endpoint.signature, autograph=False)

    def function_and_inputs(name):
        inputs = {
            spec.name: np.ones((2, *spec.shape[1:]), spec.dtype.as_numpy_dtype)
            for spec in endpoints[name].signature
        }
        traced(name)(*inputs.values())
        return traced(name), inputs

    return function_and_inputs


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("log_prob", dict(images=0.74159), "Expected pixels on 3 levels"),
        ("bits_per_dim", dict(images=np.nan), "Expected pixels on 3 levels"),
        ("complete", dict(images=1.74159), "Expected pixels on 3 levels"),
        ("log_prob", dict(labels=-74159), "Expected labels in 0 .. 2"),
        ("sample", dict(labels=74159), "Expected labels in 0 .. 2"),
        ("sample", dict(temperature=0.0), "temperature must be above 0"),
        ("sample", dict(temperature=-74159.0), "temperature must be above 0"),
    ],
)
def test_a_server_refuses_what_python_refuses(served, name, change, message):
    served, inputs = served(name)
    for key, value in change.items():
        inputs[key][1] = value
    with pytest.raises(tf.errors.InvalidArgumentError, match=message) as caught:
        served(*inputs.values())
    # Others in the same batch get this message too.
    assert "74159" not in str(caught.value)
