import numpy as np
import pytest
import tensorflow as tf
from plots.models import Linear

from kgen import plots


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_grid_places_each_image(channels):
    images = np.random.default_rng(0).random((5, 2, 3, channels), dtype=np.float32)
    grid = plots.image_grid(images, columns=2, padding=1)
    assert grid.shape == (3 * 2 + 2, 2 * 3 + 1, channels)
    assert grid.dtype == np.uint8
    for index, image in enumerate(images):
        top, left = index // 2 * 3, index % 2 * 4
        np.testing.assert_array_equal(
            grid[top : top + 2, left : left + 3], np.rint(255 * image).astype(np.uint8)
        )
    assert (grid[6:, 4:] == 255).all(), "the missing sixth image is background"
    assert (grid[:, 3] == 255).all(), "the line between columns"


@pytest.mark.parametrize("channels", [2, 5])
def test_other_channels_stand_side_by_side(channels):
    images = np.random.default_rng(0).random((2, 3, 4, channels), dtype=np.float32)
    grid = plots.image_grid(images, columns=1, padding=1)
    assert grid.shape == (2 * 3 + 1, channels * 4, 1)
    for channel in range(channels):
        for index, image in enumerate(images):
            drawn = grid[4 * index : 4 * index + 3, 4 * channel : 4 * channel + 4, 0]
            np.testing.assert_array_equal(drawn, np.rint(255 * image[..., channel]))


def test_grid_is_square_by_default_and_padding_can_be_zero():
    assert plots.image_grid(np.zeros((9, 2, 2, 1), np.float32), padding=0).shape == (6, 6, 1)


@pytest.mark.parametrize(
    ("count", "shape"), [(1, (1, 1)), (2, (1, 2)), (8, (2, 4)), (10, (2, 5)), (7, (2, 4))]
)
def test_grids_have_few_gaps(count, shape):
    grid = plots.image_grid(np.zeros((count, 1, 1, 1), np.float32), padding=0)
    assert grid.shape[:2] == shape


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_white_images_have_a_border(channels):
    images = np.ones((2, 6, 6, channels), np.float32)
    images[:, 2:4, 2:4, :3] = 0.0
    grid = plots.image_grid(images)
    assert grid.shape == (6 + 2, 2 * 6 + 3, channels)
    for line in (grid[0], grid[-1], grid[:, 0], grid[:, 7], grid[:, -1]):
        assert (line[:, :3] == 160).all()
    assert (grid[1:7, 1:7] == np.rint(255 * images[0])).all()
    assert channels < 4 or (grid[..., 3] == 255).all()


def test_grid_takes_half_precision_and_tensors():
    images = tf.cast(tf.fill((1, 2, 2, 1), 0.2), tf.bfloat16)
    assert (plots.image_grid(images) == 51).all()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 4, 4, 1), np.uint8), "Divide images of 256 levels by 255"),
        (np.zeros((4, 4, 1), np.float32), "num_images, height, width, channels"),
        (np.zeros((0, 4, 4, 1), np.float32), "num_images, height, width, channels"),
        (np.full((2, 4, 4, 1), 2, np.float32), "from 2.0 to 2.0"),
        (np.full((2, 4, 4, 1), -1, np.float32), "from -1.0"),
        (np.full((2, 4, 4, 1), np.nan, np.float32), "diverged"),
    ],
)
def test_grid_refuses_what_is_no_batch_of_images(images, message):
    with pytest.raises(ValueError, match=message):
        plots.image_grid(images)


def test_grid_refuses_bad_layout():
    images = np.zeros((2, 4, 4, 1), np.float32)
    with pytest.raises(ValueError, match="columns=0"):
        plots.image_grid(images, columns=0)
    with pytest.raises(ValueError, match="padding=-1"):
        plots.image_grid(images, padding=-1)


def test_sample_grid_repeats_with_its_seed():
    model = Linear(2)
    first = plots.sample_grid(model, num_samples=6)
    np.testing.assert_array_equal(first, plots.sample_grid(model, num_samples=6))
    assert (first != plots.sample_grid(model, num_samples=6, seed=1)).any()
    assert first.shape == (2 * 5 - 1, 3 * 6 - 1, 1)


def test_reconstructions_stand_directly_below():
    images = np.stack([np.full((2, 2, 1), value, np.float32) for value in (0.0, 0.2, 0.4)])
    grid = plots.reconstruction_grid(Linear(2), images)
    # Three pairs that are 2 + 1 + 2 high, 4 pixels apart.
    assert grid.shape == (5, 2 + 4 + 2 + 4 + 2, 1)
    assert (grid[:2, :2] == 0).all()
    assert (grid[2, :2] == 255).all()
    assert (grid[3:5, :2] == 255).all()
    assert (grid[:2, 6:8] == 51).all()
    assert (grid[3:5, 6:8] == 204).all()


def test_reconstructions_of_another_shape_are_refused():
    class Smaller(Linear):
        def reconstruct(self, images):
            return images[:, :1]

    with pytest.raises(ValueError, match=r"Received \(2, 1, 4, 1\)"):
        plots.reconstruction_grid(Smaller(2), np.zeros((2, 4, 4, 1), np.float32))


class Completing:
    """Draws 0.2 for an image of label 1, plus 0.1 for every second row, where nothing is known."""

    def complete(self, images, *, mask, condition=None, seed=None):
        assert seed == 3 and mask.dtype == bool
        drawn = 0.1 * (np.arange(len(images)) % 2)
        if condition is not None:
            drawn += 0.2 * (np.asarray(condition) == 1)
        return np.where(mask[..., None], images, drawn[:, None, None, None]).astype("float32")


@pytest.mark.parametrize("labels", [None, np.array([0, 1, 2])])
def test_completions_stand_beside_what_is_left(labels):
    images = np.stack([np.full((5, 4, 1), value, np.float32) for value in (0.4, 0.6, 0.8)])
    grid = plots.completion_grid(
        Completing(), images, condition=labels, num_completions=2, known=0.4, seed=3
    )
    # Three rows of an image, its upper 2 of 5 rows above mid-gray, and two completions.
    assert grid.shape == (3 * 5 + 2, 4 * 4 + 3, 1)
    for index, value in enumerate((102, 153, 204)):
        row = grid[6 * index : 6 * index + 5]
        of_label = 51 * (labels is not None and index == 1)
        for column, below in enumerate((value, 128, of_label, of_label + 26)):
            image = row[:, 5 * column : 5 * column + 4]
            assert (image[:2] == value).all()
            # 0.5 and 0.1 lie between two of 256 levels.
            assert np.abs(image[2:].astype(int) - below).max() <= 1


def test_completions_of_images_that_are_no_array():
    images = tf.fill((1, 4, 4, 3), 0.25)
    assert plots.completion_grid(Completing(), images, seed=3).shape == (4, 6 * 4 + 5, 3)
