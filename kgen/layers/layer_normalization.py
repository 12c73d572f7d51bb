"""Layer normalization whose second derivative is right."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kgen")
class LayerNormalization(keras.layers.LayerNormalization):
    """`gamma (x - mean) / sqrt(variance + epsilon) + beta` over the axes of one example.

    Keras and TensorFlow take the variance about a mean that is held constant (`tf.nn.moments`).
    That leaves the first derivative right, but not the derivative of a derivative, which a gradient
    penalty needs. Here both pass through the mean.

    Args:
        axis: int or list of ints, the axes to normalize over.
        epsilon: float.
        **kwargs: as for `keras.layers.LayerNormalization`.

    Reference: Ba et al. 2016, "Layer Normalization", eq. 3-4.
    """

    def call(self, inputs):
        """The normalized inputs, computed in float32."""
        x = ops.cast(inputs, "float32")
        axes = {axis % len(x.shape) for axis in self.axis}
        shape = [size if axis in axes else 1 for axis, size in enumerate(x.shape)]
        centered = x - ops.mean(x, axis=self.axis, keepdims=True)
        variance = ops.mean(ops.square(centered), axis=self.axis, keepdims=True)
        outputs = centered * ops.rsqrt(variance + self.epsilon)
        if self.gamma is not None:
            outputs = outputs * ops.reshape(self.gamma, shape)
        if self.beta is not None:
            outputs = outputs + ops.reshape(self.beta, shape)
        return ops.cast(outputs, self.compute_dtype)
