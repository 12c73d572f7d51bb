import numpy as np
import pytest
import tensorflow as tf

from kgen import callbacks, plots
from tests.callbacks.models import IMAGES, fit_autoencoder, summaries


def _grid(model):
    return plots.reconstruction_grid(model, IMAGES[:4])


def test_pictures_are_written_while_fit_runs(tmp_path):
    logger = callbacks.PictureLogger(tmp_path, {"reconstructions": _grid}, every=2)
    model = fit_autoencoder(logger, epochs=5)
    names = sorted(path.name for path in tmp_path.glob("*.png"))
    assert names == ["reconstructions-0002.png", "reconstructions-0004.png"]
    found = summaries(tmp_path)
    assert [(step, value.tag) for step, value in found] == [
        (1, "reconstructions"),
        (3, "reconstructions"),
    ]
    height, width = _grid(model).shape[:2]
    encoded = found[-1][1].tensor.string_val
    assert encoded[:2] == [str(width).encode(), str(height).encode()]
    assert tf.io.decode_png(encoded[2]).shape[:2] == (height, width)


@pytest.mark.parametrize(
    ("pictures", "every"), [({}, 1), ({"a/b": _grid}, 1), ({"a": None}, 1), ({"a": _grid}, 0)]
)
def test_picture_logger_checks_its_arguments(tmp_path, pictures, every):
    with pytest.raises(ValueError, match="Expected|every must be an integer of at least 1"):
        callbacks.PictureLogger(tmp_path, pictures, every=every)


def test_a_function_that_draws_no_picture_is_named(tmp_path):
    logger = callbacks.PictureLogger(tmp_path, {"broken": lambda model: np.zeros((4, 4))})
    with pytest.raises(ValueError, match="picture 'broken' to be uint8"):
        fit_autoencoder(logger)
