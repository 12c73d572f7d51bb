"""The benchmark runs, without PyTorch; how fast anything is, no test can say."""

import json

import pytest

from benchmarks import interleaved, training


def test_quick_benchmark_of_the_keras_contenders(tmp_path, capsys):
    output = tmp_path / "results.json"
    config = training.Config(quick=True, libraries="kgen,keras", batch_size=4, output=str(output))
    training.main(config)
    results = json.loads(output.read_text())["results"]
    names = {"kgen", "bare Keras"}
    assert set(results["convolutional VAE"]["images_per_second"]) == names
    assert set(results["dense VAE"]["images_per_second"]) == names | {
        f"{name}, XLA" for name in names
    }
    for result in results.values():
        assert all(len(speeds) == 2 for speeds in result["images_per_second"].values())
    assert "kgen / bare Keras" in capsys.readouterr().out


def test_ratios_are_taken_round_by_round():
    speeds = {"a": [10.0, 100.0, 30.0], "b": [10.0, 50.0, 60.0]}
    assert interleaved.ratio(speeds, "a", "b") == dict(median=1.0, smallest=0.5, largest=2.0)
    assert interleaved.fastest(speeds, ["a", "b"]) == "b"


def test_every_contender_is_warmed_up_and_every_second_round_is_reversed():
    order = []
    contenders = {name: lambda name=name: order.append(name) for name in "ab"}
    interleaved.seconds_by_round(contenders, 2)
    assert "".join(order) == "ab" + "ab" + "ba"


@pytest.mark.parametrize(
    "median, smallest, largest, expected",
    [
        (0.98, 0.97, 0.99, "met"),
        (0.95, 0.94, 0.96, "MISSED"),
        (0.98, 0.96, 0.99, "met, but the goal lies inside the spread"),
    ],
)
def test_verdict_says_when_the_spread_hides_the_answer(median, smallest, largest, expected):
    row = dict(median=median, smallest=smallest, largest=largest, goal=0.97)
    assert training.verdict(row) == expected


def test_verdict_says_when_the_spread_is_too_wide():
    row = dict(median=1.5, smallest=1.2, largest=1.9, goal=1.0)
    assert "too wide" in training.verdict(row)


def test_unknown_library_lists_those_that_exist():
    with pytest.raises(ValueError, match="kgen, keras, torch"):
        training.main(training.Config(libraries="caffe"))
