"""What examples are drawn given: labels, attributes, several; in the forms of the papers."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from autoregressive.tiny_images import all_images, randomize

import kgen
from kgen import heads, networks, serving, specs

SHAPE = (2, 2, 1)
MADE = functools.partial(networks.made_network, hidden_units=(8,), num_masks=2, order_agnostic=True)
AUTOREGRESSIVE = {
    "made": (kgen.MADE, MADE),
    "nade": (kgen.NADE, functools.partial(networks.nade_network, hidden_units=8)),
    "pixelcnn": (kgen.PixelCNN, functools.partial(networks.pixelcnn, filters=4, num_blocks=1)),
    "pixel_rnn": (
        kgen.PixelRNN,
        functools.partial(networks.pixel_rnn, hidden_units=2, num_layers=1),
    ),
}


def autoregressive(name, condition):
    system, network = AUTOREGRESSIVE[name]
    made = system.for_images(
        SHAPE, likelihood=heads.Bernoulli(), condition=condition, network=network
    )
    # Convolutions of normal weights saturate.
    return randomize(made, scale=0.3 if name == "pixelcnn" else 1.0)


@pytest.mark.parametrize("name", AUTOREGRESSIVE)
def test_a_density_given_a_label_and_attributes(name):
    """For each condition the probabilities of all 16 images sum to 1, and they differ."""
    model = autoregressive(name, (specs.Labels(2), specs.Attributes(2)))
    images = all_images(SHAPE)
    distributions = []
    for label, attributes in ((0, [0.0, 0.0]), (1, [0.0, 0.0]), (0, [1.5, -1.0])):
        log_prob = model.log_prob(images, condition=(label, np.float32(attributes)))
        distributions.append(np.exp(np.float64(log_prob)))
        assert distributions[-1].sum() == pytest.approx(1.0, abs=1e-5)
    for other in distributions[1:]:
        assert 0.5 * np.abs(other - distributions[0]).sum() > 0.01


@pytest.mark.parametrize("name", ["made", "nade"])
def test_samples_follow_their_own_condition(name):
    """Frequencies of 3,000 draws per label against the model's own probabilities."""
    model = autoregressive(name, specs.Labels(2))
    images = all_images(SHAPE)
    drawn = model.sample(6000, condition=np.arange(6000) % 2, seed=1).numpy()
    index = {image.tobytes(): row for row, image in enumerate(images)}
    for label in (0, 1):
        rows = [index[image.tobytes()] for image in drawn[label::2]]
        counts = np.bincount(rows, minlength=len(images))
        expected = 3000 * np.exp(model.log_prob(images, condition=label).numpy())
        # Chi-square of 15 degrees of freedom: above 37.7 with probability 0.001.
        assert np.sum((counts - expected) ** 2 / expected) < 37.7


def bright_and_dark(count=512):
    """Images whose brightness is the attribute, with a dark left side for label 1."""
    random = np.random.RandomState(0)
    labels, levels = random.randint(2, size=count), random.uniform(0.2, 0.9, size=(count, 1))
    images = np.tile(levels[:, :, None, None], (1, 4, 4, 1))
    images[labels == 1, :, :2] = 0.05
    return images.astype("float32"), labels.astype("int32"), levels.astype("float32")


def test_a_vae_draws_what_its_condition_says(tmp_path):
    """Sohn et al. 2015: the condition is read, saved, and served as an input per part."""
    images, labels, levels = bright_and_dark()
    model = kgen.VAE.for_images(
        (4, 4, 1),
        latent_dim=1,
        condition=(specs.Labels(2), specs.Attributes(1)),
        likelihood=heads.Normal(scale=0.1),
        encoder=functools.partial(networks.dense_encoder, hidden_units=(32,)),
        decoder=functools.partial(networks.dense_decoder, hidden_units=(32,)),
    )
    model.compile(kgen.optimizers.Adam(1e-2))
    model.fit(images, (labels, levels), batch_size=32, epochs=25, verbose=0)
    wanted = (np.int32([0, 1, 1]), np.float32([[0.3], [0.3], [0.8]]))
    drawn = model.sample(3, condition=wanted, seed=0).numpy()
    sides = np.stack([drawn[:, :, :2].mean((1, 2, 3)), drawn[:, :, 2:].mean((1, 2, 3))], axis=1)
    np.testing.assert_allclose(sides, [[0.3, 0.3], [0.05, 0.3], [0.05, 0.8]], atol=0.1)
    # The condition says all: the latent has nothing left to say.
    results = model.evaluate(images, (labels, levels), verbose=0, return_dict=True)
    assert results["kl"] < 0.5

    model.save(tmp_path / "vae.keras")
    restored = keras.saving.load_model(tmp_path / "vae.keras")
    np.testing.assert_array_equal(restored.sample(3, condition=wanted, seed=0), drawn)
    version = serving.export(model, tmp_path / "export")
    request = {"seed": np.int32([[0, 0], [0, 1], [0, 2]]), "labels": wanted[0]}
    ((outputs,)) = serving.run_requests(version, [("sample", {**request, "attributes": wanted[1]})])
    np.testing.assert_allclose(outputs["images"], drawn, atol=1e-5)


def test_one_spelling_for_a_gan_and_an_adversarial_autoencoder():
    images, labels, _ = bright_and_dark(64)
    dense = dict(
        generator=functools.partial(networks.dense_generator, hidden_units=(8,)),
        discriminator=functools.partial(networks.dense_discriminator, hidden_units=(8,)),
    )
    for model in (
        kgen.GAN.for_images((4, 4, 1), condition=specs.Labels(2), **dense),
        kgen.WGAN.for_images((4, 4, 1), condition=specs.Labels(2), discriminator_steps=2, **dense),
        kgen.AdversarialAutoencoder.for_images((4, 4, 1), condition=specs.Labels(2)),
    ):
        model.compile()
        model.fit(images, labels, batch_size=32, verbose=0)
        assert model.sample(4, condition=1, seed=0).shape == (4, 4, 4, 1)
        in_turn = model.sample(4, condition=[0, 1, 0, 1], seed=0)
        np.testing.assert_array_equal(model.sample(4, seed=0), in_turn)


def test_all_combinations_of_several_labels_in_turn():
    model = autoregressive("made", (specs.Labels(2), specs.Labels(3)))
    first, second = model.conditions_in_turn(6)
    assert {*zip(first.numpy().tolist(), second.numpy().tolist(), strict=True)} == {
        (i, j) for i in range(2) for j in range(3)
    }
    assert list(model.condition_inputs) == ["labels", "labels_2"]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (3, "condition must be kgen.specs.Labels, kgen.specs.Attributes, or a tuple of them"),
        ((), "condition must be kgen.specs.Labels"),
        (specs.Images((2, 2, 1)), "condition must be kgen.specs.Labels"),
    ],
)
def test_what_is_no_condition_is_refused(condition, message):
    with pytest.raises(ValueError, match=message):
        kgen.VAE.for_images((4, 4, 1), condition=condition)


def test_bad_conditions_of_verbs():
    model = autoregressive("nade", (specs.Labels(2), specs.Attributes(2)))
    images = all_images(SHAPE)[:3]
    for condition, message in (
        (None, r"NADE was made with a condition: pass condition=, \(labels 0 \.\. 1, attrib"),
        (1, r"condition: expected \(labels 0 \.\. 1, attributes \(2,\)\), received int"),
        ((2, np.zeros(2, "float32")), r"condition\[0\]: Expected labels in 0 \.\. 1"),
        ((0, np.zeros(3, "float32")), r"condition\[1\]: Expected attributes of shape"),
        (([0, 1], np.zeros(2, "float32")), "expected one value or 3, one per example, received 2"),
    ):
        with pytest.raises(ValueError, match=message):
            model.log_prob(images, condition=condition)
    with pytest.raises(ValueError, match="Only labels have values to take in turn"):
        model.sample(2)
    with pytest.raises(ValueError, match="VampPrior's pseudo-inputs have no condition"):
        kgen.VAE.for_images(
            (4, 4, 1), condition=specs.Labels(2), prior=heads.VampPrior((4, 4, 1), 2)
        )


def test_a_network_without_the_condition_is_refused():
    encoder, decoder = networks.dense_encoder((4, 4, 1), 4), networks.dense_decoder(2, (4, 4, 1))
    with pytest.raises(ValueError, match="encoder .* expected x and then labels"):
        kgen.VAE(encoder, decoder, condition=specs.Labels(2))
    conditional = networks.make_conditioned(
        networks.dense_encoder, (4, 4, 1), 4, condition=specs.Labels(2)
    )
    with pytest.raises(ValueError, match="encoder .* expected x alone"):
        kgen.VAE(conditional, decoder)
    assert tf.shape(conditional([np.zeros((2, 4, 4, 1)), np.zeros(2, "int32")])).numpy()[0] == 2
