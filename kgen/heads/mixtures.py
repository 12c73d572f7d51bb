"""The head of PixelCNN++: a mixture over whole pixels, whose colour channels are coupled."""

import math

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from kgen import checks
from kgen.heads.head import Head
from kgen.heads.levels import (
    LogisticOnLevels,
    bin_edges,
    check_num_levels,
    draw_category,
    log_mass_of_bin,
    logistic_noise,
    nearest_level,
    split_last_axis,
)

tfd = tfp.distributions

_NUM_POINTS = 1024


@keras.saving.register_keras_serializable(package="kgen")
class DiscretizedLogisticMixture(Head):
    """Pixels from a mixture of discretized logistics, each channel's location linear in the others.

    With y = 2 x - 1 the pixel in [-1, 1], whose channels y_1 .. y_C are R, G, B for C = 3,

        p(y) = sum_k softmax(logits)_k prod_c P(y_c; loc_ck(y_1 .. y_{c-1}), scale_ck)
        loc_ck = m_ck + sum_{d<c} tanh(a_cdk) y_d
        scale_ck = 2 min_scale + softplus(s_ck)

    where P is the mass that a logistic puts on a level's bin, see `LogisticOnLevels`. One component
    is chosen for the whole pixel. Parameters near 0 are wide logistics around mid-gray.

    The parameters of a pixel are laid out as (rows, num_components), its (C + 1) (C + 2) / 2 rows
    in the order logits; m_1 .. m_C; s_1 .. s_C; a_21, a_31, a_32, a_41, ...

    Args:
        num_levels: int >= 2, L.
        num_components: int >= 1.
        min_scale: float > 0, in units of the pixel range [0, 1]. The default is a tenth of a bin of
            256 levels: a sharper logistic puts all its mass on one level already.

    Reference:
        Salimans et al. 2017, "PixelCNN++", eq. 1-3. Its scale is exp(s), bounded from below; here
        softplus, which is the same where it is small. Its code takes a density where the mass
        underflows; here the mass is exact everywhere.
    """

    couples_channels = True
    is_bounded = True

    def __init__(self, num_levels=256, num_components=10, *, min_scale=4e-4):
        self.num_levels = check_num_levels(num_levels)
        self.num_components = checks.positive_integer("num_components", num_components)
        self.min_scale = checks.positive_number("min_scale", min_scale)

    def distribution(self, params):
        """Returns the mixture; pixels are independent given the parameters."""
        size = self.event_size(params.shape[-1])
        logits, loc, raw_scale, raw_coefficients = tf.split(
            self._rows(params), _num_rows_of_each(size), axis=-2
        )
        mixture = LogisticMixtureOnLevels(
            tf.squeeze(logits, axis=-2),
            loc,
            2.0 * self.min_scale + tf.math.softplus(raw_scale),
            tf.math.tanh(raw_coefficients),
            num_levels=self.num_levels,
        )
        return tfd.Independent(mixture, params.shape.rank - 2)

    def noise_size(self, event_size):
        """Returns `event_size + 1`: a uniform for the component, then one a channel."""
        return event_size + 1

    def sample_from_uniforms(self, params, uniforms, temperature=1.0):
        """Draws a component, then channel after channel. See `Head`."""
        size = self.event_size(params.shape[-1])
        rows = self._rows(params)
        component = draw_category(rows[..., 0, :] / temperature, uniforms[..., 0])
        _, loc, raw_scale, raw_coefficients = tf.split(
            _of_component(rows, component), _num_rows_of_each(size), axis=-1
        )
        scale = temperature * (2.0 * self.min_scale + tf.math.softplus(raw_scale))
        return _draw_channels(
            loc,
            scale * logistic_noise(uniforms[..., 1:]),
            tf.math.tanh(raw_coefficients),
            self.num_levels - 1,
        )

    def params_size(self, event_shape):
        """Returns `num_components * (C + 1) * (C + 2) / 2`, where C is `event_shape[-1]`."""
        return self.num_components * sum(_num_rows_of_each(int(event_shape[-1])))

    def event_size(self, params_last_axis):
        """Returns the number of channels: the inverse of `params_size`.

        Raises:
            ValueError: if no number of channels has parameters of this size.
        """
        num_rows = params_last_axis // self.num_components
        size = (math.isqrt(8 * num_rows + 1) - 3) // 2
        if size < 1 or self.params_size((size,)) != params_last_axis:
            sizes = ", ".join(str(self.params_size((channels,))) for channels in (1, 2, 3))
            raise ValueError(
                f"{self!r} takes {self.num_components} * (C + 1) * (C + 2) / 2 parameters for C "
                f"channels ({sizes} for 1, 2, 3); received a last axis of {params_last_axis}, "
                f"which no number of channels gives. Give the network "
                f"`head.params_size(event_shape)` outputs."
            )
        return size

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            "num_levels": self.num_levels,
            "num_components": self.num_components,
            "min_scale": self.min_scale,
        }

    def _rows(self, params):
        num_rows = params.shape[-1] // self.num_components
        return split_last_axis(params, [num_rows, self.num_components])


class LogisticMixtureOnLevels(tfd.Distribution):
    """A mixture over vectors of C channels on the levels k / (L - 1) of [0, 1].

    See `DiscretizedLogisticMixture` for the mass. Values between two levels count as the nearest
    level.

    `mean` is exact for one channel. For more, where the expectation is a sum over all colours, it
    is an average over 1024 fixed points: within about 0.01 of it, and without a gradient.

    Args:
        logits: float32 tensor `(..., K)`.
        loc: float32 tensor `(..., C, K)`, for pixels in [-1, 1], as are the next two.
        scale: positive float32 tensor `(..., C, K)`.
        coefficients: float32 tensor `(..., C (C - 1) / 2, K)`, of channels 2 on 1, 3 on 1, 3 on
            2, ...
        num_levels: int >= 2, L.

    Reference:
        Salimans et al. 2017, "PixelCNN++", eq. 1-3.
    """

    def __init__(
        self, logits, loc, scale, coefficients, num_levels=256, name="LogisticMixtureOnLevels"
    ):
        parameters = dict(locals())
        self._logits = tf.convert_to_tensor(logits, tf.float32)
        self._loc = tf.convert_to_tensor(loc, tf.float32)
        self._scale = tf.convert_to_tensor(scale, tf.float32)
        self._coefficients = tf.convert_to_tensor(coefficients, tf.float32)
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
            "logits": tfp.util.ParameterProperties(event_ndims=1),
            "loc": tfp.util.ParameterProperties(event_ndims=2),
            "scale": tfp.util.ParameterProperties(event_ndims=2),
            "coefficients": tfp.util.ParameterProperties(event_ndims=2),
        }

    def _event_shape(self):
        return self._loc.shape[-2:-1]

    def _event_shape_tensor(self):
        return tf.shape(self._loc)[-2:-1]

    def _log_prob(self, value):
        levels = nearest_level(value, self._num_intervals)
        levels = [levels[..., channel, tf.newaxis] for channel in range(self._loc.shape[-2])]
        pixels = [2.0 * level - 1.0 for level in levels]
        loc = tf.unstack(self._loc, axis=-2)
        inverse_scale = tf.unstack(1.0 / self._scale, axis=-2)
        coefficients = tf.unstack(self._coefficients, axis=-2)
        # Channel by channel, since an axis of channels would only be made to be summed over.
        log_mass = tf.nn.log_softmax(self._logits)
        for channel, level in enumerate(levels):
            lower, upper, width = bin_edges(level, self._num_intervals)
            edges = 2.0 * lower - 1.0, 2.0 * upper - 1.0, 2.0 * width
            location = _location(channel, loc, coefficients, pixels)
            log_mass += log_mass_of_bin(edges, location, inverse_scale[channel])
        return tf.reduce_logsumexp(log_mass, axis=-1)

    def _sample_n(self, n, seed=None):
        rows = tf.concat(
            [self._logits[..., tf.newaxis, :], self._loc, self._scale, self._coefficients], axis=-2
        )
        num_channels = self._loc.shape[-2]
        batch = tf.concat([[n], tf.shape(rows)[:-2]], axis=0)
        rows = tf.broadcast_to(rows, tf.concat([batch, tf.shape(rows)[-2:]], axis=0))
        uniforms = tfd.Uniform().sample(tf.concat([batch, [num_channels + 1]], axis=0), seed=seed)
        component = draw_category(rows[..., 0, :], uniforms[..., 0])
        _, loc, scale, coefficients = tf.split(
            _of_component(rows, component), _num_rows_of_each(num_channels), axis=-1
        )
        noise = scale * logistic_noise(uniforms[..., 1:])
        return _draw_channels(loc, noise, coefficients, self._num_intervals)

    def _mean(self):
        weights = tf.nn.softmax(self._logits)[..., tf.newaxis, :]
        num_channels = self._loc.shape[-2]
        if num_channels == 1:
            means = LogisticOnLevels(
                0.5 + 0.5 * self._loc, 0.5 * self._scale, self._num_intervals + 1
            ).mean()
        else:
            means = self._means_over_points(num_channels)
        return tf.reduce_sum(weights * means, axis=-1)

    def _means_over_points(self, num_channels):
        """The mean of each component, `(..., C, K)`: an average over points of the unit cube."""
        points = _even_points(_NUM_POINTS, num_channels)
        # Eight at a time, beside all pixels: one is too slow, all would not fit into memory.
        shape = (-1, 8, *[1] * (self._loc.shape.rank - 2), num_channels, 1)
        noise = tf.constant(np.reshape(np.log(points) - np.log1p(-points), shape), tf.float32)

        def add_points(n, total):
            levels = _draw_channels(
                self._loc, self._scale * noise[n], self._coefficients, self._num_intervals, axis=-2
            )
            return n + 1, total + tf.reduce_sum(levels, axis=0)

        _, total = tf.while_loop(
            lambda n, _: n < _NUM_POINTS // 8,
            add_points,
            (tf.constant(0), tf.zeros_like(self._loc)),
            maximum_iterations=_NUM_POINTS // 8,
        )
        return total / _NUM_POINTS


def _num_rows_of_each(num_channels):
    """Numbers of rows of a pixel's parameters: logits, m, s, a."""
    return [1, num_channels, num_channels, num_channels * (num_channels - 1) // 2]


def _of_component(rows, component):
    """The column `component` `(...)` of `rows` `(..., rows, num_components)`."""
    return tf.gather(rows, component, axis=-1, batch_dims=component.shape.rank)


def _location(channel, loc, coefficients, pixels):
    """Location of a channel's logistic, from lists over channels (eq. 3)."""
    first = channel * (channel - 1) // 2
    location = loc[channel]
    for earlier in range(channel):
        location += coefficients[first + earlier] * pixels[earlier]
    return location


def _draw_channels(loc, noise, coefficients, num_intervals, axis=-1):
    """Levels in [0, 1] of the channels along `axis`, each drawn given those before it."""
    loc, noise, coefficients = (tf.unstack(x, axis=axis) for x in (loc, noise, coefficients))
    levels, pixels = [], []
    for channel, noise_of_channel in enumerate(noise):
        pixel = _location(channel, loc, coefficients, pixels) + noise_of_channel
        levels.append(nearest_level(0.5 + 0.5 * pixel, num_intervals))
        pixels.append(2.0 * levels[-1] - 1.0)
    return tf.stack(levels, axis=axis)


def _even_points(num_points, dim):
    """Points `(num_points, dim)`, `dim` >= 2, that fill the unit cube evenly.

        u_n1 = (n + 1/2) / num_points
        u_nd = frac((n + 1/2) g^(1 - d)) for d >= 2, with g^dim = g + 1

    Reference:
        Roberts 2018, "The Unreasonable Effectiveness of Quasirandom Sequences".
    """
    root = 2.0
    for _ in range(50):
        root = (1.0 + root) ** (1.0 / dim)
    steps = np.append(1.0 / num_points, root ** -np.arange(1.0, dim))
    return (np.arange(num_points)[:, np.newaxis] + 0.5) * steps % 1.0
