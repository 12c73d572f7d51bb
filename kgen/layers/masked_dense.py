"""A dense layer some of whose connections are cut."""

import keras
import numpy as np
from keras import ops

from kgen import checks


@keras.saving.register_keras_serializable(package="kgen")
class MaskedDense(keras.layers.Layer):
    """Dense layer with a fixed mask on its weights.

        y = activation(x (kernel * mask) + bias)

    Args:
        units: int >= 1, size of the output.
        mask: array of 0 and 1 of shape `(input_dim, units)`; 1 keeps a connection. It is part of
            the configuration, not a weight.
        activation: name or function, as for `keras.layers.Dense`.
        use_bias: bool.
        kernel_initializer: as for `keras.layers.Dense`.
        **kwargs: `name`, `dtype`, `trainable`.

    Raises:
        ValueError: if the mask has another shape or other values, or the input another size.

    Reference:
        Germain et al. 2015, "MADE: Masked Autoencoder for Distribution Estimation".
    """

    def __init__(
        self,
        units,
        mask,
        *,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = checks.positive_integer("units", units)
        # Saved configurations hold integers: as JSON they are less than half as long as floats.
        self.mask = np.asarray(mask)
        if self.mask.ndim != 2 or self.mask.shape[1] != self.units:
            raise ValueError(
                f"mask must have shape (input_dim, units={units}), received {self.mask.shape}."
            )
        if not np.isin(self.mask, (0, 1)).all():
            raise ValueError("mask must hold only 0 and 1.")
        self.mask = self.mask.astype("int8")
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        """Makes `kernel` of shape `(input_dim, units)` and `bias` of shape `(units,)`."""
        if input_shape[-1] != self.mask.shape[0]:
            raise ValueError(
                f"The mask of {self.name} has {self.mask.shape[0]} rows, so its input must have "
                f"shape (..., {self.mask.shape[0]}), received {tuple(input_shape)}."
            )
        self.kernel = self.add_weight(
            name="kernel", shape=self.mask.shape, initializer=self.kernel_initializer
        )
        self.bias = self.add_weight(name="bias", shape=(self.units,)) if self.use_bias else None

    def call(self, inputs):
        """Maps `(..., input_dim)` to `(..., units)`."""
        kernel = self.kernel * ops.cast(self.mask, self.compute_dtype)
        outputs = ops.matmul(inputs, kernel)
        if self.bias is not None:
            outputs = outputs + self.bias
        return self.activation(outputs)

    def compute_output_shape(self, input_shape):
        """`(..., units)`."""
        return (*input_shape[:-1], self.units)

    def get_config(self):
        """The constructor's arguments, the mask as nested lists."""
        return {
            **super().get_config(),
            "units": self.units,
            "mask": self.mask.tolist(),
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
