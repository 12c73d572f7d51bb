"""Causal convolutions against a loop over pixels with the paper's masked kernel."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen.layers import CausalConv2D, DepthToSpace, RowConv2D

# Sums of up to 90 float32 products of numbers near 1, in another order.
TOLERANCE = dict(rtol=1e-5, atol=1e-5)

CAUSAL = {
    "mask_a": dict(kernel_size=5, see_current=False),
    "mask_b": dict(kernel_size=5),
    "mask_b_of_one_pixel": dict(kernel_size=1),
    "mask_a_groups": dict(kernel_size=3, see_current=False, channel_groups=3),
    "mask_b_groups": dict(kernel_size=3, channel_groups=3),
    "mask_a_groups_of_one_pixel": dict(kernel_size=1, see_current=False, channel_groups=3),
    "row": dict(kernel_size=(1, 5)),
    "row_mask_a": dict(kernel_size=(1, 5), see_current=False),
    "row_mask_a_groups": dict(kernel_size=(1, 3), see_current=False, channel_groups=3),
    "row_of_even_size": dict(kernel_size=(1, 4), centered=False),
    "column": dict(kernel_size=(3, 1)),
    "column_mask_a": dict(kernel_size=(3, 1), see_current=False),
    "ends_at_the_pixel": dict(kernel_size=(2, 2), centered=False),
    "ends_at_the_pixel_mask_a": dict(kernel_size=(2, 3), centered=False, see_current=False),
    "ends_at_the_pixel_groups": dict(kernel_size=(3, 2), centered=False, channel_groups=3),
}
ROWS = {
    "rows": dict(kernel_size=(2, 3)),
    "rows_of_the_paper": dict(kernel_size=5),
    "one_row": dict(kernel_size=(1, 3)),
    "column": dict(kernel_size=(3, 1)),
    "shifted": dict(kernel_size=(2, 3), shift_down=True),
    "one_row_shifted": dict(kernel_size=(1, 5), shift_down=True),
}


def table(arguments):
    return pytest.mark.parametrize("arguments", arguments.values(), ids=arguments.keys())


each_row = table(ROWS)
# Strides do not depend on the mask: one of each form of window.
STRIDED = ("mask_a", "mask_b_groups", "row", "column_mask_a", "ends_at_the_pixel_groups")
each_causal = pytest.mark.parametrize(
    ("arguments", "strides"),
    [
        pytest.param(CAUSAL[name], strides, id=f"{name}-{strides}")
        for strides, names in ((1, CAUSAL), (2, STRIDED))
        for name in names
    ],
)
each_stride = pytest.mark.parametrize("strides", [1, 2])


def inputs(channels=3):
    # Odd and even sides, both wider than every window.
    return np.random.RandomState(0).normal(size=(2, 7, 6, channels)).astype("float32")


def built(layer, channels=3):
    layer.build((None, 7, 6, channels))
    draws = np.random.RandomState(1)
    for weight in layer.weights:
        weight.assign(draws.normal(size=weight.shape))
    return layer


def convolved(x, kernel, bias, strides):
    """A loop over pixels; the kernel's middle stands on the pixel. Zeros around the image."""
    rows, columns = kernel.shape[0] // 2, kernel.shape[1] // 2
    padded = np.pad(x.astype("float64"), [(0, 0), (rows, rows), (columns, columns), (0, 0)])
    outputs = []
    for r in range(0, x.shape[1], strides):
        for c in range(0, x.shape[2], strides):
            window = padded[:, r : r + kernel.shape[0], c : c + kernel.shape[1]]
            outputs.append(np.einsum("brcs,rcst->bt", window, kernel) + bias)
    shape = (len(x), -(-x.shape[1] // strides), -(-x.shape[2] // strides), -1)
    return np.stack(outputs, axis=1).reshape(shape)


def causal_by_hand(layer, x):
    """A full kernel, garbage where the layer has no weights, times the mask of the paper."""
    rows, columns = layer.kernel_size
    side = columns // 2 if layer.centered else columns - 1
    shape = (2 * rows - 1, 2 * side + 1, x.shape[-1], layer.filters)
    kernel = np.random.RandomState(2).normal(size=shape)
    if rows > 1:
        kernel[: rows - 1, :columns] = layer.above_kernel
    if layer.row_kernel is not None:
        taps = layer.row_kernel.numpy()[0]
        kernel[rows - 1, : len(taps)] = taps
    mask = np.ones(shape)
    mask[rows:] = 0.0
    mask[rows - 1, side + 1 :] = 0.0
    if not layer.centered:
        mask[:, side + 1 :] = 0.0
    for source in range(x.shape[-1]):
        for target in range(layer.filters):
            before = source // (x.shape[-1] // layer.channel_groups)
            behind = target // (layer.filters // layer.channel_groups)
            seen = before <= behind if layer.see_current else before < behind
            mask[rows - 1, side, source, target] = seen
    return convolved(x, kernel * mask, layer.bias.numpy(), layer.strides)


@each_causal
def test_causal_convolution_is_a_masked_one(arguments, strides):
    layer, x = built(CausalConv2D(6, strides=strides, **arguments)), inputs()
    outputs = layer(x)
    np.testing.assert_allclose(outputs, causal_by_hand(layer, x), **TOLERANCE)
    assert layer.compute_output_shape((None, *x.shape[1:])) == (None, *outputs.shape[1:])


def rows_by_hand(layer, x):
    rows, columns = layer.kernel_size
    kernel = np.zeros((2 * (rows + layer.shift_down) - 1, *layer.kernel.shape[1:]))
    kernel[:rows] = layer.kernel
    return convolved(x, kernel, layer.bias.numpy(), layer.strides)


@each_stride
@each_row
def test_row_convolution_sees_whole_rows(arguments, strides):
    layer, x = built(RowConv2D(4, strides=strides, **arguments)), inputs()
    outputs = layer(x)
    np.testing.assert_allclose(outputs, rows_by_hand(layer, x), **TOLERANCE)
    assert layer.compute_output_shape((None, *x.shape[1:])) == (None, *outputs.shape[1:])


def rows_up_to(x, row, count):
    """The last `count` rows that end at `row`, with zeros above the image."""
    return np.pad(x, [(0, 0), (count, 0), (0, 0), (0, 0)])[:, row + 1 : row + 1 + count]


@each_causal
def test_causal_convolution_pixel_by_pixel(arguments, strides):
    layer, x = built(CausalConv2D(6, strides=strides, **arguments)), inputs()
    outputs = layer(x).numpy()
    weights = layer.row_weights()
    padded = np.pad(x, [(0, 0), (0, 0), (layer.num_left, 0), (0, 0)])
    for r, row in enumerate(range(0, 7, strides)):
        whole_rows = rows_up_to(x, row, layer.num_rows_above + 1)
        np.testing.assert_allclose(layer.row(whole_rows)[:, 0], outputs[:, r], **TOLERANCE)
        above = layer.above(whole_rows[:, :-1]) if layer.num_rows_above else None
        for c, column in enumerate(range(0, 6, strides)):
            taps = [padded[:, row, column + tap] for tap in range(layer.num_taps)]
            of_pixel = None if above is None else above[:, 0, c]
            pixel = layer.pixel(taps, weights, of_pixel)
            np.testing.assert_allclose(pixel, outputs[:, r, c], **TOLERANCE)


@each_stride
@each_row
def test_row_convolution_row_by_row(arguments, strides):
    layer, x = built(RowConv2D(4, strides=strides, **arguments)), inputs()
    outputs = layer(x).numpy()
    for r, row in enumerate(range(0, 7, strides)):
        window = rows_up_to(x, row - layer.shift_down, layer.kernel_size[0])
        np.testing.assert_allclose(layer.row(window)[:, 0], outputs[:, r], **TOLERANCE)


def test_a_mask_costs_nothing():
    """Of a 7 x 7 kernel, 3 rows of 7 and 3 columns are there; with mask B one column more."""
    for see_current, num_taps in ((False, 24), (True, 25)):
        layer = built(CausalConv2D(4, 7, see_current=see_current), channels=2)
        assert layer.count_params() == num_taps * 2 * 4 + 4


def test_initial_weights_have_the_variance_of_the_visible_taps():
    layer = CausalConv2D(200, 7, see_current=False)
    layer.build((None, 28, 28, 100))
    for kernel in (layer.above_kernel, layer.row_kernel):
        # Glorot: 2 / (fan in + fan out), here over 24 taps; 60,000 draws give it within 2 %.
        assert np.var(kernel) == pytest.approx(2 / (24 * (100 + 200)), rel=0.02)


def test_depth_to_space():
    x = np.random.RandomState(0).normal(size=(2, 3, 4, 8)).astype("float32")
    layer = DepthToSpace()
    outputs = layer(x).numpy()
    assert outputs.shape == layer.compute_output_shape(x.shape) == (2, 6, 8, 2)
    for row in range(6):
        line = layer.row(tf.constant(x[:, row // 2 : row // 2 + 1]), tf.constant(row))
        for column in range(8):
            quarter = 2 * (row % 2) + column % 2
            expected = x[:, row // 2, column // 2, 2 * quarter : 2 * quarter + 2]
            np.testing.assert_array_equal(outputs[:, row, column], expected)
            np.testing.assert_array_equal(line[:, 0, column], expected)
            pixel = layer.pixel(tf.constant(x[:, row // 2, column // 2]), row, column)
            np.testing.assert_array_equal(pixel, expected)


LAYERS = [
    CausalConv2D(6, (2, 2), see_current=False, centered=False, channel_groups=3, strides=2),
    CausalConv2D(6, 3, dtype="mixed_bfloat16"),
    RowConv2D(4, (2, 3), shift_down=True, strides=2),
    DepthToSpace(),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_config_round_trip(layer):
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(copy) is type(layer)
    assert copy.get_config() == layer.get_config()


def test_mixed_precision():
    x = inputs()
    for layer in (CausalConv2D(6, 3, channel_groups=3), RowConv2D(6, 3)):
        half = type(layer)(**{**layer.get_config(), "dtype": "mixed_bfloat16"})
        built(layer), built(half)
        outputs = half(x)
        assert outputs.dtype == tf.bfloat16
        assert {variable.dtype for variable in half.variables} == {"float32"}
        # bfloat16 keeps 8 bits of sums of 30 products that are up to about 10.
        np.testing.assert_allclose(tf.cast(outputs, tf.float32), layer(x), atol=0.2)


BAD_LAYERS = {
    "even_kernel": (lambda: CausalConv2D(4, 4), "masked kernel has an odd size, received 4"),
    "even_columns": (lambda: CausalConv2D(4, (2, 2)), "use an odd one, or centered=False"),
    "even_columns_of_rows": (lambda: RowConv2D(4, (2, 2)), "odd number of columns, received 2"),
    "filters_and_groups": (
        lambda: CausalConv2D(4, 3, channel_groups=3),
        "multiple of channel_groups=3, received 4",
    ),
    "nothing_seen": (lambda: CausalConv2D(4, 1, see_current=False), "sees nothing"),
    "no_filters": (lambda: CausalConv2D(0, 3), "filters must be an integer of at least 1"),
    "no_rows": (lambda: RowConv2D(4, (0, 3)), "kernel_size must be an integer of at least 1"),
    "no_size": (lambda: CausalConv2D(4, 0), "kernel_size must be an integer of at least 1"),
    "no_strides": (lambda: RowConv2D(4, 3, strides=0), "strides must be an integer of at least 1"),
    "channels_and_groups": (
        lambda: CausalConv2D(6, 3, channel_groups=3)(tf.zeros((1, 4, 4, 4))),
        "The 4 channels of the input do not divide into channel_groups=3",
    ),
    "channels_of_depth_to_space": (
        lambda: DepthToSpace()(tf.zeros((1, 4, 4, 6))),
        "multiple of 4 channels, received 6",
    ),
}


@pytest.mark.parametrize(("build", "message"), BAD_LAYERS.values(), ids=BAD_LAYERS.keys())
def test_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_gradients_are_those_that_have_fast_kernels():
    layer = CausalConv2D(4, 3)
    layer.build((None, 5, 6, 2))

    @tf.function
    def gradients(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            value = tf.reduce_sum(tf.square(layer(images)))
        return tape.gradient(value, [images, *layer.trainable_variables])

    graph = gradients.get_concrete_function(tf.TensorSpec((2, 5, 6, 2))).graph
    operations = graph.get_operations()
    convolutions = [one for one in operations if one.type.startswith("Conv2D")]
    assert len(convolutions) == 3
    assert {one.get_attr("padding") for one in convolutions} == {b"VALID"}
    assert not any(one.type.startswith("BiasAdd") for one in operations)
