import numpy as np
import pytest
import tensorflow as tf

from kgen import plots


def read_png(path):
    return tf.io.decode_png(path.read_bytes()).numpy()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_round_trip(tmp_path, channels):
    image = np.random.default_rng(0).integers(0, 256, (6, 8, channels), dtype=np.uint8)
    plots.save_png(image, tmp_path / "new" / "a.png", scale=1)
    np.testing.assert_array_equal(read_png(tmp_path / "new" / "a.png"), image)


def test_png_of_a_small_image_is_enlarged_without_blur(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 1), dtype=np.uint8)
    plots.save_png(image, tmp_path / "a.png")
    written = read_png(tmp_path / "a.png")
    assert written.shape == (400, 450, 1)
    np.testing.assert_array_equal(written[25::50, 25::50], image)
    plots.save_png(np.zeros((400, 500, 3), np.uint8), tmp_path / "b.png")
    assert read_png(tmp_path / "b.png").shape == (400, 500, 3)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 2), np.uint8), "Received 2"),
        (np.zeros((4, 4, 5), np.uint8), "Received 5"),
        (np.zeros((4, 4, 1), np.float32), "float32"),
        (np.zeros((4, 4), np.uint8), "height, width, channels"),
    ],
)
def test_png_refuses_what_it_cannot_hold(tmp_path, image, message):
    with pytest.raises(ValueError, match=message):
        plots.save_png(image, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_png_refuses_another_ending_and_scale(tmp_path):
    image = np.zeros((4, 4, 1), np.uint8)
    with pytest.raises(ValueError, match="a.jpg"):
        plots.save_png(image, tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="scale=0"):
        plots.save_png(image, tmp_path / "a.png", scale=0)
