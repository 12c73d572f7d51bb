"""Alignment, uniformity and rank against slow loops, numpy's SVD and closed forms."""

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from kgen.evaluation import (
    alignment,
    embed_dataset,
    embedding_rank,
    representations,
    uniformity,
)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


class Embedder:
    """A model with the verb `embed`."""

    image_shape = (1, 3, 1)

    def __init__(self):
        self.sizes = []

    def embed(self, images):
        self.sizes.append(len(images))
        return tf.cast(2 * tf.reshape(images, (len(images), -1)), tf.bfloat16)


def images(count):
    # Multiples of 1/64 below 1, which bfloat16 holds.
    levels = np.random.default_rng(0).integers(0, 64, size=(count, 1, 3, 1))
    return (levels / 64).astype("float32")


def test_embedding_a_data_set_in_every_form():
    x, y = images(700), np.arange(700)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(600)
    model = Embedder()
    for given, labelled in (
        ((x, y), True),
        ((tf.constant(x), tf.constant(y)), True),
        (data, True),
        (data.map(lambda a, b: a), False),
        (x, False),
    ):
        features, labels = embed_dataset(model, given)
        assert features.dtype == np.float32
        np.testing.assert_array_equal(features, 2 * x.reshape(700, 3))
        if labelled:
            np.testing.assert_array_equal(labels, y)
        else:
            assert labels is None
    assert max(model.sizes) <= 256, "a large batch is cut"


def test_images_and_labels_stay_together_in_a_shuffled_data_set():
    x = images(60)
    data = tf.data.Dataset.from_tensor_slices((x, np.arange(60))).shuffle(60, seed=1).batch(7)
    features, labels = embed_dataset(Embedder(), data)
    assert np.any(labels != np.arange(60))
    np.testing.assert_array_equal(features, 2 * x.reshape(60, 3)[labels])


def test_functions_and_keras_models():
    x = images(30)
    inputs = keras.Input((1, 3, 1))
    outputs = keras.layers.Dropout(0.5)(keras.layers.Flatten()(inputs))
    for given in (keras.Model(inputs, outputs), lambda batch: batch.reshape(len(batch), -1)):
        np.testing.assert_array_equal(embed_dataset(given, x)[0], x.reshape(30, 3))


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (3, images(4), "Expected a model with the verb embed"),
        (Embedder(), (images(4), np.arange(3)), "one label per image"),
        (Embedder(), (images(4), np.zeros((4, 2))), r"received shape \(4, 2\) beside the given"),
        (Embedder(), images(4)[:, :, :2], "The given images: Expected images of shape"),
        (Embedder(), list(images(4)), "received list"),
        (lambda x: x, images(4), "one feature vector per image"),
        (lambda x: tf.reduce_sum(x), images(4), "zero-dimensional|one feature vector"),
        (lambda x: np.full((len(x), 2), np.nan), images(4), "features of the given images hold"),
    ],
)
def test_what_cannot_be_embedded(model, data, message):
    with pytest.raises(ValueError, match=message):
        embed_dataset(model, data)


@pytest.mark.parametrize("alpha", [1, 2, 3.5])
def test_alignment_pair_by_pair(alpha):
    first, second = normal(0, 20, 5), normal(1, 20, 5)
    distances = [
        np.linalg.norm(a / np.linalg.norm(a) - b / np.linalg.norm(b))
        for a, b in zip(first.astype("float64"), second.astype("float64"), strict=True)
    ]
    result = alignment(first, second, alpha=alpha)
    assert result["value"] == pytest.approx(np.mean(np.power(distances, alpha)), rel=1e-6)
    assert f"power {alpha:g} over 20 pairs" in result["protocol"]


def test_alignment_closed_forms():
    x = normal(0, 9, 4)
    # Rounding of float64 normalization; opposite points are 2 apart.
    assert alignment(x, 7 * x)["value"] == pytest.approx(0.0, abs=1e-12)
    assert alignment(x, -x, alpha=3)["value"] == pytest.approx(8.0)


@pytest.mark.parametrize("t", [0.5, 2])
def test_uniformity_pair_by_pair(monkeypatch, t):
    # Blocks of a few rows, so that several are joined.
    monkeypatch.setattr(representations, "_BLOCK_SIZE", 31 * 4)
    x = normal(0, 31, 5).astype("float64")
    units = [row / np.linalg.norm(row) for row in x]
    potentials = [
        np.exp(-t * np.sum((units[i] - units[j]) ** 2)) for j in range(31) for i in range(j)
    ]
    result = uniformity(x, t=t)
    # The embeddings are rounded to float32.
    assert result["value"] == pytest.approx(np.log(np.mean(potentials)), rel=1e-5)
    assert f"t={t:g}, over all pairs of 31" in result["protocol"]


def test_uniformity_closed_forms():
    angles = 2 * np.pi * np.arange(80) / 80
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    # The mean of exp(-t |u - v|^2) over a circle is exp(-2 t) I_0(2 t); 80 points integrate it
    # exactly, but for the pairs (i, i), which are left out.
    whole = np.exp(-4) * scipy.special.i0(4)
    expected = np.log((80 * whole - 1) / 79)
    assert uniformity(circle)["value"] == pytest.approx(expected, rel=1e-5)
    assert uniformity(np.ones((5, 3)))["value"] == pytest.approx(0.0, abs=1e-12)
    assert uniformity([[1.0, 0.0], [-3.0, 0.0]])["value"] == pytest.approx(-8.0)
    # Over a sphere in three dimensions it is exp(-2 t) sinh(2 t) / (2 t). The mean over about
    # two million pairs of 2,000 points has a standard error below 1 %.
    expected = np.log(np.exp(-4) * np.sinh(4) / 4)
    assert uniformity(normal(0, 2000, 3))["value"] == pytest.approx(expected, abs=0.03)


def slow_rank(features):
    values = np.linalg.svd(features.astype("float64"), compute_uv=False)
    shares = values / values.sum()
    return np.exp(-sum(p * np.log(p) for p in shares if p > 0))


@pytest.mark.parametrize("shape", [(50, 8), (8, 50), (20, 20)])
def test_rank_is_that_of_the_singular_values(monkeypatch, shape):
    monkeypatch.setattr(representations, "_BLOCK_SIZE", 100)
    x = normal(0, *shape) * 2.0 ** -np.arange(shape[1]) + 0.3
    result = embedding_rank(x)
    x = x.astype("float32")
    # Eigenvalues of the second moments lose half of float64's digits.
    assert result["value"] == pytest.approx(slow_rank(x), rel=1e-6)
    assert result["centred_rank"] == pytest.approx(slow_rank(x - x.mean(axis=0)), rel=1e-5)
    units = x / np.linalg.norm(x, axis=1, keepdims=True)
    expected = np.sqrt(shape[1]) * units.std(axis=0).mean()
    assert result["spread"] == pytest.approx(expected, rel=1e-5)
    assert f"of {shape[0]} feature vectors of {shape[1]} numbers" in result["protocol"]


def test_rank_of_what_is_known():
    orthogonal = np.concatenate([np.eye(6), -np.eye(6)])
    result = embedding_rank(orthogonal)
    assert result["value"] == pytest.approx(6) and result["centred_rank"] == pytest.approx(6)
    assert result["spread"] == pytest.approx(1)
    # Singular values 3 and 1: shares 3/4 and 1/4.
    expected = np.exp(-0.75 * np.log(0.75) - 0.25 * np.log(0.25))
    assert embedding_rank([[3.0, 0.0], [0.0, 1.0], [0.0, 0.0]])["value"] == pytest.approx(expected)
    zeros = embedding_rank(np.zeros((5, 3)))
    assert [zeros[name] for name in ("value", "centred_rank", "spread")] == [0, 0, 0]


@pytest.mark.parametrize("noise", [0.0, 1e-7, 1e-4])
def test_a_total_collapse_is_seen_through_rounding_errors(noise):
    result = embedding_rank(normal(0, 1, 32) + noise * normal(1, 500, 32))
    assert result["value"] < 1.1
    assert result["spread"] < 1e-3
    if noise:
        assert result["centred_rank"] > 20, "which is why the rank is not that of the covariance"


def test_a_collapse_onto_few_dimensions_is_seen():
    x = normal(0, 500, 2) @ normal(1, 2, 32)
    result = embedding_rank(x + 1e-6 * normal(2, 500, 32))
    assert result["value"] < 2.01 and result["spread"] > 0.5
    healthy = embedding_rank(normal(0, 500, 32))
    # Marchenko and Pastur: the singular values of random features are not quite equal.
    assert 30 < healthy["value"] < 32 and healthy["spread"] > 0.95


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (alignment, dict(first=np.ones((3, 2)), second=np.ones((4, 2))), "of one shape"),
        (alignment, dict(first=np.ones((3, 2)), second=np.ones((3, 2)), alpha=0), "alpha must be"),
        (uniformity, dict(embeddings=np.ones((1, 2))), "at least 2 embeddings"),
        (uniformity, dict(embeddings=np.ones((3, 2)), t=-1), "t must be"),
        (uniformity, dict(embeddings=np.full((3, 2), np.nan)), "hold NaN or infinity: 3 of 3"),
        (embedding_rank, dict(features=np.ones(3)), r"shape \(n, dim\)"),
        (embedding_rank, dict(features=[[1.0, np.inf], [0.0, 0.0]]), "infinity: 1 of 2"),
    ],
)
def test_wrong_arguments(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(**arguments)
