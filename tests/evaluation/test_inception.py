"""The Inception Score at its two ends, and against SciPy's entropy."""

import keras
import numpy as np
import pytest
import scipy.stats

from kgen.evaluation import inception_score


def one_hot(num_classes, repeats):
    return np.tile(np.eye(num_classes), (repeats, 1))


def test_sure_and_even_is_the_number_of_classes(pixels, as_images):
    result = inception_score(as_images(one_hot(5, 8)), pixels(5), num_splits=4, from_logits=False)
    # Powers and logarithms in double precision.
    assert result["value"] == pytest.approx(5.0, rel=1e-12)
    assert result["standard_deviation"] == pytest.approx(0.0, abs=1e-12)
    assert "'pixels' of 5 classes, mean of 4 split(s) of 40" in result["protocol"]


def test_always_the_same_is_one(pixels, as_images):
    unsure, sure = np.full((20, 4), 0.25), one_hot(4, 1)[[2] * 20]
    for images in (unsure, sure):
        result = inception_score(as_images(images), pixels(4), from_logits=False)
        assert result["value"] == pytest.approx(1.0, rel=1e-12)


def test_logits(as_images):
    inputs = keras.Input((1, 5, 1))
    logits = keras.layers.Rescaling(1000.0)(keras.layers.Flatten()(inputs))
    images = as_images(one_hot(5, 4))
    result = inception_score(images, keras.Model(inputs, logits), num_splits=1)
    # exp(-1000) is 0: as sure as one-hot, and nothing overflows.
    assert result["value"] == pytest.approx(5.0, rel=1e-12)


def test_as_scipy_gives_it_split_by_split(pixels, as_images):
    images = as_images(np.random.default_rng(0).uniform(size=(23, 3)))
    result = inception_score(images, pixels(3), num_splits=4)
    logits = images.reshape(23, 3).astype("float64")
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    scores = []
    # 23 images in 4 parts: 6, 6, 6 and 5.
    for rows in (range(6), range(6, 12), range(12, 18), range(18, 23)):
        part = probabilities[list(rows)]
        marginal = part.mean(axis=0)
        scores.append(np.exp(np.mean([scipy.stats.entropy(row, marginal) for row in part])))
    # Scores are near 1.03; double precision.
    assert result["value"] == pytest.approx(np.mean(scores), rel=1e-12)
    assert result["standard_deviation"] == pytest.approx(np.std(scores), rel=1e-9)


def test_wrong_arguments(pixels, as_images):
    images = as_images(np.full((6, 3), 0.5))
    with pytest.raises(ValueError, match="6 images do not make 7 parts"):
        inception_score(images, pixels(3), num_splits=7)
    with pytest.raises(ValueError, match="Logits need from_logits=True"):
        inception_score(images, pixels(3), num_splits=2, from_logits=False)
