"""Pictures of two and of five channels: trained on, drawn while training, and logged."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import PIXELCNN

import kgen
from kgen import callbacks, heads, networks, plots

SMALL = dict(
    encoder=functools.partial(networks.dense_encoder, hidden_units=(8,)),
    decoder=functools.partial(networks.dense_decoder, hidden_units=(8,)),
)
PLAYERS = dict(
    generator=functools.partial(networks.dense_generator, hidden_units=(8,)),
    discriminator=functools.partial(networks.dense_discriminator, hidden_units=(8,)),
)


@pytest.mark.parametrize("channels", [2, 5])
@pytest.mark.parametrize("name", ["vae", "gan", "pixelcnn"])
def test_while_training(tmp_path, name, channels):
    shape = (4, 3, channels)
    images = np.random.default_rng(0).integers(0, 2, (8, *shape)).astype(np.float32)
    pictures = {"samples": functools.partial(plots.sample_grid, num_samples=4)}
    if name == "vae":
        model = kgen.VAE.for_images(shape, latent_dim=2, **SMALL)
        pictures["pairs"] = lambda model: plots.reconstruction_grid(model, images[:2])
        pictures["manifold"] = functools.partial(plots.latent_manifold, num_steps=2)
    elif name == "gan":
        model = kgen.GAN.for_images(shape, latent_dim=2, **PLAYERS)
    else:
        network = functools.partial(PIXELCNN, filters=2 * channels, head_filters=(2 * channels,))
        model = kgen.PixelCNN.for_images(shape, likelihood=heads.Bernoulli(), network=network)
        pictures["completions"] = lambda model: plots.completion_grid(model, images[:1])
    model.compile()
    logger = callbacks.PictureLogger(tmp_path, pictures)
    model.fit(images, batch_size=8, verbose=0, callbacks=[logger])
    for drawn in pictures:
        file = tf.io.decode_png((tmp_path / f"{drawn}-0001.png").read_bytes())
        assert file.shape[-1] == 1
    # Two rows of two images, whose channels stand side by side.
    samples = np.asarray(model.sample(4, seed=0))
    grid = plots.sample_grid(model, num_samples=4)
    assert grid.shape == (2 * 4 + 1, 2 * 3 * channels + 1, 1)
    np.testing.assert_array_equal(grid[:4, :3, 0], np.rint(255 * samples[0, ..., 0]))
    last = grid[5:, -3:, 0]
    np.testing.assert_array_equal(last, np.rint(255 * samples[3, ..., channels - 1]))


def test_the_projector_knows_their_width(tmp_path):
    class Codes(keras.Model):
        def encode(self, images):
            return tf.reshape(images, (len(images), -1))

    images = np.random.default_rng(0).random((5, 4, 3, 2), dtype=np.float32)
    logger = callbacks.ProjectorLogger(tmp_path, images)
    logger.set_model(Codes())
    logger.on_train_end()
    assert tf.io.decode_png((tmp_path / "sprite.png").read_bytes()).shape == (12, 18, 1)
    text = (tmp_path / "projector_config.pbtxt").read_text()
    assert [line.split()[-1] for line in text.splitlines() if "single" in line] == ["6", "4"]


def test_a_picture_that_no_png_holds_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"1 \(gray\), 3 .*Received 2.* image_grid draws any"):
        plots.save_png(np.zeros((4, 4, 2), np.uint8), tmp_path / "a.png")
