"""Heads for numbers of any scale, which are standardized inside."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from kgen import checks
from kgen.heads.likelihoods import Normal
from kgen.heads.standard_priors import StandardNormal
from kgen.layers import Standardization

tfb = tfp.bijectors
tfd = tfp.distributions


class StandardizingHead(keras.layers.Layer):
    """A head that keeps means and scales, and so is a Keras layer: that saves and exports them.

    `__call__` is the head's: Keras' own would take the distribution for a tensor.
    """

    couples_channels, has_unbounded_params, is_bounded, required_levels = False, True, False, None

    def __init__(self, dim, columns=None):
        super().__init__(dtype="float32")
        # A name of its own: those of layers in networks are numbered anew in each session.
        self.scaling = Standardization(dim, columns=columns, name="likelihood_scaling")
        self.built = True

    def __call__(self, params):
        """Returns the distribution, of batch shape `(batch,)`; see `kgen.heads.Head`."""
        params = tf.cast(tf.convert_to_tensor(params), tf.float32)
        self.event_size(params.shape[-1])
        return self.distribution(params)

    def _check_size(self, received, expected):
        if received != expected:
            raise ValueError(
                f"{self!r} takes params whose last axis is {expected}, received {received}. Give "
                "the network `head.params_size(event_shape)` outputs."
            )
        return self.scaling.dim

    def _check_event(self, event_shape, rank=None):
        shape = tuple(event_shape)
        if not shape or shape[-1] != self.scaling.dim or len(shape) != (rank or len(shape)):
            raise ValueError(
                f"{self!r} is made for {self.scaling.dim} values on the last axis, received an "
                f"event of shape {shape}."
            )

    def filled(self, x):
        """What an encoder reads of values: x itself; its first layers do the rest."""
        return x

    def default_prior(self, latent_dim):
        """Returns the standard normal prior."""
        return StandardNormal(latent_dim)


@keras.saving.register_keras_serializable(package="kgen")
class Standardized(StandardizingHead):
    """A head for numbers of any scale: another head's, of the standardized numbers.

        p(x) = p_head((x - m) / s) / prod s

    m and s are mean and standard deviation of the training data by entry of the last axis; see
    `kgen.layers.Standardization` for where they come from. Densities are those of x on its own
    scale, and the parameters are of the size of 1 whatever that is.

        kgen.VAE(encoder, decoder, likelihood=heads.Standardized(heads.StudentT(), 30))

    Args:
        head: head of real numbers, such as `kgen.heads.Normal()`.
        dim: int >= 1, size of the event's last axis.

    Raises:
        ValueError: for a head of values in [0, 1], which no standardization leaves there.
    """

    def __init__(self, head, dim):
        if getattr(head, "is_bounded", True) or isinstance(head, StandardizingHead):
            raise ValueError(
                "Standardized takes a head of real numbers, such as kgen.heads.Normal(); "
                f"received {head!r}."
            )
        super().__init__(checks.positive_integer("dim", dim))
        self.head, self.dim = head, dim

    def distribution(self, params):
        """Returns the head's distribution, moved to the data's scale."""
        distribution = self.head.distribution(params)
        return tfd.TransformedDistribution(
            distribution, _Restoration(self.scaling, distribution.event_shape)
        )

    def params_size(self, event_shape):
        """Returns the size of the last axis of the parameters, that of `head`."""
        self._check_event(event_shape)
        return self.head.params_size(event_shape)

    def event_size(self, params_last_axis):
        """Returns `dim`, or raises ValueError if `head` has other parameters for it."""
        return self._check_size(params_last_axis, self.head.params_size((self.dim,)))

    def spec(self, event_shape):
        """The spec of the values: numbers of any range."""
        return self.head.spec(event_shape)

    def input_layers(self):
        """New layers that bring such values to the scale of a network."""
        return [Standardization(self.dim)]

    def get_config(self):
        """Returns the constructor's arguments."""
        return {"head": keras.saving.serialize_keras_object(self.head), "dim": self.dim}

    @classmethod
    def from_config(cls, config):
        """Returns the head that `get_config` describes."""
        return cls(keras.saving.deserialize_keras_object(config["head"]), config["dim"])

    def __repr__(self):
        return f"Standardized({self.head!r}, {self.dim})"


def on_any_scale(head, dim):
    """`Standardized(head, dim)`; the head itself where its values are bounded, or standardized.

    Args:
        head: head, or None for `kgen.heads.Normal()`.
        dim: int >= 1, size of the event's last axis.
    """
    head = checks.head("likelihood", head, Normal())
    if head.is_bounded or isinstance(head, StandardizingHead):
        return head
    return Standardized(head, dim)


class _Restoration(tfb.Bijector):
    """z -> m + s z over the whole event."""

    def __init__(self, scaling, event_shape, name="restoration"):
        parameters = dict(locals())
        self._scaling, self._shape = scaling, tuple(event_shape)
        super().__init__(forward_min_event_ndims=len(self._shape), parameters=parameters, name=name)

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def _forward(self, z):
        return self._scaling.restore(z)

    def _inverse(self, x):
        return self._scaling.standardize(x)

    def _forward_log_det_jacobian(self, z):
        return self._scaling.log_volume(self._shape)
