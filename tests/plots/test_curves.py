import keras
import pytest
import tensorflow as tf

from kgen import plots


@pytest.mark.parametrize("as_callback", [True, False])
def test_training_curves(tmp_path, as_callback):
    history = {
        "loss": [3.0, 2.0, float("nan"), 1.0],
        "kl": [0.0, 1.0, 2.0, 3.0],
        "val_loss": [3.0, 2.0],
        "val_only": [1.0, 2.0],
    }
    if as_callback:
        callback = keras.callbacks.History()
        callback.history = history
        history = callback
    plots.training_curves(history, tmp_path / "curves.png")
    written = tf.io.decode_png((tmp_path / "curves.png").read_bytes())
    assert written.shape[1] == 1500


def test_training_curves_refuse_an_empty_history(tmp_path):
    with pytest.raises(ValueError, match="at least one epoch"):
        plots.training_curves({}, tmp_path / "curves.png")
