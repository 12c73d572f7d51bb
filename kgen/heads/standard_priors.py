"""The base of the priors, and those that learn nothing.

A prior is a Keras layer so that a model which holds one tracks, saves and trains its variables. It
is never called as a layer: a distribution does not cross Keras' call machinery.
"""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from kgen import checks
from kgen.heads.relaxed import ConcatenatedRelaxedOneHot

tfd = tfp.distributions


class Prior(keras.layers.Layer):
    """Base of the priors.

    A subclass makes its variables in its constructor, in float32 under every policy, and overrides
    `distribution` and `get_config`.
    """

    def __init__(self, *, name=None, trainable=True):
        super().__init__(name=name, trainable=trainable, dtype="float32")

    def distribution(self, encode=None):
        """Returns p(z), of batch shape `()`.

        Args:
            encode: function from images `(batch, height, width, channels)` to the posterior
                q(z | x). Only `VampPrior` uses it.
        """
        raise NotImplementedError(f"{type(self).__name__} must override `distribution`.")

    def _add_parameter(self, name, shape, initializer):
        # Without autocast=False the variable reads as float16 inside a mixed-precision `call`.
        return self.add_weight(name=name, shape=shape, initializer=initializer, autocast=False)

    def get_config(self):
        """Returns the constructor's arguments that all priors share."""
        return {"name": self.name, "trainable": self.trainable}


@keras.saving.register_keras_serializable(package="kgen")
class StandardNormal(Prior):
    """p(z) = N(z; 0, I). It learns nothing.

    Args:
        latent_dim: int >= 1.
        **kwargs: `name`, `trainable`.
    """

    def __init__(self, latent_dim, **kwargs):
        super().__init__(**kwargs)
        self.latent_dim = checks.positive_integer("latent_dim", latent_dim)
        self.built = True

    def distribution(self, encode=None):
        """Returns the standard normal of event shape `(latent_dim,)`."""
        zeros = tf.zeros(self.latent_dim)
        return tfd.Independent(tfd.Normal(zeros, tf.ones_like(zeros)), 1)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "latent_dim": self.latent_dim}


@keras.saving.register_keras_serializable(package="kgen")
class StandardLogNormal(Prior):
    """log z ~ N(0, I): the prior that goes with the posterior `LogNormal`. It learns nothing.

    Args:
        latent_dim: int >= 1.
        **kwargs: `name`, `trainable`.
    """

    def __init__(self, latent_dim, **kwargs):
        super().__init__(**kwargs)
        self.latent_dim = checks.positive_integer("latent_dim", latent_dim)
        self.built = True

    def distribution(self, encode=None):
        """Returns the log-normal of event shape `(latent_dim,)`."""
        zeros = tf.zeros(self.latent_dim)
        return tfd.Independent(tfd.LogNormal(zeros, tf.ones_like(zeros)), 1)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "latent_dim": self.latent_dim}


@keras.saving.register_keras_serializable(package="kgen")
class UniformRelaxedOneHot(Prior):
    """Relaxed one-hot variables with equal probabilities. It learns nothing.

    It goes with the posterior `RelaxedOneHotCategorical`; see `ConcatenatedRelaxedOneHot` for the
    density.

    Args:
        latent_dim: int, a multiple of `num_categories`.
        num_categories: int >= 2.
        temperature: float > 0. Maddison et al. use another one here than for the posterior.
        **kwargs: `name`, `trainable`.

    Raises:
        ValueError: if `num_categories` does not divide `latent_dim`.

    Reference:
        Maddison, Mnih and Teh 2017, "The Concrete Distribution".
    """

    def __init__(self, latent_dim, num_categories, *, temperature=0.5, **kwargs):
        super().__init__(**kwargs)
        self.latent_dim = checks.positive_integer("latent_dim", latent_dim)
        checks.positive_integer("num_categories", num_categories)
        self.num_categories = checks.at_least("num_categories", num_categories, 2)
        self.temperature = checks.positive_number("temperature", temperature)
        if latent_dim % num_categories:
            raise ValueError(
                f"latent_dim must be a multiple of num_categories={num_categories}, "
                f"received {latent_dim}."
            )
        self.built = True

    def distribution(self, encode=None):
        """Returns the distribution of event shape `(latent_dim,)`."""
        logits = tf.zeros((self.latent_dim // self.num_categories, self.num_categories))
        return ConcatenatedRelaxedOneHot(self.temperature, logits)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "latent_dim": self.latent_dim,
            "num_categories": self.num_categories,
            "temperature": self.temperature,
        }
