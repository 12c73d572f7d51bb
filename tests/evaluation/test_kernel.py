"""The kernel distance against its double sum, and its bias."""

import numpy as np
import pytest

from kgen.evaluation import kernel_distance


def kernel(x, y):
    return (sum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1) ** 3


def slow_squared_mmd(x, y, biased=False):
    """The double sums as they are written."""
    m, n = len(x), len(y)
    within_x = sum(kernel(x[i], x[j]) for i in range(m) for j in range(m) if biased or i != j)
    within_y = sum(kernel(y[i], y[j]) for i in range(n) for j in range(n) if biased or i != j)
    between = sum(kernel(a, b) for a in x for b in y)
    pairs = m * m if biased else m * (m - 1)
    return (within_x + within_y) / pairs - 2 * between / (m * n)


def draw(seed, count, dim=4, low=0.0):
    return np.random.default_rng(seed).uniform(low, 1.0, size=(count, dim)).astype("float32")


def test_one_subset_is_the_double_sum(pixels, as_images):
    x, y = draw(0, 12), draw(1, 12, low=0.3)
    result = kernel_distance(as_images(x), as_images(y), pixels(4))
    # Both in double precision; terms of about 2 cancel to 0.1.
    expected = slow_squared_mmd(x.astype("float64"), y.astype("float64"))
    assert result["value"] == pytest.approx(expected, rel=1e-10)
    assert result["num_subsets"] == 1 and result["standard_error"] is None
    assert result["subset_size"] == 12
    assert "subset(s) of 12 (of 1000 asked for" in result["protocol"]
    assert "'pixels'" in result["protocol"]


def test_subsets_average_to_the_whole(pixels, as_images):
    x, y = draw(0, 40), draw(1, 40, low=0.3)
    result = kernel_distance(
        as_images(x), as_images(y), pixels(4), num_subsets=2000, subset_size=10
    )
    assert result["num_subsets"] == 2000 and "asked for" not in result["protocol"]
    # The double sum over all is the mean over all subsets; four standard errors.
    expected = slow_squared_mmd(x.astype("float64"), y.astype("float64"))
    assert 0 < result["standard_error"] < 0.2 * expected
    assert abs(result["value"] - expected) < 4 * result["standard_error"]


def test_no_bias_for_equal_distributions(pixels, as_images):
    extractor, values, biased = pixels(4), [], []
    for seed in range(60):
        x, y = draw(2 * seed, 8), draw(2 * seed + 1, 8)
        values.append(kernel_distance(as_images(x), as_images(y), extractor)["value"])
        biased.append(slow_squared_mmd(x.astype("float64"), y.astype("float64"), biased=True))
    error = np.std(values) / np.sqrt(60)
    assert min(values) < 0
    # Three standard errors; the sums that keep the diagonal lie far outside.
    assert abs(np.mean(values)) < 3 * error < np.mean(biased) / 3


def test_sets_of_unequal_size_and_seeds(pixels, as_images):
    x, y = as_images(draw(0, 30)), as_images(draw(1, 9))
    options = dict(num_subsets=5)
    first = kernel_distance(x, y, pixels(4), seed=1, **options)
    assert first == kernel_distance(x, y, pixels(4), seed=1, **options)
    assert first["value"] != kernel_distance(x, y, pixels(4), seed=2, **options)["value"]
    assert first["subset_size"] == 9 and first["num_subsets"] == 5
    assert "30 real and 9 generated images, seed 1" in first["protocol"]


def test_wrong_arguments(pixels, as_images):
    x = as_images(draw(0, 5))
    with pytest.raises(ValueError, match="subset_size must be at least 2"):
        kernel_distance(x, x, pixels(4), subset_size=1)
    with pytest.raises(ValueError, match="num_subsets"):
        kernel_distance(x, x, pixels(4), num_subsets=0)
    with pytest.raises(ValueError, match="5 real and 1 generated"):
        kernel_distance(x, x[:1], pixels(4))
