"""Heads for pixels: parameter tensors -> p(x | z) over images in [0, 1], channels last.

Every distribution has `sample(seed=)`, `log_prob(x)` in nats per image and `mean()`.
"""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from kgen import checks
from kgen.heads.head import Head

tfd = tfp.distributions


@keras.saving.register_keras_serializable(package="kgen")
class Bernoulli(Head):
    """Independent binary pixels: `log p(x) = x log p + (1 - x) log(1 - p), p = sigmoid(params)`.

    Gray values x in [0, 1] give the usual cross-entropy, which is no normalized density: see
    `ContinuousBernoulli`.

    Reference:
        Kingma and Welling 2014, "Auto-Encoding Variational Bayes", eq. 11.
    """

    params_per_unit = 1

    def distribution(self, params):
        """Returns Bernoulli pixels with `params` as logits; samples are float32."""
        return tfd.Independent(
            tfd.Bernoulli(logits=params, dtype=tf.float32), params.shape.rank - 1
        )


@keras.saving.register_keras_serializable(package="kgen")
class ContinuousBernoulli(Head):
    """Independent gray values in [0, 1] with a normalized Bernoulli-like density.

        p(x) = C(p) p^x (1 - p)^(1 - x),    p = sigmoid(params)
        C(p) = 2 artanh(1 - 2p) / (1 - 2p),    C(1/2) = 2

    `C` is a Taylor series for p in (0.499, 0.501), where the quotient is 0 / 0.

    Reference:
        Loaiza-Ganem and Cunningham 2019, "The continuous Bernoulli".
    """

    params_per_unit = 1

    def distribution(self, params):
        """Returns continuous Bernoulli pixels with `params` as logits."""
        return tfd.Independent(tfd.ContinuousBernoulli(logits=params), params.shape.rank - 1)


@keras.saving.register_keras_serializable(package="kgen")
class Normal(Head):
    """Independent normal pixels.

        loc = params                                            with a fixed scale
        loc, raw_scale = split(params, 2)                       with a learned one,
        scale = min_scale + softplus(raw_scale)

    Args:
        scale: float > 0, the fixed standard deviation in units of the pixel range, or None to
            learn one for each pixel and image.
        min_scale: float > 0. Bounds the density of pixels that are constant over the data, which
            would otherwise grow without limit.

    Reference:
        Kingma and Welling 2014, "Auto-Encoding Variational Bayes", eq. 12.
    """

    def __init__(self, scale=None, *, min_scale=1e-3):
        self.scale = None if scale is None else checks.positive_number("scale", scale)
        self.min_scale = checks.positive_number("min_scale", min_scale)

    @property
    def params_per_unit(self):
        """1 with a fixed scale, else 2."""
        return 2 if self.scale is None else 1

    def distribution(self, params):
        """Returns normal pixels."""
        if self.scale is None:
            loc, raw_scale = tf.split(params, 2, axis=-1)
            scale = self.min_scale + tf.math.softplus(raw_scale)
        else:
            loc, scale = params, self.scale
        return tfd.Independent(tfd.Normal(loc, scale), params.shape.rank - 1)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {"scale": self.scale, "min_scale": self.min_scale}


@keras.saving.register_keras_serializable(package="kgen")
class DiscretizedLogistic(Head):
    """Pixels on the levels k / (L - 1), with the mass that a logistic puts on each level's bin.

        loc, raw_scale = split(params, 2),    scale = min_scale + softplus(raw_scale)

    See `LogisticOnLevels` for the mass.

    Args:
        num_levels: int >= 2, L.
        min_scale: float > 0, in units of the pixel range. The default is a tenth of a bin of 256
            levels: a sharper logistic puts all its mass on one level already.

    Reference:
        Kingma et al. 2016, "Improving Variational Inference with Inverse Autoregressive Flow".
        Salimans et al. 2017, "PixelCNN++", eq. 2.
    """

    params_per_unit = 2

    def __init__(self, num_levels=256, *, min_scale=4e-4):
        self.num_levels = _check_num_levels(num_levels)
        self.min_scale = checks.positive_number("min_scale", min_scale)

    def distribution(self, params):
        """Returns discretized logistic pixels."""
        loc, raw_scale = tf.split(params, 2, axis=-1)
        scale = self.min_scale + tf.math.softplus(raw_scale)
        return tfd.Independent(
            LogisticOnLevels(loc, scale, num_levels=self.num_levels), params.shape.rank - 1
        )

    def get_config(self):
        """Returns the constructor's arguments."""
        return {"num_levels": self.num_levels, "min_scale": self.min_scale}


@keras.saving.register_keras_serializable(package="kgen")
class Categorical(Head):
    """Pixels on the levels k / (L - 1), each with a probability of its own.

        p(x = k / (L - 1)) = softmax(logits)_k

    The parameters of a channel are its L logits: for C channels they are laid out as (C, L).

    Args:
        num_levels: int >= 2, L.

    Reference:
        van den Oord, Kalchbrenner and Kavukcuoglu 2016, "Pixel Recurrent Neural Networks".
    """

    def __init__(self, num_levels=256):
        self.num_levels = _check_num_levels(num_levels)

    @property
    def params_per_unit(self):
        """One logit for each level."""
        return self.num_levels

    def distribution(self, params):
        """Returns categorical pixels."""
        size = self.event_size(params.shape[-1])
        logits = tf.reshape(
            params, tf.concat([tf.shape(params)[:-1], [size, self.num_levels]], axis=0)
        )
        logits = tf.ensure_shape(logits, params.shape[:-1].concatenate([size, self.num_levels]))
        return tfd.Independent(CategoricalOnLevels(logits), params.shape.rank - 1)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {"num_levels": self.num_levels}


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
        return _nearest_level(
            tfd.Logistic(self._loc, self._scale).sample(n, seed=seed), self._num_intervals
        )

    def _log_prob(self, value):
        level = _nearest_level(value, self._num_intervals)
        half_bin = 0.5 / self._num_intervals
        below_upper_edge = tf.math.log_sigmoid((level + half_bin - self._loc) / self._scale)
        above_lower_edge = tf.math.log_sigmoid((self._loc - level + half_bin) / self._scale)
        inside = tfp.math.log1mexp(2.0 * half_bin / self._scale)
        interior = below_upper_edge + above_lower_edge + inside
        return tf.where(
            level <= 0.0, below_upper_edge, tf.where(level >= 1.0, above_lower_edge, interior)
        )

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
        level = _nearest_level(value, self._num_intervals)
        index = tf.cast(tf.round(level * self._num_intervals), tf.int32)
        return tfd.Categorical(logits=self._logits).log_prob(index)

    def _mean(self):
        levels = tf.linspace(0.0, 1.0, self._num_intervals + 1)
        return tf.linalg.matvec(tf.nn.softmax(self._logits), levels)


def _check_num_levels(num_levels):
    checks.positive_integer("num_levels", num_levels)
    return checks.at_least("num_levels", num_levels, 2)


def _nearest_level(value, num_intervals):
    return tf.round(tf.clip_by_value(value, 0.0, 1.0) * num_intervals) / num_intervals
