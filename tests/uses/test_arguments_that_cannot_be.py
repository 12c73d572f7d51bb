"""What no file could hold, names in place of objects, and objectives of another form."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import kgen
from kgen import heads, losses, networks, specs

DENSE = dict(
    generator=functools.partial(networks.dense_generator, hidden_units=(4,)),
    discriminator=functools.partial(networks.dense_discriminator, hidden_units=(4,)),
)


def unregistered(fake_logits):
    return -fake_logits[:, 0]


@keras.saving.register_keras_serializable(package="kgen_tests")
def registered(fake_logits):
    return losses.adversarial.hinge_generator_loss(fake_logits)


@pytest.mark.parametrize(
    "loss", [lambda logits: -logits, unregistered, functools.partial(registered), np.abs]
)
def test_a_loss_that_cannot_be_saved_is_refused_at_once(loss):
    with pytest.raises(ValueError, match="GAN.generator_loss: .* could not be read back .*regist"):
        kgen.GAN.for_images((2,), generator_loss=loss, **DENSE)


def test_a_registered_loss_is_saved(tmp_path):
    gan = kgen.GAN.for_images((2,), generator_loss=registered, **DENSE)
    gan.save(tmp_path / "gan.keras")
    assert keras.saving.load_model(tmp_path / "gan.keras").generator_loss is registered


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: kgen.VAE.for_images((4, 4, 1), likelihood="bernoulli"),
            r"likelihood must be a head of kgen.heads, such as kgen.heads.Bernoulli",
        ),
        (
            lambda: kgen.VAE.for_images((4, 4, 1), posterior="normal"),
            r"posterior must be a head of kgen.heads, such as kgen.heads.DiagonalNormal",
        ),
        (
            lambda: kgen.PixelCNN.for_images((4, 4, 1), likelihood="categorical"),
            "needs a likelihood on levels, such as kgen.heads.Categorical",
        ),
        (
            lambda: kgen.GAN.for_images((2,), penalty="r1", **DENSE),
            "GAN.penalty takes the object itself, not its name: received 'r1'.*kgen.losses",
        ),
        (
            lambda: kgen.GAN.for_images((2,), generator_loss="hinge", **DENSE),
            "GAN.generator_loss takes the object itself, not its name",
        ),
        (
            lambda: kgen.VAE.for_images((4, 4, 1), prior="vamp"),
            "prior",
        ),
    ],
)
def test_a_name_in_place_of_an_object(make, message):
    with pytest.raises(ValueError, match=message):
        make()


class Objective(kgen.ObjectiveModel):
    """Returns whatever it is told to."""

    data_spec = specs.Points(2)

    def __init__(self, form="vector", **kwargs):
        super().__init__(**kwargs)
        self.form = form
        self.center = self.add_weight(shape=(2,))

    def objective(self, x, y=None, training=False):
        loss = tf.reduce_sum((x - self.center) ** 2, axis=1)
        return {"column": {"loss": loss[:, None]}, "bare": loss, "vector": {"loss": loss}}[
            self.form
        ]


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("column", r"The term 'loss' of Objective must have shape \(batch,\)"),
        ("bare", r"The objective of Objective must return a dict of terms, such as {'loss': loss}"),
    ],
)
def test_objectives_of_another_form(form, message):
    model = Objective(form)
    model.compile("sgd")
    with pytest.raises(ValueError, match=message):
        model.fit(np.zeros((8, 2), "float32"), verbose=0)


def test_a_model_made_outside_the_scope():
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    model = Objective()
    with strategy.scope():
        with pytest.raises(ValueError, match="Objective has weights that were made outside"):
            model.compile("sgd")
    encoder = networks.dense_encoder((4, 4, 1), 4, hidden_units=(4,))
    decoder = networks.dense_decoder(2, (4, 4, 1), hidden_units=(4,))
    with strategy.scope():
        vae = kgen.VAE(encoder, decoder, likelihood=heads.Bernoulli())
        with pytest.raises(ValueError, match="VAE has weights that were made outside"):
            vae.compile("sgd")
