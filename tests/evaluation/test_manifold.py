"""Precision, recall, density and coverage against full matrices of distances; memorization."""

import numpy as np
import pytest
import tensorflow as tf

from kgen.evaluation import manifold, nearest_neighbours, precision_recall_density_coverage


def slow_measures(real, generated, k):
    """The papers' definitions, point by point."""

    def distance(a, b):
        return np.sqrt(np.sum((a.astype("float64") - b.astype("float64")) ** 2))

    def radius(points, index):
        others = [distance(points[index], p) for j, p in enumerate(points) if j != index]
        return sorted(others)[k - 1]

    def inside(point, centers):
        return [distance(point, c) <= radius(centers, i) for i, c in enumerate(centers)]

    around_generated = [inside(y, real) for y in generated]
    around_real = [inside(x, generated) for x in real]
    covered = [any(row[i] for row in around_generated) for i in range(len(real))]
    return dict(
        precision=np.mean([any(row) for row in around_generated]),
        recall=np.mean([any(row) for row in around_real]),
        density=np.mean([sum(row) for row in around_generated]) / k,
        coverage=np.mean(covered),
    )


def draw(seed, count, low=0.0, dim=3):
    return np.random.default_rng(seed).uniform(low, 1.0, size=(count, dim)).astype("float32")


@pytest.mark.parametrize(("k", "dim"), [(1, 3), (3, 3), (3, 20)])
def test_as_the_papers_define_them(pixels, as_images, monkeypatch, k, dim):
    # Blocks of a few rows, so that several are joined.
    monkeypatch.setattr(manifold, "_BLOCK_MEGABYTES", 0.002)
    real, generated = draw(0, 40, dim=dim), draw(1, 27, low=0.25, dim=dim)
    expected = slow_measures(real, generated, k)
    result = precision_recall_density_coverage(
        as_images(real), as_images(generated), pixels(dim), num_neighbours=k
    )
    # The distances are all different, so the counts are exact.
    assert {name: part["value"] for name, part in result.items()} == pytest.approx(expected)
    assert len(set(expected.values())) == 4 and 0 < expected["coverage"] < 1
    for name, part in result.items():
        assert part["protocol"].startswith(f"{name}, k={k}, {dim} features of 'pixels'")
        assert "40 real and 27 generated" in part["protocol"]


def test_far_apart_and_equal(pixels, as_images):
    low, high = as_images(0.1 * draw(0, 20)), as_images(0.9 + 0.1 * draw(1, 20))
    for part in precision_recall_density_coverage(low, high, pixels(3)).values():
        assert part["value"] == 0.0
    same = precision_recall_density_coverage(low, low, pixels(3))
    assert [same[n]["value"] for n in ("precision", "recall", "coverage")] == [1.0, 1.0, 1.0]


def test_a_collapsed_generator_is_precise_and_recalls_nothing(pixels, as_images):
    real = draw(0, 30)
    one = np.repeat(real.mean(axis=0, keepdims=True), 30, axis=0)
    result = precision_recall_density_coverage(as_images(real), as_images(one), pixels(3))
    assert result["precision"]["value"] == 1.0
    assert result["recall"]["value"] == 0.0
    assert result["coverage"]["value"] < 0.5


def test_too_few_images(pixels, as_images):
    with pytest.raises(ValueError, match="at least 6 generated images, received 5"):
        precision_recall_density_coverage(as_images(draw(0, 9)), as_images(draw(1, 5)), pixels(3))


@pytest.mark.parametrize("with_extractor", [False, True])
@pytest.mark.parametrize("dim", [3, 20])
def test_nearest_training_images(pixels, as_images, with_extractor, dim):
    training, samples = draw(0, 50, dim=dim), draw(1, 8, dim=dim)
    extractor = pixels(dim) if with_extractor else None
    batches = tf.data.Dataset.from_tensor_slices(as_images(training)).batch(7)
    result = nearest_neighbours(as_images(samples), batches, extractor=extractor, num_neighbours=4)
    distances = np.linalg.norm(samples[:, None] - training[None], axis=-1)
    np.testing.assert_array_equal(result["indices"], np.argsort(distances, axis=1)[:, :4])
    # Float32 differences.
    np.testing.assert_allclose(result["distances"], np.sort(distances, axis=1)[:, :4], rtol=1e-5)
    among = np.linalg.norm(training[:, None] - training[None], axis=-1)
    np.fill_diagonal(among, np.inf)
    ratios = distances.min(axis=1) / among.min(axis=1)[distances.argmin(axis=1)]
    np.testing.assert_allclose(result["ratios"], ratios, rtol=1e-5)
    assert result["value"] == pytest.approx(np.median(ratios), rel=1e-5)
    assert ("features of 'pixels'" if with_extractor else "Euclidean in pixels") in (
        result["protocol"]
    )


def test_copies_have_ratio_zero(as_images):
    training = draw(0, 30, dim=20)
    # Image 7 twice: a copy of it is still a copy, and anything near it infinitely farther.
    training[11] = training[7]
    samples = np.stack([training[3], training[7], training[7] * 0.999])
    result = nearest_neighbours(as_images(samples), as_images(training), num_neighbours=1)
    assert result["indices"][0, 0] == 3
    np.testing.assert_array_equal(result["ratios"], [0.0, 0.0, np.inf])
    assert result["value"] == 0.0


def test_too_few_training_images(as_images):
    images = as_images(draw(0, 4))
    with pytest.raises(ValueError, match="at least 5 training images, received 4"):
        nearest_neighbours(images, images)


def test_figures_that_look_wrong_are_explained(pixels, as_images):
    real = draw(0, 200)
    collapsed = 0.5 + 0.01 * draw(1, 200)
    figures = precision_recall_density_coverage(as_images(real), as_images(collapsed), pixels(3))
    assert figures["precision"]["value"] > 0.9 and figures["recall"]["value"] < 0.1
    assert "mode collapse" in figures["recall"]["note"]
    figures = precision_recall_density_coverage(as_images(real), as_images(draw(2, 200)), pixels(3))
    assert not any("note" in each for each in figures.values())
