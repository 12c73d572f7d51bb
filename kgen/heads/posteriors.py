"""Heads for latent variables: parameter tensors -> q(z | x), reparameterized in every parameter."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from kgen import checks
from kgen.heads.head import Head

tfd = tfp.distributions

# log(1e-25) = -58: far below any component that matters, yet 1 / 1e-25, the slope of the logarithm
# there, times a loss scale of 2**24 (mixed_float16) is still a finite float32.
_SMALLEST_COMPONENT = 1e-25


class LocationScaleHead(Head):
    """Base of the heads with a location and a scale for each entry of the event.

        loc, raw_scale = split(params, 2),    scale = min_scale + softplus(raw_scale)

    Args:
        min_scale: float > 0. Keeps the density bounded where the network drives the scale to zero.
    """

    params_per_unit = 2
    family = None

    def __init__(self, *, min_scale=1e-5):
        self.min_scale = checks.positive_number("min_scale", min_scale)

    def distribution(self, params):
        """Returns the product over the event of the one-dimensional distributions."""
        loc, raw_scale = tf.split(params, 2, axis=-1)
        scale = self.min_scale + tf.math.softplus(raw_scale)
        return tfd.Independent(self.family(loc, scale), params.shape.rank - 1)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {"min_scale": self.min_scale}


@keras.saving.register_keras_serializable(package="kgen")
class DiagonalNormal(LocationScaleHead):
    """Normal with a diagonal covariance: `z = loc + scale * eps, eps ~ N(0, 1)`.

    The scale is `min_scale + softplus(raw_scale)`.

    Reference:
        Kingma and Welling 2014, "Auto-Encoding Variational Bayes", eq. 9 (there the network
        puts out the log-variance).
    """

    family = tfd.Normal


@keras.saving.register_keras_serializable(package="kgen")
class DiagonalLaplace(LocationScaleHead):
    """Independent Laplace variables: `p(z) = exp(-|z - loc| / scale) / (2 scale)`.

    The scale is `min_scale + softplus(raw_scale)`.

    Reference:
        Kingma and Welling 2014, section 2.4, location-scale families.
    """

    family = tfd.Laplace


@keras.saving.register_keras_serializable(package="kgen")
class DiagonalLogistic(LocationScaleHead):
    """Independent logistic variables: `z = loc + scale * log(u / (1 - u)), u ~ U(0, 1)`.

    The scale is `min_scale + softplus(raw_scale)`.

    Reference:
        Kingma and Welling 2014, section 2.4, tractable inverse CDF.
    """

    family = tfd.Logistic


@keras.saving.register_keras_serializable(package="kgen")
class LogNormal(LocationScaleHead):
    """Independent log-normal variables: `log z ~ N(loc, scale^2)`, so `z > 0`.

    `loc` and `scale = min_scale + softplus(raw_scale)` are those of `log z`.

    Reference:
        Kingma and Welling 2014, section 2.4, composition.
    """

    family = tfd.LogNormal

    def default_prior(self, latent_dim):
        """Returns the standard log-normal prior: a normal one has mass where this has none."""
        from kgen.heads.priors import StandardLogNormal

        return StandardLogNormal(latent_dim)


@keras.saving.register_keras_serializable(package="kgen")
class MixtureOfNormals(Head):
    """Mixture of normals with diagonal covariance over the event's last axis.

        p(z) = sum_k softmax(logits)_k N(z; loc_k, diag(scale_k^2))

    Samples are differentiable in every parameter, the mixture's logits included: the implicit
    reparameterization inverts the conditional CDFs of z_1, z_2 | z_1, ... That costs a Jacobian,
    quadratic in the event's last axis. The scale is `min_scale + softplus(raw_scale)`.

    The parameters are ordered `logits (K)`, `loc (K * D)`, `raw_scale (K * D)`, where K is the
    number of components and D the size of the event's last axis.

    Args:
        num_components: int >= 1.
        min_scale: float > 0.

    Reference:
        Figurnov, Mohamed and Mnih 2018, "Implicit Reparameterization Gradients".
        Graves 2016, "Stochastic Backpropagation through Mixture Density Distributions".
    """

    def __init__(self, num_components, *, min_scale=1e-5):
        self.num_components = checks.positive_integer("num_components", num_components)
        self.min_scale = checks.positive_number("min_scale", min_scale)

    def distribution(self, params):
        """Returns the mixture; positions before the last axis are independent."""
        size = self.event_size(params.shape[-1])
        num_coordinates = self.num_components * size
        logits, loc, raw_scale = tf.split(
            params, [self.num_components, num_coordinates, num_coordinates], axis=-1
        )
        per_component = tf.concat([tf.shape(params)[:-1], [self.num_components, size]], axis=0)
        loc = tf.reshape(loc, per_component)
        scale = self.min_scale + tf.math.softplus(tf.reshape(raw_scale, per_component))
        # Two traps of `reparameterize`: the components must be an Independent of a univariate
        # distribution, and their shape must be static for the triangular solve.
        static_shape = params.shape[:-1].concatenate([self.num_components, size])
        loc, scale = tf.ensure_shape(loc, static_shape), tf.ensure_shape(scale, static_shape)
        mixture = tfd.MixtureSameFamily(
            tfd.Categorical(logits=logits),
            tfd.Independent(tfd.Normal(loc, scale), 1),
            reparameterize=True,
        )
        return tfd.Independent(mixture, params.shape.rank - 2)

    def params_size(self, event_shape):
        """Returns `num_components * (1 + 2 * event_shape[-1])`."""
        return self.num_components * (1 + 2 * int(event_shape[-1]))

    def event_size(self, params_last_axis):
        """Returns the size of the event's last axis: the inverse of `params_size`.

        Raises:
            ValueError: if no event has parameters of this size.
        """
        per_component, remainder = divmod(params_last_axis, self.num_components)
        if remainder or per_component < 3 or per_component % 2 == 0:
            raise ValueError(
                f"{self!r} takes {self.num_components} * (1 + 2 * event_shape[-1]) parameters; "
                f"received a last axis of {params_last_axis}, which no event size gives. Give the "
                f"network `head.params_size(event_shape)` outputs."
            )
        return (per_component - 1) // 2

    def get_config(self):
        """Returns the constructor's arguments."""
        return {"num_components": self.num_components, "min_scale": self.min_scale}


@keras.saving.register_keras_serializable(package="kgen")
class RelaxedOneHotCategorical(Head):
    """Relaxed categorical latents: `num_variables` points of a simplex, side by side.

    The event has `num_variables * num_categories` entries; the parameters are as many logits.
    See `ConcatenatedRelaxedOneHot` for the density. It has no mean in closed form.

    Args:
        num_categories: int >= 2.
        temperature: float > 0. Samples become one-hot as it goes to 0.

    Reference:
        Jang, Gu and Poole 2017, "Categorical Reparameterization with Gumbel-Softmax", eq. 2.
        Maddison, Mnih and Teh 2017, "The Concrete Distribution", definition 1.
    """

    params_per_unit = 1

    def __init__(self, num_categories, *, temperature=0.5):
        checks.positive_integer("num_categories", num_categories)
        self.num_categories = checks.at_least("num_categories", num_categories, 2)
        self.temperature = checks.positive_number("temperature", temperature)

    def distribution(self, params):
        """Returns the distribution over the concatenated relaxed one-hot vectors."""
        leading, num_variables = tf.shape(params)[:-1], params.shape[-1] // self.num_categories
        logits = tf.reshape(
            params, tf.concat([leading, [num_variables, self.num_categories]], axis=0)
        )
        static_shape = params.shape[:-1].concatenate([num_variables, self.num_categories])
        logits = tf.ensure_shape(logits, static_shape)
        return tfd.Independent(
            ConcatenatedRelaxedOneHot(self.temperature, logits), params.shape.rank - 2
        )

    def params_size(self, event_shape):
        """Returns `event_shape[-1]`.

        Raises:
            ValueError: if `num_categories` does not divide it.
        """
        return self.event_size(int(event_shape[-1]))

    def event_size(self, params_last_axis):
        """Returns `params_last_axis`: there is one logit for each entry of the event.

        Raises:
            ValueError: if `num_categories` does not divide it.
        """
        if params_last_axis < 1 or params_last_axis % self.num_categories:
            raise ValueError(
                f"{self!r} takes num_variables * num_categories logits, so the latent dimension "
                f"and the last axis of `params` must be a positive multiple of "
                f"{self.num_categories}; received {params_last_axis}."
            )
        return params_last_axis

    def default_prior(self, latent_dim):
        """Returns the uniform prior of equal temperature, on the same product of simplices."""
        from kgen.heads.priors import UniformRelaxedOneHot

        return UniformRelaxedOneHot(latent_dim, self.num_categories, temperature=self.temperature)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {"num_categories": self.num_categories, "temperature": self.temperature}


class ConcatenatedRelaxedOneHot(tfd.Distribution):
    """Independent relaxed one-hot variables, flattened into one vector.

    With temperature T, K categories and Gumbel noise g, each variable is

        y = softmax((logits + g) / T)
        log p(y) = log Gamma(K) + (K - 1) log T
                   + sum_k (logits_k - (T + 1) log y_k) - K logsumexp_k(logits_k - T log y_k)

    Components are floored at 1e-25, in samples and in the density: in float32 the softmax reaches
    exactly 0 at low temperatures, where the density is infinite and its slope NaN. All densities
    see the same floored sample, so that a Monte Carlo KL between two of them stays consistent.

    Args:
        temperature: positive float.
        logits: float32 tensor `(..., num_variables, num_categories)`.

    Reference:
        Maddison, Mnih and Teh 2017, "The Concrete Distribution", definition 1.
    """

    def __init__(self, temperature, logits, name="ConcatenatedRelaxedOneHot"):
        parameters = dict(locals())
        self._temperature = tf.convert_to_tensor(temperature, tf.float32)
        self._logits = tf.convert_to_tensor(logits, tf.float32)
        super().__init__(
            dtype=tf.float32,
            reparameterization_type=tfd.FULLY_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return {
            "temperature": tfp.util.ParameterProperties(),
            "logits": tfp.util.ParameterProperties(event_ndims=2),
        }

    def _event_shape(self):
        return tf.TensorShape([self._logits.shape[-2:].num_elements()])

    def _event_shape_tensor(self):
        return tf.reduce_prod(tf.shape(self._logits)[-2:], keepdims=True)

    def centre(self):
        """The point that equal noise for every category gives: `softmax(logits / T)`."""
        return self._relax(self._logits)

    def _relax(self, noisy_logits):
        y = tf.math.exp(tf.nn.log_softmax(noisy_logits / self._temperature))
        shape = tf.concat([tf.shape(y)[:-2], self._event_shape_tensor()], axis=0)
        return tf.reshape(tf.maximum(y, _SMALLEST_COMPONENT), shape)

    def _sample_n(self, n, seed=None):
        shape = tf.concat([[n], tf.shape(self._logits)], axis=0)
        return self._relax(self._logits + tfd.Gumbel(0.0, 1.0).sample(shape, seed=seed))

    def _log_prob(self, value):
        variables = tf.concat([tf.shape(value)[:-1], tf.shape(self._logits)[-2:]], axis=0)
        log_y = tf.math.log(tf.maximum(tf.reshape(value, variables), _SMALLEST_COMPONENT))
        num_categories = tf.cast(tf.shape(self._logits)[-1], tf.float32)
        # The logits' own scale cancels; without it, logits in the thousands would swamp the sum.
        log_probs = tf.nn.log_softmax(self._logits)
        log_density = (
            tf.math.lgamma(num_categories)
            + (num_categories - 1.0) * tf.math.log(self._temperature)
            + tf.reduce_sum(log_probs - (self._temperature + 1.0) * log_y, axis=-1)
            - num_categories * tf.reduce_logsumexp(log_probs - self._temperature * log_y, axis=-1)
        )
        return tf.reduce_sum(log_density, axis=-1)
