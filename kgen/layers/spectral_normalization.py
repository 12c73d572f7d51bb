"""A layer whose kernel is divided by its largest singular value."""

import keras
import tensorflow as tf

from kgen import checks


@keras.saving.register_keras_serializable(package="kgen")
class SpectralNormalization(keras.layers.Wrapper):
    """Wraps a layer so that it computes with `W / sigma(W)`.

        v <- W u / |W u|,   u <- W^T v / |W^T v|,   sigma(W) = v^T W u

    W is the kernel as a matrix `(inputs, outputs)`: a convolution's rows are the entries of its
    window. The iteration runs in every training call, from the u of the last one. The gradient
    passes through sigma, with u and v held fixed; the optimizer moves W itself.

    `keras.layers.SpectralNormalization` differs: it overwrites W by its quotient in each training
    call, rounds it to the computation's precision, and casts the outputs to the inputs' type, which
    turns an embedding into integers.

    Args:
        layer: Keras layer with a `kernel` or `embeddings` whose last axis is that of the outputs.
        power_iterations: int >= 1, iterations a training call.
        **kwargs: `name`, `trainable`.

    Raises:
        ValueError: if the layer has neither, or for a transposed convolution, whose kernel has
            another order of axes.

    Reference:
        Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks", Algorithm
        1 and eq. 12.
    """

    def __init__(self, layer, *, power_iterations=1, **kwargs):
        # The kernel is read in float32 under every policy; the wrapped layer casts for itself.
        super().__init__(layer, autocast=False, **{**kwargs, "dtype": "float32"})
        self.power_iterations = checks.positive_integer("power_iterations", power_iterations)

    @property
    def kernel(self):
        """The variable W, as the optimizer moves it."""
        kernel = getattr(self.layer, "kernel", getattr(self.layer, "embeddings", None))
        if kernel is None or "Transpose" in type(self.layer).__name__:
            raise ValueError(
                "SpectralNormalization needs a layer with a kernel or embeddings whose last axis "
                f"is that of the outputs, received {type(self.layer).__name__}."
            )
        return kernel

    def build(self, input_shape=None):
        """Makes `u` of shape `(outputs,)`."""
        super().build(input_shape)
        self.u = self.add_weight(
            name="u",
            shape=(self.kernel.shape[-1],),
            initializer=keras.initializers.RandomNormal(),
            trainable=False,
            autocast=False,
            # Every replica computes the same from the same kernel.
            aggregation="only_first_replica",
        )

    def call(self, inputs, training=False):
        """The wrapped layer's outputs."""
        kernel = tf.convert_to_tensor(self.kernel)
        matrix = tf.reshape(kernel, (-1, kernel.shape[-1]))
        fixed, u = tf.stop_gradient(matrix), tf.convert_to_tensor(self.u)
        v = _direction(tf.linalg.matvec(fixed, u))
        if training:
            for iteration in range(self.power_iterations):
                v = v if iteration == 0 else _direction(tf.linalg.matvec(fixed, u))
                u = _direction(tf.linalg.matvec(fixed, v, transpose_a=True))
            # A kernel of zeros has no direction, and u = 0 would never find one again.
            self.u.assign(tf.where(tf.reduce_any(u != 0.0), u, self.u))
        else:
            u = _direction(u)
        sigma = tf.reduce_sum(v * tf.linalg.matvec(matrix, u))
        normalized = kernel / tf.where(sigma > 0.0, sigma, 1.0)
        # Not the kernel alone: the scope hides an outer one, which may hold the other variables.
        values = {id(v): (v, tf.convert_to_tensor(v)) for v in self.layer.variables}
        values[id(self.kernel)] = (self.kernel, normalized)
        with keras.StatelessScope(state_mapping=values.values()):
            return self.layer(inputs)

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "power_iterations": self.power_iterations}


def _direction(vector):
    return tf.math.l2_normalize(vector, epsilon=1e-24)
