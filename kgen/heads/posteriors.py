"""Heads for latent variables: parameter tensors -> q(z | x), reparameterized in every parameter."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from kgen import checks
from kgen.heads.head import Head
from kgen.heads.relaxed import ConcatenatedRelaxedOneHot
from kgen.heads.standard_priors import StandardLogNormal, UniformRelaxedOneHot

tfd = tfp.distributions


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
        return UniformRelaxedOneHot(latent_dim, self.num_categories, temperature=self.temperature)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {"num_categories": self.num_categories, "temperature": self.temperature}
