"""A user's subclass adds layers, weights, a metric and an argument to a model of kgen."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import DENSE_PLAYERS, SHAPE, SMALL, embedder, projector

import kgen


class Added:
    """What every subclass below adds: two layers, one of them without weights, a weight, a metric.

    A layer is built where it is made, as all weights exist when training begins.
    """

    def add(self, scale):
        self.scale = scale
        self.blur = keras.layers.Flatten()
        self.head = keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(0.01))
        self.head.build((None, int(np.prod(SHAPE))))
        self.gain = self.add_weight(name="gain", shape=(), initializer="ones")
        self.spread = keras.metrics.Mean(name="spread")

    def with_head(self, terms, images):
        value = self.gain * self.head(self.blur(images))[:, 0]
        self.spread.update_state(value)
        return {**terms, "loss": terms["loss"] + self.scale * tf.square(value - 1.0)}


@keras.saving.register_keras_serializable(package="tests")
class WithHead(Added, kgen.VAE):
    def __init__(self, *args, scale=2.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.add(scale)

    def objective(self, x, y=None, training=False):
        return self.with_head(super().objective(x, y, training), x)


@keras.saving.register_keras_serializable(package="tests")
class GANWithHead(Added, kgen.GAN):
    def __init__(self, *args, scale=2.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.add(scale)

    @property
    def discriminator_variables(self):
        return [*self.discriminator.trainable_variables, *self.head.trainable_variables, self.gain]

    def discriminator_objective(self, x, y=None, training=False):
        return self.with_head(super().discriminator_objective(x, y, training), x)


@keras.saving.register_keras_serializable(package="tests")
class SimCLRWithHead(Added, kgen.SimCLR):
    def __init__(self, *args, scale=2.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.add(scale)

    def objective(self, x, y=None, training=False):
        return self.with_head(super().objective(x, y, training), x[0])


IMAGES = np.random.RandomState(0).uniform(size=(8, *SHAPE)).astype("float32")
SUBCLASSES = {
    "vae": (lambda: WithHead.for_images(SHAPE, latent_dim=2, scale=3.0, **SMALL), IMAGES),
    "gan": (
        lambda: GANWithHead.for_images(SHAPE, latent_dim=2, scale=3.0, **DENSE_PLAYERS),
        IMAGES,
    ),
    "simclr": (
        lambda: SimCLRWithHead(embedder(), projector(), scale=3.0),
        ((IMAGES, IMAGES[:, ::-1]),),
    ),
}


@pytest.mark.parametrize(("build", "data"), SUBCLASSES.values(), ids=SUBCLASSES.keys())
def test_what_a_subclass_adds_is_trained_reported_and_saved(build, data, tmp_path):
    model = build()
    model.compile(keras.optimizers.Adam(0.01))
    added = [*model.head.trainable_variables, model.gain]
    before = [variable.numpy() for variable in added]
    data = tf.data.Dataset.from_tensors(data)
    history = model.fit(data, verbose=0).history
    for old, variable in zip(before, added, strict=True):
        assert np.abs(variable.numpy() - old).max() > 1e-3, variable.path
    assert np.isfinite(history["spread"][0]) and history["spread"][0] != 0

    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    assert type(restored) is type(model) and restored.scale == 3.0
    for mine, theirs in zip(model.trainable_variables, restored.trainable_variables, strict=True):
        np.testing.assert_array_equal(mine, theirs, err_msg=mine.path)
    # The optimizers go on where they were: their moments are those of the added weights too.
    histories = [each.fit(data, verbose=0).history for each in (model, restored)]
    for mine, theirs in zip(model.variables, restored.variables, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-7, err_msg=mine.path)
    for name, values in histories[0].items():
        assert values == pytest.approx(histories[1][name], rel=1e-5)


class Forgetful(kgen.VAE):
    def __init__(self, *args, width, **kwargs):
        super().__init__(*args, **kwargs)
        self.kept = width


def test_an_argument_that_is_not_kept_is_refused_before_training():
    model = Forgetful.for_images(SHAPE, latent_dim=2, width=3, **SMALL)
    message = r"Forgetful does not keep its argument 'width'.*Write self.width = width"
    with pytest.raises(ValueError, match=message):
        model.compile()
    model.width = 3
    model.compile()


class Late(kgen.VAE):
    """Its layer has no weights before the first step."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.head = keras.layers.Dense(1)

    def objective(self, x, y=None, training=False):
        terms = super().objective(x, y, training)
        value = self.head(tf.reshape(x, (len(x), -1)))[:, 0]
        return {**terms, "loss": terms["loss"] + value**2}


def test_a_layer_that_is_not_built_is_not_left_untrained_in_silence():
    model = Late.for_images(SHAPE, latent_dim=2, **SMALL)
    with pytest.raises(ValueError, match=r"layer 'dense.* of Late has no weights yet. Build it"):
        model.compile("sgd")


class Named(kgen.VAE):
    """Its argument has the name of an attribute of Keras."""

    def __init__(self, *args, layers=3, **kwargs):
        super().__init__(*args, **kwargs)


def test_an_argument_of_keras_name_is_refused():
    model = Named.for_images(SHAPE, latent_dim=2, **SMALL)
    with pytest.raises(ValueError, match="argument 'layers', which is an attribute of every"):
        model.compile("sgd")


def test_a_list_of_callbacks_that_is_no_list_is_refused():
    model = kgen.VAE.for_images(SHAPE, latent_dim=2, **SMALL)
    model.compile("sgd")
    with pytest.raises(TypeError, match="give a list, not a CallbackList"):
        model.fit(IMAGES, callbacks=keras.callbacks.CallbackList([]), verbose=0)
