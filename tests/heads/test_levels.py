"""Draws from uniforms: every head on levels, against the inverse CDF of its own masses."""

import numpy as np
import pytest
import tensorflow as tf

from kgen import heads

# 256 levels are found in two steps, 5 levels or 10 components in one.
HEADS = [
    heads.Bernoulli(),
    heads.Categorical(5),
    heads.Categorical(256),
    heads.DiscretizedLogistic(5),
    heads.DiscretizedLogistic(256),
    heads.DiscretizedLogisticMixture(5, 3),
    heads.DiscretizedLogisticMixture(256, 10),
]
BATCH = 6


def random_params(head, channels, scale=1.0):
    size = head.params_size((channels,))
    return scale * np.random.default_rng(0).normal(size=(BATCH, size)).astype("float32")


def random_uniforms(*shape):
    return np.random.default_rng(1).uniform(1e-7, 1 - 1e-7, size=shape).astype("float32")


def draw(head, params, uniforms, temperature=1.0):
    """Draws from `params` (batch, size) with each of `uniforms` (n, batch, noise_size)."""
    params = tf.broadcast_to(params, (len(uniforms), *params.shape))
    return head.sample_from_uniforms(params, uniforms, temperature).numpy()


def index_of(head, values):
    """Which levels the values are."""
    index = np.rint(values * (head.num_levels - 1))
    assert (0 <= index).all() and (index <= head.num_levels - 1).all()
    # A graph may multiply by 1 / (L - 1) where Python divides: the last digit.
    np.testing.assert_allclose(values, index / (head.num_levels - 1), atol=1e-6)
    return index.astype(int)


def masses(head, params):
    """float64 `(batch, num_levels)`: the mass of each level for one channel."""
    levels = np.linspace(0, 1, head.num_levels, dtype="float32").reshape((-1, 1, 1))
    return np.exp(head(params).log_prob(levels).numpy().astype("float64")).T


@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_sizes_and_kinds(head):
    is_mixture = isinstance(head, heads.DiscretizedLogisticMixture)
    assert head.couples_channels is is_mixture
    for channels in (1, 3):
        assert head.noise_size(channels) == channels + is_mixture
        uniforms = random_uniforms(2, BATCH, head.noise_size(channels))
        values = draw(head, random_params(head, channels), uniforms)
        assert values.shape == (2, BATCH, channels)
        assert values.dtype == np.float32
        index_of(head, values)


def test_heads_without_levels():
    """What draws pixel by pixel asks for `num_levels`."""
    for head in (heads.Normal(), heads.StudentT(), heads.ContinuousBernoulli()):
        assert not hasattr(head, "num_levels") and not head.couples_channels
    assert not hasattr(heads.ContinuousBernoulli(), "sample_from_uniforms")


@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_a_grid_of_uniforms_reproduces_the_masses(head):
    """Kolmogorov's distance to the CDF of the enumerated masses."""
    params = random_params(head, 1, scale=1.5)
    if head.noise_size(1) == 1:
        uniforms, distance = (np.arange(4000) + 0.5)[:, np.newaxis] / 4000, 1 / 4000
    else:
        # A cell may be lost or won at each component's boundary, and at a level's boundary.
        for_component, for_channel = (np.arange(1000) + 0.5) / 1000, (np.arange(100) + 0.5) / 100
        uniforms = np.stack(np.meshgrid(for_component, for_channel), axis=-1).reshape((-1, 2))
        distance = head.num_components / 1000 + 1 / 100
    tiled = np.repeat(uniforms[:, np.newaxis], BATCH, axis=1).astype("float32")
    index = index_of(head, draw(head, params, tiled))[..., 0]
    shares = np.stack([np.bincount(column, minlength=head.num_levels) for column in index.T])
    cdf = np.cumsum(shares / len(uniforms), axis=1)
    assert np.abs(cdf - np.cumsum(masses(head, params), axis=1)).max() < distance + 1e-6


@pytest.mark.parametrize("head", [head for head in HEADS if not head.couples_channels], ids=repr)
def test_each_channel_is_the_inverse_cdf_at_its_uniform(head):
    """Three channels, laid out as the distribution lays them out."""
    params = random_params(head, 3)
    uniforms = random_uniforms(500, BATCH, 3)
    index = index_of(head, draw(head, params, uniforms))
    levels = np.linspace(0, 1, head.num_levels, dtype="float32")
    # The inner distribution gives each channel's own log-mass.
    per_channel = head(params).distribution.log_prob(levels.reshape((-1, 1, 1)))
    cdf = np.cumsum(np.exp(per_channel.numpy().astype("float64")), axis=0)
    expected = (uniforms[:, np.newaxis] > cdf).sum(axis=1)
    at_a_boundary = (np.abs(uniforms[:, np.newaxis] - cdf) < 1e-5).any(axis=1)
    assert at_a_boundary.mean() < 0.05
    np.testing.assert_array_equal(index[~at_a_boundary], expected[~at_a_boundary])


def test_the_mixture_draws_a_component_and_then_channel_after_channel():
    """The inverse CDF of masses that are enumerated by hand, from NumPy and SciPy alone."""
    head = heads.DiscretizedLogisticMixture(7, 3)
    params = random_params(head, 3)
    uniforms = random_uniforms(200, BATCH, 4)
    values = draw(head, params, uniforms)
    index = index_of(head, values)
    rows = params.astype("float64").reshape((BATCH, 10, 3))
    weights = np.exp(rows[:, 0]) / np.exp(rows[:, 0]).sum(axis=-1, keepdims=True)
    weight_below = np.cumsum(weights, axis=-1)
    edges = np.append((2 * np.arange(6) + 1) / 6 - 1, np.inf)
    checked = 0
    for n in range(200):
        for b in range(BATCH):
            k = int((uniforms[n, b, 0] > weight_below[b]).sum())
            if np.abs(weight_below[b] - uniforms[n, b, 0]).min() < 1e-5:
                continue
            red, green, blue = rows[b, 1:4, k]
            coefficients = np.tanh(rows[b, 7:, k])
            y = 2 * values[n, b].astype("float64") - 1
            green += coefficients[0] * y[0]
            blue += coefficients[1] * y[0] + coefficients[2] * y[1]
            for c, loc in enumerate((red, green, blue)):
                scale = 8e-4 + np.log1p(np.exp(rows[b, 4 + c, k]))
                cdf = 1 / (1 + np.exp(-(edges - loc) / scale))
                if np.abs(cdf - uniforms[n, b, 1 + c]).min() < 1e-5:
                    continue
                assert index[n, b, c] == (uniforms[n, b, 1 + c] > cdf).sum()
                checked += 1
    assert checked > 3000


@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_draws_stay_on_the_levels_at_the_ends_of_the_uniforms(head):
    ends = np.array([2.0**-149, 1e-7, 0.5, 1 - 1e-7, 1 - 2.0**-24], "float32")
    noise = head.noise_size(3)
    uniforms = np.stack(np.meshgrid(*[ends] * noise), axis=-1).reshape((-1, 1, noise))
    uniforms = np.repeat(uniforms, BATCH, axis=1)
    for scale in (0.0, 1.0, 1e2, 1e4):
        params = random_params(head, 3, scale)
        for temperature in (1e-6, 1.0, 1e3):
            index_of(head, draw(head, params, uniforms, temperature))


@pytest.mark.parametrize("num_levels", [5, 67, 81, 256])
@pytest.mark.parametrize("num_possible", [1, 2, 3])
def test_impossible_levels_are_never_drawn(num_levels, num_possible):
    """At the ends, too, where the float sum of the masses may fall short of a uniform."""
    rng = np.random.default_rng(0)
    logits = np.full((200, num_levels), -np.inf, "float32")
    # In half of the rows the others are possible, but less likely than a float sum is right.
    logits[100:] = -30.0
    possible = np.stack([rng.permutation(num_levels)[:num_possible] for _ in range(200)])
    np.put_along_axis(logits, possible, rng.normal(size=possible.shape), axis=1)
    near_ends = np.concatenate([np.arange(1, 9), 2**24 - np.arange(1, 9)]) / 2**24
    uniforms = np.concatenate([near_ends, rng.uniform(size=100)]).astype("float32")
    head = heads.Categorical(num_levels)
    index = index_of(head, draw(head, logits, np.tile(uniforms[:, None, None], (200, 1))))
    assert (index == possible).any(axis=-1).all()


@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_a_low_temperature_gives_the_mode_or_the_location(head):
    params = random_params(head, 2)
    values = draw(head, params, random_uniforms(50, BATCH, head.noise_size(2)), 1e-6)
    if isinstance(head, heads.Categorical):
        expected = params.reshape((BATCH, 2, -1)).argmax(axis=-1) / (head.num_levels - 1)
    elif isinstance(head, heads.Bernoulli):
        expected = params > 0
    elif isinstance(head, heads.DiscretizedLogistic):
        expected = np.clip(params[:, ::2], 0, 1)
    else:
        rows = params.reshape((BATCH, -1, head.num_components))
        rows = np.take_along_axis(rows, rows[:, :1].argmax(axis=-1)[..., None], axis=-1)[..., 0]
        nearest = np.rint(np.clip(0.5 + 0.5 * rows[:, 1], 0, 1) * (head.num_levels - 1))
        first = 2 * nearest / (head.num_levels - 1) - 1
        second = rows[:, 2] + np.tanh(rows[:, 5]) * first
        expected = np.clip(0.5 + 0.5 * np.stack([first, second], axis=-1), 0, 1)
    # Within the half of a bin by which a location is rounded; the others are on a level.
    tolerance = 0.5 / (head.num_levels - 1) + 1e-5
    if isinstance(head, (heads.Categorical, heads.Bernoulli)):
        tolerance = 1e-6
    assert np.abs(values - expected).max() < tolerance


@pytest.mark.parametrize("head", HEADS, ids=repr)
def test_temperature_divides_logits_and_multiplies_scales(head):
    """A temperature a row gives what parameters at that temperature give at temperature 1."""
    temperature = np.array([[0.3], [0.5], [1.0], [1.5], [2.0], [4.0]], "float32")
    params = random_params(head, 1)
    uniforms = random_uniforms(200, BATCH, head.noise_size(1))

    def at_temperature(raw_scale, offset):
        """Inverts scale = offset + softplus(raw) at `temperature` times the scale."""
        scale = temperature * (offset + np.log1p(np.exp(raw_scale.astype("float64"))))
        return np.log(np.expm1(scale - offset))

    if isinstance(head, (heads.Categorical, heads.Bernoulli)):
        equivalent = params / temperature
    elif isinstance(head, heads.DiscretizedLogistic):
        equivalent = np.concatenate(
            [params[:, :1], at_temperature(params[:, 1:], head.min_scale)], axis=1
        )
    else:
        logits, loc, raw_scale = np.split(params, 3, axis=1)
        raw_scale = at_temperature(raw_scale, 2 * head.min_scale)
        equivalent = np.concatenate([logits / temperature, loc, raw_scale], axis=1)
    index = index_of(head, draw(head, params, uniforms, temperature))
    same = index == index_of(head, draw(head, equivalent.astype("float32"), uniforms))
    # All but draws whose uniform is within float rounding of a boundary between two levels.
    assert same.mean() > 0.995
    assert (index != index_of(head, draw(head, params, uniforms))).mean() > 0.02


# One of each way to draw: XLA takes its time.
@pytest.mark.parametrize("head", [HEADS[1], HEADS[4], HEADS[5]], ids=repr)
def test_the_same_in_a_loop_under_xla(head):
    """A `tf.while_loop` over draws, of a batch that is unknown when it is traced."""
    params = random_params(head, 3)
    uniforms = random_uniforms(20, BATCH, head.noise_size(3))
    temperature = tf.fill((BATCH, 1), 0.8)

    def draw_all(params, uniforms, temperature):
        values = tf.TensorArray(tf.float32, 20, element_shape=(None, 3))
        _, values = tf.while_loop(
            lambda n, _: n < 20,
            lambda n, values: (
                n + 1,
                values.write(n, head.sample_from_uniforms(params, uniforms[n], temperature)),
            ),
            (0, values),
        )
        return values.stack()

    arguments = (tf.constant(params), tf.constant(uniforms), temperature)
    signature = [
        tf.TensorSpec((None, params.shape[-1])),
        tf.TensorSpec((20, None, uniforms.shape[-1])),
        tf.TensorSpec((None, 1)),
    ]
    in_graph = tf.function(draw_all, input_signature=signature)(*arguments)
    compiled = tf.function(draw_all, jit_compile=True)(*arguments)
    eager = head.sample_from_uniforms(
        tf.broadcast_to(params, (20, *params.shape)), uniforms, temperature
    )
    # Rounding that matters, next to a boundary between levels, has a chance of 1e-4 here.
    np.testing.assert_array_equal(index_of(head, in_graph.numpy()), index_of(head, eager.numpy()))
    np.testing.assert_array_equal(index_of(head, compiled.numpy()), index_of(head, eager.numpy()))
