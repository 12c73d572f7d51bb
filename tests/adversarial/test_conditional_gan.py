"""The conditional GAN: what it makes of labels, and what it says to bad ones."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from adversarial.players import dense_players, points, record_latents, sgd

import kgen
from kgen import checks, losses, networks, serving, specs

LABELS = np.arange(16) % 3
SHAPE = (5, 6, 1)


def conditional_gan(hidden_units=(5,), **kwargs):
    generator = networks.dense_generator(4, (2,), hidden_units=hidden_units, activation="tanh")
    features = networks.dense_discriminator(2, 4, hidden_units=hidden_units, activation="tanh")
    model = kgen.ConditionalGAN(
        networks.conditioned(generator, specs.Labels(3), (2,)),
        networks.projection_discriminator(features, specs.Labels(3)),
        condition=specs.Labels(3),
        **kwargs,
    )
    model.compile(generator_optimizer=sgd(), discriminator_optimizer=sgd(), run_eagerly=True)
    return model


def test_terms_are_those_of_the_networks():
    """Image and label go together, for both players and in the penalty."""
    model = conditional_gan(penalty=losses.penalties.r1_penalty, penalty_weight=3.0)
    latents = record_latents(model)
    x, y = tf.constant(points()), tf.constant(LABELS)
    terms = model.discriminator_objective(x, y)
    expected, expected_generator, penalties = [], [], []
    for i in range(16):
        label = y[i : i + 1]
        image = x[i : i + 1]
        with tf.GradientTape() as tape:
            tape.watch(image)
            real = model.discriminator([image, label])
        slope = tape.gradient(real, image).numpy()
        made = model.generator([latents[0][i : i + 1], label])
        fake = model.discriminator([made, label]).numpy().item()
        real = real.numpy().item()
        penalties.append(0.5 * np.sum(slope**2))
        expected.append(max(0, 1 - real) + max(0, 1 + fake) + 3.0 * penalties[-1])
        expected_generator.append(-fake)
    # One row and 16 rows may round differently.
    np.testing.assert_allclose(terms["loss"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(terms["penalty"], penalties, rtol=1e-5, atol=1e-6)
    assert set(terms) == {"loss", *model.terms}
    assert "penalty" not in conditional_gan().metrics_names
    terms = model.generator_objective(x, y)
    np.testing.assert_allclose(terms["loss"], expected_generator, rtol=1e-5, atol=1e-6)
    # The label matters.
    other = model.discriminator_objective(x, (y + 1) % 3)["real_logits"]
    real_logits = model.discriminator_objective(x, y)["real_logits"]
    assert np.abs(other - real_logits).max() > 1e-3
    np.testing.assert_allclose(model.discriminate(x, condition=y), real_logits, atol=1e-6)


def test_it_learns_where_each_class_lies():
    centers = np.array([[0.0, 2.0], [-2.0, -1.0], [2.0, -1.0]], "float32")
    labels = np.random.RandomState(0).randint(0, 3, size=400 * 64)
    x = centers[labels] + 0.3 * points(len(labels))
    model = conditional_gan(
        hidden_units=(16,), penalty=losses.penalties.r1_penalty, penalty_weight=0.1
    )
    model.compile(keras.optimizers.Adam(0.01, beta_1=0.0))
    model.fit(x, labels, batch_size=64, verbose=0)
    for label in range(3):
        samples = model.sample(100, condition=label, seed=0).numpy()
        # The centers are more than 3 apart.
        np.testing.assert_allclose(samples.mean(axis=0), centers[label], atol=0.7)


def test_labels_of_samples():
    model = conditional_gan()
    in_turn = model.sample(6, seed=3).numpy()
    np.testing.assert_array_equal(in_turn, model.sample(6, condition=[0, 1, 2, 0, 1, 2], seed=3))
    ones = model.sample(6, condition=1, seed=3).numpy()
    np.testing.assert_array_equal(ones, model.sample(6, condition=np.ones(6, "int64"), seed=3))
    # Same latent and label, same sample; another label, another one.
    np.testing.assert_allclose(ones[[1, 4]], in_turn[[1, 4]], atol=1e-6)
    assert np.abs(ones - in_turn)[[0, 2, 3, 5]].max(axis=1).min() > 1e-4


def test_predict_takes_pairs():
    model = conditional_gan()
    x = points()
    expected = model.discriminate(x, condition=LABELS).numpy()
    assert expected.shape == (16,)
    for received in (
        model.predict([x, LABELS], verbose=0),
        model.predict(tf.data.Dataset.from_tensor_slices((x, LABELS)).batch(4), verbose=0),
        model([x, LABELS]),
    ):
        # Batches of another size may round differently.
        np.testing.assert_allclose(received, expected, atol=1e-6)
    message = r"takes x = \(points \(2,\), labels 0 .. 2\), received float32 \(16, 2\)"
    with pytest.raises(ValueError, match=message):
        model.predict(x, verbose=0)


def test_slices_take_their_labels_along():
    model = conditional_gan(discriminator_steps=2)
    seen = []
    objective = model.discriminator_objective

    def discriminator_objective(x, y=None, training=False):
        seen.append((x.numpy(), y.numpy()))
        return objective(x, y, training)

    model.discriminator_objective = discriminator_objective
    x = points()
    model.fit(x, LABELS, batch_size=16, shuffle=False, verbose=0)
    for (images, labels), half in zip(seen, (slice(0, 8), slice(8, 16)), strict=True):
        np.testing.assert_array_equal(images, x[half])
        np.testing.assert_array_equal(labels, LABELS[half])


# Bad input.

BAD_LABELS = {
    "missing": (None, r"needs labels beside points \(2,\): y is missing"),
    "above": (LABELS + 1, r"Expected labels in 0 .. 2, received values from 1 to 3"),
    "below": (LABELS - 1, r"Expected labels in 0 .. 2, received values from -1 to 1"),
    "float": (LABELS.astype("float32"), r"integer labels \(batch,\), .* dtype float32"),
    "one_hot": (np.eye(3, dtype="int32")[LABELS], r"integer labels \(batch,\), .* shape \(16, 3\)"),
    "bool": (LABELS == 1, "integer labels .* dtype bool"),
}


@pytest.mark.parametrize("labels", ["validation", "training"])
@pytest.mark.parametrize("kind", ["arrays", "data_set"])
@pytest.mark.parametrize(("y", "message"), BAD_LABELS.values(), ids=BAD_LABELS.keys())
def test_bad_labels(y, message, kind, labels):
    model, x = conditional_gan(), points()
    data = (x,) if y is None else (x, y)
    if kind == "data_set":
        data = (tf.data.Dataset.from_tensor_slices(data).batch(16),)
    with pytest.raises(ValueError, match=message):
        if labels == "training":
            model.fit(*data, verbose=0)
        else:
            validation_data = data[0] if kind == "data_set" else data
            model.fit(x, LABELS, validation_data=validation_data, verbose=0)
    with pytest.raises(ValueError, match=message):
        model.evaluate(*data, verbose=0)


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("name", ["missing", "float", "one_hot"])
def test_bad_labels_from_a_generator(name, eager):
    """The first batch is looked at like that of every other kind of data."""
    model = conditional_gan()
    model.compile(generator_optimizer=sgd(), discriminator_optimizer=sgd(), run_eagerly=eager)
    y = BAD_LABELS[name][0]
    batches = ((points(),) if y is None else (points(), y) for _ in range(3))
    with pytest.raises(ValueError, match="labels"):
        model.fit(batches, steps_per_epoch=2, verbose=0)


@pytest.mark.parametrize("bad", [-1, 3])
def test_labels_out_of_range_from_a_generator(bad):
    """Nothing looks at a later batch but the step: a graph would take -1 for the last class, in
    silence; 3 fails in the embedding too."""
    model = conditional_gan()
    model.compile(generator_optimizer=sgd(), discriminator_optimizer=sgd())
    wrong = np.where(LABELS == 1, bad, LABELS)
    with pytest.raises(ValueError, match=r"y: Expected labels in 0 .. 2, received values from"):
        model.fit(((points(), wrong) for _ in range(3)), steps_per_epoch=2, verbose=0)
    batches = ((points(), labels) for labels in (LABELS, wrong, wrong))
    message = "Expected labels in 0 .. 2; a row of the batch has another"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        model.fit(batches, steps_per_epoch=2, verbose=0)


def test_labels_under_xla():
    """XLA leaves the check out and compiles."""
    model = conditional_gan(hidden_units=())
    model.compile(generator_optimizer=sgd(), discriminator_optimizer=sgd(), jit_compile=True)
    history = model.fit(points(), LABELS, verbose=0).history
    assert np.isfinite(history["generator_loss"]).all()


def test_labels_out_of_range_at_the_server(tmp_path):
    version = serving.export(conditional_gan(), tmp_path / "model")
    seed, low, high = np.zeros((3, 2), "int32"), [0, -74159, 2], [0, 74159, 1]
    # Without the values: they may be those of another client's request in the same batch.
    message = r"(?s)^(?!.*\b74159\b).*Expected labels in 0 .. 2;"
    with pytest.raises(RuntimeError, match=message):
        serving.run_signatures(
            version, {"sample": {"seed": seed, "labels": np.array(low, "int32")}}
        )
    sample = tf.saved_model.load(version).signatures["sample"]
    for labels in (low, high):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            sample(seed=tf.constant(seed), labels=tf.constant(labels))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64"])
def test_label_tensors_of_every_width(dtype):
    check = tf.function(lambda labels: checks.label_tensor(labels, 300))
    received = check(tf.constant([0, 127], dtype))
    np.testing.assert_array_equal(received, [0, 127])
    assert received.dtype == tf.int32
    if dtype == "int64":
        with pytest.raises(tf.errors.InvalidArgumentError, match="labels in 0 .. 299"):
            check(tf.constant([0, 2**32], dtype))


@pytest.mark.parametrize("kind", [np.asarray, tf.constant], ids=["array", "tensor"])
def test_one_class_alone_is_no_training_set(kind):
    model, x = conditional_gan(), points()
    ones = kind(np.ones(16, "int32"))
    with pytest.raises(ValueError, match="All 16 labels are 1: with one class .* Pass images of"):
        model.fit(x, ones, verbose=0)
    # A part of the data may be of one class: to evaluate on, to validate on, or a batch.
    model.evaluate(x, ones, verbose=0)
    model.fit(x, LABELS, validation_data=(x, ones), verbose=0)
    model.fit(tf.data.Dataset.from_tensor_slices((x, ones)).batch(16), verbose=0)
    model.fit(((x, ones) for _ in range(2)), steps_per_epoch=2, verbose=0)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (3, r"Expected labels in 0 .. 2, received values from 3 to 3"),
        (-1, r"Expected labels in 0 .. 2"),
        (0.5, "integer labels"),
        ([0, 1], "expected one value or 4, one per example, received 2"),
        ([[0, 1, 2, 0]], "Expected integer labels"),
    ],
)
def test_bad_labels_of_samples(labels, message):
    with pytest.raises(ValueError, match=message):
        conditional_gan().sample(4, condition=labels)


def test_labels_where_none_belong():
    model = kgen.GAN(*dense_players())
    with pytest.raises(ValueError, match="GAN was made without a condition"):
        model.sample(2, condition=1)
    model = conditional_gan()
    latents = np.zeros((2, 2), "float32")
    with pytest.raises(
        ValueError, match=r"was made with a condition: pass condition=, labels 0 \.\. 2"
    ):
        model.decode(latents)
    with pytest.raises(ValueError, match="pass condition="):
        model.interpolate(latents, end=latents)
    with pytest.raises(ValueError, match="pass condition="):
        model.invert(points(2))


@pytest.mark.parametrize("num_classes", [1, 0, -2, 2.0, "3", None, True])
def test_num_classes(num_classes):
    with pytest.raises(ValueError, match="num_classes must be"):
        kgen.ConditionalGAN.for_images(SHAPE, condition=specs.Labels(num_classes))
    model = conditional_gan()
    with pytest.raises(ValueError, match="num_classes must be"):
        kgen.ConditionalGAN(
            model.generator, model.discriminator, condition=specs.Labels(num_classes)
        )


@pytest.mark.parametrize("name", ["latent_dim", "embedding_dim"])
@pytest.mark.parametrize("value", [0, None, 1.5])
def test_sizes(name, value):
    with pytest.raises(ValueError, match=f"{name} must be an integer of at least 1"):
        kgen.ConditionalGAN.for_images(SHAPE, condition=specs.Labels(3), **{name: value})


def test_bad_models():
    model = conditional_gan()
    generator, discriminator = dense_players()
    other = networks.projection_discriminator(
        networks.dense_discriminator(3, 4, hidden_units=()), specs.Labels(3)
    )
    for arguments, message in [
        ((generator, model.discriminator), r"generator '.*' takes .*, expected x and then labels"),
        ((model.generator, discriminator), r"discriminator '.*' takes .*, expected x and then"),
        ((model.generator, other), r"gives images of shape \(2,\), but .* takes \(3,\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            kgen.ConditionalGAN(*arguments, condition=specs.Labels(3))
