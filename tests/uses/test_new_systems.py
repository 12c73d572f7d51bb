"""What the foundation is for: each of these is one class, without a change elsewhere.

An image-to-image model on pairs, a VAE of table rows beyond [0, 1], an autoencoder of clips, a game
of three players, and a restricted Boltzmann machine trained by contrastive divergence: each is
checked, trained, saved, loaded, exported and served as the models of kgen are.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kgen
from kgen import heads, losses, serving, specs
from kgen.serving import model_card
from kgen.verbs import EvidenceBound, Interpolation, Reconstruction, Sampling

register = keras.saving.register_keras_serializable(package="tests")


def goes_all_the_way(model, data, tmp_path, *, falls, epochs=20):
    """Train, see a term fall, save and load, export, and serve each endpoint as in Python."""
    history = model.fit(*data, epochs=epochs, batch_size=8, verbose=0).history
    assert history[falls][-1] < history[falls][0]
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    first, second = (
        each.evaluate(*data, batch_size=8, verbose=0, return_dict=True)
        for each in (model, restored)
    )
    assert first == pytest.approx(second, rel=1e-5)
    version = serving.export(restored, tmp_path / "served")
    card = model_card.read(version)["signatures"]
    for name, endpoint in model.endpoints().items():
        inputs = endpoint.example(3)
        outputs = serving.run_signatures(version, {name: inputs})[name]
        expected = endpoint.function(*(tf.constant(value) for value in inputs.values()))
        for key, value in expected.items():
            np.testing.assert_allclose(outputs[key], value, rtol=1e-4, atol=1e-5)
    return card


# 1. Image to image, on pairs.


@register
class Translator(kgen.ObjectiveModel):
    """x to y by the absolute error, as the L1 part of pix2pix."""

    def __init__(self, network, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        source, target = network.input_shape[1:], network.output_shape[1:]
        self.data_spec = (specs.Images(source), specs.Images(target))

    def objective(self, x, y=None, training=False):
        made = self.network(x, training=training)
        return {"loss": losses.reconstruction.absolute_error(y, made)}

    def call(self, inputs, training=False):
        return self.network(inputs, training=training)

    def translate(self, images):
        return tf.cast(self.network(images, training=False), tf.float32)

    def endpoints(self):
        source, target = self.data_spec
        translate = kgen.Endpoint(
            lambda images: {"images": self.translate(images)},
            {"images": source},
            {"images": target},
        )
        return {"translate": translate}


def translator():
    inputs = keras.Input((6, 6, 1))
    outputs = keras.layers.Conv2D(3, 3, padding="same", activation="sigmoid")(inputs)
    model = Translator(keras.Model(inputs, outputs))
    model.compile(kgen.optimizers.Adam(0.05))
    return model


def test_image_to_image(tmp_path):
    x = np.random.RandomState(0).uniform(size=(16, 6, 6, 1)).astype("float32")
    y = np.concatenate([x, 1 - x, x], axis=-1)
    card = goes_all_the_way(translator(), (x, y), tmp_path, falls="loss")
    assert card["translate"]["outputs"]["images"]["shape"] == [None, 6, 6, 3]
    assert translator().predict(x, verbose=0).shape == (16, 6, 6, 3)


@pytest.mark.parametrize(
    "x, y, message",
    [
        ((6, 6, 1), None, r"takes \(images \(6, 6, 1\), images \(6, 6, 3\)\), received x alone"),
        ((6, 6, 1), 255, r"y: Expected pixels in \[0, 1\], received values from 255 to 255"),
        ((6, 6, 3), 1, r"x: Expected images of shape \(batch, 6, 6, 1\), received \(4, 6, 6, 3\)"),
    ],
)
def test_wrong_pairs_are_refused_before_training(x, y, message):
    model = translator()
    targets = None if y is None else np.full((4, 6, 6, 3), y, "float32")
    with pytest.raises(ValueError, match=message):
        model.fit(np.zeros((4, *x), "float32"), targets, verbose=0)
    assert int(model.steps) == 0


# 2. A VAE of the rows of a table.


@register
class TableVAE(EvidenceBound, Sampling, Reconstruction, Interpolation, kgen.ObjectiveModel):
    """q(z|x) and p(x|z) diagonal normal, for columns of any range."""

    def __init__(self, encoder, decoder, **kwargs):
        super().__init__(**kwargs)
        self.encoder, self.decoder = encoder, decoder
        self.data_spec = specs.Points(encoder.input_shape[-1])
        self.latent_dim = decoder.input_shape[-1]
        self.prior, self.posterior = heads.StandardNormal(self.latent_dim), heads.DiagonalNormal()
        self.likelihood = heads.DiagonalNormal()

    def _likelihood(self, latents, training=False):
        return self.likelihood(self.decoder(latents, training=training))

    def _log_likelihood(self, x, latents, training=False):
        return self._likelihood(latents, training).log_prob(x)

    def decode(self, latents):
        return self._likelihood(latents).mean()

    def _sample_rows(self, seeds):
        return self.decode(self.sample_latents(seeds))


def test_a_vae_of_a_table(tmp_path):
    table = np.random.RandomState(0).normal(size=(64, 5)) * [1, 50, 3, 0.1, 9] + [0, -200, 7, 2, 90]
    table = ((table - table.mean(axis=0)) / table.std(axis=0)).astype("float32")
    assert table.min() < 0 and table.max() > 1
    model = TableVAE(
        keras.Sequential([keras.Input((5,)), keras.layers.Dense(4)]),
        keras.Sequential([keras.Input((2,)), keras.layers.Dense(10)]),
    )
    model.compile(kgen.optimizers.Adam(0.02))
    card = goes_all_the_way(model, (table,), tmp_path, falls="loss")
    assert card["sample"]["outputs"]["points"]["description"].startswith("coordinates of points")
    assert model.sample(3, seed=0).shape == (3, 5)
    with pytest.raises(ValueError, match="x: The points hold NaN: 1 of 64"):
        model.fit(np.where(np.arange(64)[:, None] == 3, np.nan, table), verbose=0)


# 3. An autoencoder of clips.


@register
class ClipAutoencoder(Reconstruction, Interpolation, kgen.ObjectiveModel):
    """The squared error of clips."""

    def __init__(self, encoder, decoder, **kwargs):
        super().__init__(**kwargs)
        self.encoder, self.decoder = encoder, decoder
        self.data_spec = specs.Clips(encoder.input_shape[1:])
        self.latent_dim = encoder.output_shape[-1]

    def objective(self, x, y=None, training=False):
        made = self.decoder(self.encoder(x, training=training), training=training)
        return {"loss": losses.reconstruction.squared_error(x, made)}

    def encode(self, clips):
        return self.encoder(clips, training=False)

    def decode(self, latents):
        return self.decoder(latents, training=False)


def test_an_autoencoder_of_clips(tmp_path):
    shape = (3, 4, 4, 1)
    encoder = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(2)]
    decoder = [
        keras.Input((2,)),
        keras.layers.Dense(48, "sigmoid"),
        keras.layers.Reshape(shape),
    ]
    model = ClipAutoencoder(keras.Sequential(encoder), keras.Sequential(decoder))
    model.compile(kgen.optimizers.Adam(0.02))
    clips = np.random.RandomState(0).uniform(size=(16, *shape)).astype("float32")
    card = goes_all_the_way(model, (clips,), tmp_path, falls="loss")
    assert card["encode"]["inputs"]["clips"]["description"].startswith("pixels of frames")
    with pytest.raises(ValueError, match=r"x: Expected clips of shape \(batch, 3, 4, 4, 1\)"):
        model.fit(clips[:, :2], verbose=0)


# 4. A game of three players.


@register
class Bargain(kgen.GameModel):
    """Two generators of points play against one critic, which takes two steps."""

    turns = (("critic", 2), ("first", 1), ("second", 1))
    terms = ("distance",)

    def __init__(self, critic, first, second, **kwargs):
        super().__init__(**kwargs)
        self.critic, self.first, self.second = critic, first, second
        self.data_spec = specs.Points(critic.input_shape[-1])

    def _fakes(self, x, training):
        noise = tf.random.stateless_normal((tf.shape(x)[0], 2), self.noise_seed(training))
        return self.first(noise), self.second(noise)

    def critic_objective(self, x, y=None, training=False):
        fakes = [self.critic(fake)[:, 0] for fake in self._fakes(x, training)]
        loss = tf.nn.softplus(-self.critic(x)[:, 0]) + tf.add_n([tf.nn.softplus(f) for f in fakes])
        return {"loss": loss}

    def first_objective(self, x, y=None, training=False):
        first, second = self._fakes(x, training)
        distance = tf.reduce_mean(tf.abs(first - second))
        loss = tf.nn.softplus(-self.critic(first)[:, 0])
        return {"loss": loss, "distance": distance}

    def second_objective(self, x, y=None, training=False):
        return {"loss": tf.nn.softplus(-self.critic(self._fakes(x, training)[1])[:, 0])}

    def endpoints(self):
        score = kgen.Endpoint(
            lambda points: {"logits": self.critic(points, training=False)[:, 0]},
            {"points": self.data_spec},
        )
        return {"score": score}


def test_a_game_of_three_players(tmp_path):
    def dense(size):
        return keras.Sequential([keras.Input((2,)), keras.layers.Dense(size)])

    model = Bargain(dense(1), dense(2), dense(2))
    model.compile(kgen.optimizers.Adam(0.05))
    points = np.random.RandomState(0).normal(2.0, size=(32, 2)).astype("float32")
    goes_all_the_way(model, (points,), tmp_path, falls="critic_loss", epochs=3)
    assert model.metrics_names == ["critic_loss", "first_loss", "second_loss", "distance"]
    with pytest.raises(
        ValueError,
        match="A batch of 3 does not divide into 2 slices of equal size for the critic's 2 steps",
    ):
        model.fit(points[:6], batch_size=3, verbose=0)


# 5. A restricted Boltzmann machine.


@register
class RBM(kgen.ObjectiveModel):
    """CD-1 as an objective: F(v) - F(stop_gradient(v')), v' one step of Gibbs sampling from v.

    F(v) = -b v - sum_j softplus(c_j + v W_j); its gradient is that of contrastive divergence
    (Hinton 2002, eq. 5).
    """

    terms = ("loss", "error")

    def __init__(self, num_visible, num_hidden, **kwargs):
        super().__init__(**kwargs)
        self.num_visible, self.num_hidden = num_visible, num_hidden
        self.data_spec = specs.Points(num_visible)
        self.kernel = self.add_weight(shape=(num_visible, num_hidden), name="kernel")
        self.visible_bias = self.add_weight(shape=(num_visible,), initializer="zeros", name="b")
        self.hidden_bias = self.add_weight(shape=(num_hidden,), initializer="zeros", name="c")

    def free_energy(self, v):
        hidden = tf.nn.softplus(tf.matmul(v, self.kernel.value) + self.hidden_bias.value)
        return -tf.linalg.matvec(v, self.visible_bias.value) - tf.reduce_sum(hidden, axis=-1)

    def _gibbs(self, v, seed):
        first, second = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
        on = tf.sigmoid(tf.matmul(v, self.kernel.value) + self.hidden_bias.value)
        h = tf.cast(tf.random.stateless_uniform(tf.shape(on), first) < on, tf.float32)
        on = tf.sigmoid(tf.matmul(h, self.kernel.value, transpose_b=True) + self.visible_bias.value)
        return tf.cast(tf.random.stateless_uniform(tf.shape(on), second) < on, tf.float32)

    def objective(self, x, y=None, training=False):
        chain = tf.stop_gradient(self._gibbs(x, self.noise_seed(training)))
        loss = self.free_energy(x) - self.free_energy(chain)
        return {"loss": loss, "error": tf.reduce_mean(tf.abs(x - chain), axis=-1)}

    def endpoints(self):
        energy = kgen.Endpoint(
            lambda points: {"energies": self.free_energy(points)},
            {"points": self.data_spec},
            {"energies": kgen.quantities.Quantity("free energy, lower for what is likely", "nats")},
        )
        return {"free_energy": energy}


def test_a_restricted_boltzmann_machine(tmp_path):
    stripes = np.repeat(np.eye(2), 2, axis=1)[np.arange(32) % 2].astype("float32")
    keras.utils.set_random_seed(0)
    model = RBM(4, 3)
    model.compile(keras.optimizers.SGD(0.5))
    card = goes_all_the_way(model, (stripes,), tmp_path, falls="error", epochs=30)
    assert card["free_energy"]["outputs"]["energies"]["unit"] == "nats"
    strange = np.array([[1, 0, 0, 1]], "float32")
    assert model.free_energy(stripes[:2]).numpy().max() < model.free_energy(strange).numpy()[0]


def test_the_gradient_is_that_of_contrastive_divergence():
    """-(v h - v' h') averaged over the batch, h and h' the hidden units' probabilities."""
    model = RBM(4, 3)
    model.compile(keras.optimizers.SGD(1.0))
    v = np.random.RandomState(0).randint(0, 2, size=(8, 4)).astype("float32")
    chain = model._gibbs(tf.constant(v), model.noise_seed(True)).numpy()
    kernel, bias = model.kernel.numpy(), model.hidden_bias.numpy()

    def hidden(rows):
        return 1 / (1 + np.exp(-(rows @ kernel + bias)))

    expected = (v.T @ hidden(v) - chain.T @ hidden(chain)) / len(v)
    model.fit(v, batch_size=8, verbose=0, shuffle=False)
    np.testing.assert_allclose(model.kernel.numpy() - kernel, expected, atol=1e-6)
