"""`AdversarialModel`, on players of one weight each."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from by_hand import EAGER, Duel, column, dense, duel, weight_of


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_every_image_is_in_one_discriminator_step(steps):
    x = column(*range(12))
    model = duel(discriminator_steps=steps)
    model.fit(x, batch_size=6, shuffle=False, verbose=0)
    by_player = {"discriminator": [], "generator": []}
    for player, images in model.seen:
        by_player[player].append(images)
    assert np.concatenate(by_player["discriminator"]).tolist() == list(range(12))
    assert len(by_player["discriminator"]) == 2 * steps
    # One generator step a batch, on the images of the last discriminator step.
    assert by_player["generator"] == by_player["discriminator"][steps - 1 :: steps]
    assert [player for player, _ in model.seen] == 2 * (["discriminator"] * steps + ["generator"])
    assert len(set(model.seeds)) == len(model.seeds)
    assert float(model.num_updates.numpy()) == 2
    assert int(model.discriminator_optimizer.iterations.numpy()) == 2 * steps
    assert int(model.generator_optimizer.iterations.numpy()) == 2


def test_slices_take_labels_and_weights_along():
    model = duel(discriminator_steps=2)
    weight = np.array([1.0, 0.0, 0.0, 2.0], "float32")
    before = weight_of(model.discriminator)
    history = model.fit(
        column(1, 2, 3, 4),
        np.zeros(4),
        sample_weight=weight,
        batch_size=4,
        shuffle=False,
        verbose=0,
    ).history
    # d(loss)/d(discriminator) = x - generator x = x / 2; the first slice holds image 1, the second
    # image 4, each a mean over two.
    after = before - 0.1 * 1.0 * 0.5 / 2 - 0.1 * 2.0 * 2.0 / 2
    assert weight_of(model.discriminator) == pytest.approx(after)
    assert set(history) == {"discriminator_loss", "generator_loss", "distance"}
    assert history["distance"][0] == pytest.approx(2.0)


def test_images_left_over_are_skipped():
    model = duel(discriminator_steps=2)
    data = tf.data.Dataset.from_tensor_slices(column(1, 2, 3, 4, 5, 6, 7)).batch(4)
    model.fit(data, verbose=0)
    sizes = [len(images) for player, images in model.seen if player == "discriminator"]
    assert sizes == [2, 2, 1, 1]


def test_a_batch_with_fewer_images_than_steps_is_an_error():
    model = duel(discriminator_steps=3)
    data = tf.data.Dataset.from_tensor_slices(column(1, 2, 3, 4)).batch(3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="use drop_remainder=True"):
        model.fit(data, verbose=0)


def test_both_optimizers_end_with_their_averages():
    model = duel()
    for optimizer in (model.generator_optimizer, model.discriminator_optimizer):
        assert isinstance(optimizer, keras.optimizers.SGD)
    average = dict(use_ema=True, ema_momentum=0.5)
    model.compile(
        generator_optimizer=keras.optimizers.SGD(0.1, **average),
        discriminator_optimizer=keras.optimizers.SGD(0.1, **average),
        **EAGER,
    )
    model.fit(column(1, 2, 3, 4), batch_size=2, verbose=0)
    for optimizer, network in (
        (model.generator_optimizer, model.generator),
        (model.discriminator_optimizer, model.discriminator),
    ):
        (averaged,) = optimizer._model_variables_moving_average
        assert weight_of(network) == pytest.approx(float(averaged.numpy().squeeze()))


def test_regularization_is_part_of_both_players_validation_loss():
    plain = duel()
    regularized = Duel(dense(0.5), dense(2.0, kernel_regularizer=keras.regularizers.L2(0.5)))
    regularized.compile(
        generator_optimizer="sgd", discriminator_optimizer=keras.optimizers.SGD(), **EAGER
    )
    x = column(1, 2)
    before = plain.evaluate(x, verbose=0, return_dict=True)
    after = regularized.evaluate(x, verbose=0, return_dict=True)
    penalty = 0.5 * weight_of(plain.discriminator) ** 2
    assert after["discriminator_loss"] == pytest.approx(before["discriminator_loss"] + penalty)
    assert after["generator_loss"] == pytest.approx(before["generator_loss"] + penalty)


def test_a_step_of_one_player_leaves_the_other_alone():
    x = column(1, 2)
    model = duel(generator_rate=0.0)
    model.fit(x, batch_size=2, verbose=0)
    assert weight_of(model.generator) == 0.5
    assert weight_of(model.discriminator) == pytest.approx(2.0 - 0.1 * 0.5 * 1.5)
    model = duel(discriminator_rate=0.0)
    model.fit(x, batch_size=2, verbose=0)
    assert weight_of(model.discriminator) == 2.0
    assert weight_of(model.generator) == pytest.approx(0.5 - 0.1 * 2.0 * 1.5)


def test_evaluation_of_the_two_players():
    model = duel(discriminator_steps=2)
    x = column(1, 2, 3)
    results = model.evaluate(x, batch_size=2, verbose=0, return_dict=True)
    assert results == pytest.approx(
        dict(discriminator_loss=2.0, generator_loss=2.0, distance=1.0), rel=1e-6
    )
    history = model.fit(x[:2], batch_size=2, verbose=0, validation_data=(x,)).history
    assert {"val_discriminator_loss", "val_generator_loss", "val_distance"} < set(history)


def test_players_need_optimizers_of_their_own():
    sgd = keras.optimizers.SGD(0.1)
    with pytest.raises(ValueError, match="optimizer object of its own"):
        Duel(dense(), dense()).compile(generator_optimizer=sgd, discriminator_optimizer=sgd)


@pytest.mark.parametrize("steps", [0, -1, 1.5, "2"])
def test_discriminator_steps_out_of_range(steps):
    with pytest.raises(ValueError, match="discriminator_steps must be"):
        Duel(dense(), dense(), discriminator_steps=steps)


def test_adversarial_terms_are_checked():
    model = duel()
    model.generator_objective = lambda x, y, training: dict(loss=x[:, 0], distance=x)
    with pytest.raises(ValueError, match=r"'distance' of Duel must have shape \(batch,\)"):
        model.fit(column(1, 2), verbose=0)
    model.generator_objective = lambda x, y, training: dict(loss=model.generator(x)[:, 0])
    with pytest.raises(ValueError, match=r"declares the terms \['distance'\]"):
        model.fit(column(1, 2), verbose=0)
