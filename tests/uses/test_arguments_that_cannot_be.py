"""What no file could hold, names in place of objects, and objectives of another form."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import kgen
from kgen import heads, losses, networks, specs
from kgen.training.saving import argument_names
from tests.cases import CASES

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


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_argument_of_any_model_takes_a_lambda(case):
    model = case.build()
    for name in set(argument_names(type(model))) - {"name", "condition"}:
        with pytest.raises(ValueError, match=f"{type(model).__name__}[.]?{name}|{name} must be"):
            setattr(model, name, lambda *arguments: 0.0)


FORMS = {
    "column": lambda loss: {"loss": loss[:, None]},
    "bare": lambda loss: loss,
    "unnamed": lambda loss: {"error": loss},
    "number": lambda loss: {"loss": 1.0},
    "integers": lambda loss: {"loss": tf.cast(loss, tf.int32)},
    "constant": lambda loss: {"loss": tf.zeros_like(loss)},
}
MESSAGES = {
    "column": r"The term 'loss' of {} must have shape \(batch,\), or \(\) of the whole batch",
    "bare": "{} must return a dict of terms, such as {{'loss': loss}}, received SymbolicTensor",
    "unnamed": r"{} must return a term named 'loss', received \['error'\]",
    "number": "The term 'loss' of {} must be a tensor, received float",
    "integers": "The term 'loss' of {} must be floats, received int32",
    "constant": "The loss of {} depends on none of the weights that its step moves, such as",
}


class Objective(kgen.ObjectiveModel):
    """Returns its loss in any form."""

    data_spec = specs.Points(2)

    def __init__(self, form="", **kwargs):
        super().__init__(**kwargs)
        self.form = form
        self.center = self.add_weight(shape=(2,))

    def objective(self, x, y=None, training=False):
        return FORMS[self.form](tf.reduce_sum((x - self.center) ** 2, axis=1))


class Game(kgen.GameModel):
    """A game whose second player does so."""

    data_spec = specs.Points(2)
    turns = (("first", 1), ("second", 1))

    def __init__(self, form, **kwargs):
        super().__init__(**kwargs)
        self.form = form
        self.first, self.second = (
            keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]) for _ in range(2)
        )

    def first_objective(self, x, y=None, training=False):
        return {"loss": self.first(x)[:, 0]}

    def second_objective(self, x, y=None, training=False):
        return FORMS[self.form](self.second(x)[:, 0])


POINTS = np.zeros((8, 2), "float32")


@pytest.mark.parametrize("form", FORMS)
def test_objectives_of_another_form(form):
    for kind, name in ((Objective, "Objective.objective"), (Game, "Game.second_objective")):
        model = kind(form)
        model.compile("sgd")
        for verb in (model.fit, *([] if form == "constant" else [model.evaluate])):
            with pytest.raises(ValueError, match=MESSAGES[form].format(name)):
                verb(POINTS, verbose=0)


class Statistics(kgen.StatisticsModel):
    """Returns what it is told to."""

    data_spec = specs.Points(2)

    def __init__(self, form, **kwargs):
        super().__init__(**kwargs)
        self.form = form

    def statistics(self, x, y=None):
        return {
            "column": {"loss": x[:, :1]},
            "bare": x[:, 0],
            "unnamed": {"error": x[:, 0]},
            "scalar": {"loss": x[:, 0], "total": tf.reduce_sum(x)},
        }[self.form]


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("column", r"'loss' of Statistics.statistics must have shape \(batch,\).* \(2, 1\) of 2"),
        ("bare", "Statistics.statistics must return a dict of name -> values"),
        ("unnamed", r"Statistics.statistics must return the terms \['loss'\] too"),
        ("scalar", r"'total' of Statistics.statistics must have shape \(batch, ...\)"),
    ],
)
def test_statistics_of_another_form(form, message):
    with pytest.raises(ValueError, match=message):
        Statistics(form).compile()


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
    model.compile("sgd")
    with strategy.scope():
        with pytest.raises(ValueError, match="Objective has weights that were made outside"):
            model.fit(POINTS, verbose=0)
