import re

import keras
import numpy as np
import pytest

import kgen
from kgen import callbacks, losses, networks
from tests.callbacks.models import X, Y, classifier, fit


def _diverge(step, *, epochs=2, steps=8, verbose=0, validation_data=None):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse", metrics=["mae"], run_eagerly=True)
    x = np.tile(X[:1], (steps, 1))
    y = np.tile(Y[:1], (steps, 1))
    if step is not None:
        y[step] = np.nan
    model.fit(
        *(x, y),
        batch_size=1,
        shuffle=False,
        epochs=epochs,
        verbose=verbose,
        validation_data=validation_data,
        callbacks=[callbacks.DivergenceGuard()],
    )


@pytest.mark.parametrize("step", [0, 3, 7])
def test_divergence_stops_with_step_and_terms(step):
    message = r"epoch 1, at or before step (\d+): loss = nan, mae = nan\. Lower the learning rate"
    with pytest.raises(FloatingPointError, match=message) as error:
        _diverge(step)
    assert int(re.search(message, str(error.value)).group(1)) >= step + 1


def test_a_healthy_run_passes():
    _diverge(None, validation_data=(X, Y))


def test_diverged_validation_is_named():
    with pytest.raises(FloatingPointError, match="epoch 1, at its end: val_loss = nan"):
        _diverge(None, validation_data=(X, np.full_like(Y, np.nan)))


def test_no_backup_of_a_diverged_epoch(tmp_path):
    model = classifier()
    # The guard stands last: the order does not matter.
    used = [callbacks.BackupAndRestore(tmp_path), callbacks.DivergenceGuard()]
    fit(model, *used, epochs=1)
    before = used[0].path.read_bytes()
    with pytest.raises(FloatingPointError, match="epoch 2"):
        model.fit(X, Y * np.nan, batch_size=12, epochs=3, verbose=0, callbacks=used)
    assert used[0].path.read_bytes() == before


def _with_rates(discriminator_rate, generator_rate):
    """A GAN whose losses are linear in the logits: its gradients are finite to the last."""
    keras.utils.set_random_seed(0)
    model = kgen.GAN(
        networks.dense_generator(2, (2,), hidden_units=(3,)),
        networks.dense_discriminator((2,), hidden_units=(3,)),
        generator_loss=losses.adversarial.wasserstein_generator_loss,
        discriminator_loss=losses.adversarial.wasserstein_discriminator_loss,
    )
    sgd = keras.optimizers.SGD
    model.compile(
        generator_optimizer=sgd(generator_rate),
        discriminator_optimizer=sgd(discriminator_rate),
        run_eagerly=True,
    )
    return model


def test_no_backup_of_weights_that_the_epochs_last_step_spoiled(tmp_path):
    """The terms of that step were computed before its update: every log is finite."""
    x = X[:, :2]
    backup = callbacks.BackupAndRestore(tmp_path)
    _with_rates(0.0, 0.1).fit(x, batch_size=12, epochs=1, verbose=0, callbacks=[backup])
    before = backup.path.read_bytes()
    resumed = _with_rates(0.0, 0.1)
    # The backup restores the rates.
    raise_rate = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: resumed.generator_optimizer.learning_rate.assign(np.inf)
    )
    seen = []
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(dict(logs)))
    message = r"by the end of epoch 2: the variable '.*' holds .* earlier epoch stays: .*state.zip"
    with pytest.raises(FloatingPointError, match=message) as error:
        resumed.fit(x, batch_size=12, epochs=3, verbose=0, callbacks=[raise_rate, watch, backup])
    (logs,) = seen
    assert np.isfinite(list(logs.values())).all()
    named = re.search("variable '(.*?)'", str(error.value)).group(1)
    assert not np.isfinite({v.path: v for v in resumed.variables}[named]).all()
    assert backup.path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [backup.path.name]


def test_integers_and_flags_are_finite(tmp_path):
    backup = callbacks.BackupAndRestore(tmp_path)
    for dtype in ("int32", "bool", "bfloat16"):
        assert backup._finite(keras.Variable(np.ones(2), dtype=dtype), 1).shape == (2,)
    for dtype in ("bfloat16", "float16", "float32"):
        for value in (np.nan, -np.inf):
            with pytest.raises(FloatingPointError, match=r"not finite\. Lower"):
                backup._finite(keras.Variable([1.0, value], dtype=dtype), 1)


@pytest.mark.parametrize("value", [1.0, np.ones(1), 3, "text", None])
def test_guard_accepts_what_is_finite_or_no_number(value):
    callbacks.DivergenceGuard().on_train_batch_end(0, {"loss": value})


@pytest.mark.parametrize("value", [float("inf"), np.full(1, np.nan)])
def test_guard_sees_scalars_and_arrays(value):
    with pytest.raises(FloatingPointError, match="step 5: loss"):
        callbacks.DivergenceGuard().on_train_batch_end(4, {"kl": 0.0, "loss": value})
