"""The benchmark runs, without PyTorch; how fast anything is, no test can say."""

import json

import pytest

from benchmarks import interleaved, memory, training


def test_quick_benchmark_of_the_keras_contenders(tmp_path, capsys):
    output = tmp_path / "results.json"
    config = training.Config(quick=True, libraries="kgen,keras", batch_size=4, output=str(output))
    training.main(config)
    results = json.loads(output.read_text())["results"]
    names = {"kgen", "kgen, 10 steps a call", "bare Keras"}
    xla = {"kgen, XLA", "kgen, XLA, 10 steps a call", "bare Keras, XLA"}
    assert set(results["convolutional VAE"]["images_per_second"]) == names
    assert set(results["dense VAE"]["images_per_second"]) == names | xla
    for result in results.values():
        assert all(len(speeds) == 2 for speeds in result["images_per_second"].values())
    assert "kgen / bare Keras" in capsys.readouterr().out


def test_peak_memory(tmp_path, capsys):
    output = tmp_path / "memory.json"
    config = memory.Config(
        dataset="digits", splits="train[:256]", batch_sizes="64,128", output=str(output)
    )
    memory.main(config)
    rows = json.loads(output.read_text())["results"]
    assert [row["batch_size"] for row in rows] == [128, 64]
    # TensorFlow alone takes hundreds of megabytes.
    assert all(row["peak_megabytes"] > 100 for row in rows)
    assert "digits train[:256]" in capsys.readouterr().out


def test_ratios_are_taken_round_by_round():
    speeds = {"a": [10.0, 100.0, 30.0], "b": [10.0, 50.0, 60.0]}
    ratio = interleaved.ratio(speeds, "a", "b")
    assert ratio == dict(median=1.0, lower_quartile=0.75, upper_quartile=1.5)
    assert interleaved.fastest(speeds, ["a", "b"]) == "b"


def test_every_contender_is_warmed_up_and_every_second_round_is_reversed():
    order = []
    contenders = {name: lambda name=name: order.append(name) for name in "ab"}
    interleaved.seconds_by_round(contenders, 2)
    assert "".join(order) == "ab" + "ab" + "ba"


@pytest.mark.parametrize(
    "median, lower, upper, expected",
    [
        (0.98, 0.97, 0.99, "goal 0.97: met"),
        (0.95, 0.94, 0.96, "goal 0.97: MISSED"),
        (0.98, 0.96, 0.99, "goal 0.97: met, but the goal lies between the quartiles"),
        (1.5, 1.2, 1.9, "goal 0.97: no verdict, the quartiles are too far apart: run again"),
    ],
)
def test_verdict_says_when_the_spread_hides_the_answer(median, lower, upper, expected):
    row = dict(median=median, lower_quartile=lower, upper_quartile=upper, goal=0.97)
    assert training.verdict(row) == expected


def test_unknown_library_lists_those_that_exist():
    with pytest.raises(ValueError, match="kgen, keras, torch"):
        training.main(training.Config(libraries="caffe"))
