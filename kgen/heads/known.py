"""The likelihood of what is known of an example."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from kgen import checks, specs
from kgen.heads.head import Head

tfd = tfp.distributions


@keras.saving.register_keras_serializable(package="kgen")
class Known(Head):
    """Another head's likelihood of the pixels that are known; NaN stands for a missing one.

        log p(x_known | z) = sum over known pixels i of log p(x_i | z)

    The encoder reads 0 in place of NaN. With it a VAE maximizes a bound on log p(x_known), and
    `reconstruct` fills in what is missing.

        vae = kgen.VAE.for_images((28, 28, 1), likelihood=kgen.heads.Known(kgen.heads.Bernoulli()))
        vae.fit(images_with_nan)

    Args:
        head: head of independent pixels, such as `kgen.heads.Bernoulli()`, `Normal()`,
            `DiscretizedLogistic(256)`.

    Raises:
        ValueError: for a head whose channels depend on one another.

    Reference: Mattei & Frellsen 2019, "MIWAE: Deep Generative Modelling and Imputation of
    Incomplete Data Sets", eq. 3, with zero imputation for the encoder.
    """

    def __init__(self, head):
        self.head = checks.head("head", head, None)
        if head.couples_channels:
            raise ValueError(f"Known needs a head of independent pixels, received {head!r}.")

    is_bounded = property(lambda self: self.head.is_bounded)
    has_unbounded_params = property(lambda self: self.head.has_unbounded_params)
    params_per_unit = property(lambda self: self.head.params_per_unit)
    required_levels = property(lambda self: self.head.required_levels)

    def distribution(self, params):
        """Returns the head's distribution, whose `log_prob` leaves out what is NaN."""
        return KnownPixels(self.head.distribution(params))

    def spec(self, event_shape):
        """The spec of the head, which lets NaN pass."""
        spec = self.head.spec(event_shape)
        if not isinstance(spec, specs.Images):
            raise ValueError(f"Known is for images, received an event of shape {event_shape}.")
        return specs.Images(spec.shape, spec.num_levels, missing=True)

    def filled(self, x):
        """0 in place of NaN: what the encoder reads."""
        return tf.where(tf.math.is_nan(x), tf.zeros_like(x), x)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {"head": keras.saving.serialize_keras_object(self.head)}

    @classmethod
    def from_config(cls, config):
        """Returns the head that `get_config` describes."""
        return cls(keras.saving.deserialize_keras_object(config["head"]))


class KnownPixels:
    """A `tfd.Independent` distribution whose density leaves out the entries that are NaN.

    Args:
        distribution: `tfd.Independent` of batch shape `(batch,)`.
    """

    def __init__(self, distribution):
        self._all = distribution

    def log_prob(self, x):
        """float32 `(batch,)`: 0 for an example of which nothing is known."""
        x = tf.convert_to_tensor(x, tf.float32)
        known = tf.logical_not(tf.math.is_nan(x))
        # Anything in the support in place of NaN: its gradient times 0 would be NaN.
        each = self._all.distribution.log_prob(tf.where(known, x, tf.zeros_like(x)))
        return tf.reduce_sum(tf.where(known, each, 0.0), axis=list(range(1, x.shape.rank)))

    def mean(self):
        """The mean of all pixels, known or not."""
        return self._all.mean()

    def sample(self, *args, **kwargs):
        """Draws of all pixels, known or not."""
        return self._all.sample(*args, **kwargs)
