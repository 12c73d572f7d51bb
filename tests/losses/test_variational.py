"""The terms against NumPy, SciPy and closed forms."""

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from kgen import heads
from kgen.losses import variational as losses

tfd = tfp.distributions


def softplus_inverse(value):
    return np.log(np.expm1(value))


def params(loc, scale, min_scale=1e-5):
    """The parameters of a location-scale head, float32 `(batch, 2 * latent_dim)`."""
    return np.concatenate([loc, softplus_inverse(scale - min_scale)], axis=-1).astype("float32")


def test_kl_of_normals_is_the_papers():
    """Kingma & Welling 2014, appendix B: -KL = 1/2 sum_j (1 + log s_j^2 - m_j^2 - s_j^2)."""
    random = np.random.RandomState(0)
    loc, scale = random.normal(size=(5, 3)), random.uniform(0.1, 2, size=(5, 3))
    posterior = heads.DiagonalNormal()(params(loc, scale))
    prior = heads.StandardNormal(3).distribution()
    received = losses.kl_by_dim(posterior, prior, tf.zeros((5, 3)))
    expected = -0.5 * (1 + np.log(scale**2) - loc**2 - scale**2)
    # The scale passes through softplus and back in float32.
    np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-5)


def test_kl_of_a_distribution_to_itself_is_zero():
    posterior = heads.DiagonalNormal()(params(np.zeros((2, 3)), np.ones((2, 3))))
    kl = losses.kl_by_dim(posterior, heads.StandardNormal(3).distribution(), tf.zeros((2, 3)))
    np.testing.assert_allclose(kl, np.zeros((2, 3)), atol=1e-6)


@pytest.mark.parametrize(
    ("head", "density"),
    [
        (heads.DiagonalLaplace(), scipy.stats.laplace),
        (heads.DiagonalLogistic(), scipy.stats.logistic),
    ],
    ids=["laplace", "logistic"],
)
def test_kl_without_a_closed_form_is_right_on_average(head, density):
    loc, scale, count = np.array([[0.5, -1.0]]), np.array([[0.4, 0.8]]), 20_000
    posterior = head(np.repeat(params(loc, scale), count, axis=0))
    latents = posterior.sample(seed=(0, 1))
    received = losses.kl_by_dim(posterior, heads.StandardNormal(2).distribution(), latents).numpy()
    assert received.shape == (count, 2)
    for dim in range(2):
        q = density(loc[0, dim], scale[0, dim])
        expected, _ = scipy.integrate.quad(
            lambda z, q=q: q.pdf(z) * (q.logpdf(z) - scipy.stats.norm.logpdf(z)), -20, 20, limit=200
        )
        error = received[:, dim].std() / np.sqrt(count)
        # Five standard errors of the mean.
        assert abs(received[:, dim].mean() - expected) < max(5 * error, 1e-4)


def test_kl_of_joint_distributions_is_one_number():
    posterior = heads.DiagonalNormal()(params(np.zeros((4, 2)), np.full((4, 2), 0.5)))
    latents = posterior.sample(seed=(1, 2))
    prior = heads.MixtureOfNormalsPrior(2, 3).distribution()
    received = losses.kl_by_dim(posterior, prior, latents)
    assert received.shape == (4, 1)
    expected = posterior.log_prob(latents) - prior.log_prob(latents)
    np.testing.assert_allclose(received[:, 0], expected, rtol=1e-6)


def test_kl_of_joint_normals_in_closed_form():
    """Two distributions that are no products: KL in all, `(batch, 1)`."""
    posterior = tfd.MultivariateNormalTriL(
        np.zeros((3, 2), "float32"), np.linalg.cholesky([[1.0, 0.5], [0.5, 1.0]]).astype("float32")
    )
    prior = tfd.MultivariateNormalDiag(np.zeros(2, "float32"), np.ones(2, "float32"))
    received = losses.kl_by_dim(posterior, prior, tf.zeros((3, 2)))
    # 1/2 (trace - 2 - log det), trace 2, det 3/4.
    np.testing.assert_allclose(received, np.full((3, 1), -0.5 * np.log(0.75)), rtol=1e-5)


@pytest.mark.parametrize("offset", [0.0, -1e4, 1e4])
def test_log_mean_exp(offset):
    weights = (np.random.RandomState(0).normal(size=(7, 4)) + offset).astype("float32")
    expected = scipy.special.logsumexp(weights.astype("float64"), axis=0) - np.log(7)
    received = losses.log_mean_exp(tf.constant(weights))
    np.testing.assert_allclose(received, expected, rtol=1e-6, atol=1e-6)


def test_log_mean_exp_of_one_sample_is_the_sample():
    np.testing.assert_array_equal(losses.log_mean_exp(tf.constant([[3.0, -2.0]])), [3.0, -2.0])


def test_commitment():
    random = np.random.RandomState(0)
    latents, codes = random.normal(size=(2, 3, 2, 3, 4)).astype("float32")
    expected = np.zeros(3)
    for image, row, column in np.ndindex(3, 2, 3):
        difference = latents[image, row, column] - codes[image, row, column]
        expected[image] += difference @ difference / 6
    np.testing.assert_allclose(losses.commitment(latents, codes), expected, rtol=1e-5)
    ones = np.ones((2, 5, 5, 3), "float32")
    np.testing.assert_allclose(losses.commitment(ones, 0 * ones), [3.0, 3.0])


def test_commitment_does_not_pull_the_codes():
    latents, codes = tf.ones((1, 1, 1, 2)), tf.zeros((1, 1, 1, 2))
    with tf.GradientTape() as tape:
        tape.watch([latents, codes])
        value = losses.commitment(latents, codes)
    to_latents, to_codes = tape.gradient(value, [latents, codes])
    np.testing.assert_allclose(to_latents, 2 * np.ones((1, 1, 1, 2)))
    assert to_codes is None
