"""The Diagonal BiLSTM against loops over pixels; it sees every earlier pixel."""

import functools

import keras
import numpy as np
import pytest
from layers import lstm_by_hand as by_hand

from kgen.layers import DiagonalBiLSTM
from kgen.layers.diagonal_lstm import skew, unskew


def one_direction(x, input_to_state, state_kernel, num_groups):
    """A two-dimensional LSTM from the upper left corner, pixel by pixel."""
    batch, height, width, channels = x.shape
    units = state_kernel.shape[1]
    bias, input_taps = by_hand.taps(input_to_state, channels, 0)
    # One more row above and one more column on the left: zeros.
    hidden = np.zeros((batch, height + 1, width + 1, units))
    cells = np.zeros_like(hidden)
    for b in range(batch):
        for r, c in by_hand.pixels((height, width)):
            above, left = hidden[b, r, c + 1], hidden[b, r + 1, c]
            from_state = above @ state_kernel[0] + left @ state_kernel[1]
            from_input = bias + x[b, r, c] @ input_taps[0]
            new = by_hand.cell(from_input, from_state, cells[b, r + 1, c], num_groups)
            hidden[b, r + 1, c + 1], cells[b, r + 1, c + 1] = new
    return hidden[:, 1:, 1:]


def in_loops(layer, x, num_groups=1):
    """Section 3.2 of van den Oord et al. 2016: the right direction is shifted down by one row."""
    left = one_direction(x, layer.left_input_to_state, layer.left_state_kernel.numpy(), num_groups)
    right = one_direction(
        x[:, :, ::-1], layer.right_input_to_state, layer.right_state_kernel.numpy(), num_groups
    )[:, :, ::-1]
    outputs = left.copy()
    outputs[:, 1:] += right[:, :-1]
    return outputs


@pytest.mark.parametrize(
    ("shape", "groups"),
    [((4, 5, 2), 1), ((5, 3, 3), 3), ((1, 3, 1), 1), ((3, 1, 1), 1), ((1, 1, 2), 1)],
)
def test_is_equation_3(shape, groups):
    layer = DiagonalBiLSTM(2 * groups, channel_groups=groups, dtype="float64")
    x = by_hand.images(2, *shape)
    layer.build(x.shape)
    by_hand.random_weights(layer)
    outputs = layer(x).numpy()
    assert outputs.shape == (*x.shape[:-1], 2 * groups)
    # Sums in another order, in float64.
    np.testing.assert_allclose(outputs, in_loops(layer, x, groups), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("groups", [1, 3])
def test_sees_every_earlier_pixel_and_no_later_one(groups):
    shape = (4, 5, groups)
    layer = DiagonalBiLSTM(groups, channel_groups=groups, dtype="float64")
    layer.build((None, *shape))
    by_hand.random_weights(layer)
    seen = by_hand.dependence(layer, shape)
    for r, c in by_hand.pixels(shape):
        expected = np.zeros((*shape, groups), bool)
        expected[:r] = True
        expected[r, :c] = True
        expected[r, c] = np.triu(np.ones((groups, groups)))
        np.testing.assert_array_equal(seen[..., r, c, :], expected, err_msg=f"at {r}, {c}")


@pytest.mark.parametrize("shape", [(3, 4, 2), (4, 2, 1), (1, 3, 1), (3, 1, 2)])
def test_skewing_is_figure_3_and_can_be_undone(shape):
    height, width, channels = shape
    x = by_hand.images(2, *shape)
    skewed = skew(keras.ops.array(x)).numpy()
    expected = np.zeros((2, height, height + width - 1, channels))
    for r, c in by_hand.pixels(shape):
        expected[:, r, r + c] = x[:, r, c]
    np.testing.assert_array_equal(skewed, expected)
    np.testing.assert_array_equal(unskew(keras.ops.array(skewed), width), x)
    # What lies beside the skewed image does not come back.
    noise = np.where(skew(keras.ops.ones(x.shape)).numpy() == 1.0, expected, 7.0)
    np.testing.assert_array_equal(unskew(keras.ops.array(noise), width), x)


def test_gradients():
    layer = DiagonalBiLSTM(3, channel_groups=3, dtype="float64")
    layer.build((None, 2, 3, 3))
    by_hand.random_weights(layer)
    by_hand.check_gradients(layer, (2, 3, 3))


def test_mixed_precision():
    by_hand.check_mixed_precision(functools.partial(DiagonalBiLSTM, 3))


def test_keras_file_round_trip(tmp_path):
    by_hand.check_round_trip(DiagonalBiLSTM(6, channel_groups=3), tmp_path / "model.keras")


def test_errors():
    with pytest.raises(ValueError, match="multiple of channel_groups=3, received 4"):
        DiagonalBiLSTM(4, channel_groups=3)
    with pytest.raises(ValueError, match=r"width and channels are known, received .*None, 4, None"):
        DiagonalBiLSTM(2)(keras.Input((4, None, 1)))
