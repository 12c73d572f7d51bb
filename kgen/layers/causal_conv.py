"""Convolutions that see only what comes earlier in raster order."""

import keras
import numpy as np
import tensorflow as tf

from kgen import checks


class _WindowConv2D(keras.layers.Layer):
    """What the two convolutions share: a window above and around each pixel, and its padding."""

    def __init__(self, filters, kernel_size, *, strides=1, **kwargs):
        super().__init__(**kwargs)
        self.filters = checks.positive_integer("filters", filters)
        self.kernel_size = _window(kernel_size)
        self.strides = checks.positive_integer("strides", strides)

    def _glorot(self, num_taps, num_channels):
        """Uniform with the variance of Glorot & Bengio, counting the visible taps alone."""
        limit = np.sqrt(6.0 / (num_taps * (num_channels + self.filters)))
        return keras.initializers.RandomUniform(-limit, limit)

    def _convolve(self, inputs, kernel, top, left, right):
        if top or left or right:
            # Not as the convolution's own padding: its gradients take a processor thrice as long.
            inputs = tf.pad(inputs, [[0, 0], [top, 0], [left, right], [0, 0]])
        if kernel.shape[:2] == (1, 1) and self.strides == 1:
            # The gradients of the convolution would take a processor thrice as long.
            return self._add_bias(tf.tensordot(inputs, kernel[0, 0], 1))
        return self._add_bias(tf.nn.conv2d(inputs, kernel, self.strides, "VALID"))

    def _add_bias(self, outputs):
        # Not tf.nn.bias_add: its gradient is fused into the kernel's, which is slower on a CPU.
        return outputs + self._cast(self.bias)

    def _cast(self, variable):
        return tf.cast(variable.value, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """`(batch, ceil(height / strides), ceil(width / strides), filters)`."""
        batch, height, width, _ = input_shape
        return batch, -(-height // self.strides), -(-width // self.strides), self.filters

    def get_config(self):
        """The constructor's arguments."""
        own = dict(filters=self.filters, kernel_size=self.kernel_size, strides=self.strides)
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="kgen")
class CausalConv2D(_WindowConv2D):
    """A convolution whose output at a pixel sees earlier pixels in raster order.

    The window of a pixel at row r and column c is

        rows r - rows + 1 .. r - 1:   columns c - left .. c + right
        row r:                        columns c - left .. c - 1, and c itself as follows

    where `left = right = columns // 2`, or `left = columns - 1, right = 0` if not `centered`.
    With one channel group the pixel itself is seen if `see_current` (mask B of the paper) and not
    otherwise (mask A). With G groups, the channels of inputs and outputs are G contiguous parts,
    for R, G and B, and at the pixel itself part g sees the parts up to g (mask B) or below g (A).

    The rows below and the columns to the right, which a mask would set to zero, are not there: the
    input is padded at the top and at both sides, and the kernel has only the rows of the window.

    Args:
        filters: int, channels of the output; a multiple of `channel_groups`.
        kernel_size: odd int k for the paper's masked k x k kernel, of which k // 2 + 1 rows are
            visible; or the visible `(rows, columns)`.
        see_current: bool, mask B or mask A.
        centered: bool; with False the window ends at column c in every row.
        channel_groups: int, 1 or the number of image channels.
        strides: int; output pixel (i, j) stands at input pixel (strides i, strides j).

    Call: float `(batch, height, width, channels)` to the same size over `strides`.

    Raises:
        ValueError: for sizes that do not fit, or a window without any pixel.

    Reference:
        van den Oord et al. 2016, "Pixel Recurrent Neural Networks", section 3.4 and figure 2; the
        window that is not centered: Salimans et al. 2017, "PixelCNN++", section 2.4.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        *,
        see_current=True,
        centered=True,
        channel_groups=1,
        strides=1,
        **kwargs,
    ):
        super().__init__(filters, kernel_size, strides=strides, **kwargs)
        self.see_current = see_current
        self.centered = centered
        self.channel_groups = checks.positive_integer("channel_groups", channel_groups)
        rows, columns = self.kernel_size
        if centered and columns % 2 == 0:
            raise ValueError(
                f"A centered window has an odd number of columns, received {columns}: use an odd "
                "one, or centered=False."
            )
        if filters % channel_groups:
            raise ValueError(
                f"filters must be a multiple of channel_groups={channel_groups}, received "
                f"{filters}."
            )
        self.num_left = columns // 2 if centered else columns - 1
        self.num_right = columns - 1 - self.num_left
        self.num_rows_above = rows - 1
        # Of the current row: the columns to the left, and the pixel itself where any of it is seen.
        self.reads_current = see_current or channel_groups > 1
        self.num_taps = self.num_left + int(self.reads_current)
        if not self.num_taps and not self.num_rows_above:
            raise ValueError("A 1 x 1 window without the pixel itself (mask A) sees nothing.")

    def build(self, input_shape):
        """Create the kernels of the rows above and of the current row, and the bias."""
        channels = input_shape[-1]
        if channels % self.channel_groups:
            raise ValueError(
                f"The {channels} channels of the input do not divide into channel_groups="
                f"{self.channel_groups}."
            )
        rows, columns = self.num_rows_above, self.kernel_size[1]
        glorot = self._glorot(rows * columns + self.num_taps, channels)
        self.above_kernel = self.row_kernel = None
        if rows:
            shape = (rows, columns, channels, self.filters)
            self.above_kernel = self.add_weight(
                name="above_kernel", shape=shape, initializer=glorot
            )
        if self.num_taps:
            shape = (1, self.num_taps, channels, self.filters)
            self.row_kernel = self.add_weight(name="row_kernel", shape=shape, initializer=glorot)
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")
        if self.channel_groups > 1:
            sources = np.arange(channels) * self.channel_groups // channels
            targets = np.arange(self.filters) * self.channel_groups // self.filters
            seen = sources[:, None] <= targets if self.see_current else sources[:, None] < targets
            self._tap_mask = np.ones((1, self.num_taps, channels, self.filters), np.float32)
            self._tap_mask[0, -1] = seen
        super().build(input_shape)

    def call(self, inputs):
        """The convolution of whole images."""
        return self._convolve_rows(inputs, self.num_rows_above)

    def _convolve_rows(self, inputs, top):
        right = self.num_right if self.num_rows_above else 0
        if not self.num_rows_above and not self.reads_current:
            # A single row without the pixel itself has a window that ends one column to the left.
            inputs = inputs[:, :, :-1]
        return self._convolve(inputs, self._kernel(), top, self.num_left, right)

    def _kernel(self):
        """The visible window, with zeros for the columns to the right in the current row."""
        if not self.num_rows_above:
            return self._row_kernel()
        above = self._cast(self.above_kernel)
        if not self.num_taps:
            return tf.pad(above, [[0, 1], [0, 0], [0, 0], [0, 0]])
        hidden = self.kernel_size[1] - self.num_taps
        row = tf.pad(self._row_kernel(), [[0, 0], [0, hidden], [0, 0], [0, 0]])
        return tf.concat([above, row], axis=0)

    def _row_kernel(self):
        kernel = self._cast(self.row_kernel)
        if self.channel_groups > 1:
            kernel = kernel * tf.cast(self._tap_mask, kernel.dtype)
        return kernel

    # One row and one pixel at a time, for the cached sampler.

    def above(self, rows):
        """What the rows above give to a whole row, bias included.

        Args:
            rows: `(batch, num_rows_above, width, channels)`, the rows above.

        Returns:
            `(batch, 1, width / strides, filters)`.
        """
        padding = [[0, 0], [0, 0], [self.num_left, self.num_right], [0, 0]]
        rows = tf.cast(rows, self.compute_dtype)
        return self._add_bias(
            tf.nn.conv2d(rows, self._cast(self.above_kernel), (1, self.strides), padding)
        )

    def row(self, rows):
        """The outputs of one row, where all of it is known.

        Args:
            rows: `(batch, num_rows_above + 1, width, channels)`.

        Returns:
            `(batch, 1, width / strides, filters)`.
        """
        return self._convolve_rows(tf.cast(rows, self.compute_dtype), 0)

    def row_weights(self):
        """What `pixel` multiplies and adds: `(num_taps * channels, filters)` and `(filters,)`.

        Read once, outside the loop over pixels: reading a variable costs as much as its product.
        """
        matrix = None
        if self.num_taps:
            matrix = tf.reshape(self._row_kernel(), (-1, self.filters))
        return matrix, self._cast(self.bias)

    def pixel(self, taps, weights, above=None):
        """The output at one pixel.

        Args:
            taps: list of `num_taps` tensors `(batch, channels)`: the pixels of the current row,
                left to right.
            weights: what `row_weights` gave.
            above: `(batch, filters)`, what `above` gave for this pixel, if there are rows above.

        Returns:
            `(batch, filters)`.
        """
        matrix, bias = weights
        offset = bias if above is None else tf.cast(above, self.compute_dtype)
        if not taps:
            return offset
        taps = [tf.cast(tap, self.compute_dtype) for tap in taps]
        taps = taps[0] if len(taps) == 1 else tf.concat(taps, axis=-1)
        return tf.matmul(taps, matrix) + offset

    def get_config(self):
        """The constructor's arguments."""
        own = dict(
            see_current=self.see_current,
            centered=self.centered,
            channel_groups=self.channel_groups,
        )
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="kgen")
class RowConv2D(_WindowConv2D):
    """A convolution over whole rows: what it gives at row r sees all columns of earlier rows.

    The window of a pixel at row r and column c is

        rows r - rows + 1 .. r        (shift_down: r - rows .. r - 1)
        columns c - columns // 2 .. c + columns // 2

    The first one on an image must be shifted down; those behind it are the vertical stack, in which
    every pixel of row r sees rows above r only, right columns included: no blind spot.

    Args:
        filters: int, channels of the output.
        kernel_size: the visible `(rows, columns)`, columns odd; or an odd int k, as for
            `CausalConv2D`.
        shift_down: bool.
        strides: int, as for `CausalConv2D`.

    Call: float `(batch, height, width, channels)` to the same size over `strides`.

    Raises:
        ValueError: for an even number of columns.

    Reference:
        van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders", section
        2.2 and figure 1; Salimans et al. 2017, "PixelCNN++", section 2.4.
    """

    def __init__(self, filters, kernel_size, *, shift_down=False, strides=1, **kwargs):
        super().__init__(filters, kernel_size, strides=strides, **kwargs)
        self.shift_down = shift_down
        rows, columns = self.kernel_size
        if columns % 2 == 0:
            raise ValueError(f"The window needs an odd number of columns, received {columns}.")
        self.num_rows_above = rows if shift_down else rows - 1

    def build(self, input_shape):
        """Create the kernel and the bias."""
        rows, columns = self.kernel_size
        shape = (rows, columns, input_shape[-1], self.filters)
        glorot = self._glorot(rows * columns, input_shape[-1])
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=glorot)
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")
        super().build(input_shape)

    def call(self, inputs):
        """The convolution of whole images."""
        side, top = self.kernel_size[1] // 2, self.num_rows_above
        if self.shift_down:
            inputs = inputs[:, :-1]
        return self._convolve(inputs, self._cast(self.kernel), top, side, side)

    def row(self, rows):
        """The outputs of one row.

        Args:
            rows: `(batch, rows, width, channels)`, the rows of the window.

        Returns:
            `(batch, 1, width / strides, filters)`.
        """
        side = self.kernel_size[1] // 2
        padding = [[0, 0], [0, 0], [side, side], [0, 0]]
        rows = tf.cast(rows, self.compute_dtype)
        return self._add_bias(
            tf.nn.conv2d(rows, self._cast(self.kernel), (1, self.strides), padding)
        )

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "shift_down": self.shift_down}


@keras.saving.register_keras_serializable(package="kgen")
class DepthToSpace(keras.layers.Layer):
    """Twice the height and width from four times the channels.

        y[2i + a, 2j + b, c] = x[i, j, (2a + b) C + c],    a, b in {0, 1}

    Behind a 1 x 1 convolution it is a transposed convolution of size 2 x 2 and stride 2.

    Call: `(batch, height, width, 4 C)` to `(batch, 2 height, 2 width, C)`.
    """

    def build(self, input_shape):
        """Check the channels."""
        if input_shape[-1] % 4:
            raise ValueError(f"Expected a multiple of 4 channels, received {input_shape[-1]}.")
        super().build(input_shape)

    def call(self, inputs):
        """The larger maps."""
        return tf.nn.depth_to_space(inputs, 2)

    def compute_output_shape(self, input_shape):
        """`(batch, 2 height, 2 width, channels / 4)`."""
        batch, height, width, channels = input_shape
        return batch, 2 * height, 2 * width, channels // 4

    def row(self, inputs, row):
        """Row `row` of the output, `(batch, 1, 2 width, C)`, from its row `(batch, 1, width, 4 C)`.

        `row` is an int32 scalar, the number of the row in the output.
        """
        width, channels = inputs.shape[2], inputs.shape[3]
        halves = tf.reshape(inputs, (-1, width, 2, channels // 2))
        return tf.reshape(halves[:, :, row % 2], (-1, 1, 2 * width, channels // 4))

    def pixel(self, inputs, row, column):
        """Pixel (row, column) of the output, `(batch, C)`, from `(batch, 4 C)`."""
        quarters = tf.reshape(inputs, (-1, 4, inputs.shape[-1] // 4))
        return quarters[:, 2 * (row % 2) + column % 2]


def _window(kernel_size):
    """`(rows, columns)` of the visible window."""
    if isinstance(kernel_size, int):
        checks.positive_integer("kernel_size", kernel_size)
        if kernel_size % 2 == 0:
            raise ValueError(f"A masked kernel has an odd size, received {kernel_size}.")
        return kernel_size // 2 + 1, kernel_size
    rows, columns = kernel_size
    checks.positive_integer("each of kernel_size", rows)
    checks.positive_integer("each of kernel_size", columns)
    return rows, columns
