"""InfoNCE bounds the mutual information of Gaussians, which is known, and is at most log N.

Pairs (x, y) of `dim` independent coordinates, each of correlation rho: their mutual information is
-dim/2 log(1 - rho^2), and the best critic is the log density ratio log p(y | x) / p(y).
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen.losses import contrastive as losses

# (dim, rho, N): information far below log N, of its size, and far above it.
GAUSSIANS = [(2, 0.5, 256), (4, 0.9, 64), (20, 0.9, 16)]
every_gaussian = pytest.mark.parametrize(("dim", "rho", "count"), GAUSSIANS)


def information(dim, rho):
    return -dim / 2 * np.log(1 - rho**2)


def draw(random, count, dim, rho):
    x, noise = random.normal(size=(2, count, dim))
    return x.astype("float32"), (rho * x + np.sqrt(1 - rho**2) * noise).astype("float32")


def best_critic(x, y, rho):
    """Vectors whose product is the log density ratio but for what depends on x alone.

    log p(y | x) - log p(y) = -(y - rho x)^2 / (2 (1 - rho^2)) + y^2 / 2 + ..., a coordinate.
    """
    variance = 1 - rho**2
    ones = np.ones_like(x[:, :1])
    bias = -(rho**2) * (y**2).sum(axis=1, keepdims=True) / (2 * variance)
    return np.hstack([rho * x / variance, ones]), np.hstack([y, bias])


def estimates(queries, candidates, count):
    """log N - loss of batches of N, each one's positive among the batch."""
    batches = zip(
        np.split(queries, len(queries) // count),
        np.split(candidates, len(queries) // count),
        strict=True,
    )
    return [
        np.log(count)
        - losses.info_nce_among(q, c, np.arange(count), temperature=1.0).numpy().mean()
        for q, c in batches
    ]


@every_gaussian
def test_best_critic(dim, rho, count):
    truth = information(dim, rho)
    x, y = draw(np.random.RandomState(0), 200 * count, dim, rho)
    values = estimates(*best_critic(x, y, rho), count)
    # The loss is never negative, so this one holds for each batch; the other in expectation.
    assert max(values) <= np.log(count)
    error = np.std(values) / np.sqrt(len(values))
    assert np.mean(values) <= truth + 3 * error
    # Where one of the two is far above the other, the bound is nearly reached.
    lowest, highest = sorted([truth, np.log(count)])
    assert np.mean(values) >= 0.85 * lowest
    if highest > 5 * lowest:
        assert np.mean(values) >= 0.98 * lowest - 3 * error


@every_gaussian
def test_negatives_of_their_own(dim, rho, count):
    """The same of a query, its positive and N - 1 negatives, as a queue or as one's own."""
    truth = information(dim, rho)
    random = np.random.RandomState(1)
    x, y = draw(random, 500, dim, rho)
    queries, positives = best_critic(x, y, rho)
    negatives = random.normal(size=(500, count - 1, dim)).astype("float32")
    bias = -(rho**2) * (negatives**2).sum(axis=-1, keepdims=True) / (2 * (1 - rho**2))
    negatives = np.concatenate([negatives, bias], axis=-1)
    for given in (negatives, negatives[0]):
        values = np.log(count) - losses.info_nce(queries, positives, given, temperature=1.0).numpy()
        assert values.max() <= np.log(count)
        if given.ndim == 3:
            # One queue for all queries has an error of its own, which these do not show.
            error = values.std() / np.sqrt(len(values))
            assert values.mean() <= truth + 3 * error
            assert values.mean() >= 0.85 * min(truth, np.log(count)) - 3 * error


@pytest.mark.parametrize(("dim", "rho", "count"), [(2, 0.8, 128), (16, 0.95, 16)])
def test_trained_critic(dim, rho, count):
    """Two small networks and their product learn the ratio from the loss alone."""

    def network():
        relu = dict(activation="relu")
        return keras.Sequential(
            [
                keras.Input((dim,)),
                keras.layers.Dense(64, **relu),
                keras.layers.Dense(32),
            ]
        )

    of_x, of_y = network(), network()
    weights = of_x.trainable_variables + of_y.trainable_variables
    optimizer = keras.optimizers.Adam(3e-3)
    optimizer.build(weights)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = losses.info_nce_among(of_x(x), of_y(y), tf.range(count), temperature=1.0)
            loss = tf.reduce_mean(loss)
        optimizer.apply(tape.gradient(loss, weights), weights)

    random = np.random.RandomState(0)

    def estimate():
        x, y = draw(random, 100 * count, dim, rho)
        values = estimates(of_x(x).numpy(), of_y(y).numpy(), count)
        return np.mean(values), np.std(values) / np.sqrt(len(values))

    before, _ = estimate()
    for _ in range(600):
        step(*draw(random, count, dim, rho))
    after, error = estimate()
    truth = information(dim, rho)
    assert before < 0.1
    assert after <= np.log(count)
    assert after <= truth + 3 * error
    # A critic of 64 units and 600 steps leaves a few percent.
    assert after >= 0.9 * min(truth, np.log(count))
