"""The Row LSTM against loops over pixels, and the triangle that it sees."""

import functools

import keras
import numpy as np
import pytest
from layers import lstm_by_hand as by_hand

from kgen.layers import RowLSTM


def in_loops(layer, x, num_groups=1):
    """Eq. 3 of van den Oord et al. 2016, pixel by pixel; the state-to-state window is k wide."""
    batch, height, width, channels = x.shape
    reach = layer.kernel_size // 2
    bias, input_taps = by_hand.taps(layer.input_to_state, channels, reach)
    state_taps = layer.state_kernel.numpy()
    hidden = np.zeros((batch, height, width, layer.units))
    cells = np.zeros_like(hidden)
    for b in range(batch):
        for r, c in by_hand.pixels((height, width)):
            from_input, from_state = bias.copy(), np.zeros(4 * layer.units)
            for offset in range(-reach, reach + 1):
                if not 0 <= c + offset < width:
                    continue
                from_input += x[b, r, c + offset] @ input_taps[offset]
                if r > 0:
                    from_state += hidden[b, r - 1, c + offset] @ state_taps[offset + reach]
            above = cells[b, r - 1, c] if r > 0 else np.zeros(layer.units)
            hidden[b, r, c], cells[b, r, c] = by_hand.cell(
                from_input, from_state, above, num_groups
            )
    return hidden


@pytest.mark.parametrize(
    ("shape", "kernel_size", "groups"),
    [((4, 5, 2), 3, 1), ((3, 4, 3), 5, 3), ((1, 3, 1), 3, 1), ((3, 1, 1), 1, 1)],
)
def test_is_equation_3(shape, kernel_size, groups):
    layer = RowLSTM(2 * groups, kernel_size, channel_groups=groups, dtype="float64")
    x = by_hand.images(2, *shape)
    layer.build(x.shape)
    by_hand.random_weights(layer)
    outputs = layer(x).numpy()
    assert outputs.shape == (*x.shape[:-1], 2 * groups)
    # Sums in another order, in float64.
    np.testing.assert_allclose(outputs, in_loops(layer, x, groups), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("kernel_size", "groups"), [(3, 1), (3, 3), (5, 3)])
def test_sees_the_triangle_and_nothing_else(kernel_size, groups):
    """Both ways: no pixel outside changes an output, and every pixel inside does."""
    shape = (4, 8, groups)
    layer = RowLSTM(groups, kernel_size, channel_groups=groups, dtype="float64")
    layer.build((None, *shape))
    by_hand.random_weights(layer)
    seen = by_hand.dependence(layer, shape)
    p = kernel_size // 2
    for r, c in by_hand.pixels(shape):
        expected = np.zeros((*shape, groups), bool)
        for depth in range(r + 1):
            first, last = max(0, c - (depth + 1) * p), c + depth * p
            expected[r - depth, first : last + 1] = True
        expected[r, c] = np.triu(np.ones((groups, groups)))
        np.testing.assert_array_equal(seen[..., r, c, :], expected, err_msg=f"at {r}, {c}")


def test_gradients():
    layer = RowLSTM(3, channel_groups=3, dtype="float64")
    layer.build((None, 2, 3, 3))
    by_hand.random_weights(layer)
    by_hand.check_gradients(layer, (2, 3, 3))


def test_mixed_precision():
    by_hand.check_mixed_precision(functools.partial(RowLSTM, 3))


def test_keras_file_round_trip(tmp_path):
    by_hand.check_round_trip(RowLSTM(6, 5, channel_groups=3), tmp_path / "model.keras")


def test_errors():
    with pytest.raises(ValueError, match="kernel_size must be odd.*received 4"):
        RowLSTM(2, 4)
    with pytest.raises(ValueError, match="multiple of channel_groups=3, received 4"):
        RowLSTM(4, channel_groups=3)
    with pytest.raises(ValueError, match="units must be an integer of at least 1"):
        RowLSTM(0)
    with pytest.raises(ValueError, match=r"width and channels are known, received .*None, None, 4"):
        RowLSTM(2)(keras.Input((None, 4, 1)))
