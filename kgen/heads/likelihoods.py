"""Heads for data: parameter tensors -> p(x | z) over images, vectors, signals and volumes.

Every distribution has `sample(seed=)`, `log_prob(x)` in nats per example and `mean()`. Heads on
levels, `Normal` and `StudentT` also draw from uniforms that the caller brings: see `Head`.
"""

import math

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from kgen import checks
from kgen.heads.head import Head
from kgen.heads.levels import (
    BernoulliOfLogits,
    CategoricalOnLevels,
    LogisticOnLevels,
    check_num_levels,
    draw_category,
    logistic_noise,
    nearest_level,
    split_last_axis,
)

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
    is_bounded = True
    num_levels = 2
    # Grey values give the cross-entropy.
    required_levels = None

    def distribution(self, params):
        """Returns Bernoulli pixels with `params` as logits; samples are float32."""
        return tfd.Independent(
            BernoulliOfLogits(logits=params, dtype=tf.float32), params.shape.rank - 1
        )

    def noise_size(self, event_size):
        """Returns `event_size`: one uniform per channel."""
        return event_size

    def sample_from_uniforms(self, params, uniforms, temperature=1.0):
        """Draws pixels: `x = [u > 1 - sigmoid(params / temperature)]`. See `Head`."""
        return tf.cast(uniforms > tf.math.sigmoid(-params / temperature), tf.float32)


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
    is_bounded = True

    def distribution(self, params):
        """Returns continuous Bernoulli pixels with `params` as logits."""
        return tfd.Independent(tfd.ContinuousBernoulli(logits=params), params.shape.rank - 1)


@keras.saving.register_keras_serializable(package="kgen")
class Normal(Head):
    """Independent normal entries: pixels, or numbers of any range.

        loc = params                                            with a fixed scale
        loc, raw_scale = split(params, 2)                       with a learned one,
        scale = min_scale + softplus(raw_scale)

    Args:
        scale: float > 0, the fixed standard deviation in the data's unit, the range of pixels for
            images, or None to learn one for each entry and example.
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

    @property
    def has_unbounded_params(self):
        """Whether a scale is among them: a mean alone may well be in [0, 1]."""
        return self.scale is None

    def distribution(self, params):
        """Returns normal pixels."""
        return tfd.Independent(tfd.Normal(*self._loc_and_scale(params)), params.shape.rank - 1)

    def noise_size(self, event_size):
        """Returns `event_size`: one uniform per entry."""
        return event_size

    def sample_from_uniforms(self, params, uniforms, temperature=1.0):
        """Draws `loc + temperature * scale * ndtri(u)`, the normal's quantile. See `Head`."""
        loc, scale = self._loc_and_scale(params)
        return loc + temperature * scale * tf.math.ndtri(uniforms)

    def _loc_and_scale(self, params):
        if self.scale is not None:
            return params, self.scale
        loc, raw_scale = tf.split(params, 2, axis=-1)
        return loc, self.min_scale + tf.math.softplus(raw_scale)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {"scale": self.scale, "min_scale": self.min_scale}


@keras.saving.register_keras_serializable(package="kgen")
class StudentT(Head):
    """Independent entries of heavy tails, whose outliers move the rest little.

        p(x) = G((v + 1)/2) / (G(v/2) sqrt(pi v) s) (1 + ((x - loc) / s)^2 / v)^(-(v + 1)/2)
        loc, raw_scale         = split(params, 2)                   with a fixed df v
        loc, raw_scale, raw_df = split(params, 3)                   with a learned one,
        s = min_scale + softplus(raw_scale),    v = 2 + softplus(raw_df)

    G is the gamma function. The mean is loc.

        kgen.VAE(encoder, decoder, likelihood=heads.StudentT())

    Args:
        df: float > 1, the degrees of freedom, or None to learn one for each entry and example.
        min_scale: float > 0, which bounds the density of constant entries.

    Reference: Takahashi et al. 2018, "Student-t Variational Autoencoder for Robust Density
    Estimation", where v is softplus(raw_df); above 2 the variance is finite.
    """

    def __init__(self, df=None, *, min_scale=1e-3):
        self.df = None if df is None else checks.positive_number("df", df)
        if df is not None and df <= 1.0:
            raise ValueError(f"df must be above 1, where there is a mean, received {df}.")
        self.min_scale = checks.positive_number("min_scale", min_scale)

    @property
    def params_per_unit(self):
        """2 with a fixed df, else 3."""
        return 3 if self.df is None else 2

    def distribution(self, params):
        """Returns independent Student's t entries."""
        return tfd.Independent(tfd.StudentT(*self._parts(params)), params.shape.rank - 1)

    def noise_size(self, event_size):
        """Returns `2 * event_size`: two uniforms per entry."""
        return 2 * event_size

    def sample_from_uniforms(self, params, uniforms, temperature=1.0):
        """Draws `loc + temperature * s * sqrt(v (u^(-2 / v) - 1)) cos(2 pi w)`. See `Head`.

        Reference: Bailey 1994, "Polar Generation of Random Variates with the t-Distribution".
        """
        df, loc, scale = self._parts(params)
        radius, angle = tf.split(uniforms, 2, axis=-1)
        # expm1: u^(-2 / v) is near 1 for large v.
        length = tf.sqrt(df * tf.math.expm1(-2.0 / df * tf.math.log(radius)))
        return loc + temperature * scale * length * tf.cos(2.0 * math.pi * angle)

    def _parts(self, params):
        loc, raw_scale, *raw_df = tf.split(params, self.params_per_unit, axis=-1)
        df = 2.0 + tf.math.softplus(raw_df[0]) if raw_df else self.df
        return df, loc, self.min_scale + tf.math.softplus(raw_scale)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {"df": self.df, "min_scale": self.min_scale}


@keras.saving.register_keras_serializable(package="kgen")
class DiscretizedLogistic(Head):
    """Pixels on the levels k / (L - 1), with the mass that a logistic puts on each level's bin.

        scale = min_scale + softplus(raw_scale)

    See `LogisticOnLevels` for the mass. The parameters of a channel are its loc and raw_scale: for
    C channels they are laid out as (C, 2).

    Args:
        num_levels: int >= 2, L.
        min_scale: float > 0, in units of the pixel range. The default is a tenth of a bin of 256
            levels: a sharper logistic puts all its mass on one level already.

    Reference:
        Kingma et al. 2016, "Improving Variational Inference with Inverse Autoregressive Flow".
        Salimans et al. 2017, "PixelCNN++", eq. 2.
    """

    params_per_unit = 2
    is_bounded = True

    def __init__(self, num_levels=256, *, min_scale=4e-4):
        self.num_levels = check_num_levels(num_levels)
        self.min_scale = checks.positive_number("min_scale", min_scale)

    def distribution(self, params):
        """Returns discretized logistic pixels."""
        loc, scale = self._loc_and_scale(params)
        return tfd.Independent(
            LogisticOnLevels(loc, scale, num_levels=self.num_levels), params.shape.rank - 1
        )

    def noise_size(self, event_size):
        """Returns `event_size`: one uniform per channel."""
        return event_size

    def sample_from_uniforms(self, params, uniforms, temperature=1.0):
        """Draws pixels: `loc + temperature * scale * (log u - log(1 - u))`, rounded. See `Head`."""
        loc, scale = self._loc_and_scale(params)
        noise = temperature * scale * logistic_noise(uniforms)
        return nearest_level(loc + noise, self.num_levels - 1)

    def _loc_and_scale(self, params):
        rows = split_last_axis(params, [self.event_size(params.shape[-1]), 2])
        loc, raw_scale = tf.unstack(rows, axis=-1)
        return loc, self.min_scale + tf.math.softplus(raw_scale)

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

    is_bounded = True

    def __init__(self, num_levels=256):
        self.num_levels = check_num_levels(num_levels)

    @property
    def params_per_unit(self):
        """One logit for each level."""
        return self.num_levels

    def distribution(self, params):
        """Returns categorical pixels."""
        logits = self._logits(params)
        return tfd.Independent(CategoricalOnLevels(logits), params.shape.rank - 1)

    def noise_size(self, event_size):
        """Returns `event_size`: one uniform per channel."""
        return event_size

    def sample_from_uniforms(self, params, uniforms, temperature=1.0):
        """Draws pixels: the inverse CDF of `softmax(logits / temperature)`. See `Head`."""
        index = draw_category(self._logits(params / temperature), uniforms)
        return tf.cast(index, tf.float32) / (self.num_levels - 1)

    def _logits(self, params):
        return split_last_axis(params, [self.event_size(params.shape[-1]), self.num_levels])

    def get_config(self):
        """Returns the constructor's arguments."""
        return {"num_levels": self.num_levels}
