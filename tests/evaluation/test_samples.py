import statistics

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import DENSE_PLAYERS, SHAPE

import kgen
from kgen import callbacks, evaluation, seeds
from kgen.evaluation import samples


@pytest.fixture(scope="module")
def model():
    return kgen.GAN.for_images(SHAPE, latent_dim=2, **DENSE_PLAYERS)


@pytest.fixture(scope="module")
def networks():
    """An extractor of few features and a classifier, both untrained."""
    inputs = keras.Input(SHAPE)
    hidden = keras.layers.Flatten()(keras.layers.AveragePooling2D(3)(inputs))
    extractor = keras.Model(inputs, hidden, name="pooling")
    return extractor, keras.Model(inputs, keras.layers.Dense(3)(hidden), name="classes")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(size=(80, *SHAPE)).astype("float32")


class SeedsAsSamples:
    """Its samples are their seeds, and the labels where there are some."""

    def sample(self, num_samples, *, condition=None, seed=None):
        rows = seeds.seed_rows(seed, num_samples)
        if condition is None:
            return rows
        return tf.concat([rows, tf.constant(condition)[:, None]], axis=1)


class Recorder:
    """Keeps what a model drew."""

    def __init__(self, model):
        self.model = model
        self.drawn = []

    def sample(self, num_samples, *, seed):
        self.drawn.append(self.model.sample(num_samples, seed=seed).numpy())
        return self.drawn[-1]


def test_samples_are_those_of_the_verb(model):
    drawn = evaluation.draw_samples(model, 7, batch_size=3, seed=4)
    of_batches = [int(seeds.fold_in(seeds.as_seed(4), batch, 0)[0]) for batch in range(3)]
    expected = np.concatenate([model.sample(3, seed=seed) for seed in of_batches])[:7]
    # Matrix products may round differently at another batch size.
    np.testing.assert_allclose(drawn, expected, atol=1e-6)


def test_other_seeds_are_other_samples():
    draws = [
        {tuple(row) for row in evaluation.draw_samples(SeedsAsSamples(), 40, batch_size=4, seed=s)}
        for s in (0, 1, 2, -1)
    ]
    assert len(set.union(*draws)) == 4 * 40


def test_each_sample_has_its_label():
    labels = np.arange(7, dtype="int32")
    drawn = evaluation.draw_samples(SeedsAsSamples(), 7, condition=labels, batch_size=3)
    np.testing.assert_array_equal(drawn[:, 2], labels)
    with pytest.raises(ValueError, match="expected 7 rows.*shape \\(3,\\)"):
        evaluation.draw_samples(SeedsAsSamples(), 7, condition=labels[:3])


def test_all_figures_with_their_spread_and_protocol(model, networks, images):
    extractor, classifier = networks
    recorder = Recorder(model)
    metrics = evaluation.sample_quality(
        recorder, images[:30], extractor, classifier=classifier, num_samples=20, train=images[20:]
    )
    assert {"frechet_distance", "kernel_distance", "precision", "inception_score"} < set(metrics)
    for name, metric in metrics.items():
        assert np.isfinite(metric["value"]) and metric["protocol"]
        assert metric["standard_deviation"] >= 0
        assert metric["num_draws"] == (3 if name == "frechet_distance_of_real_images" else 5)
    distance = metrics["frechet_distance"]
    assert distance["num_generated"] == 20
    values = [
        evaluation.frechet_distance(images[:20], drawn, extractor)["value"]
        for drawn in recorder.drawn
    ]
    assert len(values) == len(set(values)) == 5
    assert distance["value"] == pytest.approx(statistics.mean(values), rel=1e-9)
    assert distance["standard_deviation"] == pytest.approx(statistics.stdev(values), rel=1e-6)
    assert distance["standard_error"] == pytest.approx(statistics.stdev(values) / 5**0.5, rel=1e-6)
    # Two halves of one set lie nearer than an untrained generator's images.
    assert metrics["frechet_distance_of_real_images"]["value"] < distance["value"]


def test_the_floor_is_of_sets_without_a_common_image(networks, images):
    extractor, _ = networks
    sets = list(samples._random_sets(images[:60], extractor, 20, 5, 0))
    assert [part.num_images for part in sets] == [20, 20, 20]
    # Together they are all of the images: float32 features, sums in double precision.
    everything = evaluation.feature_statistics(images[:60], extractor)
    np.testing.assert_allclose(np.mean([s.mean for s in sets], axis=0), everything.mean, rtol=1e-12)
    in_order = evaluation.feature_statistics(images[:20], extractor)
    assert np.abs(sets[0].mean - in_order.mean).max() > 1e-3
    (few,) = samples._random_sets(images[:7], extractor, 20, 5, 0)
    assert few.num_images == 7


def test_an_extractor_alone_and_one_draw(model, networks, images):
    extractor, _ = networks
    metrics = evaluation.sample_quality(model, images[:20], extractor, num_draws=1)
    assert "inception_score" not in metrics
    distance = metrics["kernel_distance"]
    assert distance["subset_size"] == 10 and distance["standard_error"] > 0
    with pytest.raises(ValueError, match="seed must be an integer of at least 0"):
        evaluation.sample_quality(model, images, extractor, seed=-1)


def test_figures_while_training(networks, images):
    """What the README shows."""
    extractor, _ = networks
    gan = kgen.GAN.for_images(SHAPE, latent_dim=2, **DENSE_PLAYERS)
    gan.compile(
        generator_optimizer=keras.optimizers.Adam(1e-3),
        discriminator_optimizer=keras.optimizers.Adam(1e-3),
    )
    logger = callbacks.EvaluationLogger(
        lambda model: evaluation.sample_quality(model, images[:20], extractor, num_draws=1)
    )
    history = gan.fit(images, batch_size=40, verbose=0, callbacks=[logger]).history
    expected = evaluation.sample_quality(gan, images[:20], extractor, num_draws=1)
    for name, metric in expected.items():
        assert history[name] == [metric["value"]]
