import os
import stat

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen import plots


class _Linear:
    """Fake model: the image's first pixels are the latents, as 0.5 + z / 10."""

    def __init__(self, latent_dim, image_shape=(4, 5, 1)):
        self.latent_dim = latent_dim
        self.image_shape = image_shape

    def encode(self, images):
        flat = np.asarray(images).reshape(len(images), -1)
        return tf.constant(10 * (flat[:, : self.latent_dim] - 0.5))

    def decode(self, latents):
        images = np.zeros((len(latents), *self.image_shape), np.float32)
        images.reshape(len(latents), -1)[:, : self.latent_dim] = 0.5 + np.asarray(latents) / 10
        return tf.constant(images)

    def reconstruct(self, images):
        return 1 - np.asarray(images)

    def sample(self, num_samples, seed=None):
        generator = np.random.default_rng(seed)
        return generator.random((num_samples, *self.image_shape), dtype=np.float32)


def _read(path):
    return tf.io.decode_png(path.read_bytes()).numpy()


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


def test_grid_is_square_by_default_and_padding_can_be_zero():
    assert plots.image_grid(np.zeros((10, 2, 2, 1), np.float32), padding=0).shape == (6, 8, 1)


def test_grid_takes_half_precision_and_tensors():
    images = tf.cast(tf.fill((1, 2, 2, 1), 1.0), tf.bfloat16)
    assert (plots.image_grid(images) == 255).all()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 4, 4, 1), np.uint8), "Divide images of 256 levels by 255"),
        (np.zeros((4, 4, 1), np.float32), "num_images, height, width, channels"),
        (np.zeros((0, 4, 4, 1), np.float32), "num_images, height, width, channels"),
        (np.zeros((2, 4, 4, 2), np.float32), "Received 2"),
        (np.zeros((2, 4, 4, 5), np.float32), "Received 5"),
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
    model = _Linear(2)
    first = plots.sample_grid(model, num_samples=6)
    np.testing.assert_array_equal(first, plots.sample_grid(model, num_samples=6))
    assert (first != plots.sample_grid(model, num_samples=6, seed=1)).any()
    assert first.shape == (2 * 5 - 1, 3 * 6 - 1, 1)


def test_reconstructions_stand_directly_below():
    images = np.stack([np.full((2, 2, 1), value, np.float32) for value in (0.0, 0.2, 0.4)])
    grid = plots.reconstruction_grid(_Linear(2), images)
    # Two columns of pairs that are 2 + 1 + 2 high, 4 pixels apart.
    assert grid.shape == (5 + 4 + 5, 2 + 4 + 2, 1)
    assert (grid[:2, :2] == 0).all()
    assert (grid[2, :2] == 255).all()
    assert (grid[3:5, :2] == 255).all()
    assert (grid[:2, 6:] == 51).all()
    assert (grid[3:5, 6:] == 204).all()


def test_reconstructions_of_another_shape_are_refused():
    class Smaller(_Linear):
        def reconstruct(self, images):
            return images[:, :1]

    with pytest.raises(ValueError, match=r"Received \(2, 1, 4, 1\)"):
        plots.reconstruction_grid(Smaller(2), np.zeros((2, 4, 4, 1), np.float32))


def _cells(grid, rows, columns, height=4, width=5, padding=1):
    return [
        [grid[r * (height + padding), c * (width + padding) :][:3, 0] for c in range(columns)]
        for r in range(rows)
    ]


def test_traversal_moves_one_latent_a_row():
    grid = plots.latent_traversal(_Linear(3), num_steps=5, limit=2.0)
    for row, cells in enumerate(_cells(grid, 3, 5)):
        for step, value in enumerate(np.linspace(-2, 2, 5)):
            expected = np.zeros(3)
            expected[row] = value
            # The pixel's step is 1/255, which is 10/255 in the latent; half of that is rounding.
            np.testing.assert_allclose(10 * (cells[step] / 255 - 0.5), expected, atol=0.021)


def test_traversal_goes_through_an_image_code():
    model = _Linear(3)
    image = model.decode(np.array([[1.0, -1.0, 2.0]]))[0]
    grid = plots.latent_traversal(model, image=image, num_steps=3, limit=3.0, dims=[1])
    for cell, value in zip(_cells(grid, 1, 3)[0], (-3, 0, 3), strict=True):
        np.testing.assert_allclose(10 * (cell / 255 - 0.5), [1, value, 2], atol=0.021)


@pytest.mark.parametrize(
    "arguments", [{"dims": [3]}, {"dims": [-1]}, {"dims": []}, {"num_steps": 0}]
)
def test_traversal_refuses_unknown_latents(arguments):
    with pytest.raises(ValueError, match=r"Expected dims in 0\.\.2"):
        plots.latent_traversal(_Linear(3), **arguments)


def test_manifold_is_even_in_probability():
    grid = plots.latent_manifold(_Linear(2), num_steps=4)
    assert grid.shape == (16, 20, 1)
    quartiles = [-1.15035, -0.31864, 0.31864, 1.15035]  # SciPy's norm.ppf([1/8, 3/8, 5/8, 7/8])
    for row, up in enumerate(reversed(quartiles)):
        for column, right in enumerate(quartiles):
            latent = 10 * (grid[4 * row, 5 * column : 5 * column + 2, 0] / 255 - 0.5)
            np.testing.assert_allclose(latent, [right, up], atol=0.021)


def test_manifold_wants_two_latents():
    with pytest.raises(ValueError, match="latent_dim=3"):
        plots.latent_manifold(_Linear(3))


@pytest.mark.parametrize("latent_dim", [2, 3])
def test_scatter_draws_points_and_a_legend(latent_dim):
    generator = np.random.default_rng(0)
    images = generator.random((300, 4, 5, 1), dtype=np.float32)
    labels = np.repeat(["boot", "bag", "shirt"], 100)
    picture = plots.latent_scatter(_Linear(latent_dim), images, labels)
    assert picture.shape == (700, 800, 3)
    assert picture.dtype == np.uint8
    for color in ([31, 119, 180], [255, 127, 14], [44, 160, 44]):
        assert (picture == color).all(-1).sum() > 100
        assert (picture[:, 690:] == color).all(-1).any(), "the legend at the right"


def test_scatter_leaves_matplotlib_alone():
    import matplotlib

    backend = matplotlib.get_backend(auto_select=False)
    plots.latent_scatter(_Linear(2), np.zeros((3, 4, 5, 1), np.float32), np.arange(3))
    assert matplotlib.get_backend(auto_select=False) == backend


@pytest.mark.parametrize("num_classes", [1, 15, 30])
def test_scatter_takes_any_number_of_classes(num_classes):
    images = np.random.default_rng(0).random((60, 4, 5, 1), dtype=np.float32)
    plots.latent_scatter(_Linear(2), images, np.arange(60) % num_classes)


def test_scatter_refuses_what_it_cannot_draw():
    images = np.zeros((3, 4, 5, 1), np.float32)
    with pytest.raises(ValueError, match="one label an image"):
        plots.latent_scatter(_Linear(2), images, [1, 2])
    with pytest.raises(ValueError, match="at least 2 latents"):
        plots.latent_scatter(_Linear(1), images, [1, 2, 3])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_round_trip(tmp_path, channels):
    image = np.random.default_rng(0).integers(0, 256, (6, 8, channels), dtype=np.uint8)
    plots.save_png(image, tmp_path / "new" / "a.png", scale=1)
    np.testing.assert_array_equal(_read(tmp_path / "new" / "a.png"), image)


def test_png_of_a_small_image_is_enlarged_without_blur(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 1), dtype=np.uint8)
    plots.save_png(image, tmp_path / "a.png")
    written = _read(tmp_path / "a.png")
    assert written.shape == (400, 450, 1)
    np.testing.assert_array_equal(written[25::50, 25::50], image)
    plots.save_png(np.zeros((400, 500, 3), np.uint8), tmp_path / "b.png")
    assert _read(tmp_path / "b.png").shape == (400, 500, 3)


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


def test_replacement_keeps_the_old_file_until_the_end(tmp_path):
    path = tmp_path / "a.bin"
    with plots.replace_atomically(path) as stream:
        stream.write(b"old")
    with pytest.raises(RuntimeError), plots.replace_atomically(path) as stream:
        stream.write(b"new, half")
        assert path.read_bytes() == b"old"
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]
    umask = os.umask(0)
    os.umask(umask)
    # Other users, such as a server's, can read it where the umask lets them.
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


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
    assert _read(tmp_path / "curves.png").shape[1] == 1500


def test_training_curves_refuse_an_empty_history(tmp_path):
    with pytest.raises(ValueError, match="at least one epoch"):
        plots.training_curves({}, tmp_path / "curves.png")
