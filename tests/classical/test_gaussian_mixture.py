"""The mixture of Gaussians beside scikit-learn's from the same start."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from sklearn.mixture import GaussianMixture as Reference

import kgen
from kgen import callbacks, data

CENTERS = np.array([[0.0, 0.0], [4.0, 1.0], [-3.0, 5.0]])


def points(count=300, seed=0, offset=0.0):
    draws = np.random.RandomState(seed)
    scales = np.array([[1.0, 0.3], [0.5, 1.5], [0.8, 0.8]])
    which = draws.randint(3, size=count)
    noise = draws.normal(size=(count, 2)) * scales[which]
    return (CENTERS[which] + noise + offset).astype("float32")


def reference(x, *, covariance, steps, means):
    """scikit-learn's EM from the covariances and weights that kgen starts with."""
    precisions = 1.0 / (x.astype(np.float64).var(axis=0) + 1e-6)
    start = {
        "full": np.tile(np.diag(precisions), (len(means), 1, 1)),
        "diag": np.tile(precisions, (len(means), 1)),
    }
    model = Reference(
        len(means),
        covariance_type=covariance,
        max_iter=steps,
        tol=0.0,
        means_init=means,
        weights_init=np.full(len(means), 1.0 / len(means)),
        precisions_init=start[covariance],
    )
    with pytest.warns(match="did not converge"):
        return model.fit(x.astype(np.float64))


@pytest.mark.parametrize("covariance, theirs", [("full", "full"), ("diagonal", "diag")])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_equal_to_scikit_learn(covariance, theirs, offset):
    """From the same start, after the same number of steps, in batches that do not divide."""
    x = points(offset=offset)
    model = kgen.GaussianMixture(3, 2, covariance=covariance)
    model.compile()
    model.start((x, None))
    expected = reference(x, covariance=theirs, steps=8, means=model.means.numpy())
    model.fit(data.from_arrays(x, batch_size=70), epochs=8, verbose=0)
    np.testing.assert_allclose(model.weights_of_components, expected.weights_, rtol=1e-5)
    np.testing.assert_allclose(model.means, expected.means_, rtol=1e-5, atol=1e-5)
    covariances = expected.covariances_
    if theirs == "diag":
        covariances = np.stack([np.diag(row) for row in covariances])
    np.testing.assert_allclose(model.covariances, covariances, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        model.log_prob(x), expected.score_samples(x.astype(np.float64)), rtol=1e-5, atol=1e-5
    )
    shares = expected.predict_proba(x.astype(np.float64))
    np.testing.assert_allclose(model.responsibilities(x), shares, atol=1e-5)


def test_the_likelihood_never_falls_and_batches_do_not_matter():
    x = points()
    histories = []
    for batch_size in (300, 64):
        model = kgen.GaussianMixture(3, 2, seed=2)
        model.compile()
        # Both begin with the means that the whole data give.
        model.start((x, None))
        history = model.fit(x, batch_size=batch_size, epochs=12, verbose=0).history["loss"]
        histories.append(history)
    assert np.all(np.diff(histories[0]) < 1e-6)
    np.testing.assert_allclose(histories[0], histories[1], rtol=1e-6)


def test_log_prob_is_that_of_scipy():
    model = kgen.GaussianMixture(2, 3)
    model.weights_of_components.assign([0.3, 0.7])
    model.means.assign([[0.0, 1.0, 2.0], [-1.0, 0.0, 3.0]])
    factor = np.random.RandomState(0).normal(size=(2, 3, 3))
    covariances = factor @ factor.transpose(0, 2, 1) + np.eye(3)
    model.covariances.assign(covariances)
    x = np.random.RandomState(1).normal(size=(10, 3)).astype("float32")
    expected = sum(
        weight * scipy.stats.multivariate_normal(mean, covariance).pdf(x)
        for weight, mean, covariance in zip(
            (0.3, 0.7), model.means.numpy(), covariances, strict=True
        )
    )
    np.testing.assert_allclose(model.log_prob(x), np.log(expected), rtol=1e-5)
    samples = model.sample(20_000, seed=0).numpy()
    mean = 0.3 * model.means.numpy()[0] + 0.7 * model.means.numpy()[1]
    np.testing.assert_allclose(samples.mean(axis=0), mean, atol=0.06)
    # The law of total covariance.
    centered = model.means.numpy() - mean
    total = sum(
        weight * (covariance + np.outer(row, row))
        for weight, covariance, row in zip((0.3, 0.7), covariances, centered, strict=True)
    )
    np.testing.assert_allclose(np.cov(samples.T), total, atol=0.15)


def test_weights_count_as_repetitions():
    x = points(60)
    weights = np.random.RandomState(3).randint(0, 4, size=60)
    fitted = []
    for rows, given in ((x, weights.astype("float32")), (np.repeat(x, weights, axis=0), None)):
        model = kgen.GaussianMixture(3, 2)
        model.compile()
        model.start((x, None))
        given = np.ones(len(rows), "float32") if given is None else given
        for _ in range(3):
            model.train_on_batch(rows, np.zeros(len(rows), "int32"), sample_weight=given)
            model.after_epoch(0)
        fitted.append(model.means.numpy())
    np.testing.assert_allclose(*fitted, rtol=1e-6)


def test_killed_and_resumed_is_the_same(tmp_path):
    x = points()
    means = []
    for stops in ((6,), (2, 6)):
        for stop in stops:
            model = kgen.GaussianMixture(3, 2)
            model.compile()
            backup = callbacks.BackupAndRestore(tmp_path / str(len(stops)))
            model.fit(
                data.from_arrays(x, batch_size=100), epochs=stop, callbacks=[backup], verbose=0
            )
        means.append(model.means.numpy())
    np.testing.assert_array_equal(*means)


def test_sums_of_an_epoch_under_way_are_saved(tmp_path):
    model = kgen.GaussianMixture(3, 2)
    model.compile()
    model.before_training((points(), None))
    model.train_on_batch(points(50))
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    for name, total in model._sums.items():
        np.testing.assert_array_equal(total, restored._sums[name])
    assert float(restored._sums["count"].numpy()) == 50.0
    # Without compiling there are no sums, and the parameters load all the same.
    bare = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_array_equal(bare.means, model.means)


def test_larger_than_memory():
    """A generator that never holds more than a batch, of 50,000 rows."""

    def batches():
        for seed in range(50):
            yield points(1000, seed=seed)

    dataset = tf.data.Dataset.from_generator(
        batches, output_signature=tf.TensorSpec((None, 2), tf.float32)
    ).apply(tf.data.experimental.assert_cardinality(50))
    model = kgen.GaussianMixture(3, 2, seed=1)
    model.compile()
    stop = keras.callbacks.EarlyStopping(monitor="loss", min_delta=1e-4, patience=2)
    model.fit(dataset, epochs=30, callbacks=[stop], verbose=0)
    found = model.means.numpy()
    distances = np.linalg.norm(found[:, None] - CENTERS, axis=-1)
    assert sorted(distances.argmin(axis=1)) == [0, 1, 2] and distances.min(axis=1).max() < 0.1


def test_bad_input():
    with pytest.raises(ValueError, match="covariance must be 'full' or 'diagonal'"):
        kgen.GaussianMixture(2, 2, covariance="spherical")
    model = kgen.GaussianMixture(3, 2)
    model.compile()
    with pytest.raises(ValueError, match="first batch has 2 rows, fewer than num_components=3"):
        model.fit(points(2), verbose=0)
    with pytest.raises(ValueError, match=r"x: Expected points of shape \(batch, 2\), received"):
        model.fit(np.zeros((4, 3), "float32"), verbose=0)
    with pytest.raises(TypeError, match="optimizer"):
        model.compile(optimizer="adam")


def test_given_means_are_where_it_starts(tmp_path):
    x, means = points(), [[0.0, 0.0], [1.0, 2.0], [3.0, -1.0]]
    model = kgen.GaussianMixture(3, 2, initial_means=means)
    model.compile()
    model.start((x, None))
    np.testing.assert_array_equal(model.means, means)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    assert restored.initial_means == means
    # It has started: no further start takes place.
    restored.means.assign(restored.means + 1.0)
    restored.start((x, None))
    np.testing.assert_array_equal(restored.means, np.add(means, 1.0))
    with pytest.raises(ValueError, match=r"initial_means of shape \(3, 2\), received \(2, 2\)"):
        kgen.GaussianMixture(3, 2, initial_means=means[:2])


def test_an_interrupted_epoch_does_not_count():
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                raise KeyboardInterrupt

    x, counts = points(64), []
    model = kgen.GaussianMixture(3, 2)
    model.compile()
    update = model.update
    model.update = lambda totals: counts.append(float(totals["count"])) or update(totals)
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, batch_size=16, epochs=1, callbacks=[Stop()], verbose=0)
    model.fit(x, batch_size=16, epochs=2, verbose=0)
    assert counts == [64.0, 64.0]


def test_it_starts_after_a_step_by_hand_and_on_no_unseen_batch():
    x = points()
    model = kgen.GaussianMixture(3, 2)
    model.compile()
    model.train_on_batch(x[:10])
    model.fit(x, batch_size=100, epochs=2, verbose=0)
    assert np.abs(np.diff(model.means.numpy(), axis=0)).max() > 0.1
    model = kgen.GaussianMixture(3, 2)
    model.compile()
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    unseen = strategy.experimental_distribute_dataset(data.from_arrays(x))
    with pytest.raises(ValueError, match=r"model.start\(\(x, y\)\), before fit"):
        model.fit(unseen, verbose=0)
