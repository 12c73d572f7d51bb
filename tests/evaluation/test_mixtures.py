"""Mode coverage on points whose modes are placed by hand."""

import math

import numpy as np
import pytest

from kgen.evaluation import mode_coverage

CENTERS = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])


def test_modes_are_counted_by_points_near_them():
    # Three near the first center, one near the second, one just outside of 3 scales of the third.
    points = [[0, 0], [0.5, 0.5], [0, -1.49], [10, 1.4], [0, 11.51]]
    result = mode_coverage(points, CENTERS, scale=0.5)
    assert result["modes_covered"]["value"] == 2
    assert result["modes_covered"]["num_modes"] == 3
    assert result["modes_covered"]["counts"] == [3, 1, 0]
    assert result["high_quality_share"]["value"] == pytest.approx(4 / 5)
    assert "within 3 x 0.5 of the nearest of 3 modes" in result["modes_covered"]["protocol"]
    assert "share of 5 points" in result["high_quality_share"]["protocol"]


def test_num_scales_and_min_count():
    points = [[0, 0], [0, 1], [10, 1], [0, 11.9]]
    result = mode_coverage(points, CENTERS, scale=0.5, num_scales=4, min_count=2)
    assert result["modes_covered"]["counts"] == [2, 1, 1]
    assert result["modes_covered"]["value"] == 1
    assert result["high_quality_share"]["value"] == 1.0


def test_share_of_a_true_mixture():
    from kgen.data.builders import GaussianRing

    random = np.random.default_rng(0)
    centers = GaussianRing.means(None)
    points = centers[random.integers(8, size=20_000)]
    points = points + GaussianRing.scale * random.normal(size=points.shape)
    result = mode_coverage(points, centers, scale=GaussianRing.scale)
    assert result["modes_covered"]["value"] == 8
    # In the plane, P(r <= 3 s) = 1 - exp(-9/2); four standard deviations of 20,000 draws.
    share = 1 - math.exp(-4.5)
    error = math.sqrt(share * (1 - share) / 20_000)
    assert abs(result["high_quality_share"]["value"] - share) < 4 * error


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((0, 2)), "not empty"),
        (np.zeros(2), "shape"),
        (np.zeros((4, 3)), "3 coordinates, the centers 2"),
        ([[0.0, np.nan], [0.0, 0.0]], "NaN or infinity: 1 of 2"),
    ],
)
def test_wrong_points(points, message):
    with pytest.raises(ValueError, match=message):
        mode_coverage(points, CENTERS, scale=1.0)


def test_wrong_scale():
    with pytest.raises(ValueError, match="scale must be"):
        mode_coverage([[0.0, 0.0]], CENTERS, scale=0.0)
