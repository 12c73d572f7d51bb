"""ACGAN against its paper's equations."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen import networks, specs
from kgen.adversarial.acgan import ACGAN
from kgen.losses import adversarial as losses

SHAPE = (4, 5, 1)
IMAGES = np.random.RandomState(0).uniform(size=(6, *SHAPE)).astype("float32")
LABELS = np.array([0, 2, 1, 2, 0, 1], "int32")
SMALL = dict(
    generator=functools.partial(networks.dense_generator, hidden_units=(8,), normalization="batch"),
    discriminator=functools.partial(
        networks.dense_discriminator, hidden_units=(8,), normalization="batch"
    ),
)


def acgan(**kwargs):
    return ACGAN.for_images(
        SHAPE, condition=specs.Labels(3), latent_dim=2, embedding_dim=2, **{**SMALL, **kwargs}
    )


def probabilities(model, images):
    """P(S = real | X) and P(C | X) in float64."""
    outputs = model.discriminator(images, training=False).numpy().astype("float64")
    exponents = np.exp(outputs[:, 1:])
    return 1 / (1 + np.exp(-outputs[:, 0])), exponents / exponents.sum(axis=1, keepdims=True)


def fakes(model):
    latents = model.latents(len(IMAGES), model.noise_seed(False))
    return model.generator([latents, tf.constant(LABELS)], training=False)


def test_discriminator_maximizes_source_and_class():
    """Odena et al. 2017, eq. 2 and 3: D maximizes L_S + L_C."""
    model = acgan(class_weight=0.7)
    terms = model.discriminator_objective(IMAGES, LABELS)
    real, real_classes = probabilities(model, IMAGES)
    fake, fake_classes = probabilities(model, fakes(model))
    rows = np.arange(len(IMAGES))
    source = np.log(real) + np.log(1 - fake)
    of_class = np.log(real_classes[rows, LABELS]) + np.log(fake_classes[rows, LABELS])
    # float32 logarithms against float64.
    np.testing.assert_allclose(terms["loss"], -source - 0.7 * of_class, rtol=1e-5)
    np.testing.assert_allclose(
        terms["real_class_loss"], -np.log(real_classes[rows, LABELS]), rtol=1e-5
    )
    np.testing.assert_array_equal(terms["real_accuracy"], real_classes.argmax(axis=1) == LABELS)
    np.testing.assert_array_equal(terms["fake_accuracy"], fake_classes.argmax(axis=1) == LABELS)
    assert set(terms) == {"loss", *model.terms}


@pytest.mark.parametrize(
    "generator_loss, source",
    [
        # The paper's L_C - L_S, of which G can move the part of the fake images.
        (losses.minimax_generator_loss, lambda fake: -np.log(1 - fake)),
        (losses.non_saturating_generator_loss, np.log),
    ],
)
def test_generator_maximizes_class(generator_loss, source):
    model = acgan(generator_loss=generator_loss)
    fake, fake_classes = probabilities(model, fakes(model))
    expected = np.log(fake_classes[np.arange(len(IMAGES)), LABELS]) + source(fake)
    terms = model.generator_objective(IMAGES, LABELS)
    # float32 logarithms against float64.
    np.testing.assert_allclose(terms["loss"], -expected, rtol=1e-5)


def test_classification_loss_is_torchs():
    torch = pytest.importorskip("torch")
    logits = np.random.RandomState(0).normal(size=(6, 3)).astype("float32")
    expected = torch.nn.functional.cross_entropy(
        torch.tensor(logits), torch.tensor(LABELS.astype("int64")), reduction="none"
    )
    np.testing.assert_allclose(losses.classification_loss(logits, LABELS), expected, rtol=1e-5)
    undecided = losses.classification_loss(np.zeros((6, 3)), LABELS)
    np.testing.assert_allclose(undecided, np.log(3), rtol=1e-6)
    assert losses.classification_loss(tf.cast(logits, tf.float16), LABELS).dtype == tf.float32


@pytest.mark.parametrize(
    "objective, moves, stays",
    [
        ("discriminator_objective", "discriminator", "generator"),
        ("generator_objective", "generator", "discriminator"),
    ],
)
def test_an_objective_leaves_the_other_players_state(objective, moves, stays):
    """The moving means of batch normalization are state that no optimizer guards."""
    model = acgan()

    def state(player):
        return [v.numpy() for v in getattr(model, player).non_trainable_variables]

    before = state(moves), state(stays)
    getattr(model, objective)(IMAGES, LABELS, training=True)
    assert all((old != new).any() for old, new in zip(before[0], state(moves), strict=True))
    for old, new in zip(before[1], state(stays), strict=True):
        np.testing.assert_array_equal(old, new)


def test_learns_what_the_classes_are(tmp_path):
    """Dark and bright images: the classifier tells them apart and the labels make them."""
    labels = np.arange(256) % 2
    noise = np.random.RandomState(0).uniform(-0.1, 0.1, size=(256, *SHAPE))
    images = (0.2 + 0.6 * labels[:, None, None, None] + noise).astype("float32")
    model = ACGAN.for_images(
        SHAPE,
        condition=specs.Labels(2),
        latent_dim=2,
        embedding_dim=2,
        generator=functools.partial(networks.dense_generator, hidden_units=(16,)),
        discriminator=functools.partial(networks.dense_discriminator, hidden_units=(16,)),
        ema_decay=0.9,
    )
    model.compile(keras.optimizers.Adam(1e-2, beta_1=0.5))
    model.fit(images, labels, batch_size=32, epochs=15, verbose=0)
    assert (model.classify(images).numpy().argmax(axis=1) == labels).mean() > 0.95
    np.testing.assert_allclose(tf.reduce_sum(model.classify(images), axis=1), 1, rtol=1e-5)
    # The classes' means are 0.6 apart; a generator that ignores labels has them 0 apart.
    dark, bright = (tf.reduce_mean(model.sample(32, condition=label, seed=0)) for label in (0, 1))
    assert bright - dark > 0.3
    assert model.predict(images, verbose=0).shape == (256,)

    model.save(tmp_path / "acgan.keras")
    restored = keras.saving.load_model(tmp_path / "acgan.keras")
    np.testing.assert_array_equal(restored.classify(images[:5]), model.classify(images[:5]))
    np.testing.assert_array_equal(restored.sample(4, seed=1), model.sample(4, seed=1))


def test_the_default_reader_has_no_moving_means():
    """They mix real and generated images, and `classify` would use them."""
    model = ACGAN.for_images(
        SHAPE, condition=specs.Labels(3), latent_dim=2, generator=SMALL["generator"]
    )
    kinds = {type(layer).__name__ for layer in model.discriminator._flatten_layers()}
    assert "LayerNormalization" in kinds and "BatchNormalization" not in kinds


def test_endpoints_of_images_take_no_labels():
    endpoints = acgan().endpoints()
    assert list(endpoints["sample"].inputs) == ["seed", "labels"]
    for name in ("discriminate", "classify"):
        assert list(endpoints[name].inputs) == ["images"]


def test_errors():
    model = acgan()
    plain = networks.dense_generator(2, SHAPE, hidden_units=(4,))
    with pytest.raises(ValueError, match="expected x and then labels"):
        ACGAN(plain, model.discriminator, condition=specs.Labels(3))
    with pytest.raises(ValueError, match="expected \\(5,\\): one logit and those of 4 classes"):
        ACGAN(model.generator, model.discriminator, condition=specs.Labels(4))
    with pytest.raises(ValueError, match=r"gives images of shape \(4, 5, 1\), but"):
        ACGAN(
            model.generator, networks.dense_discriminator((3, 3, 1), 4), condition=specs.Labels(3)
        )
    with pytest.raises(ValueError, match="num_classes"):
        ACGAN.for_images(SHAPE, condition=specs.Labels(1))
    with pytest.raises(ValueError, match="class_weight"):
        acgan(class_weight=-1.0)
    model.compile()
    with pytest.raises(ValueError, match="needs labels"):
        model.fit(IMAGES, verbose=0)
    with pytest.raises(ValueError, match="labels in 0 .. 2"):
        model.fit(IMAGES, LABELS + 1, verbose=0)
    with pytest.raises(ValueError, match="labels in 0 .. 2"):
        model.sample(2, condition=3)
