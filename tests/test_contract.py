"""What every model promises, run over `cases`: one trained model per case serves all of it.

The base's promises are here: training moves what it shall, files and replicas keep everything.
Those of the verbs are in `verbs/`, chosen by what the model's class says that it promises.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import CASES, compiled, examples
from replicas import two_replicas
from verbs import contracts

import kgen
from kgen.training.hyperparameters import Hyperparameter, hyperparameters


def choose(names):
    cases = [case for case in CASES if case.name in names]
    assert len(cases) == len(names)
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
# One model of each base is enough where the bases alone do the work; GANs differentiate gradients.
each_base = choose(("vae", "wgan_gp", "gaussian_mixture", "moco", "pixelcnn"))
# XLA compiles for seconds: a VAE, a game with a gradient of a gradient, and convolutions.
with_xla = choose(("vae", "wgan_gp", "pixelcnn"))
on_replicas = pytest.mark.parametrize(
    "case", [case for case in CASES if case.same_on_replicas], ids=lambda case: case.name
)


def variables(model):
    return {variable.path: variable.numpy() for variable in model.variables}


@pytest.fixture
def read_as_variables(monkeypatch):
    """The names of the hyperparameters that compiled functions have read."""
    names, get = set(), Hyperparameter.__get__

    def spy(self, model, owner=None):
        value = get(self, model, owner)
        if tf.is_tensor(value):
            names.add(self.name)
        return value

    monkeypatch.setattr(Hyperparameter, "__get__", spy)
    return names


@every_case
def test_contract(case, read_as_variables, tmp_path):
    model = compiled(case)
    data = examples(model)
    before = variables(model)
    assert len(before) == len(model.variables), "two variables have one path"
    # 10 and 6: the batch size is not known to the graph.
    batches = tf.data.Dataset.from_tensor_slices(data).batch(10)
    history = model.fit(batches, epochs=2, verbose=0).history
    assert set(history) == set(model.metrics_names)
    assert all(np.isfinite(values).all() for values in history.values())
    assert int(model.steps) == 4
    if case.second_stage:
        case.second_stage(model, *data)
    check_what_moved(case, model, before)
    assert all(int(optimizer.iterations.numpy()) >= 4 for optimizer in optimizers(model))

    if not isinstance(model, kgen.StatisticsModel) and "iwae" not in case.name:
        numbers = {name for name in hyperparameters(model) if f"_{name}_variable" in vars(model)}
        # A weight of no penalty; a beta that the warm-up's variable carries.
        numbers -= {"penalty_weight"} if getattr(model, "penalty", True) is None else set()
        numbers -= {"beta"} if hasattr(model, "kl_weight") else set()
        assert numbers <= read_as_variables, "a new value would not count in the compiled step"

    results = model.evaluate(*data, verbose=0, return_dict=True)
    assert results == model.evaluate(*data, verbose=0, return_dict=True)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    check_same(model, restored)
    for contract in contracts.of(model):
        contract(model, *data)
    if case.exports:
        contracts.served(model, tmp_path / "served")
    else:
        contracts.traced(model)


def check_what_moved(case, model, before):
    for variable in model.trainable_variables:
        moved = np.abs(variable.numpy() - before[variable.path]).max() > 0
        assert moved or any(part in variable.path for part in case.still), variable.path
    for variable in model.non_trainable_variables:
        moved = np.abs(variable.numpy() - before[variable.path]).max() > 0
        follows = any(part in variable.path for part in (*case.follows, "steps", "started"))
        assert moved == follows, variable.path


def optimizers(model):
    apart = getattr(model, "learns_apart", ())
    return [*own_optimizers(model), *(each for part in apart for each in optimizers(part))]


def own_optimizers(model):
    if isinstance(model, kgen.GameModel):
        return [model.player_optimizer(player) for player in model.players]
    return [] if model.optimizer is None else [model.optimizer]


def check_same(model, restored):
    """Every variable, and every optimizer's, is the same bit by bit."""
    assert type(restored) is type(model)
    for mine, theirs in zip(model.variables, restored.variables, strict=True):
        np.testing.assert_array_equal(mine, theirs, err_msg=mine.path)
    for mine, theirs in zip(optimizers(model), optimizers(restored), strict=True):
        for a, b in zip(mine.variables, theirs.variables, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=a.path)


@each_base
def test_a_restored_model_trains_on_alike(case, tmp_path):
    """The next step draws the same noise and has the same moments."""
    model = compiled(case)
    data = examples(model)
    model.fit(*data, batch_size=8, verbose=0)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    for trained in (model, restored):
        trained.fit(*data, batch_size=16, verbose=0, shuffle=False)
    assert int(model.steps) == int(restored.steps) == 3
    for mine, theirs in zip(model.variables, restored.variables, strict=True):
        # Two graphs of the same step may round differently; a step of Adam moves a weight by 1e-2.
        np.testing.assert_allclose(mine, theirs, atol=1e-4, err_msg=mine.path)
    results = model.evaluate(*data, verbose=0, return_dict=True)
    again = restored.evaluate(*data, verbose=0, return_dict=True)
    assert again == pytest.approx(results, rel=1e-3)


@on_replicas
def test_two_replicas_equal_one(case):
    """Two replicas with halves of the batches take the steps of one device."""
    models = []
    for scope in (None, two_replicas()):
        keras.utils.set_random_seed(0)
        with scope.scope() if scope else tf.distribute.get_strategy().scope():
            model = compiled(case, keras.optimizers.SGD)
        batches = tf.data.Dataset.from_tensor_slices(examples(model)).batch(8)
        history = model.fit(batches, epochs=2, verbose=0).history
        models.append((model, history))
    (one, history), (two, other) = models
    for mine, theirs in zip(one.variables, two.variables, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5, err_msg=mine.path)
    for name, values in history.items():
        np.testing.assert_allclose(values, other[name], rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@each_base
def test_mixed_precision(case, policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    model = compiled(case)
    data = examples(model)
    history = model.fit(*data, batch_size=8, epochs=2, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    predicted = model.predict(contracts.predicted(model), verbose=0)
    assert np.isfinite(predicted).all()
    assert all(variable.dtype == "float32" for variable in model.trainable_variables)
    if policy == "mixed_float16":
        assert all(
            isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
            for optimizer in optimizers(model)
        )
    model.save(tmp_path / "model.keras")
    keras.config.set_dtype_policy("float32")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    assert restored.dtype_policy.name == policy
    check_same(model, restored)


@with_xla
def test_xla(case):
    model = compiled(case, jit_compile=True)
    history = model.fit(*examples(model), batch_size=8, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
