"""The bounds over a data set, against a model whose likelihood is known."""

import math

import numpy as np
import pytest
import tensorflow as tf

from kgen import specs
from kgen.evaluation import (
    active_units,
    bits_per_dim,
    evidence_lower_bound,
    importance_weighted_bound,
)


class Gaussian:
    """p(z) = N(0, 1), p(x|z) = N(z, 1), q(z|x) = N(x/2 + shift, 1/2): log p(x) = log N(x; 0, 2)."""

    image_shape = (1, 1, 1)
    data_spec = specs.Images((1, 1, 1))
    largest = 0

    def __init__(self, shift):
        self.shift = shift

    def importance_weighted_bound(self, x, num_samples=50, seed=None):
        Gaussian.largest = max(Gaussian.largest, num_samples)
        x = tf.reshape(x, (-1,))
        scale = math.sqrt(0.5)
        noise = tf.random.stateless_normal((num_samples, tf.size(x)), seed=seed)
        z = x / 2 + self.shift + scale * noise
        log_q = -0.5 * noise**2 - math.log(scale)
        log_p = -0.5 * z**2 - 0.5 * (x - z) ** 2 - 0.5 * math.log(2 * math.pi)
        weights = log_p - log_q
        return tf.reduce_logsumexp(weights, axis=0) - math.log(num_samples)

    def elbo(self, x, seed=None):
        return self.importance_weighted_bound(x, num_samples=1, seed=seed)

    def encode(self, x):
        x = tf.reshape(x, (-1, 1))
        return tf.concat([x, 0.0 * x], axis=1)


def data(count=300):
    x = np.random.RandomState(0).uniform(size=(count, 1, 1, 1)).astype("float32")
    return x, tf.data.Dataset.from_tensor_slices((x, np.zeros(count))).batch(64)


def log_likelihood(x):
    return float((-0.25 * x**2 - 0.5 * math.log(4 * math.pi)).mean())


def test_with_the_true_posterior_every_bound_is_the_likelihood():
    x, batches = data()
    expected = pytest.approx(log_likelihood(x), abs=1e-4)  # Float32 sums.
    assert evidence_lower_bound(Gaussian(0.0), batches)["value"] == expected
    assert importance_weighted_bound(Gaussian(0.0), batches, num_samples=7)["value"] == expected


def test_bounds_lie_below_and_tighten():
    x, batches = data()
    model = Gaussian(0.5)
    elbo = evidence_lower_bound(model, batches, num_samples=50)
    # KL(q || posterior) = shift^2 / (2 * 1/2) = 1/4; 50 draws of 300 images leave 0.01.
    assert elbo["value"] == pytest.approx(log_likelihood(x) - 0.25, abs=0.03)
    Gaussian.largest = 0
    bound = importance_weighted_bound(model, batches, num_samples=205, chunk_size=20)
    assert Gaussian.largest == 20
    assert elbo["value"] < bound["value"] < log_likelihood(x) + 0.01
    assert bound["value"] == pytest.approx(log_likelihood(x), abs=0.01)
    assert "K=205" in bound["protocol"] and "300 images" in bound["protocol"]
    assert bound["bits_per_dim"] == pytest.approx(-bound["value"] / math.log(2))


def test_the_same_seed_gives_the_same_figure():
    _, batches = data(100)
    model = Gaussian(0.5)
    first = evidence_lower_bound(model, batches, seed=1)
    assert first == evidence_lower_bound(model, batches, seed=1)
    assert first != evidence_lower_bound(model, batches, seed=2)


def test_active_units_counts_dimensions_that_vary():
    _, batches = data()
    result = active_units(Gaussian(0.0), batches)
    assert result["value"] == 1
    assert result["variances"][0] == pytest.approx(1 / 12, abs=0.01)  # Of a uniform variable.


def test_bits_per_dim_of_a_uniform_code():
    # 256 equally likely levels cost 8 bits a dimension.
    assert bits_per_dim(-12 * math.log(256), (2, 2, 3)) == pytest.approx(8.0)


def test_empty_data():
    empty = tf.data.Dataset.from_tensor_slices(np.zeros((0, 1, 1, 1), "float32")).batch(4)
    with pytest.raises(ValueError, match="empty"):
        evidence_lower_bound(Gaussian(0.0), empty)
