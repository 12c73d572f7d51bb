"""Replicas and workers take the step that one device takes on the same global batch."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import SMALL

import kgen

SHAPE = (5, 6, 1)
WORKER = pathlib.Path(__file__).parent / "workers" / "multi_worker.py"
# What the issue asks for after three steps of SGD; float32 sums in another order differ by 1e-7.
TOLERANCE = 1e-5


def two_replicas():
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def images(count, seed=0):
    return np.random.RandomState(seed).uniform(size=(count, *SHAPE)).astype("float32")


def sgd():
    return keras.optimizers.SGD(0.01)


def regularize(model):
    """A penalty that each replica computes: it may count once only."""
    layer = next(layer for layer in model.encoder.layers if layer.weights)
    layer.kernel_regularizer = keras.regularizers.L2(0.1)
    layer.kernel.regularizer = layer.kernel_regularizer


class TinyGAN(kgen.AdversarialModel):
    """The smallest two players without noise."""

    terms = ("error",)

    def __init__(self, generator, discriminator, **kwargs):
        super().__init__(**kwargs)
        self.generator = generator
        self.discriminator = discriminator
        self.build()

    def discriminator_objective(self, x, y=None, training=False):
        real, fake = self.discriminator(x), self.discriminator(self.generator(x))
        return dict(loss=(tf.nn.softplus(-real) + tf.nn.softplus(fake))[:, 0])

    def generator_objective(self, x, y=None, training=False):
        made = self.generator(x)
        error = tf.reduce_mean((made - x) ** 2, axis=(1, 2, 3))
        return dict(loss=error + tf.nn.softplus(-self.discriminator(made))[:, 0], error=error)


def build_autoencoder():
    keras.utils.set_random_seed(0)
    model = kgen.Autoencoder.for_images(SHAPE, 2, **SMALL)
    regularize(model)
    model.compile(sgd())
    return model


def build_gan():
    keras.utils.set_random_seed(0)
    generator = keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Flatten(),
            keras.layers.Dense(30),
            keras.layers.Reshape(SHAPE),
        ]
    )
    discriminator = keras.Sequential(
        [keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    model = TinyGAN(generator, discriminator)
    model.compile(sgd(), sgd())
    return model


def build_vqvae():
    keras.utils.set_random_seed(0)
    model = kgen.VQVAE.for_images(SHAPE, num_codes=4, code_dim=2, filters=(3,))
    # At the usual decay three steps hardly move the codebook.
    model.quantizer.decay = 0.5
    model.compile(sgd())
    return model


@pytest.mark.parametrize("build", [build_autoencoder, build_gan, build_vqvae])
def test_two_replicas_take_the_step_of_one_device(build):
    # Batches of 7, 7 and 1: 4 + 3 images a replica, and at the end 1 + 0.
    x = images(15)
    weight = np.linspace(0.5, 2.0, 15).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x, np.zeros(15, "float32"), weight)).batch(7)
    alone = build()
    before = [variable.numpy() for variable in alone.trainable_variables]
    with two_replicas().scope():
        together = build()
    histories = [model.fit(data, verbose=0).history for model in (alone, together)]
    assert int(together.optimizer.iterations.numpy()) == 3
    moved = [np.abs(a - b).max() for a, b in zip(before, alone.trainable_variables, strict=True)]
    assert min(moved) > 100 * TOLERANCE
    assert_same_weights(alone, together)
    assert_same_results(*histories)
    assert_same_results(
        *(model.evaluate(data, verbose=0, return_dict=True) for model in (alone, together))
    )


def assert_same_weights(alone, together):
    for a, b in zip(alone.variables, together.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=0, atol=TOLERANCE, err_msg=a.path)


def assert_same_results(alone, together):
    assert alone.keys() == together.keys()
    for name, value in alone.items():
        np.testing.assert_allclose(together[name], value, rtol=1e-5, err_msg=name)
