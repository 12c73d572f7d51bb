"""Priors p(z) that learn: they own their weights, and make an unbatched distribution on demand."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from kgen import checks
from kgen.heads.standard_priors import Prior

tfd = tfp.distributions


@keras.saving.register_keras_serializable(package="kgen")
class MixtureOfNormalsPrior(Prior):
    """A learned mixture of normals with diagonal covariance.

        p(z) = sum_k softmax(logits)_k N(z; loc_k, diag(scale_k^2)),
        scale = min_scale + softplus(raw_scale)

    Weights and scales start equal over the components, the locations as draws of N(0, I).

    Args:
        latent_dim: int >= 1.
        num_components: int >= 1.
        min_scale: float > 0.
        **kwargs: `name`, `trainable`.

    Reference:
        Tomczak and Welling 2018, "VAE with a VampPrior" (its "MoG" prior).
    """

    def __init__(self, latent_dim, num_components, *, min_scale=1e-3, **kwargs):
        super().__init__(**kwargs)
        self.latent_dim = checks.positive_integer("latent_dim", latent_dim)
        self.num_components = checks.positive_integer("num_components", num_components)
        self.min_scale = checks.positive_number("min_scale", min_scale)
        shape = (num_components, latent_dim)
        self.logits = self._add_parameter("logits", (num_components,), "zeros")
        self.loc = self._add_parameter("loc", shape, keras.initializers.RandomNormal(stddev=1.0))
        # softplus(0.5413) = 1.
        self.raw_scale = self._add_parameter(
            "raw_scale", shape, keras.initializers.Constant(0.5413)
        )
        self.built = True

    def distribution(self, encode=None):
        """Returns the mixture of event shape `(latent_dim,)`."""
        scale = self.min_scale + tf.math.softplus(tf.convert_to_tensor(self.raw_scale))
        return tfd.MixtureSameFamily(
            tfd.Categorical(logits=tf.convert_to_tensor(self.logits)),
            tfd.Independent(tfd.Normal(tf.convert_to_tensor(self.loc), scale), 1),
        )

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "latent_dim": self.latent_dim,
            "num_components": self.num_components,
            "min_scale": self.min_scale,
        }


@keras.saving.register_keras_serializable(package="kgen")
class VampPrior(Prior):
    """Mixture of the posteriors of learned pseudo-inputs.

        p(z) = 1/K sum_k q(z | u_k),    u_k = sigmoid(raw_k) in [0, 1]

    The paper clips the pseudo-inputs to [0, 1]; the sigmoid keeps their gradient alive at the ends.
    They start as noise around mid-gray.

    Args:
        image_shape: `(height, width, channels)`.
        num_components: int >= 1, K.
        **kwargs: `name`, `trainable`.

    Reference:
        Tomczak and Welling 2018, "VAE with a VampPrior".
    """

    def __init__(self, image_shape, num_components, **kwargs):
        super().__init__(**kwargs)
        self.image_shape = checks.image_shape(image_shape)
        self.num_components = checks.positive_integer("num_components", num_components)
        self.raw_pseudo_inputs = self._add_parameter(
            "raw_pseudo_inputs",
            (num_components, *self.image_shape),
            keras.initializers.RandomNormal(stddev=1.0),
        )
        self.built = True

    def pseudo_inputs(self):
        """Returns the images u_k: float32 `(num_components, height, width, channels)`."""
        return tf.math.sigmoid(tf.convert_to_tensor(self.raw_pseudo_inputs))

    def distribution(self, encode=None):
        """Returns the mixture over `encode(pseudo_inputs)`.

        Args:
            encode: function from images to the posterior, of batch shape `(batch,)` and a vector
                event. With an `InverseAutoregressiveFlow` the density costs a pass per dimension.

        Raises:
            ValueError: without `encode`.
        """
        if encode is None:
            raise ValueError(
                "VampPrior is made of posteriors: call "
                "prior.distribution(encode=lambda images: posterior(encoder(images)))."
            )
        return tfd.MixtureSameFamily(
            tfd.Categorical(logits=tf.zeros(self.num_components)), encode(self.pseudo_inputs())
        )

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "image_shape": self.image_shape,
            "num_components": self.num_components,
        }
