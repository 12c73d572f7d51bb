"""`GameModel` and `AdversarialModel`, on players of one weight each."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from by_hand import EAGER, Duel, column, dense, duel, weight_of

import kgen
from kgen import callbacks


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


def test_regularization_is_that_of_a_players_own_weights():
    def build(**rates):
        generator = dense(0.5, kernel_regularizer=keras.regularizers.L2(0.25))
        discriminator = dense(2.0, kernel_regularizer=keras.regularizers.L2(0.5))
        model = Duel(generator, discriminator)
        sgd = keras.optimizers.SGD
        model.compile(
            generator_optimizer=sgd(rates.get("generator", 0.0)),
            discriminator_optimizer=sgd(rates.get("discriminator", 0.0)),
            **EAGER,
        )
        return model

    x = column(1, 2)
    expected = duel().evaluate(x, verbose=0, return_dict=True)
    expected["discriminator_loss"] += 0.5 * 2.0**2
    expected["generator_loss"] += 0.25 * 0.5**2
    assert build().evaluate(x, verbose=0, return_dict=True) == pytest.approx(expected)
    history = build().fit(x, batch_size=2, verbose=0).history
    assert {name: values[0] for name, values in history.items()} == pytest.approx(expected)
    # Each step follows the slope of its own penalty.
    model = build(discriminator=0.1)
    model.fit(x, batch_size=2, verbose=0)
    assert weight_of(model.discriminator) == pytest.approx(2.0 - 0.1 * (0.5 * 1.5 + 2 * 0.5 * 2.0))
    model = build(generator=0.1)
    model.fit(x, batch_size=2, verbose=0)
    assert weight_of(model.generator) == pytest.approx(0.5 - 0.1 * (2.0 * 1.5 + 2 * 0.25 * 0.5))


class OwnWeight(kgen.GameModel):
    """The first player has a layer and a weight of the model's own, the second a layer."""

    turns = (("first", 1), ("second", 1))

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.layer, self.second = dense(1.0), dense(1.0)
        l2 = keras.regularizers.L2(0.5)
        self.gain = self.add_weight(shape=(), initializer="ones", regularizer=l2)

    @property
    def first_variables(self):
        return [*self.layer.trainable_variables, self.gain]

    def first_objective(self, x, y=None, training=False):
        return dict(loss=self.gain * self.layer(x)[:, 0])

    def second_objective(self, x, y=None, training=False):
        return dict(loss=self.second(x)[:, 0])


def test_regularization_of_a_weight_of_the_models_own():
    model = OwnWeight()
    model.compile(keras.optimizers.SGD(0.1), **EAGER)
    results = model.evaluate(column(1, 3), verbose=0, return_dict=True)
    assert results == pytest.approx(dict(first_loss=2.5, second_loss=2.0))
    model.fit(column(1, 3), batch_size=2, verbose=0)
    assert float(model.gain) == pytest.approx(1.0 - 0.1 * (2.0 + 1.0))


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


# Optimizers.


def test_one_optimizer_is_copied_for_each_player():
    given = kgen.optimizers.Adam(3e-4, beta_1=0.5, clipnorm=1.0)
    model = Duel(dense(), dense())
    model.compile(given)
    optimizers = [model.player_optimizer(player) for player in model.players]
    assert len({id(optimizer) for optimizer in (given, *optimizers)}) == 3
    for optimizer in optimizers:
        assert type(optimizer) is kgen.optimizers.Adam
        expected = {**given.get_config(), "name": optimizer.name}
        assert optimizer.get_config() == pytest.approx(expected)
    assert not given.built, "the one that was given is a pattern only"
    # A schedule is copied with its settings, and a name gives two objects.
    decay = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    model.compile(keras.optimizers.SGD(decay))
    assert model.generator_optimizer._learning_rate.get_config() == decay.get_config()
    model.compile("sgd")
    assert model.generator_optimizer is not model.discriminator_optimizer
    for optimizer in (model.generator_optimizer, model.discriminator_optimizer):
        assert isinstance(optimizer, keras.optimizers.SGD)
    model.compile()
    assert isinstance(model.discriminator_optimizer, kgen.optimizers.Adam)


def test_one_optimizer_beside_a_named_one():
    model = Duel(dense(), dense())
    named = keras.optimizers.SGD(0.5)
    model.compile(keras.optimizers.RMSprop(0.25), discriminator_optimizer=named)
    assert model.discriminator_optimizer is named
    assert isinstance(model.generator_optimizer, keras.optimizers.RMSprop)
    assert float(model.generator_optimizer.learning_rate) == 0.25


def test_one_loss_scale_optimizer_is_copied():
    keras.config.set_dtype_policy("mixed_float16")
    model = Duel(dense(), dense())
    inner = keras.optimizers.SGD(0.25, momentum=0.5)
    model.compile(keras.optimizers.LossScaleOptimizer(inner, initial_scale=4.0))
    for optimizer in (model.generator_optimizer, model.discriminator_optimizer):
        assert optimizer.initial_scale == 4.0
        assert isinstance(optimizer.inner_optimizer, keras.optimizers.SGD)
        assert optimizer.inner_optimizer is not inner
        assert optimizer.inner_optimizer.momentum == 0.5


def test_bad_optimizers():
    sgd = keras.optimizers.SGD(0.1)
    model = Duel(dense(), dense())
    with pytest.raises(ValueError, match="optimizer object of its own; received one twice"):
        model.compile(generator_optimizer=sgd, discriminator_optimizer=sgd)
    with pytest.raises(ValueError, match="discriminator_optimizer is missing"):
        model.compile(generator_optimizer=sgd)
    message = (
        "Duel.compile takes optimizer, discriminator_optimizer, generator_optimizer; received "
        "critic_optimizer"
    )
    with pytest.raises(TypeError, match=message):
        model.compile(sgd, critic_optimizer="sgd")
    with pytest.raises(TypeError, match="positional"):
        model.compile(sgd, keras.optimizers.SGD(0.1))


@pytest.mark.parametrize("steps", [0, -1, 1.5, "2"])
def test_discriminator_steps_out_of_range(steps):
    with pytest.raises(ValueError, match="discriminator_steps must be"):
        Duel(dense(), dense(), discriminator_steps=steps)


def test_adversarial_terms_are_checked():
    model = duel()
    model.generator_objective = lambda x, y, training: dict(loss=x[:, 0], distance=x)
    with pytest.raises(
        ValueError, match=r"'distance' of Duel.generator_objective must have shape \(batch,\)"
    ):
        model.fit(column(1, 2), verbose=0)
    model.generator_objective = lambda x, y, training: dict(loss=model.generator(x)[:, 0])
    with pytest.raises(ValueError, match=r"declares the terms \['distance'\]"):
        model.fit(column(1, 2), verbose=0)


# Three players.


@keras.saving.register_keras_serializable(package="tests")
class Trio(kgen.GameModel):
    """f = u v w x: the first player minimizes f, the second -f, the third f^2 / 2."""

    turns = (("first", 3), ("second", 2), ("third", 1))
    terms = ("size",)

    def __init__(self, first, second, third, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second, self.third = first, second, third
        self.seen, self.seeds = [], []

    def value(self, player, x, training):
        if tf.executing_eagerly() and training:
            self.seen.append((player, x.numpy()[:, 0].tolist()))
            self.seeds.append(tuple(self.noise_seed(training).numpy()))
        return self.third(self.second(self.first(x)))[:, 0]

    def first_objective(self, x, y=None, training=False):
        return dict(loss=self.value("first", x, training))

    def second_objective(self, x, y=None, training=False):
        return dict(loss=-self.value("second", x, training))

    def third_objective(self, x, y=None, training=False):
        value = self.value("third", x, training)
        return dict(loss=value**2 / 2, size=tf.reduce_max(tf.abs(value)))


def trio(*rates, compile_arguments=EAGER):
    model = Trio(dense(0.5), dense(2.0), dense(-1.0))
    optimizers = {
        f"{player}_optimizer": keras.optimizers.SGD(rate)
        for player, rate in zip(model.players, rates, strict=True)
    }
    model.compile(**optimizers, **compile_arguments)
    return model


def weights_of(model):
    return [weight_of(getattr(model, player)) for player in model.players]


@pytest.mark.parametrize("compile_arguments", [EAGER, {}], ids=["eager", "graph"])
def test_three_players_by_hand(compile_arguments):
    x = np.array([1.0, 2.0, -1.0, 3.0, 0.5, 2.5])
    model = trio(0.1, 0.2, 0.05, compile_arguments=compile_arguments)
    assert model.players == ("first", "second", "third")
    assert model.optimizer is model.third_optimizer
    history = model.fit(column(*x), batch_size=6, shuffle=False, verbose=0).history
    u, v, w = 0.5, 2.0, -1.0
    first, second = [], []
    slices = x.reshape(3, 2)
    for part in slices:
        first.append(np.mean(u * v * w * part))
        u -= 0.1 * v * w * np.mean(part)
    for part in slices[1:]:
        second.append(-np.mean(u * v * w * part))
        v += 0.2 * u * w * np.mean(part)
    value = u * v * w * slices[2]
    w -= 0.05 * u * u * v * v * w * np.mean(slices[2] ** 2)
    assert weights_of(model) == pytest.approx([u, v, w], rel=1e-5)
    expected = dict(
        first_loss=np.mean(first),
        second_loss=np.mean(second),
        third_loss=np.mean(value**2) / 2,
        size=np.abs(value).max(),
    )
    assert {name: values[0] for name, values in history.items()} == pytest.approx(
        expected, rel=1e-5
    )
    counts = [int(model.player_optimizer(player).iterations) for player in model.players]
    assert counts == [3, 2, 1] and int(model.steps) == 1


def test_a_player_of_k_steps_takes_the_last_k_slices():
    model = trio(0.01, 0.01, 0.01)
    model.fit(column(*range(12)), batch_size=6, shuffle=False, verbose=0)
    by_player = {player: [] for player in model.players}
    for player, values in model.seen:
        by_player[player].append(values)
    pairs = [[2 * i, 2 * i + 1] for i in range(6)]
    assert by_player["first"] == pairs
    assert by_player["second"] == [pairs[i] for i in (1, 2, 4, 5)]
    assert by_player["third"] == [pairs[i] for i in (2, 5)]
    order = 3 * ["first"] + 2 * ["second"] + ["third"]
    assert [player for player, _ in model.seen] == 2 * order
    assert len(set(model.seeds)) == 12, "each step of each player draws noise of its own"


def test_batches_that_do_not_divide_name_the_busiest_player():
    with pytest.raises(
        ValueError,
        match="batch of 4 does not divide into 3 slices of equal size for the first's 3 steps",
    ):
        trio(0.1, 0.1, 0.1).fit(column(1, 2, 3, 4), batch_size=4, verbose=0)
    with pytest.raises(
        ValueError, match="last batch has 2 of 8 examples, too few for the first's 3 steps"
    ):
        trio(0.1, 0.1, 0.1).fit(column(*range(8)), batch_size=6, verbose=0)


def test_a_generators_batch_is_one_batch():
    """Whatever `batch_size` and its default of 32 say."""
    batches = ((column(*range(39)),) for _ in range(2))
    model = trio(0.0, 0.0, 0.0)
    model.fit(batches, steps_per_epoch=2, verbose=0)
    assert [len(values) for _, values in model.seen] == 12 * [13]
    with pytest.raises(
        ValueError,
        match="batch of 40 does not divide into 3 slices of equal size for the first's 3 steps",
    ):
        model.fit(((column(*range(40)),) for _ in range(2)), steps_per_epoch=2, verbose=0)


@pytest.mark.parametrize("moving", [0, 1, 2])
def test_a_step_of_one_of_three_leaves_the_others_alone(moving):
    rates = [0.0, 0.0, 0.0]
    rates[moving] = 0.01
    model = trio(*rates)
    before = weights_of(model)
    model.fit(column(1, 2, 3), batch_size=3, verbose=0)
    changed = [old != new for old, new in zip(before, weights_of(model), strict=True)]
    assert changed == [index == moving for index in range(3)]


def of_three_kinds():
    model = Trio(dense(0.5), dense(2.0), dense(-1.0))
    model.compile(
        first_optimizer=kgen.optimizers.Adam(0.01),
        second_optimizer=keras.optimizers.RMSprop(0.02),
        third_optimizer=keras.optimizers.SGD(0.03, momentum=0.9),
        **EAGER,
    )
    return model


def assert_same_state(expected, received):
    parts = [(expected, received)]
    for player in expected.players:
        parts.append((expected.player_optimizer(player), received.player_optimizer(player)))
    for mine, theirs in parts:
        assert type(mine) is type(theirs)
        for old, new in zip(mine.variables, theirs.variables, strict=True):
            # The same operations on the same numbers: equal bit by bit.
            np.testing.assert_array_equal(old.numpy(), new.numpy(), err_msg=old.path)


def test_three_optimizers_are_saved_with_their_state(tmp_path):
    x, how = column(*range(6)), dict(batch_size=6, shuffle=False, verbose=0)
    whole, saved = of_three_kinds(), of_three_kinds()
    whole.fit(x, epochs=2, **how)
    saved.fit(x, epochs=1, **how)
    saved.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    assert_same_state(saved, restored)
    restored.run_eagerly = True
    restored.fit(x, epochs=2, initial_epoch=1, **how)
    assert_same_state(whole, restored)


def test_three_optimizers_are_backed_up_with_their_state(tmp_path):
    x, how = column(*range(6)), dict(batch_size=6, shuffle=False, verbose=0)
    whole, part, resumed = (of_three_kinds() for _ in range(3))
    whole.fit(x, epochs=2, **how)
    part.fit(x, epochs=1, callbacks=[callbacks.BackupAndRestore(tmp_path)], **how)
    resumed.fit(x, epochs=2, callbacks=[callbacks.BackupAndRestore(tmp_path)], **how)
    assert int(resumed.first_optimizer.iterations) == 3 * 2
    assert_same_state(whole, resumed)


@pytest.mark.parametrize("turns", [(), (("a", 2), ("b", 0)), (("a", 1), ("a", 1))])
def test_turns_that_are_none(turns):
    class Game(kgen.GameModel):
        pass

    Game.turns = turns
    with pytest.raises(ValueError, match="turns must name each player once, with at least one"):
        Game().compile()


def test_an_optimizer_that_nobody_takes_is_refused():
    model = kgen.GAN.for_images((4, 4, 1), latent_dim=2)
    with pytest.raises(ValueError, match="nobody takes `optimizer`"):
        model.compile("adam", generator_optimizer="sgd", discriminator_optimizer="sgd")
