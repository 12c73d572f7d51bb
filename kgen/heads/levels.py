"""Distributions over the levels k / (L - 1) of [0, 1], and draws by the inverse CDF.

A draw is a function of uniforms that the caller brings, cheap in operations, since a model that
makes images pixel by pixel calls it once a pixel.
"""

import math

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from kgen import checks

tfd = tfp.distributions

# Stands for infinity as the outer edge of the bins at 0 and 1: infinity itself would make the
# gradient inf * 0.
_FAR_AWAY = 1e30

# The sums in a draw are right to about 1e-7. A category that is less likely, next to the likeliest,
# counts as impossible, so that no rounding error can draw it.
_SMALLEST_WEIGHT = 2.0**-24


class BernoulliOfLogits(tfd.Bernoulli):
    """`log p(x) = x l - log(1 + exp(l))` for x in [0, 1] and finite logits l.

    TensorFlow Probability adds the two classes' terms, at twice the cost, since it allows for
    infinite logits; of those this gives NaN. The error is that of rounding l, 1e-7 |l| nats.
    """

    def _log_prob(self, event):
        logits = self._logits_parameter_no_checks()
        return tf.cast(event, logits.dtype) * logits - tf.math.softplus(logits)


class LogisticOnLevels(tfd.Distribution):
    """A logistic variable rounded to the levels k / (L - 1) and clipped to [0, 1].

    With s the logistic sigmoid, h = 1 / (2 (L - 1)), a = (x + h - loc) / scale and
    b = (x - h - loc) / scale, the mass of a level x is

        P(x) = s(a) - s(b),    P(0) = s(a),    P(1) = 1 - s(b)

    It is computed as `log P(x) = log s(a) + log s(-b) + log(1 - exp(b - a))`, an identity without
    cancellation: finite, and with finite slopes, however far x is in a tail. Values between two
    levels count as the nearest level.

    Args:
        loc: float32 tensor, in units of the pixel range.
        scale: positive float32 tensor that broadcasts with `loc`.
        num_levels: int >= 2, L.

    Reference:
        Salimans et al. 2017, "PixelCNN++", eq. 2 (which falls back to a density in the tails; the
        identity above makes that unnecessary).
    """

    def __init__(self, loc, scale, num_levels=256, name="LogisticOnLevels"):
        parameters = dict(locals())
        self._loc = tf.convert_to_tensor(loc, tf.float32)
        self._scale = tf.convert_to_tensor(scale, tf.float32)
        self._num_intervals = num_levels - 1
        super().__init__(
            dtype=tf.float32,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return {
            "loc": tfp.util.ParameterProperties(),
            "scale": tfp.util.ParameterProperties(),
        }

    def _event_shape(self):
        return tf.TensorShape([])

    def _event_shape_tensor(self):
        return tf.constant([], tf.int32)

    def _sample_n(self, n, seed=None):
        return nearest_level(
            tfd.Logistic(self._loc, self._scale).sample(n, seed=seed), self._num_intervals
        )

    def _log_prob(self, value):
        level = nearest_level(value, self._num_intervals)
        edges = bin_edges(level, self._num_intervals)
        return log_mass_of_bin(edges, self._loc, 1.0 / self._scale)

    def _mean(self):
        """E[x] = sum_{k=1}^{L-1} P(x >= k / (L - 1)) / (L - 1)."""
        total = tf.zeros_like(self._loc + self._scale)

        # A loop, because an axis of 256 levels beside the pixels would not fit into memory.
        def add_level(k, total):
            edge = (tf.cast(k, tf.float32) - 0.5) / self._num_intervals
            return k + 1, total + tf.math.sigmoid((self._loc - edge) / self._scale)

        _, total = tf.while_loop(
            lambda k, _: k <= self._num_intervals,
            add_level,
            (tf.constant(1), total),
            maximum_iterations=self._num_intervals,
        )
        return total / self._num_intervals


class CategoricalOnLevels(tfd.Distribution):
    """A categorical variable on the levels k / (L - 1) of [0, 1].

    Values between two levels count as the nearest level.

    Args:
        logits: float32 tensor `(..., L)`.
    """

    def __init__(self, logits, name="CategoricalOnLevels"):
        parameters = dict(locals())
        self._logits = tf.convert_to_tensor(logits, tf.float32)
        self._num_intervals = self._logits.shape[-1] - 1
        super().__init__(
            dtype=tf.float32,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return {"logits": tfp.util.ParameterProperties(event_ndims=1)}

    def _event_shape(self):
        return tf.TensorShape([])

    def _event_shape_tensor(self):
        return tf.constant([], tf.int32)

    def _sample_n(self, n, seed=None):
        index = tfd.Categorical(logits=self._logits).sample(n, seed=seed)
        return tf.cast(index, tf.float32) / self._num_intervals

    def _log_prob(self, value):
        level = nearest_level(value, self._num_intervals)
        index = tf.cast(tf.round(level * self._num_intervals), tf.int32)
        logits = self._logits
        if index.shape.as_list() != logits.shape[:-1].as_list():
            shape = tf.broadcast_dynamic_shape(tf.shape(index), tf.shape(logits)[:-1])
            index = tf.broadcast_to(index, shape)
            logits = tf.broadcast_to(logits, tf.concat([shape, tf.shape(logits)[-1:]], axis=0))
        # One fused operation: `tfd.Categorical` copies the logits where the batch is unknown.
        return -tf.nn.sparse_softmax_cross_entropy_with_logits(index, logits)

    def _mean(self):
        levels = tf.linspace(0.0, 1.0, self._num_intervals + 1)
        return tf.linalg.matvec(tf.nn.softmax(self._logits), levels)


def check_num_levels(num_levels):
    """Returns `num_levels`, or raises ValueError if it is not an integer of at least 2."""
    return checks.integer_at_least("num_levels", num_levels, 2)


def nearest_level(value, num_intervals):
    """Returns the level k / num_intervals of [0, 1] that is nearest to `value`."""
    return tf.round(tf.clip_by_value(value, 0.0, 1.0) * num_intervals) / num_intervals


def bin_edges(level, num_intervals):
    """Returns the lower and upper edge of a level's bin, and the bin's width.

    The bins of 0 and 1 reach to infinity. The width comes apart, since the difference of the edges
    has lost digits.
    """
    half_bin = 0.5 / num_intervals
    is_first, is_last = level <= 0.0, level >= 1.0
    lower = tf.where(is_first, -_FAR_AWAY, level - half_bin)
    upper = tf.where(is_last, _FAR_AWAY, level + half_bin)
    return lower, upper, tf.where(is_first | is_last, _FAR_AWAY, 2.0 * half_bin)


def log_mass_of_bin(edges, loc, inverse_scale):
    """Returns the logarithm of the mass that a logistic puts between two edges.

        log(s(a) - s(b)) = log s(a) + log s(-b) + log(1 - exp(b - a)),
        a = (upper - loc) / scale,    b = (lower - loc) / scale

    Args:
        edges: `(lower, upper, width)` as `bin_edges` gives them, in the unit of `loc`.
        loc: float32 tensor.
        inverse_scale: positive float32 tensor.
    """
    lower, upper, width = edges
    not_below_upper = tf.math.softplus((loc - upper) * inverse_scale)
    not_above_lower = tf.math.softplus((lower - loc) * inverse_scale)
    inside = tf.math.log(-tf.math.expm1(-width * inverse_scale))
    return inside - not_below_upper - not_above_lower


def logistic_noise(uniforms):
    """Returns the standard logistic's inverse CDF, `log u - log(1 - u)`."""
    return tf.math.log(uniforms) - tf.math.log1p(-uniforms)


def draw_category(logits, uniforms):
    """Draws a category by the inverse CDF: the largest k with `sum_{j<k} p_j <= u`.

    Categories less than 2**-24 times as likely as the likeliest are never drawn, whatever the float
    sums round to.

    Args:
        logits: float32 tensor `(..., L)`, with p = softmax(logits).
        uniforms: float32 tensor `(...)`, in (0, 1).

    Returns:
        int32 tensor `(...)`, in 0 .. L - 1.
    """
    size = logits.shape[-1]
    rows = tf.reshape(logits, (-1, size))
    # No tf.nn.softmax: on a CPU it costs more than all the rest.
    weights = tf.math.exp(rows - tf.reduce_max(rows, axis=-1, keepdims=True))
    weights = tf.where(weights > _SMALLEST_WEIGHT, weights, 0.0)
    mass = tf.reshape(uniforms, (-1, 1)) * tf.reduce_sum(weights, axis=-1, keepdims=True)
    block_size = _block_size(size)
    if block_size == 1:
        index, _ = _entry_at(weights, mass)
    else:
        blocks = tf.reshape(weights, (-1, size // block_size, block_size))
        block, before = _entry_at(tf.reduce_sum(blocks, axis=-1), mass)
        entry, _ = _entry_at(tf.gather(blocks, block, batch_dims=1), mass - before)
        index = block * block_size + entry
    return tf.reshape(index, tf.shape(uniforms))


def _entry_at(weights, mass):
    """The largest k with w_k > 0 and `sum_{j<k} w_j <= mass`, and that sum, for `mass >= 0`.

    There always is one: the first k with w_k > 0 has the sum 0.
    """
    size = weights.shape[-1]
    # Not tf.cumsum, which is slow under XLA.
    below = weights @ np.triu(np.ones((size, size), "float32"), 1)
    reached = (weights > 0.0) & (below <= mass)
    index = tf.reduce_max(tf.where(reached, tf.range(size), 0), axis=-1)
    return index, tf.reduce_max(tf.where(reached, below, 0.0), axis=-1, keepdims=True)


def _block_size(size):
    """Entries a block: many categories are found in two steps, which is less work. 1 for none."""
    if size < 64:
        return 1
    return max(d for d in range(1, math.isqrt(size) + 1) if size % d == 0)


def split_last_axis(x, sizes):
    """Reshapes `(..., n)` to `(..., *sizes)` and keeps the static shape."""
    shape = tf.concat([tf.shape(x)[:-1], sizes], axis=0)
    return tf.ensure_shape(tf.reshape(x, shape), x.shape[:-1].concatenate(sizes))
