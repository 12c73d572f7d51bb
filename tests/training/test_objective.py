"""`ObjectiveModel`, seeds and saving, on models that can be computed by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from by_hand import EAGER, Duel, Linear, column, dense, duel, linear, weight_of
from write_goldens import GOLDENS

import kgen
from kgen import callbacks

# The objective model.


def test_one_weighted_step_by_hand():
    x, y, sample_weight = column(1, 2, 3), column(0, 1, 1), np.array([1.0, 0.5, 3.0], "float32")
    model = linear()
    history = model.fit(x, y, sample_weight=sample_weight, batch_size=3, verbose=0).history
    residual = x[:, 0] - y[:, 0]
    gradient = np.sum(sample_weight * 2 * residual * x[:, 0]) / 3
    assert weight_of(model.network) == pytest.approx(1.0 - 0.1 * gradient)
    # What is shown is the weighted mean; the step divides by the number of examples.
    assert history["loss"][0] == pytest.approx(np.average(residual**2, weights=sample_weight))
    assert history["output"][0] == pytest.approx(np.average(x[:, 0], weights=sample_weight))


def test_regularization_counts_once():
    x = column(1, 3)
    model = linear(regularizer=keras.regularizers.L2(0.5))
    history = model.fit(x, batch_size=2, verbose=0).history
    assert history["loss"][0] == pytest.approx(np.mean(x**2) + 0.5)
    assert weight_of(model.network) == pytest.approx(1.0 - 0.1 * (np.mean(2 * x**2) + 1.0))
    weight = weight_of(model.network)
    evaluated = model.evaluate(x, verbose=0, return_dict=True)
    assert evaluated["loss"] == pytest.approx(weight**2 * np.mean(x**2) + 0.5 * weight**2)


@pytest.mark.parametrize("compile_arguments", [EAGER, {}], ids=["eager", "compiled"])
def test_hooks(compile_arguments):
    model = linear(compile_arguments=compile_arguments)
    model.fit(column(1, 2, 3, 4), batch_size=2, epochs=5, initial_epoch=2, verbose=0)
    assert model.epochs == [2, 3, 4]
    assert float(model.num_updates.numpy()) == 3 * 2
    assert int(model.optimizer.iterations.numpy()) == 3 * 2


class Pairs(keras.utils.PyDataset):
    def __init__(self, arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return tuple(array[2 * index : 2 * index + 2] for array in self.arrays)


X, Y, W = column(1, 2, 3, 4), column(1, 1, 1, 1), np.array([1, 2, 3, 4], "float32")


@pytest.mark.parametrize("arrays", [(X,), (X, Y), (X, Y, W)], ids=["x", "x_y", "x_y_weight"])
@pytest.mark.parametrize("kind", ["arrays", "tf_data", "py_dataset"])
def test_every_kind_of_data_gives_the_same_step(kind, arrays):
    def prepared():
        if kind == "tf_data":
            return dict(x=tf.data.Dataset.from_tensor_slices(arrays).batch(2))
        if kind == "py_dataset":
            return dict(x=Pairs(arrays))
        names = ("x", "y", "sample_weight")
        return dict(zip(names, arrays, strict=False), batch_size=2)

    model = linear(keras.optimizers.SGD(0.01))
    history = model.fit(
        **prepared(), shuffle=False, verbose=0, validation_data=arrays, validation_batch_size=2
    ).history
    weight = 1.0
    x = X[:, 0]
    y = Y[:, 0] if len(arrays) > 1 else np.zeros(4)
    sample_weight = W if len(arrays) > 2 else np.ones(4)
    for half in (slice(0, 2), slice(2, 4)):
        residual = weight * x[half] - y[half]
        weight -= 0.01 * np.mean(sample_weight[half] * 2 * residual * x[half])
    assert weight_of(model.network) == pytest.approx(weight, rel=1e-5)
    expected = np.average((weight * x - y) ** 2, weights=sample_weight)
    assert history["val_loss"][0] == pytest.approx(expected, rel=1e-5)
    assert model.evaluate(**prepared(), verbose=0)[0] == pytest.approx(expected, rel=1e-5)


def broken(terms, **returned):
    class Broken(kgen.ObjectiveModel):
        def __init__(self, network, **kwargs):
            super().__init__(**kwargs)
            self.network = network

        def objective(self, x, y=None, training=False):
            output = self.network(x)
            return {name: function(output) for name, function in returned.items()}

    Broken.terms = terms
    model = Broken(dense())
    model.compile("sgd", **EAGER)
    return model


def by_example(output):
    return output[:, 0] ** 2


@pytest.mark.parametrize("verb", ["fit", "evaluate"])
@pytest.mark.parametrize(
    ("terms", "returned", "message"),
    [
        (("loss",), dict(error=by_example), "must return a term named 'loss'"),
        (("loss",), dict(loss=by_example, kl=by_example), r"returned the terms \['kl'\]"),
        (("loss", "kl"), dict(loss=by_example), r"declares the terms \['kl'\]"),
        (("loss",), dict(loss=lambda output: output), r"must have shape .* received \(2, 1\)"),
    ],
    ids=["no_loss", "undeclared", "missing", "matrix"],
)
def test_wrong_terms(terms, returned, message, verb):
    with pytest.raises(ValueError, match=message):
        getattr(broken(terms, **returned), verb)(column(1, 2), verbose=0)


def test_a_data_set_is_looked_at_once():
    starts = []

    def rows():
        starts.append(None)
        yield column(1, 2)

    signature = tf.TensorSpec((2, 1), tf.float32)
    data = [tf.data.Dataset.from_generator(rows, output_signature=signature) for _ in range(2)]
    data = [batches.apply(tf.data.experimental.assert_cardinality(1)) for batches in data]
    model = linear()
    counts = []
    for batches in (data[0], data[0], data[1]):
        model.fit(batches, verbose=0)
        counts.append(len(starts))
    assert counts == [2, 3, 5]


def test_loss_is_reported_even_where_terms_do_not_list_it():
    model = broken(("kl",), loss=by_example, kl=by_example)
    history = model.fit(column(1, 2), verbose=0).history
    assert set(history) == {"loss", "kl"}


def test_a_loss_that_is_not_finite_stops_training():
    model = linear()
    with pytest.raises(FloatingPointError, match="epoch 1.*step 2.*loss = nan"):
        model.fit(column(1, 2, np.nan, 4), batch_size=2, shuffle=False, verbose=0)


def test_methods_that_a_subclass_owes():
    with pytest.raises(NotImplementedError, match="must define objective"):
        kgen.ObjectiveModel().objective(None)
    for player in ("discriminator", "generator"):
        with pytest.raises(NotImplementedError, match=f"must define {player}_objective"):
            kgen.AdversarialModel().player_objective(player, None)


# Noise.


def seed_of(model, training=True, salt=0):
    return tuple(model.noise_seed(training, salt).numpy())


def test_noise_seed_is_a_function_of_seed_step_and_salt():
    first, other = linear(), linear(seed=1)
    seeds = [seed_of(first), seed_of(first, salt=1), seed_of(first, training=False), seed_of(other)]
    first.steps.assign(1)
    seeds.append(seed_of(first))
    assert len(set(seeds)) == len(seeds)
    assert seed_of(first) == seed_of(first)
    first.steps.assign(0)
    assert seed_of(first) == seeds[0] == seed_of(linear())


def test_each_step_draws_its_own_noise_and_evaluations_agree():
    model = linear(use_noise=True)
    x = column(1, 2, 3, 4, 5)
    model.fit(x, batch_size=2, epochs=2, verbose=0)
    assert len(set(model.seeds)) == len(model.seeds) == 6
    model.seeds.clear()
    results = [model.evaluate(x, batch_size=2, verbose=0) for _ in range(2)]
    assert results[0] == results[1]
    assert len(set(model.seeds)) == 3
    # A validation in the middle of training leaves the training noise alone.
    model.seeds.clear()
    again = linear(use_noise=True)
    again.fit(x, batch_size=2, epochs=2, verbose=0, validation_data=(x,))
    training_seeds = again.seeds[:3] + again.seeds[4:7]
    assert len(set(training_seeds)) == 6


def test_steps_that_a_loss_scale_skips_draw_noise_of_their_own():
    keras.config.set_dtype_policy("mixed_float16")
    model = linear(keras.optimizers.Adam(0.01), use_noise=True)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    # The first steps overflow: the optimizer skips them and does not count them.
    model.optimizer.dynamic_scale.assign(1e38)
    model.fit(column(1, 2, 3, 4), batch_size=2, epochs=2, verbose=0)
    assert int(model.optimizer.inner_optimizer.iterations.numpy()) < 4
    assert int(model.steps.numpy()) == 4
    assert len(set(model.seeds)) == 4


def test_noise_differs_between_accumulated_gradients():
    """Keras counts the updates of the weights, `steps` the batches."""
    model = linear(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2), use_noise=True)
    model.fit(column(1, 2, 3, 4), batch_size=2, epochs=2, verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 2
    assert len(set(model.seeds)) == 4


def test_a_loss_scale_optimizer_is_not_wrapped_twice():
    keras.config.set_dtype_policy("mixed_float16")
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1))
    assert linear(scaled).optimizer is scaled


# Saving.


def test_config_holds_every_argument():
    model = Linear(dense(3.0), 4.0, use_noise=True, seed=7, name="mine", dtype="mixed_bfloat16")
    config = model.get_config()
    assert set(config) == {"network", "power", "use_noise", "seed", "name", "dtype"}
    restored = Linear.from_config(config)
    assert (restored.power, restored.use_noise, restored.seed) == (4.0, True, 7)
    assert (restored.name, restored.dtype_policy.name) == ("mine", "mixed_bfloat16")
    assert restored.network.get_config() == model.network.get_config()
    duelists = Duel.from_config(duel(discriminator_steps=3, seed=5).get_config())
    assert (duelists.discriminator_steps, duelists.seed) == (3, 5)


def test_compile_config():
    model = linear(keras.optimizers.RMSprop(0.3), compile_arguments=dict(steps_per_execution=2))
    restored = Linear.from_config(model.get_config())
    assert restored.get_compile_config() == {}
    restored.compile_from_config(model.get_compile_config())
    assert isinstance(restored.optimizer, keras.optimizers.RMSprop)
    assert float(restored.optimizer.learning_rate) == pytest.approx(0.3)
    assert restored.steps_per_execution == 2

    players = Duel.from_config(duel().get_config())
    players.compile_from_config(duel(0.2, 0.7).get_compile_config())
    assert float(players.generator_optimizer.learning_rate) == pytest.approx(0.2)
    assert float(players.discriminator_optimizer.learning_rate) == pytest.approx(0.7)
    assert players.optimizer is players.generator_optimizer


@pytest.mark.parametrize("build", [linear, duel])
def test_a_model_that_was_never_called_saves_and_loads(build, tmp_path):
    model = build()
    assert model.built and model.optimizer.built
    model.optimizer.iterations.assign(5)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    assert restored.built and restored.optimizer.built
    assert int(restored.optimizer.iterations.numpy()) == 5


def test_a_restored_run_goes_on_as_if_nothing_had_been(tmp_path):
    x = column(1, 2, 3, 4)
    straight, saved = (linear(keras.optimizers.Adam(0.1), use_noise=True) for _ in range(2))
    straight.fit(x, batch_size=2, epochs=2, shuffle=False, verbose=0)
    saved.fit(x, batch_size=2, epochs=1, shuffle=False, verbose=0)
    saved.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    restored.fit(x, batch_size=2, epochs=2, initial_epoch=1, shuffle=False, verbose=0)
    assert weight_of(restored.network) == weight_of(straight.network)


def test_optimizers_by_name():
    model = linear("sgd")
    assert isinstance(model.optimizer, keras.optimizers.SGD)
    assert isinstance(linear("adam").optimizer, kgen.optimizers.Adam)
    model = Duel(dense(), dense())
    model.compile(generator_optimizer="sgd", discriminator_optimizer="sgd")
    assert model.generator_optimizer is not model.discriminator_optimizer


# Terms of the whole batch.


class Batches(kgen.ObjectiveModel):
    """One weight w; `largest` is one value per batch, and `loss` too where it is asked for."""

    terms = ("loss", "largest")

    def __init__(self, *, scalar_loss=False, **kwargs):
        super().__init__(**kwargs)
        self.scalar_loss = scalar_loss
        self.weight = self.add_weight(shape=(), initializer="ones")

    def objective(self, x, y=None, training=False):
        loss = tf.square(self.weight * x[:, 0])
        loss = tf.reduce_mean(loss) if self.scalar_loss else loss
        return dict(loss=loss, largest=tf.reduce_max(x))


def batches(scalar_loss=False):
    model = Batches(scalar_loss=scalar_loss)
    model.compile(keras.optimizers.SGD(0.01), **EAGER)
    return model


def test_a_term_of_the_batch_counts_per_example():
    """Batches of four and of two."""
    x, y = column(1, 4, 2, 3, 6, 5), np.zeros(6)
    model = batches()
    expected = (4 * 4.0 + 2 * 6.0) / 6
    results = model.evaluate(x, batch_size=4, verbose=0, return_dict=True)
    assert results["largest"] == pytest.approx(expected)
    assert results["loss"] == pytest.approx(np.mean(x**2))
    history = model.fit(x, batch_size=4, shuffle=False, verbose=0).history
    assert history["largest"][0] == pytest.approx(expected)
    # Weights weigh the examples' terms; a batch's has none to weigh.
    weight = np.array([1.0, 0.0, 0.0, 0.0, 0.0, 3.0])
    results = batches().evaluate(
        *(x, y), sample_weight=weight, batch_size=4, verbose=0, return_dict=True
    )
    assert results == pytest.approx(dict(loss=(1 + 3 * 25) / 4, largest=expected))


def test_a_loss_of_the_batch():
    x = column(1, 4, 2, 3, 6, 5)
    each, whole = batches(), batches(scalar_loss=True)
    histories = [
        model.fit(x, batch_size=4, shuffle=False, verbose=0).history for model in (each, whole)
    ]
    for name, values in histories[0].items():
        assert values == pytest.approx(histories[1][name])
    assert float(whole.weight) == pytest.approx(float(each.weight)) != 1.0


@pytest.mark.parametrize("verb", ["fit", "evaluate"])
def test_a_loss_of_the_batch_takes_no_weights(verb):
    x = column(1, 2)
    with pytest.raises(ValueError, match="one loss per batch, which sample weights cannot weigh"):
        getattr(batches(scalar_loss=True), verb)(
            x, np.zeros(2), sample_weight=np.ones(2), verbose=0
        )


# Steps and hooks.


def test_steps_are_counted_saved_and_go_on(tmp_path):
    x = column(1, 2, 3, 4, 5)
    model = linear(keras.optimizers.SGD(0.01))
    assert int(model.steps) == 0
    model.fit(x, batch_size=2, epochs=2, verbose=0, validation_data=(x,))
    assert int(model.steps) == 6, "neither validation nor evaluation counts"
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    assert int(restored.steps) == 6
    restored.fit(x, batch_size=2, verbose=0)
    assert int(restored.steps) == 9


def test_a_file_without_steps_has_those_of_its_optimizer():
    """kgen 0.1 had no `steps`: its noise hung on the optimizer's count."""
    path = GOLDENS / "vae.keras"
    images = np.load(GOLDENS / "vae.npz")["data/0"][:8]
    model = keras.saving.load_model(path)
    assert int(model.optimizer.iterations) == 2
    model.fit(images, batch_size=8, verbose=0)
    assert int(model.steps) == int(model.optimizer.iterations) == 3
    # Another optimizer has counted nothing.
    model = keras.saving.load_model(path, compile=False)
    model.compile("sgd")
    model.fit(images, batch_size=8, verbose=0)
    assert int(model.steps) == 1


@keras.saving.register_keras_serializable(package="tests")
class Centered(kgen.ObjectiveModel):
    """Starts from the first batch's mean."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.center = self.add_weight(shape=(), initializer="zeros")
        self.first = []

    def before_training(self, batch):
        self.first.append(batch)
        self.center.assign(np.mean(batch[0]))

    def objective(self, x, y=None, training=False):
        return dict(loss=tf.square(x[:, 0] - self.center))


def centered():
    model = Centered()
    model.compile(keras.optimizers.SGD(0.01), **EAGER)
    return model


FIRST_BATCH = {
    "arrays": lambda x, y: dict(x=x, y=y, batch_size=2, shuffle=False),
    "data_set": lambda x, y: dict(x=tf.data.Dataset.from_tensor_slices((x, y)).batch(2)),
    "generator": lambda x, y: dict(
        x=((x[i : i + 2], y[i : i + 2]) for i in (0, 2)), steps_per_epoch=2
    ),
    "py_dataset": lambda x, y: dict(x=Pairs((x, y)), shuffle=False),
}


@pytest.mark.parametrize("kind", FIRST_BATCH)
@pytest.mark.parametrize("has_targets", [True, False], ids=["x_y", "x"])
def test_before_training_sees_the_first_batch(kind, has_targets):
    x, y = column(1, 3, 5, 7), np.arange(4)
    arguments = FIRST_BATCH[kind](x, y)
    if not has_targets:
        arguments.pop("y", None)
        if kind == "data_set":
            arguments["x"] = arguments["x"].map(lambda x, y: x)
        elif kind == "generator":
            arguments["x"] = ((x[i : i + 2],) for i in (0, 2))
        elif kind == "py_dataset":
            arguments["x"] = Pairs((x,))
    model = centered()
    model.fit(**arguments, verbose=0)
    ((first_x, first_y),) = model.first
    np.testing.assert_array_equal(first_x, x[:2])
    if has_targets:
        np.testing.assert_array_equal(first_y, y[:2])
    else:
        assert first_y is None
    # From the mean, 2: one step from (1, 3) has no gradient, then one from (5, 7).
    assert int(model.steps) == 2
    assert float(model.center) == pytest.approx(2 + 0.01 * 2 * (6 - 2))


def test_before_training_is_called_once(tmp_path):
    x = column(1, 3, 5, 7)
    data = tf.data.Dataset.from_tensor_slices(x).batch(2)
    model = centered()
    model.fit(data, epochs=2, verbose=0)
    model.fit(data, verbose=0)
    model.fit(x, verbose=0)
    assert len(model.first) == 1
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    restored.fit(x, verbose=0)
    assert not restored.first


def test_before_training_is_not_called_for_a_run_that_is_resumed(tmp_path):
    x = column(1, 3, 5, 7)
    whole, part, resumed = (centered() for _ in range(3))
    how = dict(batch_size=2, shuffle=False, verbose=0)
    whole.fit(x, epochs=3, **how)
    part.fit(x, epochs=1, callbacks=[callbacks.BackupAndRestore(tmp_path)], **how)
    resumed.fit(x, epochs=3, callbacks=[callbacks.BackupAndRestore(tmp_path)], **how)
    assert len(part.first) == 1 and not resumed.first
    assert int(resumed.steps) == int(whole.steps) == 6
    assert float(resumed.center) == float(whole.center)


def test_the_model_ends_an_epoch_before_the_callbacks_see_it():
    seen = []

    class Ending(Centered):
        def after_epoch(self, epoch):
            seen.append(("model", epoch))

    model = Ending()
    model.compile("sgd", **EAGER)
    callback = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(("callback", epoch))
    )
    model.fit(column(1, 2), epochs=2, verbose=0, callbacks=[callback])
    assert seen == [("model", 0), ("callback", 0), ("model", 1), ("callback", 1)]
