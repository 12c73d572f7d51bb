"""The benchmark of changes puts the older form back, and only while the model is made."""

import json

import keras
import pytest

from benchmarks import changes
from kgen import optimizers
from kgen.layers import causal_conv


@pytest.mark.parametrize("name", ["kgen's Adam, dense VAE", "1 x 1 products"])
def test_both_forms_of_a_change_are_trained(name, tmp_path, capsys):
    output = tmp_path / "results.json"
    adam, convolve = optimizers.Adam, causal_conv._WindowConv2D._convolve
    changes.main(changes.Config(change=name, quick=True, output=str(output)))
    assert (optimizers.Adam, causal_conv._WindowConv2D._convolve) == (adam, convolve)
    found = json.loads(output.read_text())["changes"][name]
    assert {form: len(ms) for form, ms in found["results"]["milliseconds_a_step"].items()} == {
        "before": 2,
        "after": 2,
    }
    assert found["hindrance"] == "--quick measures nothing"
    assert name in capsys.readouterr().out


def test_the_form_before_is_another_one(monkeypatch):
    seen = []

    def seconds_by_round(contenders, num_rounds, pause):
        for train in contenders.values():
            (model,) = train.__defaults__
            seen.append(type(model.optimizer))
        return dict(before=[2.0, 2.0], after=[1.0, 1.0])

    monkeypatch.setattr(changes.interleaved, "seconds_by_round", seconds_by_round)
    config = changes.Config(quick=True, num_rounds=2)
    found = changes.measure(changes.CHANGES["kgen's Adam, dense VAE"], config)
    assert seen == [keras.optimizers.Adam, optimizers.Adam]
    assert found["ratio"]["median"] == 2.0


def test_every_older_form_is_of_something_that_exists():
    for change in changes.CHANGES.values():
        if change.put_back:
            owner, name, before = change.put_back
            assert getattr(owner, name) is not before
    with pytest.raises(ValueError, match="--change=typo does not exist. One of: kgen's Adam"):
        changes.main(changes.Config(change="typo"))
