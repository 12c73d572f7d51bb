"""TFDS' dict batches, and pixels that change their range after the first batch."""

import functools

import numpy as np
import pytest
import tensorflow as tf

import kgen
from kgen import networks

DENSE = dict(
    encoder=functools.partial(networks.dense_encoder, hidden_units=(4,)),
    decoder=functools.partial(networks.dense_decoder, hidden_units=(4,)),
)
PLAYERS = dict(
    generator=functools.partial(networks.dense_generator, hidden_units=(4,)),
    discriminator=functools.partial(networks.dense_discriminator, hidden_units=(4,)),
)


def build(system):
    parts = DENSE if system is kgen.VAE else PLAYERS
    model = system.for_images((4, 4, 1), latent_dim=2, **parts)
    model.compile()
    return model


def test_dict_batches_say_how_to_choose():
    images = np.zeros((8, 4, 4, 1), "float32")
    batches = tf.data.Dataset.from_tensor_slices({"image": images, "label": np.arange(8)}).batch(4)
    message = (
        r"takes x = images .*received {.*Choose the features: dataset.map\(lambda e: e\['image'\]\)"
    )
    with pytest.raises(ValueError, match=message):
        build(kgen.VAE).fit(batches, verbose=0)
    history = build(kgen.VAE).fit(batches.map(lambda e: e["image"]), verbose=0).history
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize("system", [kgen.VAE, kgen.GAN])
def test_pixels_of_255_after_the_first_batch(system):
    images = np.random.RandomState(0).uniform(size=(64, 4, 4, 1)).astype("float32")
    images[32:] *= 255
    batches = tf.data.Dataset.from_tensor_slices(images).batch(32)
    with pytest.raises(ValueError, match="x: Expected pixels in .0, 1. in every batch"):
        build(system).fit(batches, verbose=0)
    with pytest.raises(ValueError, match="x: Expected pixels in .0, 1. in every batch"):
        build(system).evaluate(batches, verbose=0)
    with pytest.raises(ValueError, match="received values from .* to 2.*Divide by 255"):
        build(system).fit(images, verbose=0)
