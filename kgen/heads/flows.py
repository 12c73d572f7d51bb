"""Normalizing flows over vectors: two priors and a posterior.

All are TFP bijectors over plain Keras 3 networks. TFP's own networks need Keras 2.
"""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from kgen import checks
from kgen.heads.standard_priors import Prior, StandardNormal
from kgen.networks.autoregressive import masked_autoregressive

tfb = tfp.bijectors
tfd = tfp.distributions

# exp(+-3) is more than one step of a flow needs; without a bound, one bad batch overflows exp.
_LARGEST_LOG_SCALE = 3.0


@keras.saving.register_keras_serializable(package="kgen")
class AutoregressiveFlowPrior(Prior):
    """Masked autoregressive flow over a standard normal.

        z_d = u_d exp(a_d) + m_d,    (m_d, a_d) a function of z_1 .. z_{d-1},    u ~ N(0, I)

    Several such steps, the order of the entries reversed after each. The density costs one pass a
    step, a sample `latent_dim` of them. `a` is bounded to [-3, 3] by a scaled tanh.

    Args:
        latent_dim: int >= 1.
        num_flows: int >= 1, number of steps.
        hidden_units: sizes of each network's hidden layers.
        **kwargs: `name`, `trainable`.

    Reference:
        Papamakarios, Pavlakou and Murray 2017, "Masked Autoregressive Flow for Density Estimation".
    """

    def __init__(self, latent_dim, num_flows=2, hidden_units=(64, 64), **kwargs):
        super().__init__(**kwargs)
        self.latent_dim = checks.positive_integer("latent_dim", latent_dim)
        self.num_flows = checks.positive_integer("num_flows", num_flows)
        self.hidden_units = tuple(hidden_units)
        self.networks = [
            masked_autoregressive(latent_dim, self.hidden_units, 2, activation="tanh")
            for _ in range(num_flows)
        ]
        self.built = True

    def distribution(self, encode=None):
        """Returns the flow's distribution of event shape `(latent_dim,)`."""
        steps = [
            tfb.MaskedAutoregressiveFlow(_shift_and_log_scale(network)) for network in self.networks
        ]
        return _transformed_normal(self.latent_dim, steps)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), **_flow_config(self)}


@keras.saving.register_keras_serializable(package="kgen")
class CouplingFlowPrior(Prior):
    """Real NVP over a standard normal.

        z_A = u_A,    z_B = u_B exp(a(u_A)) + m(u_A),    u ~ N(0, I)

    A is the first half of the entries, B the rest; several such steps, the order of the entries
    reversed after each. Density and samples cost one pass per step. `a` is bounded to [-3, 3] by a
    scaled tanh.

    Args:
        latent_dim: int >= 2.
        num_flows: int >= 2, so that every entry is transformed.
        hidden_units: sizes of each network's hidden layers.
        **kwargs: `name`, `trainable`.

    Reference:
        Dinh, Sohl-Dickstein and Bengio 2017, "Density Estimation Using Real NVP", eq. 4-5.
    """

    def __init__(self, latent_dim, num_flows=4, hidden_units=(64, 64), **kwargs):
        super().__init__(**kwargs)
        checks.positive_integer("latent_dim", latent_dim)
        checks.positive_integer("num_flows", num_flows)
        self.latent_dim = checks.at_least("latent_dim", latent_dim, 2)
        self.num_flows = checks.at_least("num_flows", num_flows, 2)
        self.hidden_units = tuple(hidden_units)
        self.num_kept = latent_dim // 2
        self.networks = [
            _coupling_network(self.num_kept, self.hidden_units, latent_dim - self.num_kept)
            for _ in range(num_flows)
        ]
        self.built = True

    def distribution(self, encode=None):
        """Returns the flow's distribution of event shape `(latent_dim,)`."""
        steps = [
            tfb.RealNVP(self.num_kept, shift_and_log_scale_fn=_shift_and_log_scale(network))
            for network in self.networks
        ]
        return _transformed_normal(self.latent_dim, steps)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), **_flow_config(self)}


@keras.saving.register_keras_serializable(package="kgen")
class InverseAutoregressiveFlow(keras.layers.Layer):
    """Posterior: a diagonal normal, then inverse autoregressive steps.

        loc, raw_scale, context = split(params, [D, D, context_dim])
        z^0 = loc + (min_scale + softplus(raw_scale)) * eps,    eps ~ N(0, I)
        z^t = sigma * z^{t-1} + (1 - sigma) * m,    sigma = sigmoid(s + 1.5)
        log q(z^T | x) = log N(z^0; ...) - sum_t sum_d log sigma_d

    `m_d, s_d` of a step are functions of `z^{t-1}_1 .. z^{t-1}_{d-1}` and of the context; the order
    of the entries is reversed after each step. Sampling costs one pass per step, and so does the
    density of the distribution's own samples, whose `z^0 .. z^T` TFP remembers: pass `log_prob` the
    very tensor that `sample` returned. The density of any other point costs D passes a step.

    It is a head, and a Keras layer because it owns networks. `__call__` is the head's: Keras' own
    would cast the parameters to the compute dtype and take the distribution for a tensor.

    Args:
        latent_dim: int >= 1, D.
        num_flows: int >= 1, number of steps T.
        hidden_units: sizes of each network's hidden layers.
        context_dim: int >= 0.
        min_scale: float > 0.
        **kwargs: `name`, `trainable`.

    Reference:
        Kingma et al. 2016, "Improving Variational Inference with Inverse Autoregressive Flow",
        Algorithm 1. The 1.5 is between the paper's +1 and +2, which start a step near the
        identity.
    """

    def __init__(
        self,
        latent_dim,
        num_flows=2,
        hidden_units=(64, 64),
        context_dim=0,
        *,
        min_scale=1e-5,
        name=None,
        trainable=True,
    ):
        super().__init__(name=name, trainable=trainable, dtype="float32")
        self.latent_dim = checks.positive_integer("latent_dim", latent_dim)
        self.num_flows = checks.positive_integer("num_flows", num_flows)
        self.hidden_units = tuple(hidden_units)
        self.context_dim = checks.at_least("context_dim", context_dim, 0)
        self.min_scale = checks.positive_number("min_scale", min_scale)
        self.networks = [
            masked_autoregressive(
                latent_dim, self.hidden_units, 2, context_dim=context_dim, activation="tanh"
            )
            for _ in range(num_flows)
        ]
        self.built = True

    def __call__(self, params):
        """Returns q(z | x), of batch shape `(batch,)` and event shape `(latent_dim,)`.

        Args:
            params: float tensor `(batch, 2 * latent_dim + context_dim)`, cast to float32.

        Raises:
            ValueError: if its last axis has another size.
        """
        params = tf.cast(tf.convert_to_tensor(params), tf.float32)
        self.event_size(params.shape[-1])
        sizes = [self.latent_dim, self.latent_dim, self.context_dim]
        loc, raw_scale, context = tf.split(params, sizes, axis=-1)
        base = tfd.Independent(tfd.Normal(loc, self.min_scale + tf.math.softplus(raw_scale)), 1)
        steps = [
            _InverseAutoregressiveStep(network, context if self.context_dim else None)
            for network in self.networks
        ]
        return tfd.TransformedDistribution(base, _chain(self.latent_dim, steps))

    def default_prior(self, latent_dim):
        """Returns the standard normal prior."""
        return StandardNormal(latent_dim)

    def params_size(self, event_shape):
        """Returns `2 * latent_dim + context_dim`.

        Raises:
            ValueError: if `event_shape` is not `(latent_dim,)`.
        """
        if tuple(event_shape) != (self.latent_dim,):
            raise ValueError(
                f"This flow is made for events of shape ({self.latent_dim},), received "
                f"{tuple(event_shape)}."
            )
        return 2 * self.latent_dim + self.context_dim

    def event_size(self, params_last_axis):
        """Returns `latent_dim`.

        Raises:
            ValueError: if the parameters have another size than `params_size`.
        """
        expected = 2 * self.latent_dim + self.context_dim
        if params_last_axis != expected:
            raise ValueError(
                f"InverseAutoregressiveFlow(latent_dim={self.latent_dim}, "
                f"context_dim={self.context_dim}) takes params whose last axis is "
                f"2 * latent_dim + context_dim = {expected}, received {params_last_axis}. Give the "
                f"network `head.params_size(event_shape)` outputs."
            )
        return self.latent_dim

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            "name": self.name,
            "trainable": self.trainable,
            "context_dim": self.context_dim,
            "min_scale": self.min_scale,
            **_flow_config(self),
        }


class _InverseAutoregressiveStep(tfb.Bijector):
    """z -> sigma(z) * z + (1 - sigma(z)) * m(z), both autoregressive in z."""

    def __init__(self, network, context, name="inverse_autoregressive_step"):
        parameters = dict(locals())
        self._network = network
        self._context = context
        super().__init__(forward_min_event_ndims=1, parameters=parameters, name=name)

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}

    def _mean_and_gate(self, z):
        mean, raw_gate = tf.unstack(_apply_network(self._network, z, self._context), axis=-1)
        return mean, raw_gate + 1.5

    def _forward(self, z):
        mean, raw_gate = self._mean_and_gate(z)
        gate = tf.math.sigmoid(raw_gate)
        return gate * z + (1.0 - gate) * mean

    def _forward_log_det_jacobian(self, z):
        return tf.reduce_sum(tf.math.log_sigmoid(self._mean_and_gate(z)[1]), axis=-1)

    def _inverse(self, y):
        """Solves for one entry after the other: entry d needs the entries before it."""
        if self._context is not None:
            leading = tf.broadcast_dynamic_shape(tf.shape(y)[:-1], tf.shape(self._context)[:-1])
            y = tf.broadcast_to(y, tf.concat([leading, tf.shape(y)[-1:]], axis=0))
        dim = y.shape[-1]

        # Only entry d is written: the entries after it are not solved yet, and if one of them
        # overflowed, 0 * inf in the masked kernels would spoil all.
        def solve_entry(d, z):
            mean, raw_gate = self._mean_and_gate(z)
            # 1 / sigmoid(s) = 1 + exp(-s), and (1 - sigmoid(s)) / sigmoid(s) = exp(-s).
            odds = tf.math.exp(-raw_gate)
            return d + 1, tf.where(tf.range(dim) == d, y + odds * (y - mean), z)

        _, z = tf.while_loop(
            lambda d, _: d < dim,
            solve_entry,
            (tf.constant(0), tf.zeros_like(y)),
            maximum_iterations=dim,
        )
        return z


def _transformed_normal(latent_dim, steps):
    zeros = tf.zeros(latent_dim)
    base = tfd.Independent(tfd.Normal(zeros, tf.ones_like(zeros)), 1)
    return tfd.TransformedDistribution(base, _chain(latent_dim, steps))


def _chain(latent_dim, steps):
    """The steps, first to last, with the order of the entries reversed between them."""
    bijectors = [steps[0]]
    for step in steps[1:]:
        bijectors += [tfb.Permute(list(reversed(range(latent_dim)))), step]
    # A Chain applies its last bijector first.
    return tfb.Chain(bijectors[::-1])


def _shift_and_log_scale(network):
    """The function that TFP's flows ask for; RealNVP also passes the number of outputs."""

    def shift_and_log_scale(x, output_units=None):
        shift, raw = tf.unstack(_apply_network(network, x, None), axis=-1)
        return shift, _LARGEST_LOG_SCALE * tf.math.tanh(raw / _LARGEST_LOG_SCALE)

    return shift_and_log_scale


def _apply_network(network, x, context):
    """Applies a Keras network, which takes one batch axis, to any leading axes of `x`."""
    leading = tf.shape(x)[:-1]
    if context is not None:
        leading = tf.broadcast_dynamic_shape(leading, tf.shape(context)[:-1])
        x = tf.broadcast_to(x, tf.concat([leading, tf.shape(x)[-1:]], axis=0))
        context = tf.broadcast_to(context, tf.concat([leading, tf.shape(context)[-1:]], axis=0))
        inputs = [_rows(x), _rows(context)]
    else:
        inputs = _rows(x)
    outputs = network(inputs)
    return tf.reshape(outputs, tf.concat([leading, outputs.shape[1:]], axis=0))


def _rows(x):
    return tf.reshape(x, (-1, x.shape[-1]))


def _coupling_network(input_dim, hidden_units, num_transformed):
    inputs = keras.Input((input_dim,), dtype="float32")
    x = inputs
    for units in hidden_units:
        checks.positive_integer("each of hidden_units", units)
        x = keras.layers.Dense(units, activation="tanh", dtype="float32")(x)
    x = keras.layers.Dense(
        2 * num_transformed,
        kernel_initializer=keras.initializers.VarianceScaling(0.01),
        dtype="float32",
    )(x)
    outputs = keras.layers.Reshape((num_transformed, 2), dtype="float32")(x)
    return keras.Model(inputs, outputs, name="coupling")


def _flow_config(flow):
    return {
        "latent_dim": flow.latent_dim,
        "num_flows": flow.num_flows,
        "hidden_units": flow.hidden_units,
    }
