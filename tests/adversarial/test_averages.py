"""The averaged weights: how they move, where they are used, how they are saved."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from adversarial.players import (
    SHAPE,
    dense_players,
    images,
    normalized_players,
    points,
    sgd,
)
from replicas import two_replicas

import kgen
from kgen import callbacks, losses, networks, serving


def adam():
    optimizer = keras.optimizers.Adam
    return dict(generator_optimizer=optimizer(0.01), discriminator_optimizer=optimizer(0.02))


def averages(model):
    if model._averages is None:
        return []
    return [average.numpy() for average in model._averages.variables]


@pytest.mark.parametrize("eager", [False, True], ids=["graph", "eager"])
def test_averages_are_the_slow_running_average(eager):
    """w_0 at first, then d w + (1 - d) w_t with d = min(ema_decay, (1 + t) / (10 + t))."""
    model = kgen.GAN(*dense_players(), ema_decay=0.24, discriminator_steps=2)
    model.compile(**adam(), run_eagerly=eager)
    for average, weight in zip(averages(model), model.generator.get_weights(), strict=True):
        np.testing.assert_array_equal(average, weight)
    seen = [model.generator.get_weights()]
    record = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(model.generator.get_weights())
    )
    model.fit(points(20), batch_size=4, verbose=0, callbacks=[record])
    assert len(seen) == 6
    expected = [np.float64(weight) for weight in seen[0]]
    decays = []
    for t, weights in enumerate(seen[1:], start=1):
        decays.append(min(0.24, (1 + t) / (10 + t)))
        expected = [
            decays[-1] * old + (1 - decays[-1]) * new
            for old, new in zip(expected, weights, strict=True)
        ]
    # 2 / 11 is the warm-up's, the others are the model's.
    assert len(set(decays)) == 2
    for received, value, raw in zip(averages(model), expected, seen[-1], strict=True):
        np.testing.assert_allclose(received, value, atol=1e-6)
        assert np.abs(received - raw).max() > 1e-4


def generator_of_averages(model):
    clone = keras.models.clone_model(model.generator)
    clone.set_weights(model.generator.get_weights())
    for variable, average in zip(clone.trainable_variables, model._averages.variables, strict=True):
        variable.assign(average)
    return clone


@pytest.mark.parametrize("ema_decay", [0.999, None])
def test_samples_and_exports_are_of_the_averages(ema_decay, tmp_path):
    model = kgen.GAN(*normalized_players(), ema_decay=ema_decay)
    model.compile(**adam(), run_eagerly=True)
    model.fit(images(), batch_size=4, verbose=0)
    generator = model.generator if ema_decay is None else generator_of_averages(model)
    seeds = np.array([[7, 0], [7, 1], [7, 2]], "int32")
    latents = model.sample_latents(seeds)
    expected = generator(latents, training=False)
    if ema_decay is not None:
        assert np.abs(model.generator(latents, training=False) - expected).max() > 1e-3
    # Two graphs of the same network may round differently.
    np.testing.assert_allclose(model.decode(latents), expected, atol=1e-5)
    np.testing.assert_allclose(model.sample(3, seed=7), expected, atol=1e-5)
    if ema_decay is not None:
        version = serving.export(model, tmp_path / "served")
        served = serving.run_signatures(
            version, {"sample": {"seed": seeds}, "decode": {"latents": latents.numpy()}}
        )
        np.testing.assert_allclose(served["sample"]["images"], expected, atol=1e-5)
        np.testing.assert_allclose(served["decode"]["images"], expected, atol=1e-5)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    assert restored.ema_decay == ema_decay
    for mine, theirs in zip(averages(model), averages(restored), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_allclose(restored.sample(3, seed=7), expected, atol=1e-5)


def test_averages_of_a_spectrally_normalized_generator():
    """The averaged biases take part as well as the averaged kernels."""
    inputs = keras.Input((2,))
    hidden = networks.normalization.spectrally_normalized(keras.layers.Dense(5))(inputs)
    generator = keras.Model(inputs, keras.layers.Dense(2)(hidden))
    model = kgen.GAN(generator, dense_players()[1])
    for average in model._averages.variables:
        average.assign(average + 1.0)
    latents = points(3)
    expected = generator_of_averages(model)(latents, training=False)
    np.testing.assert_allclose(model.decode(latents), expected, atol=1e-5)


class Interruption(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def everything(model):
    optimizers = (model.generator_optimizer, model.discriminator_optimizer)
    variables = [*model.variables, *(v for optimizer in optimizers for v in optimizer.variables)]
    return [variable.numpy() for variable in variables]


def test_an_interrupted_run_ends_like_an_uninterrupted_one(tmp_path):
    """Both optimizers, averages, moving means and the noise."""

    def build():
        keras.utils.set_random_seed(0)
        generator = networks.dense_generator(2, SHAPE, hidden_units=(5,), normalization="batch")
        discriminator = dense_players(SHAPE, spectral_normalization=True)[1]
        model = kgen.GAN(generator, discriminator, discriminator_steps=2, ema_decay=0.9)
        model.compile(**adam(), run_eagerly=True)
        return model

    def fit(model, *used):
        model.fit(images(), batch_size=8, epochs=3, shuffle=False, verbose=0, callbacks=list(used))

    whole, interrupted, resumed = build(), build(), build()
    fit(whole)
    with pytest.raises(KeyboardInterrupt):
        fit(interrupted, Interruption(), callbacks.BackupAndRestore(tmp_path))
    fit(resumed, callbacks.BackupAndRestore(tmp_path))
    assert int(resumed.discriminator_optimizer.iterations) == 3 * 2 * 2
    for variable, mine, theirs in zip(
        whole.variables, everything(whole), everything(resumed), strict=False
    ):
        # The same operations on the same numbers: equal bit by bit.
        np.testing.assert_array_equal(mine, theirs, err_msg=variable.path)
    for mine, theirs in zip(everything(whole), everything(resumed), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_two_replicas_average_like_one_device():
    """With latents that are no noise, the replicas' step is that of one device."""

    def build():
        keras.utils.set_random_seed(0)
        # A penalty at the real points draws no noise either.
        model = kgen.GAN(
            *dense_players(),
            penalty=losses.penalties.r1_penalty,
            ema_decay=0.5,
            discriminator_steps=1,
        )
        model.latents = lambda batch_size, seed: tf.fill((batch_size, 2), 0.5)
        model.compile(generator_optimizer=sgd(), discriminator_optimizer=sgd())
        return model

    alone = build()
    with two_replicas().scope():
        together = build()
    before = averages(alone)
    for model in (alone, together):
        # 8, 8 and 5: the last one is cut into 3 and 2.
        model.fit(points(21), batch_size=8, shuffle=False, verbose=0)
    for old, new in zip(before, averages(alone), strict=True):
        assert np.abs(old - new).max() > 1e-4
    for mine, theirs in zip(alone.variables, together.variables, strict=True):
        # Sums in another order.
        np.testing.assert_allclose(mine, theirs.numpy(), atol=1e-5, err_msg=mine.path)
    for average in together._averages.variables:
        first, second = two_replicas().experimental_local_results(average.value)
        np.testing.assert_array_equal(first, second)


def test_no_averages():
    model = kgen.GAN(*dense_players(), ema_decay=None)
    assert model._averages is None
    latents = points(3)
    np.testing.assert_array_equal(model.decode(latents), model.generator(latents))
