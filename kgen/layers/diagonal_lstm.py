"""The Diagonal BiLSTM: two LSTMs that go over an image diagonal by diagonal."""

import keras
import tensorflow as tf

from kgen.layers.causal_conv import CausalConv2D
from kgen.layers.row_lstm import (
    gates_in_order,
    known_sides,
    lstm_units,
    scan_lines,
    state_kernel,
)


@keras.saving.register_keras_serializable(package="kgen")
class DiagonalBiLSTM(keras.layers.Layer):
    """Two LSTMs, from the two upper corners, that together see every earlier pixel.

    The left one computes pixel (r, c) from its neighbours on the left and above:

        [o, f, i, g]_{r,c} = s(K_left h_{r,c-1} + K_above h_{r-1,c} + K_is x_{r,c} + b)
        c_{r,c} = f_{r,c} c_{r,c-1} + i_{r,c} g_{r,c}
        h_{r,c} = o_{r,c} tanh(c_{r,c})                        s: sigmoid, for g tanh

    with h and c equal to 0 outside the image. The right one has weights of its own and does the
    same on the mirrored image, from the neighbours on the right and above. Its states h' would see
    pixels to come, so they are shifted down by one row:

        y_{r,c} = h_{r,c} + h'_{r-1,c}

    h sees the rows up to r and columns up to c, h' the rows up to r - 1 and columns from c on: so y
    sees every earlier pixel of `inputs` and this one. In skewed maps (see `skew`) the pixels of a
    diagonal, which do not depend on one another, are a column, and all columns are one
    `tf.while_loop` of height + width - 1 steps for both directions.

    With G channel groups (R, G, B) inputs and outputs are G contiguous parts, and at the pixel
    itself part g sees the parts up to g; each part has its share of all four gates.

    Args:
        units: int, size of h and c; a multiple of `channel_groups`.
        channel_groups: int, 1 or the number of image channels.
        **kwargs: `name`, `dtype`, `trainable`.

    Call: float `(batch, height, width, channels)`, with known height and width, to
    `(batch, height, width, units)`.

    Raises:
        ValueError: for sizes that do not fit, or an unknown height or width.

    Reference:
        van den Oord et al. 2016, "Pixel Recurrent Neural Networks", section 3.2, figure 3, eq. 3.
    """

    def __init__(self, units, *, channel_groups=1, **kwargs):
        super().__init__(**kwargs)
        self.units = lstm_units(units, channel_groups)
        self.channel_groups = channel_groups
        self.left_input_to_state = self._input_to_state("left_input_to_state")
        self.right_input_to_state = self._input_to_state("right_input_to_state")

    def _input_to_state(self, name):
        policy = self.dtype_policy
        groups = self.channel_groups
        return CausalConv2D(4 * self.units, 1, channel_groups=groups, name=name, dtype=policy)

    def build(self, input_shape):
        """Create the kernels and the biases."""
        known_sides(self, input_shape)
        self.left_input_to_state.build(input_shape)
        self.right_input_to_state.build(input_shape)
        # The taps: the neighbour above, then the one on the left (of the mirrored image: right).
        self.left_state_kernel = state_kernel(self, "left_state_kernel", 2)
        self.right_state_kernel = state_kernel(self, "right_state_kernel", 2)
        super().build(input_shape)

    def call(self, inputs):
        """The sum of the two hidden states."""
        height, width = inputs.shape[1:3]
        left = gates_in_order(self.left_input_to_state(inputs), self.channel_groups)
        right = gates_in_order(self.right_input_to_state(inputs), self.channel_groups)
        # The zeros that skewing adds, bias not included, keep the states beside the image at 0.
        gates = tf.stack([skew(left), skew(tf.reverse(right, [2]))])
        kernels = [self.left_state_kernel.value, self.right_state_kernel.value]
        kernels = tf.cast(tf.stack(kernels), self.compute_dtype)
        hidden = scan_lines(tf.transpose(gates, (3, 0, 1, 2, 4)), kernels, (1, 0))
        left, right = tf.unstack(tf.transpose(hidden, (1, 2, 3, 0, 4)))
        right = tf.reverse(unskew(right, width), [2])
        shifted = tf.pad(right[:, : height - 1], [[0, 0], [1, 0], [0, 0], [0, 0]])
        return unskew(left, width) + shifted

    def compute_output_shape(self, input_shape):
        """`(batch, height, width, units)`."""
        return (*input_shape[:-1], self.units)

    def get_config(self):
        """The constructor's arguments."""
        own = dict(units=self.units, channel_groups=self.channel_groups)
        return {**super().get_config(), **own}


def skew(features):
    """Shift row r to the right by r columns, so that diagonals become columns.

        y[:, r, r + c] = x[:, r, c],    0 elsewhere

    Args:
        features: `(batch, height, width, channels)`, all but the batch known.

    Returns:
        `(batch, height, height + width - 1, channels)`.

    Reference: van den Oord et al. 2016, "Pixel Recurrent Neural Networks", figure 3.
    """
    height, width, channels = features.shape[1:]
    # `height` zeros behind each row, then read as rows one shorter: each begins one place later.
    wide = tf.pad(features, [[0, 0], [0, 0], [0, height], [0, 0]])
    flat = tf.reshape(wide, (-1, height * (width + height), channels))
    return tf.reshape(flat[:, :-height], (-1, height, width + height - 1, channels))


def unskew(features, width):
    """The inverse of `skew`: `y[:, r, c] = x[:, r, r + c]`.

    Args:
        features: `(batch, height, height + width - 1, channels)`, all but the batch known.
        width: int.

    Returns:
        `(batch, height, width, channels)`.
    """
    height, _, channels = features.shape[1:]
    flat = tf.reshape(features, (-1, height * (width + height - 1), channels))
    flat = tf.pad(flat, [[0, 0], [0, height], [0, 0]])
    return tf.reshape(flat, (-1, height, width + height, channels))[:, :, :width]
