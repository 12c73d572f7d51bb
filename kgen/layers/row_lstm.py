"""The Row LSTM: an LSTM that goes down an image row by row."""

import keras
import tensorflow as tf

from kgen import checks
from kgen.layers.causal_conv import CausalConv2D


@keras.saving.register_keras_serializable(package="kgen")
class RowLSTM(keras.layers.Layer):
    """An LSTM whose steps are the rows; the states of a whole row are computed at once.

        [o_r, f_r, i_r, g_r] = s(K_ss * h_{r-1} + K_is * x_r + b),   s: sigmoid, for g tanh
        c_r = f_r c_{r-1} + i_r g_r
        h_r = o_r tanh(c_r)

    where `*` is a convolution along the row, over `kernel_size` columns, and h and c are 0 outside
    the image. K_is is masked: of its own row, h_r at column c sees the columns c - p .. c with
    p = kernel_size // 2. K_ss is not, since the rows above are known: of row r - d it sees the
    columns c - (d + 1) p .. c + d p, a triangle, not all of that row.

    With G channel groups (R, G, B) inputs and outputs are G contiguous parts, and at the pixel
    itself part g sees the parts up to g; each part has its share of all four gates.

    Args:
        units: int, size of h and c; a multiple of `channel_groups`.
        kernel_size: odd int, columns of K_is (before the mask) and K_ss; the paper asks for at
            least 3.
        channel_groups: int, 1 or the number of image channels.
        **kwargs: `name`, `dtype`, `trainable`.

    Call: float `(batch, height, width, channels)`, with known height and width, to
    `(batch, height, width, units)`. The rows are one `tf.while_loop`.

    Raises:
        ValueError: for sizes that do not fit, or an unknown height or width.

    Reference:
        van den Oord et al. 2016, "Pixel Recurrent Neural Networks", section 3.1, eq. 3.
    """

    def __init__(self, units, kernel_size=3, *, channel_groups=1, **kwargs):
        super().__init__(**kwargs)
        self.units = lstm_units(units, channel_groups)
        self.kernel_size = checks.positive_integer("kernel_size", kernel_size)
        if kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size must be odd, so that a state lies in the middle of its window; "
                f"received {kernel_size}."
            )
        self.channel_groups = channel_groups
        self.input_to_state = CausalConv2D(
            4 * units,
            (1, kernel_size),
            channel_groups=channel_groups,
            name="input_to_state",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape):
        """Create the kernels and the bias."""
        known_sides(self, input_shape)
        self.input_to_state.build(input_shape)
        self.state_kernel = state_kernel(self, "state_kernel", self.kernel_size)
        super().build(input_shape)

    def call(self, inputs):
        """The hidden states."""
        gates = gates_in_order(self.input_to_state(inputs), self.channel_groups)
        kernel = tf.cast(self.state_kernel.value, self.compute_dtype)
        side = self.kernel_size // 2
        hidden = scan_lines(tf.transpose(gates, (1, 0, 2, 3))[:, None], kernel[None], (side, side))
        return tf.transpose(hidden[:, 0], (1, 0, 2, 3))

    def compute_output_shape(self, input_shape):
        """`(batch, height, width, units)`."""
        return (*input_shape[:-1], self.units)

    def get_config(self):
        """The constructor's arguments."""
        names = ("units", "kernel_size", "channel_groups")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


# What the Diagonal BiLSTM shares.


def scan_lines(gates, kernel, padding):
    """LSTMs over lines of states; a state reads a window of the line before, eq. 3.

    Args:
        gates: float `(lines, directions, batch, positions, 4 * units)`, what the input gives to the
            gates o, f, i, g. All axes but the batch are known.
        kernel: `(directions, taps, units, 4 * units)`, state to state: an LSTM for each direction.
        padding: `(before, after)`, ints; tap t at position p reads position p - before + t of the
            line before, and 0 where there is none. `before + after = taps - 1`.

    Returns:
        The states h, `(lines, directions, batch, positions, units)`.
    """
    lines, directions, _, positions, _ = gates.shape
    taps, units = kernel.shape[1:3]
    kernel = tf.reshape(kernel, (directions, taps * units, 4 * units))
    edges = [[0, 0], [0, 0], list(padding), [0, 0]]
    from_input = tf.TensorArray(gates.dtype, lines).unstack(gates)
    states = tf.TensorArray(gates.dtype, lines, element_shape=(directions, None, positions, units))

    def step(line, hidden, cell, states):
        padded = tf.pad(hidden, edges)
        window = tf.concat([padded[:, :, tap : tap + positions] for tap in range(taps)], axis=-1)
        # Two axes before the last: a matrix product over more of them is slow.
        window = tf.reshape(window, (directions, -1, taps * units))
        from_state = tf.reshape(tf.matmul(window, kernel), (directions, -1, positions, 4 * units))
        opened, new = tf.split(from_input.read(line) + from_state, [3 * units, units], axis=-1)
        output, forget, write = tf.split(tf.sigmoid(opened), 3, axis=-1)
        cell = forget * cell + write * tf.tanh(new)
        hidden = output * tf.tanh(cell)
        return line + 1, hidden, cell, states.write(line, hidden)

    zeros = tf.zeros_like(gates[0, ..., :units])
    *_, states = tf.while_loop(
        lambda line, *_: line < lines,
        step,
        (tf.constant(0), zeros, zeros, states),
        maximum_iterations=lines,
    )
    return states.stack()


def gates_in_order(features, channel_groups):
    """Four gates of groups from groups of four gates, along the last axis."""
    if channel_groups == 1:
        return features
    *sides, size = features.shape[1:]
    parts = tf.reshape(features, (-1, *sides, channel_groups, 4, size // (4 * channel_groups)))
    return tf.reshape(tf.transpose(parts, (0, 1, 2, 4, 3, 5)), (-1, *sides, size))


def state_kernel(layer, name, taps):
    """The variable `(taps, units, 4 * units)` of a layer, orthogonal as a matrix."""
    shape = (taps, layer.units, 4 * layer.units)
    return layer.add_weight(name=name, shape=shape, initializer="orthogonal")


def lstm_units(units, channel_groups):
    """Return `units`, or raise ValueError if the groups cannot share them equally."""
    checks.positive_integer("channel_groups", channel_groups)
    if checks.positive_integer("units", units) % channel_groups:
        raise ValueError(
            f"units must be a multiple of channel_groups={channel_groups}, received {units}."
        )
    return units


def known_sides(layer, input_shape):
    """Raise ValueError if an input is not of maps with a known height and width."""
    if len(input_shape) != 4 or None in input_shape[1:]:
        raise ValueError(
            f"{type(layer).__name__} takes maps (batch, height, width, channels) whose height, "
            f"width and channels are known, received shape {tuple(input_shape)}."
        )
