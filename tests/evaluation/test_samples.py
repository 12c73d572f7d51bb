import types

import keras
import numpy as np
import pytest
from cases import DENSE_PLAYERS, SHAPE

import kgen
from kgen import evaluation


@pytest.fixture(scope="module")
def model():
    return kgen.GAN.for_images(SHAPE, 2, **DENSE_PLAYERS)


def test_samples_are_those_of_the_verb(model):
    drawn = evaluation.draw_samples(model, 7, batch_size=3, seed=4)
    expected = np.concatenate([model.sample(3, seed=seed) for seed in (4, 5, 6)])[:7]
    # Graphs may round differently in the last digits.
    np.testing.assert_allclose(drawn, expected, atol=1e-6)


def test_all_figures_with_their_protocol(model):
    inputs = keras.Input(SHAPE)
    hidden = keras.layers.Flatten()(keras.layers.AveragePooling2D(3)(inputs))
    extractor = keras.Model(inputs, hidden, name="pooling")
    classifier = keras.Model(inputs, keras.layers.Dense(3)(hidden), name="classes")
    features = types.SimpleNamespace(extractor=extractor, classifier=classifier)
    images = np.random.default_rng(0).uniform(size=(40, *SHAPE)).astype("float32")
    metrics = evaluation.sample_quality(
        model, images[:30], features, num_samples=20, train=images[10:]
    )
    assert {"frechet_distance", "kernel_distance", "precision", "inception_score"} < set(metrics)
    for metric in metrics.values():
        assert np.isfinite(metric["value"]) and metric["protocol"]
    assert metrics["frechet_distance"]["num_generated"] == 20
    floor = metrics["frechet_distance_of_real_images"]["value"]
    # Two halves of one set lie nearer than an untrained generator's images.
    assert floor < metrics["frechet_distance"]["value"]
