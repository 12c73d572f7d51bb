import csv
import itertools
import re

import keras
import numpy as np
import pytest

from kgen import callbacks
from tests.callbacks.models import X, classifier, fit, summaries


def norm(model):
    """A figure that is a function of the weights alone."""
    weights = [np.square(weight).sum() for weight in model.get_weights()]
    return {"norm": dict(value=np.sum(weights), protocol="sum of squares")}


class _Recorder(keras.callbacks.Callback):
    """What `evaluate` should give after each epoch."""

    def __init__(self):
        super().__init__()
        self.norms = []

    def on_epoch_end(self, epoch, logs=None):
        self.norms.append(float(norm(self.model)["norm"]["value"]))


@pytest.mark.parametrize(
    ("every", "epochs", "evaluated"),
    [(1, 3, [0, 1, 2]), (2, 5, [0, 2, 4]), (3, 6, [0, 3, 5]), (9, 4, [0, 3]), (9, 1, [0])],
)
def test_epochs_history_and_tensorboard(tmp_path, every, epochs, evaluated):
    recorder = _Recorder()
    logger = callbacks.EvaluationLogger(norm, every=every, log_dir=tmp_path)
    history = fit(classifier(), recorder, logger, epochs=epochs)
    expected = [recorder.norms[epoch] for epoch in evaluated]
    assert len(set(recorder.norms)) == epochs, "each epoch moves the weights"
    # The same function of the same weights.
    assert history.history["norm"] == expected
    assert len(history.history["loss"]) == epochs
    found = summaries(tmp_path)
    assert [(step, value.tag) for step, value in found] == [(epoch, "norm") for epoch in evaluated]
    # TensorBoard keeps float32.
    received = [np.frombuffer(value.tensor.tensor_content, np.float32)[0] for _, value in found]
    np.testing.assert_allclose(received, expected, rtol=1e-6)


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit(classifier(), callbacks.EvaluationLogger(norm), epochs=1)
    assert not list(tmp_path.iterdir())


def test_callbacks_after_it_see_the_values(tmp_path, capsys):
    # Best after the third of four epochs.
    figures = itertools.chain([5.0, 3.0, 1.0, 2.0])
    kept = []
    model = classifier()
    model.fit(
        X,
        np.zeros((12, 2)),
        epochs=4,
        verbose=2,
        callbacks=[
            callbacks.EvaluationLogger(lambda model: {"distance": dict(value=next(figures))}),
            keras.callbacks.CSVLogger(tmp_path / "log.csv"),
            keras.callbacks.ModelCheckpoint(
                tmp_path / "best.weights.h5",
                monitor="distance",
                mode="min",
                save_best_only=True,
                save_weights_only=True,
            ),
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: kept.append(model.get_weights())
            ),
        ],
    )
    with open(tmp_path / "log.csv") as stream:
        assert [float(row["distance"]) for row in csv.DictReader(stream)] == [5.0, 3.0, 1.0, 2.0]
    shown = re.findall(r"distance: (\S+)", capsys.readouterr().out)
    assert [float(value) for value in shown] == [5.0, 3.0, 1.0, 2.0]
    assert any(np.any(best != last) for best, last in zip(kept[2], kept[3], strict=True))
    model.load_weights(tmp_path / "best.weights.h5")
    for expected, received in zip(kept[2], model.get_weights(), strict=True):
        np.testing.assert_array_equal(expected, received)


def test_csv_says_where_nothing_was_evaluated(tmp_path):
    used = [
        callbacks.EvaluationLogger(norm, every=2),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
    ]
    history = fit(classifier(), *used, epochs=4)
    with open(tmp_path / "log.csv") as stream:
        column = [row["norm"] for row in csv.DictReader(stream)]
    assert column[1] == "NA"
    assert [float(column[epoch]) for epoch in (0, 2, 3)] == history.history["norm"]


def test_keras_saves_over_the_best_model_where_nothing_was_evaluated(tmp_path):
    """What the documentation warns of; if Keras mends it, the warning can go."""
    figures, kept = iter([1.0, 2.0]), []
    model = classifier()
    used = [
        callbacks.EvaluationLogger(lambda model: {"fid": dict(value=next(figures))}, every=2),
        keras.callbacks.ModelCheckpoint(
            tmp_path / "best.weights.h5",
            monitor="fid",
            mode="min",
            save_best_only=True,
            save_weights_only=True,
        ),
        keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: kept.append(model.get_weights()[0])
        ),
    ]
    with pytest.warns(UserWarning, match="Can save best model only with fid available"):
        fit(model, *used, epochs=3)
    model.load_weights(tmp_path / "best.weights.h5")
    np.testing.assert_array_equal(model.get_weights()[0], kept[1])
    assert np.any(kept[1] != kept[0])


class _Interruption(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 4:
            raise KeyboardInterrupt


def test_a_resumed_run_has_the_history_of_a_whole_one(tmp_path):
    def used(folder):
        return [
            callbacks.EvaluationLogger(norm, every=3, log_dir=folder / "events"),
            callbacks.BackupAndRestore(folder),
        ]

    whole = fit(classifier(), *used(tmp_path / "whole"), epochs=6)
    with pytest.raises(KeyboardInterrupt):
        fit(classifier(), *used(tmp_path / "part"), _Interruption(), epochs=6)
    resumed = fit(classifier(), *used(tmp_path / "part"), epochs=6)
    assert len(whole.history["norm"]) == 3
    assert resumed.history == whole.history
    # Nothing is left to train, so nothing is evaluated again.
    idle = callbacks.EvaluationLogger(lambda model: pytest.fail("evaluated"))
    again = fit(classifier(), idle, callbacks.BackupAndRestore(tmp_path / "part"), epochs=6)
    assert again.history == whole.history


class _Stop(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            self.model.stop_training = True


@pytest.mark.parametrize("stop_comes_first", [True, False])
def test_a_run_that_stops_early_is_evaluated_at_its_end(tmp_path, stop_comes_first):
    recorder = _Recorder()
    used = [callbacks.EvaluationLogger(norm, every=5, log_dir=tmp_path), _Stop()]
    seen = []
    spy = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append("norm" in logs)
    )
    model = classifier()
    history = fit(model, recorder, *used[:: -1 if stop_comes_first else 1], spy)
    assert seen == [True, stop_comes_first]
    assert history.epoch == [0, 1]
    assert history.history["norm"] == recorder.norms
    assert [step for step, _ in summaries(tmp_path)] == [0, 1]
    # The next run begins anew.
    assert len(fit(model, used[0], epochs=1).history["norm"]) == 1


def test_an_interrupted_run_leaves_nothing_to_evaluate():
    calls = []
    logger = callbacks.EvaluationLogger(lambda model: calls.append(0) or norm(model), every=9)
    model = classifier()
    with pytest.raises(KeyboardInterrupt):
        fit(model, logger, _Interruption())
    assert len(calls) == 1
    fit(model, logger, epochs=0)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("evaluate", "every"), [(None, 1), ({"a": dict(value=1.0)}, 1), (norm, 0), (norm, -1)]
)
def test_arguments_are_checked(evaluate, every):
    with pytest.raises(
        ValueError, match="Expected evaluate|every must be an integer of at least 1"
    ):
        callbacks.EvaluationLogger(evaluate, every=every)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        (1.0, "to return a dict. Received 1.0"),
        (None, "to return a dict. Received None"),
        ({"fid": 1.0}, "`value` of 'fid'. Received 1.0"),
        ({"fid": dict(protocol="none")}, "`value` of 'fid'"),
        ({"fid": dict(value="2")}, "`value` of 'fid'"),
        (dict(value=1.0, protocol="one"), "A single result needs a name"),
        ({"loss": dict(value=1.0)}, r"do not hold. Received \['loss'\]"),
    ],
)
def test_results_are_checked(results, message):
    with pytest.raises(ValueError, match=message):
        fit(classifier(), callbacks.EvaluationLogger(lambda model: results), epochs=1)
