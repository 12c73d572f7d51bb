"""InfoGAN against its paper's equations and SciPy."""

import functools

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from kgen import networks
from kgen.adversarial.infogan import InfoGAN
from kgen.seeds import seed_rows

SHAPE = (4, 5, 1)
IMAGES = np.random.RandomState(0).uniform(size=(6, *SHAPE)).astype("float32")
SMALL = dict(
    num_categories=3,
    generator=functools.partial(networks.dense_generator, hidden_units=(8,), normalization="batch"),
    discriminator=functools.partial(
        networks.dense_discriminator, hidden_units=(8,), normalization="batch"
    ),
)
MIN_SCALE = 0.05


def infogan(**kwargs):
    return InfoGAN.for_images(SHAPE, noise_dim=4, **{**SMALL, **kwargs})


def transparent(sharpness=2.0, raw_scale=0.5):
    """G(z) = z, and a Q that reads the codes off the point: 4 noises, 3 categories, 2 codes."""
    generator = keras.Sequential([keras.Input((9,)), keras.layers.Dense(9, use_bias=False)])
    generator.set_weights([np.eye(9)])
    kernel, bias = np.zeros((9, 8)), np.zeros(8)
    kernel[4:7, 1:4] = sharpness * np.eye(3)
    kernel[7:9, 4:6] = np.eye(2)
    bias[6:] = raw_scale
    discriminator = keras.Sequential([keras.Input((9,)), keras.layers.Dense(8)])
    discriminator.set_weights([kernel, bias])
    return InfoGAN(generator, discriminator, num_categories=3, continuous_dim=2)


def test_bound_of_a_reader_without_doubt_of_the_means():
    """log Q(c|x) + H(c) in closed form: the codes are the means, and the logits e^2 to 1 to 1."""
    model = transparent()
    terms = model.discriminator_objective(np.zeros((5, 9), "float32"))
    category = 2 - np.log(np.exp(2) + 2) + np.log(3)
    scale = MIN_SCALE + np.log1p(np.exp(0.5))
    continuous = 2 * (-np.log(scale * np.sqrt(2 * np.pi)) + np.log(2))
    # Only float32 rounding lies between.
    np.testing.assert_allclose(terms["category_information"], category, rtol=1e-5)
    np.testing.assert_allclose(terms["mutual_information"], category + continuous, rtol=1e-5)


def test_a_sure_reader_knows_the_categorys_entropy():
    terms = transparent(sharpness=50.0).discriminator_objective(np.zeros((5, 9), "float32"))
    np.testing.assert_allclose(terms["category_information"], np.log(3), rtol=1e-6)


def test_a_reader_that_guesses_knows_nothing():
    terms = transparent(sharpness=0.0).discriminator_objective(np.zeros((5, 9), "float32"))
    np.testing.assert_allclose(terms["category_information"], 0.0, atol=1e-6)


@pytest.mark.parametrize("continuous_dim", [0, 2])
def test_objectives_are_the_papers(continuous_dim):
    """Chen et al. 2016, eq. 5 and 6, with SciPy's densities."""
    model = infogan(continuous_dim=continuous_dim, information_weight=0.7, continuous_weight=0.3)
    latents = model.latents(len(IMAGES), model.noise_seed(False)).numpy()
    outputs = model.discriminator(model.generator(latents, training=False), training=False)
    outputs = outputs.numpy().astype("float64")
    real = model.discriminator(IMAGES, training=False).numpy()[:, 0].astype("float64")
    fake, logits = outputs[:, 0], outputs[:, 1:4]
    means, raw_scales = np.split(outputs[:, 4:], 2, axis=1)
    one_hot, continuous = latents[:, 4:7], latents[:, 7:]
    of_category = np.sum(one_hot * scipy.special.log_softmax(logits, axis=1), axis=1) + np.log(3)
    scales = MIN_SCALE + np.log1p(np.exp(raw_scales))
    of_codes = scipy.stats.norm.logpdf(continuous, means, scales)
    of_codes = of_codes.sum(axis=1) + continuous_dim * np.log(2)
    information = 0.7 * (of_category + 0.3 * of_codes)

    terms = model.discriminator_objective(IMAGES)
    softplus = functools.partial(np.logaddexp, 0)
    # float32 against float64, here and below.
    np.testing.assert_allclose(
        terms["loss"], softplus(-real) + softplus(fake) - information, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(
        terms["mutual_information"], of_category + of_codes, rtol=1e-4, atol=1e-5
    )
    terms = model.generator_objective(IMAGES)
    np.testing.assert_allclose(terms["loss"], softplus(-fake) - information, rtol=1e-4, atol=1e-5)


def test_prior():
    """SciPy's tests of fit on 2,000 draws of a fixed seed; a wrong prior has p below 1e-6."""
    model = infogan(continuous_dim=2)
    for latents in (
        model.latents(2000, tf.constant([1, 2])).numpy(),
        tf.function(model.sample_latents)(seed_rows(3, 2000)).numpy(),
    ):
        noise, category, continuous = np.split(latents, [4, 7], axis=1)
        assert scipy.stats.kstest(noise.ravel(), "norm").pvalue > 1e-3
        assert scipy.stats.kstest(continuous.ravel(), "uniform", args=(-1, 2)).pvalue > 1e-3
        assert set(np.unique(category)) == {0.0, 1.0} and (category.sum(axis=1) == 1).all()
        assert scipy.stats.chisquare(category.sum(axis=0)).pvalue > 1e-3
        assert abs(np.corrcoef(noise[:, 0], continuous[:, 0])[0, 1]) < 0.1


def test_truncation_is_of_the_noise_alone():
    model = infogan(continuous_dim=2)
    seeds = seed_rows(0, 500)
    draw = tf.function(model.sample_latents)
    whole, cut = draw(seeds).numpy(), draw(seeds, truncation=0.5).numpy()
    np.testing.assert_array_equal(whole[:, 4:], cut[:, 4:])
    distribution = scipy.stats.truncnorm(-0.5, 0.5)
    assert scipy.stats.kstest(cut[:, :4].ravel(), distribution.cdf).pvalue > 1e-3


def test_codes_as_drawn_and_as_given():
    """Where G(z) = z, the samples are the latents."""
    model = transparent()
    drawn = model.sample(6, seed=1).numpy()
    np.testing.assert_array_equal(drawn, model.sample_latents(seed_rows(1, 6)))
    given = model.sample(6, categories=[0, 1, 2, 0, 1, 2], continuous=[0.5, -0.25], seed=1).numpy()
    np.testing.assert_array_equal(given[:, :4], drawn[:, :4])
    np.testing.assert_array_equal(given[:, 4:7], np.eye(3)[[0, 1, 2, 0, 1, 2]])
    np.testing.assert_array_equal(given[:, 7:], np.tile([0.5, -0.25], (6, 1)))
    one = model.sample(6, categories=2, seed=1).numpy()
    np.testing.assert_array_equal(one[:, 4:7], np.tile([0, 0, 1], (6, 1)))
    np.testing.assert_array_equal(one[:, 7:], drawn[:, 7:])
    served = model.endpoints()["sample_codes"].function
    images = served(
        seed_rows(1, 6), tf.constant([0, 1, 2, 0, 1, 2]), tf.tile([[0.5, -0.25]], (6, 1))
    )["points"]
    np.testing.assert_array_equal(images, given)


@pytest.mark.parametrize("category", [-1, 3])
def test_categories_out_of_range_at_the_server(category):
    """A one-hot vector of 7 among 3 would be all zeros."""
    served = transparent().endpoints()["sample_codes"].function
    with pytest.raises(tf.errors.InvalidArgumentError, match="labels in 0 .. 2"):
        tf.function(served)(seed_rows(1, 2), tf.constant([0, category]), tf.zeros((2, 2)))


def test_paths_turn_the_noise_and_go_straight_through_the_codes():
    """Where G(z) = z: White 2016's great circle of four noises alone."""
    model = transparent()
    start, end = (model.sample_latents(seed_rows(seed, 3)).numpy() for seed in (1, 2))
    path = model.interpolate(start, end=end, num_steps=5).numpy()
    weights = np.linspace(0, 1, 5)[:, None]
    for row in range(3):
        a, b = np.float64(start[row]), np.float64(end[row])
        cosine = a[:4] @ b[:4] / np.linalg.norm(a[:4]) / np.linalg.norm(b[:4])
        angle = np.arccos(cosine)
        noise = np.sin((1 - weights) * angle) * a[:4] + np.sin(weights * angle) * b[:4]
        # acos in float32.
        np.testing.assert_allclose(path[row, :, :4], noise / np.sin(angle), atol=1e-5)
        codes = (1 - weights) * a[4:] + weights * b[4:]
        np.testing.assert_allclose(path[row, :, 4:], codes, atol=1e-6)
    # Half of a category is half of each, and no code leaves its support.
    np.testing.assert_allclose(path[:, :, 4:7].sum(axis=-1), 1.0, rtol=1e-6)
    assert np.abs(path[:, :, 7:]).max() <= 1.0
    straight = model.interpolate(start, end=end, num_steps=5, spherical=False)
    np.testing.assert_allclose(straight[:, 2], (start + end) / 2, atol=1e-6)
    served = model.endpoints()["interpolate"].function
    received = served(*map(tf.constant, (start, end)), tf.fill([3], 0.25))["points"]
    np.testing.assert_allclose(received, path[:, 1], atol=1e-6)


def test_inversion_stays_where_latents_are():
    """Where G(z) = z, points beyond the support: the nearest latents are known."""
    model = transparent()
    points = model.sample_latents(seed_rows(5, 4)).numpy()
    points[:, 4:7] *= 1.5
    points[:, 7:] = [[3.0, 0.5], [-3.0, 0.2], [0.1, -1.5], [0.0, 0.9]]
    latents, errors = model.invert(points, num_steps=200, learning_rate=0.1)
    latents = latents.numpy()
    expected = points.copy()
    expected[:, 4:7] /= 1.5
    expected[:, 7:] = np.clip(points[:, 7:], -1, 1)
    # Adam of rate 0.1 ends within its last steps' reach.
    np.testing.assert_allclose(latents[:, :4], expected[:, :4], atol=0.02)
    np.testing.assert_array_equal(latents[:, 4:7], expected[:, 4:7])
    np.testing.assert_allclose(latents[:, 7:], expected[:, 7:], atol=0.02)
    assert np.abs(latents[:, 7:]).max() <= 1.0
    np.testing.assert_allclose(errors, np.mean((latents - points) ** 2, axis=1), rtol=1e-4)


def test_inversion_tries_the_categories_in_the_readers_order():
    model = infogan(continuous_dim=0)
    drawn = model.sample_latents(seed_rows(0, 4 * 6))
    start = model._inversion_start(drawn, IMAGES).numpy()
    np.testing.assert_array_equal(start[:, :4], drawn[:, :4])
    order = np.argsort(-model.infer(IMAGES)[0].numpy(), axis=1)
    tried = start[:, 4:].argmax(axis=1).reshape(4, 6)
    np.testing.assert_array_equal(tried, order.T[[0, 1, 2, 0]])


def test_infer_reads_the_codes():
    model = transparent()
    latents = model.sample_latents(seed_rows(0, 8)).numpy()
    probabilities, means = model.infer(latents)
    expected = scipy.special.softmax(2.0 * latents[:, 4:7], axis=1)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-5)
    np.testing.assert_allclose(means, latents[:, 7:], rtol=1e-6)
    assert model.discriminate(latents).shape == (8,)


def test_without_continuous_codes():
    model = infogan(continuous_dim=0)
    probabilities, means = model.infer(IMAGES)
    assert probabilities.shape == (6, 3) and means.shape == (6, 0)
    endpoints = model.endpoints()
    assert list(endpoints["sample_codes"].inputs) == ["seed", "categories"]
    assert set(endpoints["infer"].function(IMAGES)) == {"category_probabilities"}


@pytest.mark.parametrize(
    "objective, moves, stays",
    [
        ("discriminator_objective", "discriminator", "generator"),
        ("generator_objective", "generator", "discriminator"),
    ],
)
def test_an_objective_leaves_the_other_players_state(objective, moves, stays):
    """The moving means of batch normalization are state that no optimizer guards."""
    model = infogan()

    def state(player):
        return [v.numpy() for v in getattr(model, player).non_trainable_variables]

    before = state(moves), state(stays)
    getattr(model, objective)(IMAGES, training=True)
    assert all((old != new).any() for old, new in zip(before[0], state(moves), strict=True))
    for old, new in zip(before[1], state(stays), strict=True):
        np.testing.assert_array_equal(old, new)


def test_learns_to_tell_the_category(tmp_path):
    model = infogan()
    model.compile(
        generator_optimizer=keras.optimizers.Adam(1e-2),
        discriminator_optimizer=keras.optimizers.Adam(1e-2),
    )
    images = np.random.RandomState(0).uniform(size=(256, *SHAPE)).astype("float32")
    history = model.fit(images, batch_size=32, epochs=15, verbose=0).history
    # Of log 3 = 1.1 nats; an untrained reader has less than nothing.
    assert history["category_information"][0] < 0.5 < 0.8 < history["category_information"][-1]
    # The averaged generator's samples are read as what they were made from.
    labels = np.arange(60) % 3
    probabilities, _ = model.infer(model.sample(60, categories=labels, seed=0))
    assert (probabilities.numpy().argmax(axis=1) == labels).mean() > 0.8

    model.save(tmp_path / "infogan.keras")
    restored = keras.saving.load_model(tmp_path / "infogan.keras")
    np.testing.assert_array_equal(restored.infer(images[:5])[0], model.infer(images[:5])[0])
    np.testing.assert_array_equal(restored.sample(4, seed=1), model.sample(4, seed=1))


def test_errors():
    model = infogan()
    discriminator = model.discriminator
    with pytest.raises(ValueError, match=r"expected \(12,\): see the class"):
        InfoGAN(model.generator, discriminator, num_categories=7, continuous_dim=2)
    with pytest.raises(ValueError, match="noise_dim at least 1"):
        generator = networks.dense_generator(5, SHAPE)
        InfoGAN(generator, discriminator, num_categories=3, continuous_dim=2)
    with pytest.raises(ValueError, match="num_categories must be at least 2"):
        infogan(num_categories=1)
    with pytest.raises(ValueError, match="continuous_dim"):
        infogan(continuous_dim=-1)
    with pytest.raises(ValueError, match="noise_dim"):
        InfoGAN.for_images(SHAPE, noise_dim=0)
    with pytest.raises(ValueError, match="information_weight"):
        infogan(information_weight=-1.0)
    with pytest.raises(ValueError, match="labels in 0 .. 2"):
        model.sample(2, categories=3)
    with pytest.raises(ValueError, match="received continuous codes"):
        infogan(continuous_dim=0).sample(2, continuous=0.0)
