"""What every head is, and one typical point of what it makes."""

import tensorflow as tf

from kgen import specs
from kgen.heads.standard_priors import StandardNormal


class Head:
    """A map from a tensor of parameters to a TFP distribution.

    The last axis of the parameters holds `params_size(event_shape)` numbers; their other axes are
    the batch axis and `event_shape[:-1]`. All axes but the first are event axes.

    A subclass sets `params_per_unit`, the number of parameters for one entry of the event's last
    axis, and overrides `distribution`, which receives float32 parameters of a size that fits.

    Heads whose values are the levels k / (L - 1) of [0, 1] have `num_levels` L. They and some
    others have

        noise_size(event_size)
            How many uniforms the `event_size` channels of one pixel need.
        sample_from_uniforms(params, uniforms, temperature=1.0)
            The inverse CDF: float32 values `(..., channels)` from params `(..., params_size)`,
            float32, and uniforms `(..., noise_size(channels))`, float32 in (0, 1). Logits are
            divided by `temperature` and the scales of logistics multiplied by it: below 1 values
            come closer to the mode or location. It is a float > 0, or a float32 tensor such as
            `(batch, 1)` whose last axis is 1 and which broadcasts against `params`.

    `has_unbounded_params` says whether parameters may be any real numbers, and mean little in
    [0, 1]: logits, raw scales. `required_levels` is the number of levels that values must lie on,
    `is_bounded` whether they lie in [0, 1].

    `couples_channels` says whether the channels of a pixel depend on one another, given the
    parameters. Where they do not, the parameters of C channels are C equal parts, one after the
    other: a network that orders the channels makes each part from the channels before it.
    """

    params_per_unit = None
    couples_channels = False
    has_unbounded_params = True
    is_bounded = False

    def __call__(self, params):
        """Returns the distribution, of batch shape `(batch,)`.

        Args:
            params: float tensor `(batch, *event_shape[:-1], params_size)`. It is cast to float32:
                densities in half precision lose the loss itself.

        Raises:
            ValueError: if the last axis does not fit this head.
        """
        params = tf.cast(tf.convert_to_tensor(params), tf.float32)
        if params.shape.rank is None or params.shape.rank < 2 or params.shape[-1] is None:
            raise ValueError(
                f"{type(self).__name__} needs params of shape (batch, ..., params_size) with a "
                f"known rank and last axis, received shape {params.shape}."
            )
        self.event_size(params.shape[-1])
        return self.distribution(params)

    def distribution(self, params):
        """Returns the distribution for float32 `params` whose last axis fits."""
        raise NotImplementedError(f"{type(self).__name__} must override `distribution`.")

    def params_size(self, event_shape):
        """Returns the size of the last axis of the parameters for events of `event_shape`."""
        return int(event_shape[-1]) * self.params_per_unit

    def event_size(self, params_last_axis):
        """Returns the size of the event's last axis: the inverse of `params_size`.

        Raises:
            ValueError: if no event has parameters of this size.
        """
        if params_last_axis < 1 or params_last_axis % self.params_per_unit:
            raise ValueError(
                f"{self!r} takes {self.params_per_unit} parameters for each entry of the event's "
                f"last axis, so the last axis of `params` must be a positive multiple of "
                f"{self.params_per_unit}; received {params_last_axis}. Give the network "
                f"`head.params_size(event_shape)` outputs."
            )
        return params_last_axis // self.params_per_unit

    @property
    def required_levels(self):
        """`num_levels`, or None for a head under which values off the levels mean something."""
        return getattr(self, "num_levels", None)

    def spec(self, event_shape):
        """The spec of the values that this head is over: see `kgen.specs.of_shape`."""
        return specs.of_shape(
            event_shape, unit_interval=self.is_bounded, num_levels=self.required_levels
        )

    def filled(self, x):
        """What an encoder reads of values, where those that are missing are NaN: here x itself."""
        return x

    def input_layers(self):
        """New layers that bring such values to the form that a network learns from: none."""
        return []

    def default_prior(self, latent_dim):
        """Returns the prior for latents that this head makes as a posterior."""
        return StandardNormal(latent_dim)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {}

    @classmethod
    def from_config(cls, config):
        """Returns the head that `get_config` describes."""
        return cls(**config)

    def __repr__(self):
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


def location(distribution):
    """One typical point of a distribution, without noise.

    The mean where it is known. Otherwise the image of the noise's centre: `f(location(base))` for a
    flow `z = f(base)`, and `softmax(logits / temperature)` (equal noise for every category) for
    relaxed one-hot variables.

    Returns a float32 tensor of shape `batch_shape + event_shape`.
    """
    try:
        return distribution.mean()
    except NotImplementedError:
        pass
    # No isinstance: `tfd.Independent(...)` and `tfd.TransformedDistribution(...)` make objects of
    # private classes that are not their subclasses when a part of them is no composite tensor.
    if hasattr(distribution, "bijector"):
        return distribution.bijector.forward(location(distribution.distribution))
    if hasattr(distribution, "distribution"):
        return location(distribution.distribution)
    return distribution.centre()
