import itertools

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from kgen import heads

SEED = (1, 2)


def random_params(head, channels, num_pixels=6, scale=1.0):
    shape = (num_pixels, 1, 1, head.params_size((channels,)))
    return scale * np.random.default_rng(0).normal(size=shape).astype("float32")


def all_colours(num_levels, channels):
    """float32 `(num_levels ** channels, 1, 1, 1, channels)`: beside a batch of 1 x 1 images."""
    levels = np.linspace(0, 1, num_levels)
    colours = np.array(list(itertools.product(levels, repeat=channels)), "float32")
    return colours.reshape((-1, 1, 1, 1, channels))


def component_masses(head, params, colour):
    """The paper's eq. 1-3 for one pixel, one component and one channel after the other.

    Pixels in [-1, 1], in float64. Returns the mixture's weights `(K,)` and the mass of each channel
    given the ones before it `(K, C)`.
    """
    num_channels, num_components = len(colour), head.num_components
    rows = params.astype("float64").reshape((-1, num_components))
    weights = np.exp(rows[0]) / np.exp(rows[0]).sum()
    pixel = 2 * np.asarray(colour, "float64") - 1
    half_bin = 1 / (head.num_levels - 1)
    masses = np.empty((num_components, num_channels))
    for k in range(num_components):
        coefficients = iter(np.tanh(rows[1 + 2 * num_channels :, k]))
        for c in range(num_channels):
            loc = rows[1 + c, k]
            for d in range(c):
                loc += next(coefficients) * pixel[d]
            scale = 2 * head.min_scale + np.log1p(np.exp(rows[1 + num_channels + c, k]))
            logistic = scipy.stats.logistic(loc, scale)
            upper = 1.0 if pixel[c] > 1 - half_bin else logistic.cdf(pixel[c] + half_bin)
            lower = 0.0 if pixel[c] < -1 + half_bin else logistic.cdf(pixel[c] - half_bin)
            masses[k, c] = upper - lower
    return weights, masses


def log_prob_by_hand(head, params, colour):
    weights, masses = component_masses(head, params, colour)
    return np.log(weights @ masses.prod(axis=1))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_log_prob_is_the_papers(channels):
    head = heads.DiscretizedLogisticMixture(16, 3)
    params = random_params(head, channels)
    colours = np.random.default_rng(1).integers(16, size=(6, 1, 1, channels)) / 15.0
    colours[0], colours[1] = 0.0, 1.0
    expected = [
        log_prob_by_hand(head, *pixel)
        for pixel in zip(params[:, 0, 0], colours[:, 0, 0], strict=True)
    ]
    # Sums of some ten float32 terms of size 1 to 10.
    np.testing.assert_allclose(
        head(params).log_prob(colours.astype("float32")), expected, rtol=1e-5, atol=1e-5
    )


def test_gradient_is_the_papers():
    """Central differences of the transcription, in float64."""
    head = heads.DiscretizedLogisticMixture(16, 2)
    params = tf.constant(random_params(head, 3, num_pixels=3))
    colours = np.array([[0.0, 0.2, 0.8], [0.4, 1.0, 0.0], [1.0, 1.0, 0.6]])
    with tf.GradientTape() as tape:
        tape.watch(params)
        log_prob = head(params).log_prob(colours.reshape((3, 1, 1, 3)).astype("float32"))
    gradient = tape.gradient(log_prob, params).numpy()[:, 0, 0]
    step = 1e-5
    for pixel, colour in enumerate(colours):
        wide = params.numpy()[pixel, 0, 0].astype("float64")
        differences = [
            log_prob_by_hand(head, wide + step * unit, colour)
            - log_prob_by_hand(head, wide - step * unit, colour)
            for unit in np.eye(len(wide))
        ]
        # float32; the differences themselves are right to 1e-9.
        np.testing.assert_allclose(
            gradient[pixel], np.array(differences) / (2 * step), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize(("num_levels", "channels"), [(256, 1), (16, 2), (6, 3), (3, 4)])
def test_mass_sums_to_one_over_all_colours(num_levels, channels):
    head = heads.DiscretizedLogisticMixture(num_levels, 3)
    for scale in (0.1, 1.0, 10.0):
        log_prob = head(random_params(head, channels, scale=scale)).log_prob(
            all_colours(num_levels, channels)
        )
        mass = np.exp(log_prob.numpy().astype("float64")).sum(axis=0)
        # Up to 256 masses of float32, whose errors partly cancel.
        np.testing.assert_allclose(mass, 1.0, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_finite_with_gradients_in_the_tails(channels):
    head = heads.DiscretizedLogisticMixture(256, 2)
    extremes = [-1e4, -20.0, 0.0, 20.0, 1e4]
    values = np.array(list(itertools.product(extremes, repeat=4)), "float32")
    rows = np.zeros((len(values), head.params_size((channels,)) // 2, 2), "float32")
    rows[:, 0, 0] = values[:, 0]
    rows[:, 1 : 1 + channels] = values[:, 1, np.newaxis, np.newaxis]
    rows[:, 1 + channels : 1 + 2 * channels] = values[:, 2, np.newaxis, np.newaxis]
    rows[:, 1 + 2 * channels :] = values[:, 3, np.newaxis, np.newaxis]
    # The components differ, so that one may be far more likely than the other.
    rows[:, 1, 1] += 1.0
    params = tf.constant(rows.reshape((len(values), 1, 1, -1)))
    for level in (0.0, 100 / 255, 1.0):
        with tf.GradientTape() as tape:
            tape.watch(params)
            log_prob = head(params).log_prob(tf.fill((len(values), 1, 1, channels), level))
        assert np.isfinite(log_prob).all()
        assert np.isfinite(tape.gradient(log_prob, params)).all()


def test_the_ends_hold_all_the_mass_beyond_them():
    head = heads.DiscretizedLogisticMixture(256, 1)
    # Rows: logit; m beyond an end, by more than the largest scale; s.
    rows = [[0.0, sign * 1e6, raw_scale] for sign in (-1, 1) for raw_scale in (-1e3, 0.0, 1e3)]
    ends = tf.reshape(tf.constant([0.0, 0.0, 0.0, 1.0, 1.0, 1.0]), (6, 1, 1, 1))
    params = tf.reshape(tf.constant(rows), (6, 1, 1, 3))
    # exp(-1000) is 0 in float32.
    np.testing.assert_allclose(head(params).log_prob(ends), 0.0, atol=1e-6)


def test_far_locations_are_pulled_towards_the_pixel():
    """In the tail log P is linear in each location with slope -1 / scale: no gradient vanishes."""
    head = heads.DiscretizedLogisticMixture(256, 1)
    # Rows: logit; m = 60; s = -3.
    params = tf.constant([[[[0.0, 60.0, -3.0]]]])
    with tf.GradientTape() as tape:
        tape.watch(params)
        log_prob = head(params).log_prob(tf.fill((1, 1, 1, 1), 100 / 255))
    slope = tape.gradient(log_prob, params).numpy()[0, 0, 0, 1]
    # The exponentials that bend the line are below exp(-1000).
    assert slope == pytest.approx(-1 / (np.log1p(np.exp(-3.0)) + 8e-4), rel=1e-4)


def test_a_channel_depends_on_the_ones_before_it_only_through_its_coefficients():
    head = heads.DiscretizedLogisticMixture(16, 1)
    params = random_params(head, 3, num_pixels=1)
    # Rows 7, 8, 9: green on red, blue on red, blue on green.
    params[..., 7:] = 0.0
    alone = heads.DiscretizedLogistic(16)
    loc, raw_scale = 0.5 + 0.5 * params[..., 1:4], params[..., 4:7]
    # In [0, 1] the scale is half as large: softplus(r) = softplus(s) / 2.
    raw_scale = np.log(np.expm1(0.5 * np.log1p(np.exp(raw_scale))))
    colours = all_colours(4, 3)
    by_channel = np.stack([loc, raw_scale], axis=-1).reshape((*loc.shape[:-1], 6))
    independent = alone(by_channel).log_prob(colours)
    # Sums of float32; min_scale is 4e-4 for both.
    np.testing.assert_allclose(head(params).log_prob(colours), independent, rtol=1e-4)
    for row in (7, 8, 9):
        coupled = params.copy()
        coupled[..., row] = 1.0
        difference = head(coupled).log_prob(colours) - head(params).log_prob(colours)
        assert np.abs(difference).max() > 0.1


def test_samples_follow_the_mass():
    head = heads.DiscretizedLogisticMixture(3, 3)
    distribution = head(random_params(head, 2, num_pixels=1))
    mass = np.exp(distribution.log_prob(all_colours(3, 2)).numpy().ravel().astype("float64"))
    samples = distribution.sample(20_000, seed=SEED).numpy().reshape((-1, 2))
    counts = np.bincount(np.rint(2 * samples @ [3, 1]).astype(int), minlength=9)
    # Fixed seed: a right sampler had a chance of 1 in 1000 to fail when the seed was chosen.
    assert scipy.stats.chisquare(counts, mass / mass.sum() * counts.sum()).pvalue > 1e-3


@pytest.mark.parametrize(("channels", "tolerance"), [(1, 1e-5), (2, 0.01), (3, 0.01)])
def test_mean_is_the_expectation(channels, tolerance):
    """To float rounding for one channel, to what the docstring says for more."""
    head = heads.DiscretizedLogisticMixture(6, 3)
    distribution = head(random_params(head, channels, num_pixels=50))
    colours = all_colours(6, channels)
    mass = np.exp(distribution.log_prob(colours).numpy())
    expected = np.einsum("nb,nc->bc", mass, colours.reshape((-1, channels)))
    np.testing.assert_allclose(distribution.mean()[:, 0, 0], expected, atol=tolerance)


def test_parameters_of_zero_are_wide_around_mid_gray():
    head = heads.DiscretizedLogisticMixture(256, 5)
    distribution = head(tf.zeros((1, 1, 1, head.params_size((1,)))))
    assert distribution.mean().numpy().item() == pytest.approx(0.5, abs=1e-5)
    # A logistic of scale log 2 over [-1, 1] has 1 / (1 + exp(1 / log 2)) beyond each end.
    end = np.exp(distribution.log_prob(tf.zeros((1, 1, 1, 1)))).item()
    assert end == pytest.approx(scipy.special.expit(-1 / np.log(2)), rel=0.02)


def test_number_of_parameters_is_the_papers():
    """100 for RGB and 10 components, 30 for gray; the inverse finds the channels again."""
    head = heads.DiscretizedLogisticMixture()
    assert head.params_size((32, 32, 3)) == 100
    assert head.params_size((28, 28, 1)) == 30
    for channels in range(1, 9):
        assert head.event_size(head.params_size((channels,))) == channels


def test_errors():
    head = heads.DiscretizedLogisticMixture(num_components=10)
    for size in (0, 10, 31, 40, 300):
        with pytest.raises(ValueError, match=rf"\(30, 60, 100 for 1, 2, 3\); received .* {size},"):
            head(tf.zeros((1, 2, 2, size)))
    with pytest.raises(ValueError, match="num_levels"):
        heads.DiscretizedLogisticMixture(1)
    with pytest.raises(ValueError, match="num_components"):
        heads.DiscretizedLogisticMixture(num_components=0)
    with pytest.raises(ValueError, match="min_scale"):
        heads.DiscretizedLogisticMixture(min_scale=0.0)
