"""EBGAN against a slow transcription of Zhao et al. 2017."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import SMALL
from replicas import two_replicas

from kgen import networks
from kgen.adversarial.ebgan import EBGAN, pull_away_term

SHAPE = (4, 5, 1)
IMAGES = np.random.RandomState(0).uniform(size=(6, *SHAPE)).astype("float32")


def generator(latent_dim, image_shape):
    return networks.dense_generator(latent_dim, image_shape, hidden_units=(8,))


def build(**kwargs):
    return EBGAN.for_images(SHAPE, latent_dim=3, generator=generator, **SMALL, **kwargs)


def energy(model, images):
    """Mean squared error, one image and one pixel at a time."""
    made = model.decoder(model.encoder(images)).numpy()
    return np.array(
        [
            np.mean([(float(a) - float(b)) ** 2 for a, b in zip(v.flat, r.flat, strict=True)])
            for v, r in zip(np.asarray(images), made, strict=True)
        ]
    )


def f_pt(codes):
    """The pull-away term, pair by pair."""
    codes = np.asarray(codes, np.float64).reshape(len(codes), -1)
    total = 0.0
    for i, j in itertools.permutations(range(len(codes)), 2):
        cosine = codes[i] @ codes[j] / (np.linalg.norm(codes[i]) * np.linalg.norm(codes[j]))
        total += cosine**2
    return total / (len(codes) * (len(codes) - 1))


@pytest.mark.parametrize("margin", [0.01, 0.3, 5.0])
def test_terms(margin):
    model = build(margin=margin, pull_away_weight=0.7)
    fake = model.generator(model.latents(6, model.noise_seed(False))).numpy()
    real_energy, fake_energy = energy(model, IMAGES), energy(model, fake)
    terms = model.discriminator_objective(IMAGES)
    expected = [e + max(0.0, margin - f) for e, f in zip(real_energy, fake_energy, strict=True)]
    # Sums of float32 against float64.
    close = dict(rtol=1e-5)
    np.testing.assert_allclose(terms["loss"], expected, **close)
    np.testing.assert_allclose(terms["real_energy"], real_energy, **close)
    np.testing.assert_allclose(terms["fake_energy"], fake_energy, **close)

    term = f_pt(model.encoder(fake).numpy())
    terms = model.generator_objective(IMAGES)
    np.testing.assert_allclose(np.mean(terms["pull_away"]), term, **close)
    np.testing.assert_allclose(np.mean(terms["loss"]), fake_energy.mean() + 0.7 * term, **close)

    received = model.discriminate(IMAGES)
    assert received.dtype == tf.float32
    np.testing.assert_allclose(received, -real_energy, **close)
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), -real_energy, **close)


def test_energy_beyond_the_margin_has_no_slope():
    for margin, beyond in ((1e-6, True), (5.0, False)):
        model = build(margin=margin)
        variables = [variable.value for variable in model.player_variables("discriminator")]
        with tf.GradientTape(persistent=True) as tape:
            terms = model.discriminator_objective(IMAGES, training=True)
        loss, real, fake = (
            tape.gradient(terms[name], variables) for name in ("loss", "real_energy", "fake_energy")
        )
        for of_loss, of_real, of_fake in zip(loss, real, fake, strict=True):
            expected = of_real if beyond else of_real - of_fake
            # The same sums of float32 in two orders.
            np.testing.assert_allclose(of_loss, expected, rtol=1e-4, atol=1e-5)
        assert max(np.abs(of_fake).max() for of_fake in fake) > 0.01


@pytest.mark.parametrize("shape", [(2, 3), (7, 4), (5, 2, 3, 2), (40, 3)])
def test_pull_away_term_is_the_papers(shape):
    codes = np.random.RandomState(0).normal(size=shape).astype("float32")
    received = pull_away_term(codes)
    assert received.dtype == tf.float32 and received.shape == shape[:1]
    # float32 differences of sums of up to N squares of cosines.
    assert np.mean(received) == pytest.approx(f_pt(codes), rel=1e-4)
    # Lengths do not matter.
    np.testing.assert_allclose(pull_away_term(codes * 7.0), received, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(pull_away_term(tf.cast(codes, "bfloat16")), received, atol=0.05)


def test_pull_away_term_in_closed_form():
    # Orthogonal codes, equal and opposite ones, and such at 60 degrees.
    np.testing.assert_allclose(pull_away_term(3 * np.eye(4, dtype="float32")), np.zeros(4))
    same = np.array([[1, 2], [1, 2], [-2, -4]], "float32")
    np.testing.assert_allclose(pull_away_term(same), np.ones(3), rtol=1e-6)
    angle = np.array([[1, 0], [0.5, 3**0.5 / 2]], "float32")
    np.testing.assert_allclose(pull_away_term(angle), [0.25, 0.25], rtol=1e-5)
    np.testing.assert_array_equal(pull_away_term(np.ones((1, 3), "float32")), [0.0])
    np.testing.assert_array_equal(pull_away_term(np.zeros((3, 2), "float32")), np.zeros(3))


def test_gradient_of_the_pull_away_term_is_pytorchs():
    torch = pytest.importorskip("torch")
    codes = np.random.RandomState(0).normal(size=(5, 3)).astype("float32")
    leaf = torch.tensor(codes, requires_grad=True)
    unit = leaf / leaf.norm(dim=1, keepdim=True)
    squares = (unit @ unit.T) ** 2
    ((squares.sum() - squares.diagonal().sum()) / 20).backward()
    values = tf.constant(codes)
    with tf.GradientTape() as tape:
        tape.watch(values)
        loss = tf.reduce_mean(pull_away_term(values))
    # Two orders of float32 operations on numbers near 1.
    np.testing.assert_allclose(tape.gradient(loss, values), leaf.grad.numpy(), atol=1e-6)


def test_players_own_their_weights():
    model = build()
    players = [*model.player_variables("generator"), *model.player_variables("discriminator")]
    assert {id(v) for v in players} == {id(v) for v in model.trainable_variables}
    assert len(players) == len(model.trainable_variables)
    autoencoder = [v.numpy() for v in model.player_variables("discriminator")]
    before = model.generator.get_weights()
    model.compile(
        generator_optimizer="sgd",
        discriminator_optimizer=keras.optimizers.SGD(0.0),
        run_eagerly=True,
    )
    model.fit(IMAGES, verbose=0)
    assert any(np.any(a != b) for a, b in zip(before, model.generator.get_weights(), strict=True))
    for a, b in zip(autoencoder, model.player_variables("discriminator"), strict=True):
        np.testing.assert_array_equal(a, b)


def latents_of_the_images(model):
    """Latents that are a function of the images of the batch: no replica draws its own."""
    seen = {}
    objectives = model.discriminator_objective, model.generator_objective

    def noting(objective):
        def noted(x, y=None, training=False):
            seen["latents"] = tf.reshape(x, (tf.shape(x)[0], -1))[:, : model.latent_dim]
            return objective(x, y, training)

        return noted

    model.discriminator_objective, model.generator_objective = map(noting, objectives)
    model.latents = lambda batch_size, seed: seen["latents"]
    return model


def test_replicas_take_the_step_of_one_device():
    """Batches of 4 + 3, 4 + 3 and 1 + 0 images, with the pull-away term of the global batch."""
    images = np.random.RandomState(1).uniform(size=(15, *SHAPE)).astype("float32")

    def new():
        keras.utils.set_random_seed(0)
        model = latents_of_the_images(build(pull_away_weight=5.0))
        model.compile(
            generator_optimizer=keras.optimizers.SGD(0.05),
            discriminator_optimizer=keras.optimizers.SGD(0.05),
        )
        return model

    data = tf.data.Dataset.from_tensor_slices(images).batch(7)
    alone = new()
    before = alone.generator.get_weights()
    with two_replicas().scope():
        together = new()
    histories = [model.fit(data, verbose=0).history for model in (alone, together)]
    moved = [
        np.abs(a - b).max() for a, b in zip(before, alone.generator.get_weights(), strict=True)
    ]
    assert min(moved) > 1e-4, "or the next comparison says nothing"
    for mine, theirs in zip(alone.variables, together.variables, strict=True):
        # Sums of float32 in another order, over three steps.
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), atol=1e-5, err_msg=mine.path)
    for name, value in histories[0].items():
        np.testing.assert_allclose(histories[1][name], value, rtol=1e-4, err_msg=name)


def test_default_networks_and_codes_of_any_rank():
    model = EBGAN.for_images((5, 7, 3), latent_dim=4)
    assert model.decoder.output_shape == (None, 5, 7, 3)
    assert model.sample(2, seed=0).shape == (2, 5, 7, 3)
    model = EBGAN(
        generator(2, SHAPE),
        networks.convolutional_feature_encoder(SHAPE, 2, filters=(3,)),
        networks.convolutional_feature_decoder(2, SHAPE, filters=(3,)),
    )
    assert model.generator_objective(IMAGES)["loss"].shape == (6,)


def test_networks_that_do_not_fit():
    encoder, decoder = SMALL["encoder"](SHAPE, 3), SMALL["decoder"](3, SHAPE)
    with pytest.raises(ValueError, match=r"gives outputs of shape \(3,\), expected \(4,\)"):
        EBGAN(generator(2, SHAPE), encoder, SMALL["decoder"](4, SHAPE))
    with pytest.raises(ValueError, match="expected .*: it reconstructs what the encoder takes"):
        EBGAN(generator(2, SHAPE), encoder, SMALL["decoder"](3, (4, 5, 3)))
    with pytest.raises(ValueError, match="gives images of shape"):
        EBGAN(generator(2, (4, 4, 1)), encoder, decoder)
    for wrong in (dict(margin=0.0), dict(pull_away_weight=-0.1), dict(ema_decay=2.0)):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            build(**wrong)
