"""The Frechet distance against SciPy, against a closed form, and as a stream."""

import tracemalloc

import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf

from kgen.evaluation import FeatureStatistics, feature_statistics, frechet_distance


def slow_frechet_distance(x, y, epsilon=1e-6):
    """As clean-fid writes it: moments of NumPy, SciPy's square root of the unsymmetric product."""
    difference = x.mean(axis=0) - y.mean(axis=0)
    first, second = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(first @ second)
    if not np.isfinite(root).all():
        offset = epsilon * np.eye(len(first))
        root = scipy.linalg.sqrtm((first + offset) @ (second + offset))
    if np.iscomplexobj(root):
        assert np.abs(np.diagonal(root).imag).max() < 1e-3
        root = root.real
    return difference @ difference + np.trace(first) + np.trace(second) - 2 * np.trace(root)


def correlated(seed, count, dim=6):
    """Features in [0, 1] with correlations, in float32 as an extractor gives them."""
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(dim, dim))
    features = random.normal(size=(count, dim)) @ mixing + random.normal(size=dim)
    return (1 / (1 + np.exp(-features))).astype("float32")


def test_as_scipy_gives_it(pixels, as_images):
    x, y = correlated(0, 80), correlated(1, 50)
    result = frechet_distance(as_images(x), as_images(y), pixels(6))
    expected = slow_frechet_distance(x.astype("float64"), y.astype("float64"))
    assert expected > 0.1
    # Both are in double precision; SciPy's root of an unsymmetric matrix keeps about ten digits.
    assert result["value"] == pytest.approx(expected, rel=1e-8)
    assert (result["num_real"], result["num_generated"]) == (80, 50)
    assert "80 real and 50 generated" in result["protocol"]


# SciPy says so of the product; the trace of the root is right all the same.
@pytest.mark.filterwarnings("ignore:Matrix is singular")
def test_with_a_singular_covariance(pixels, as_images):
    x, y = correlated(0, 80), correlated(1, 50)
    x[:, 3] = y[:, 3] = 0.5
    x[:, 4] = x[:, 5]
    result = frechet_distance(as_images(x), as_images(y), pixels(6))
    # Zero eigenvalues come out as 1e-17, whose roots, times two, are 1e-8.
    expected = slow_frechet_distance(x.astype("float64"), y.astype("float64"))
    assert result["value"] == pytest.approx(expected, abs=1e-6)


def axes(mean, offsets):
    """Points mean +- offset on each axis: a covariance of diagonal 2 offset^2 / (2 dim - 1)."""
    steps = np.diag(offsets)
    return np.concatenate([mean + steps, mean - steps])


def test_closed_form_of_diagonal_gaussians(pixels, as_images):
    # |m - m'|^2 + sum (s - s')^2; powers of two, so that float32 holds them exactly.
    mean, other_mean = np.array([0.5, 0.5, 0.5]), np.array([0.5, 0.25, 0.625])
    offsets, other_offsets = np.array([0.25, 0.125, 0.0625]), np.array([0.125, 0.25, 0.25])
    result = frechet_distance(
        as_images(axes(mean, offsets)), as_images(axes(other_mean, other_offsets)), pixels(3)
    )
    expected = np.sum((mean - other_mean) ** 2) + np.sum((offsets - other_offsets) ** 2) * 2 / 5
    # Double precision, through two decompositions.
    assert result["value"] == pytest.approx(expected, rel=1e-10)


def test_equal_sets_have_no_distance(pixels, as_images):
    x = as_images(correlated(0, 80))
    # Twice the trace (about 1) cancels at double precision, after two roots.
    assert frechet_distance(x, x, pixels(6))["value"] == pytest.approx(0.0, abs=1e-10)


def test_streaming_equals_all_at_once():
    features = correlated(0, 1000).astype("float64")
    # Far from 0, where sums of squares lose the digits of the covariance.
    features = 1e4 + features
    for batch_size in (1, 7, 999, 1000):
        statistics = FeatureStatistics()
        for at in range(0, 1000, batch_size):
            statistics.update(features[at : at + batch_size])
        assert statistics.num_images == 1000
        np.testing.assert_allclose(statistics.mean, features.mean(axis=0), rtol=1e-14)
        # Each update rounds the mean at 1e4 * 2^-53 = 1e-12; sums of squares would be 1e-8 off.
        np.testing.assert_allclose(statistics.covariance, np.cov(features.T), rtol=0, atol=1e-10)


def test_memory_does_not_grow_with_the_number_of_images():
    batch = np.random.default_rng(0).normal(size=(50, 40))

    def peak(num_batches):
        tracemalloc.start()
        try:
            statistics = FeatureStatistics()
            for _ in range(num_batches):
                statistics.update(batch)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(2)
    # A single batch that is kept would be 16,000 bytes.
    assert peak(200) < peak(2) + 4_000


def test_statistics_are_reused_saved_and_loaded(pixels, as_images, tmp_path):
    x, extractor = as_images(correlated(0, 80)), pixels(6)
    statistics = feature_statistics(tf.data.Dataset.from_tensor_slices(x).batch(9), extractor)
    statistics.save(tmp_path / "real.npz")
    loaded = FeatureStatistics.load(tmp_path / "real.npz")
    for seed in (1, 2):
        y = as_images(correlated(seed, 50))
        expected = frechet_distance(statistics, y, extractor)
        assert frechet_distance(loaded, y, extractor) == expected
        # Sums over batches of 9 and of 80 round differently.
        direct = frechet_distance(x, y, extractor)["value"]
        assert expected["value"] == pytest.approx(direct, rel=1e-10)
    loaded.update(correlated(3, 5))
    assert loaded.num_images == 85


def test_statistics_of_other_features(pixels, as_images):
    x = as_images(correlated(0, 80))
    statistics = feature_statistics(x, pixels(6, name="retina"))
    with pytest.raises(ValueError, match="features of 'retina', the extractor is 'cochlea'"):
        frechet_distance(statistics, x, pixels(6, name="cochlea"))
    anonymous = FeatureStatistics()
    with pytest.raises(ValueError, match="have seen no image"):
        frechet_distance(anonymous, x, pixels(6))
    anonymous.update(np.eye(4))
    with pytest.raises(ValueError, match="4 features, the generated ones 6"):
        frechet_distance(anonymous, x, pixels(6))


def test_wrong_features():
    statistics = FeatureStatistics()
    with pytest.raises(ValueError, match="empty"):
        statistics.save("never_written.npz")
    for wrong in (np.zeros(3), np.zeros((2, 2, 2)), np.zeros((0, 3))):
        with pytest.raises(ValueError, match="shape"):
            statistics.update(wrong)
    with pytest.raises(ValueError, match="NaN"):
        statistics.update([[np.nan, 0.0]])
    statistics.update(np.eye(3))
    with pytest.raises(ValueError, match="Expected 3 features"):
        statistics.update(np.eye(2))


def test_few_images_warn_and_one_fails(pixels, as_images):
    x, extractor = as_images(correlated(0, 80)), pixels(6)
    # Six points span five dimensions at most.
    with pytest.warns(UserWarning, match="6 generated images for 6 features"):
        frechet_distance(x, x[:6], extractor)
    frechet_distance(x, x[:7], extractor)
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="at least 2 images"):
        frechet_distance(x, x[:1], extractor)
