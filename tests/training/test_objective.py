"""`ObjectiveModel`, seeds and saving, on models that can be computed by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from by_hand import EAGER, Duel, Linear, column, dense, duel, linear, weight_of

import kgen

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
        (("loss",), dict(loss=tf.reduce_mean), r"must have shape \(batch,\), received \(\)"),
        (("loss",), dict(loss=lambda output: output), r"received \(2, 1\)"),
    ],
    ids=["no_loss", "undeclared", "missing", "scalar", "matrix"],
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
    for method in ("discriminator_objective", "generator_objective"):
        with pytest.raises(NotImplementedError, match=f"must define {method}"):
            getattr(kgen.AdversarialModel(), method)(None)


# Noise.


def seed_of(model, training=True, salt=0):
    return tuple(model.noise_seed(training, salt).numpy())


def test_noise_seed_is_a_function_of_seed_step_and_salt():
    first, other = linear(), linear(seed=1)
    seeds = [seed_of(first), seed_of(first, salt=1), seed_of(first, training=False), seed_of(other)]
    first.optimizer.iterations.assign(1)
    seeds.append(seed_of(first))
    assert len(set(seeds)) == len(seeds)
    assert seed_of(first) == seed_of(first)
    first.optimizer.iterations.assign(0)
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


def test_noise_under_a_loss_scale_follows_the_inner_optimizer():
    keras.config.set_dtype_policy("mixed_float16")
    model = linear(keras.optimizers.Adam(0.01), use_noise=True)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    # Else the first steps overflow and are skipped, and a skipped step does not count.
    model.optimizer.dynamic_scale.assign(1.0)
    model.fit(column(1, 2, 3, 4), batch_size=2, epochs=2, verbose=0)
    assert int(model.optimizer.inner_optimizer.iterations.numpy()) == 4
    assert len(set(model.seeds)) == 4


def test_noise_differs_between_accumulated_gradients():
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
