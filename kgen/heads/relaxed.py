"""Relaxed one-hot variables as one vector."""

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions

# log(1e-25) = -58: far below any component that matters, yet 1 / 1e-25, the slope of the logarithm
# there, times a loss scale of 2**24 (mixed_float16) is still a finite float32.
_SMALLEST_COMPONENT = 1e-25


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
