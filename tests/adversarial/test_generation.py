"""Latents, paths, inversion and endpoints of models that generate."""

import numpy as np
import pytest
import tensorflow as tf
from adversarial.players import (
    SHAPE,
    constant_generator,
    dense_players,
    images,
    linear_discriminator,
    points,
)

import kgen
from kgen import networks, specs
from kgen.adversarial.parts import generation
from kgen.verbs.decoding import linear_interpolation, spherical_interpolation


def latents_of(model, seeds, truncation=None):
    """As `sample_latents`, in a graph: eagerly a row takes 10 ms."""
    return tf.function(model.sample_latents)(tf.constant(seeds), truncation=truncation).numpy()


# Latents.


def test_latents_are_normal():
    from scipy import stats

    model = kgen.GAN(*dense_players(latent_dim=3))
    seeds = np.stack([np.full(700, 5), np.arange(700)], axis=1).astype("int32")
    latents = latents_of(model, seeds)
    assert latents.shape == (700, 3)
    # A p-value below 0.001 comes once in a thousand seeds; the seed is fixed.
    assert stats.kstest(latents.ravel(), stats.norm.cdf).pvalue > 0.001
    training = model.latents(700, tf.constant([1, 2])).numpy()
    assert stats.kstest(training.ravel(), stats.norm.cdf).pvalue > 0.001
    # The coordinates of a row are independent of one another, and so are the rows.
    for pair in (latents[:, :2].T, (latents[:-1, 0], latents[1:, 0])):
        assert abs(np.corrcoef(*pair)[0, 1]) < 4 / np.sqrt(700)


@pytest.mark.parametrize("truncation", [0.3, 1.0, 2.5])
def test_truncated_latents(truncation):
    from scipy import stats

    model = kgen.GAN(*dense_players(latent_dim=3))
    seeds = np.stack([np.full(700, 5), np.arange(700)], axis=1).astype("int32")
    latents = latents_of(model, seeds, truncation)
    assert np.abs(latents).max() <= np.float32(truncation)
    expected = stats.truncnorm(-truncation, truncation)
    assert stats.kstest(latents.ravel(), expected.cdf).pvalue > 0.001
    # Row by row, in any order; the quantile function rounds the rows of a block by themselves.
    rows = model.sample_latents(seeds[[5, 2]], truncation=truncation)
    np.testing.assert_allclose(rows, latents[[5, 2]], rtol=1e-5)
    received = model.sample(3, truncation=truncation, seed=5)
    np.testing.assert_allclose(received, model.decode(latents[:3]), atol=1e-6)


def test_a_wide_truncation_is_none():
    """Far limits have a mass that float32 rounds to 1: no coordinate may be infinite."""
    from scipy import stats

    model = kgen.GAN(*dense_players(latent_dim=3))
    seeds = np.stack([np.full(700, 5), np.arange(700)], axis=1).astype("int32")
    latents = latents_of(model, seeds, 50.0)
    assert np.abs(latents).max() < 6
    assert stats.kstest(latents.ravel(), stats.norm.cdf).pvalue > 0.001


@pytest.mark.parametrize("truncation", [0.001, 1.0, 2.5, 8.0])
def test_the_outermost_draws_stay_within_the_limits(truncation, monkeypatch):
    """float32 rounds the mass beyond a far limit to 0, whose quantile is infinite."""
    draws = tf.constant([[0.0, 0.5, 1 - 2**-24]])
    monkeypatch.setattr(generation, "sample_rows", lambda distribution, seeds: draws)
    model = kgen.GAN(*dense_players(latent_dim=3))
    low, middle, high = model.sample_latents([[0, 0]], truncation=truncation).numpy()[0]
    limit = np.float32(truncation)
    assert -limit <= low < -0.9 * min(limit, 5) and 0.9 * min(limit, 5) < high <= limit
    assert middle == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("truncation", [0, -1.0, np.inf, np.nan, "1"])
def test_bad_truncation(truncation):
    with pytest.raises(ValueError, match="truncation must be"):
        kgen.GAN(*dense_players()).sample(2, truncation=truncation)


def test_rows_are_functions_of_their_seed():
    model = kgen.GAN(*dense_players())
    first = model.sample(6, seed=3).numpy()
    # A matrix product of another size may round differently.
    np.testing.assert_allclose(model.sample(2, seed=3), first[:2], atol=1e-6)
    assert np.abs(model.sample(6, seed=4) - first).max() > 1e-3
    assert np.abs(model.sample(6) - model.sample(6)).max() > 1e-3
    assert len(np.unique(first.round(5), axis=0)) == 6


@pytest.mark.parametrize("num_samples", [0, -1, 1.5, "3"])
def test_bad_num_samples(num_samples):
    with pytest.raises(ValueError, match="num_samples must be an integer of at least 1"):
        kgen.GAN(*dense_players()).sample(num_samples)


def test_mean_latent():
    model = kgen.GAN(*dense_players())
    seeds = np.array([[9, 4], [9, 0], [9, 2]], "int32")
    expected = model.sample_latents(seeds).numpy().mean(axis=0, keepdims=True)
    np.testing.assert_allclose(model.mean_latent([4, 0, 2], seed=9), expected, atol=1e-6)
    # One index is the sample itself.
    received = model.decode(model.mean_latent(4, seed=9))
    np.testing.assert_allclose(received, model.sample(5, seed=9)[4:], atol=1e-6)
    with pytest.raises(ValueError, match="indices is empty"):
        model.mean_latent([], seed=9)
    with pytest.raises(ValueError, match="seed must be an integer"):
        model.mean_latent([1], seed=None)


# Paths.


def slow_slerp(start, end, weight):
    angle = np.arccos(start @ end / np.linalg.norm(start) / np.linalg.norm(end))
    parts = np.sin((1 - weight) * angle), np.sin(weight * angle)
    return (parts[0] * start + parts[1] * end) / np.sin(angle)


def test_spherical_interpolation():
    start, end = points(6, dim=5), points(6, dim=5, seed=1)
    weight = np.array([0.1, 0.3, 0.5, 0.7, 0.9, 1.3], "float32")
    rows = zip(np.float64(start), np.float64(end), np.float64(weight), strict=True)
    expected = [slow_slerp(*row) for row in rows]
    received = spherical_interpolation(start, end, weight)
    # acos in float32.
    np.testing.assert_allclose(received, expected, atol=1e-5)
    # From e_1 to e_2: a quarter of a circle.
    unit = np.eye(2, dtype="float32")
    received = spherical_interpolation(unit[:1], unit[1:], np.array([1 / 3], "float32"))
    np.testing.assert_allclose(received, [[np.cos(np.pi / 6), np.sin(np.pi / 6)]], atol=1e-6)


@pytest.mark.parametrize("between", [spherical_interpolation, linear_interpolation])
def test_paths_begin_and_end_where_they_should(between):
    start, end = points(6, dim=5), points(6, dim=5, seed=1)
    # a + (b - a) may round.
    for weight, expected in ((0.0, start), (1.0, end)):
        received = between(start, end, np.full(6, weight, "float32"))
        np.testing.assert_allclose(received, expected, rtol=1e-6, atol=1e-6)


def test_spherical_interpolation_of_parallel_latents():
    start = points(3, dim=4)
    half = np.full(3, 0.5, "float32")
    np.testing.assert_allclose(spherical_interpolation(start, start, half), start, rtol=1e-5)
    np.testing.assert_allclose(
        spherical_interpolation(start, 3 * start, half), 2 * start, rtol=1e-3
    )
    # No great circle is the right one between opposite latents, and all is finite.
    assert np.isfinite(spherical_interpolation(start, -start, half)).all()
    assert np.isfinite(spherical_interpolation(0 * start, start, half)).all()


@pytest.mark.parametrize("spherical", [True, False])
def test_interpolate(spherical):
    model = kgen.GAN(*dense_players(SHAPE))
    start, end = points(2), points(2, seed=1)
    path = model.interpolate(start, end=end, num_steps=5, spherical=spherical).numpy()
    assert path.shape == (2, 5, *SHAPE)
    for step, weight in enumerate(np.linspace(0, 1, 5)):
        latents = (1 - weight) * start + weight * end
        if spherical:
            latents = [slow_slerp(*ends, weight) for ends in zip(start, end, strict=True)]
        expected = model.decode(np.array(latents, "float32"))
        np.testing.assert_allclose(path[:, step], expected, atol=1e-5)
    for num_steps in (1, 2.5):
        with pytest.raises(ValueError, match="num_steps must be an integer of at least 2"):
            model.interpolate(start, end=end, num_steps=num_steps)


# Inversion.


def test_invert_finds_the_latents_of_generated_images():
    model = kgen.GAN(*dense_players(SHAPE))
    for average in model._averages.variables:
        # Else the images are nearly grey.
        average.assign(3 * average)
    # Not those that the search starts from.
    latents = model.sample_latents(np.array([[9, 0], [9, 1], [9, 2]], "int32"))
    x = model.decode(latents)
    found, errors = model.invert(x, num_steps=200)
    assert found.shape == (3, 2) and errors.shape == (3,)
    received = np.mean(np.square(model.decode(found) - x), axis=(1, 2, 3))
    # The means of another batch size round differently.
    np.testing.assert_allclose(errors, received, rtol=1e-2, atol=1e-9)
    spread = np.mean(np.square(x - np.mean(x, axis=0)))
    assert np.all(errors < 1e-3 * spread)
    again, _ = model.invert(x, num_steps=200)
    np.testing.assert_allclose(again, found, atol=1e-4)
    # One start from the same prior keeps no better image than several.
    _, of_one = model.invert(x, num_steps=3, num_starts=1)
    _, of_many = model.invert(x, num_steps=3, num_starts=8)
    assert np.mean(of_many) < np.mean(of_one)
    # Nothing of the model moved.
    np.testing.assert_allclose(model.decode(latents), x, atol=1e-6)


def test_invert_with_labels():
    generator = networks.dense_generator(4, (3,), hidden_units=())
    model = kgen.ConditionalGAN(
        networks.conditioned(generator, specs.Labels(3), (2,)),
        networks.projection_discriminator(
            networks.dense_discriminator(3, 4, hidden_units=()), specs.Labels(3)
        ),
        condition=specs.Labels(3),
    )
    labels = np.array([2, 0])
    x = model.sample(2, condition=labels, seed=9)
    _, errors = model.invert(x, condition=labels, num_steps=200)
    assert np.all(errors < 1e-4)
    # Three coordinates from two latents: another label's plane does not hold the point.
    _, others = model.invert(x, condition=(labels + 1) % 3, num_steps=200)
    assert np.all(others > 2 * errors)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(images=np.zeros((2, *SHAPE), "uint8")), "received uint8"),
        (dict(images=np.full((2, *SHAPE), 2.0, "float32")), r"Expected pixels in \[0, 1\]"),
        (dict(num_steps=0), "num_steps must be an integer of at least 1"),
        (dict(num_starts=0), "num_starts must be an integer of at least 1"),
        (dict(learning_rate=0.0), "learning_rate must be"),
        (dict(condition=[0, 1]), "GAN was made without a condition"),
    ],
)
def test_bad_inversions(arguments, message):
    with pytest.raises(ValueError, match=message):
        kgen.GAN(*dense_players(SHAPE)).invert(**{"images": images(2), **arguments})


# Endpoints.


def test_endpoints():
    names = ["sample", "sample_png", "decode", "interpolate", "score", "discriminate"]
    assert list(kgen.GAN(*dense_players(SHAPE)).endpoints()) == names
    names.remove("sample_png")
    assert list(kgen.GAN(*dense_players()).endpoints()) == names
    assert list(kgen.GAN(*dense_players((4, 4, 2))).endpoints()) == names
    model = kgen.GAN(constant_generator(1.0), linear_discriminator(2.0))
    discriminate = model.endpoints()["discriminate"]
    assert [spec.name for spec in discriminate.signature] == ["points"]
    np.testing.assert_allclose(discriminate.function(tf.constant([[3.0]]))["logits"], [6.0])
