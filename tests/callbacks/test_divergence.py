import re

import keras
import numpy as np
import pytest

from kgen import callbacks
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


@pytest.mark.parametrize("value", [1.0, np.ones(1), 3, "text", None])
def test_guard_accepts_what_is_finite_or_no_number(value):
    callbacks.DivergenceGuard().on_train_batch_end(0, {"loss": value})


@pytest.mark.parametrize("value", [float("inf"), np.full(1, np.nan)])
def test_guard_sees_scalars_and_arrays(value):
    with pytest.raises(FloatingPointError, match="step 5: loss"):
        callbacks.DivergenceGuard().on_train_batch_end(4, {"kl": 0.0, "loss": value})
