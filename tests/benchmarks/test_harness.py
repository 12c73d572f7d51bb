"""The statistics of the harness are right, and what forbids a verdict is told."""

import json
import math

import numpy as np
import pytest

from benchmarks import harness, probes, training
from benchmarks.cases import synthetic_images


def names(*letters, order):
    return {letter: lambda letter=letter: order.append(letter) for letter in letters}


def test_every_contender_is_warmed_up_and_follows_each_of_the_others():
    order = []
    harness.seconds_by_round(names(*"abc", order=order), 11)
    rounds = ["".join(order[i : i + 3]) for i in range(0, 36, 3)]
    assert len(order) == 36 and {"".join(sorted(each)) for each in rounds} == {"abc"}
    pairs = {each[i : i + 2] for each in rounds for i in (0, 1)}
    assert pairs == {a + b for a in "abc" for b in "abc" if a != b}


def test_fast_contenders_have_their_turns_between_slow_ones(monkeypatch):
    monkeypatch.setattr(harness.gc, "collect", lambda: None)
    order = []
    seconds = harness.seconds_between(names(*"ab", order=order), names(*"XY", order=order), 2, 2)
    assert "".join(order) == "ababXababYabab" + "babaYbabaXbaba"
    assert [len(turns) for turns in seconds["a"]] == [6, 6]
    assert [len(turns) for turns in seconds["X"]] == [1, 1]


def test_contender_that_breaks_down_leaves_the_others_their_rounds():
    calls = iter(range(2))
    work = dict(a=lambda: None, b=lambda: next(calls), c=lambda: None)
    failed = {}
    seconds = harness.seconds_by_round(work, 3, failed.setdefault)
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "c": 3}
    assert isinstance(failed["b"], StopIteration)
    with pytest.raises(StopIteration):
        harness.seconds_by_round(work, 2)


def test_spread():
    assert harness.quartiles([1.0, 2.0, 0.5]) == (0.75, 1.0, 1.5)
    assert harness.spread([2000.0, 1000.0, 4000.0], 0) == " 2,000  (1,000 - 4,000)"


BETWEEN = "no verdict, the goal lies between the rounds: run again"
FAR = "no verdict, the rounds are further apart than from the goal: run again"


@pytest.mark.parametrize(
    "found, goal, at_most, expected",
    [
        ((31.0, 32.0, 33.0), 30.0, False, "met"),
        ((30.0, 32.0, 33.0), 30.0, False, "met"),
        ((27.0, 28.0, 29.0), 30.0, False, "MISSED"),
        ((29.0, 30.5, 31.0), 30.0, False, BETWEEN),
        ((31.0, 36.0, 41.0), 30.0, False, FAR),
        # As wide, but the goal is further away than that.
        ((31.0, 36.0, 41.0), 20.0, False, "met"),
        ((2.9, 2.9, 3.0), 3.0, True, "met"),
        ((4.0, 4.05, 4.1), 3.0, True, "MISSED"),
        ((3.0, 3.0, 3.1), 3.0, True, BETWEEN),
    ],
)
def test_verdict_says_when_the_spread_hides_the_answer(found, goal, at_most, expected):
    assert harness.verdict(found, goal, "rounds", at_most=at_most) == expected
    quiet = harness.verdict(found, goal, "rounds", at_most=at_most, why_not="it was busy")
    assert quiet == "no verdict, it was busy"
    if expected == FAR:
        assert harness.verdict(found, goal, "rounds", wide=math.inf) == "met"


def test_busy_machine_is_told_and_forbids_a_verdict(monkeypatch, capsys):
    monkeypatch.setattr(harness, "num_cores", lambda: 2)
    config, now = training.Config(), [0.1]
    monkeypatch.setattr(harness, "cores_of_others", lambda: now[0])
    before = harness.start(config)
    assert not capsys.readouterr().out and harness.obstacle_after(config, before) == ""
    now[0] = 1.9
    assert harness.obstacle_after(config, before) == "the machine was busy"
    assert harness.start(config)["cores_of_others"] == 1.9
    assert capsys.readouterr().out.startswith("The machine is busy (others use 1.9 of 2 cores)")
    quick = training.Config(quick=True)
    assert "--quick" in harness.obstacle_after(quick, harness.start(quick))


def test_what_others_compute_is_what_this_process_did_not(monkeypatch):
    # A second goes by, of which this process computes half, all its threads together.
    times, clocks = iter([100.0, 101.5]), (iter([7.0, 7.5]), iter([50.0, 51.0]))
    monkeypatch.setattr(harness, "_busy_seconds", lambda: next(times))
    monkeypatch.setattr(harness.time, "process_time", lambda: next(clocks[0]))
    monkeypatch.setattr(harness.time, "perf_counter", lambda: next(clocks[1]))
    monkeypatch.setattr(harness.time, "sleep", lambda seconds: None)
    assert harness.cores_of_others() == 1.0


def test_peak_of_what_is_allocated():
    memory = harness.PeakMemory("kgen")
    memory.forget()
    numbers = np.ones(25_000_000)
    del numbers
    # 200 MB; what else the process does meanwhile is a thousandth of that.
    assert memory.peaks()["step"] == pytest.approx(200.0, abs=5.0)
    memory.forget()
    assert memory.peaks()["step"] < 5.0


def test_failed_probe_says_why():
    with pytest.raises(RuntimeError, match="has no attribute 'no_such_probe'"):
        harness.probe("no_such_probe")
    assert "'no_such_probe'" in harness.probe_or_missing("no_such_probe")["missing"]


def test_peak_counts_operations_and_bytes(monkeypatch):
    monkeypatch.setattr(probes, "best_seconds", lambda *arguments: 0.5)
    found = probes.peak(quick=True)
    # n^3 multiplications and additions of 256 rows; 65,536 numbers of 4 bytes, read and written.
    assert found["gigaflops"] == pytest.approx(2 * 256**3 / 0.5 / 1e9)
    assert found["gigabytes_a_second"] == pytest.approx(2 * 4 * 65536 / 0.5 / 1e9)
    monkeypatch.setattr(probes, "has_bfloat16", lambda: False)
    assert "no units" in probes.peak(quick=True, dtype="bfloat16")["missing"]


def test_run_replaces_its_own_part_of_the_results(tmp_path):
    path = tmp_path / "folder" / "results.json"
    harness.update(path, "training", "wgan_gp", dict(speed=1.0 / 3.0, rounds=[12345.6, 2]))
    harness.update(path, "scaling", "batch", dict(rows=[]))
    for speed in (7.0, 8.0):
        harness.update(path, "training", "vae", dict(speed=speed))
    assert json.loads(path.read_text()) == {
        "scaling": {"batch": {"rows": []}},
        "training": {
            "vae": {"speed": 8.0},
            "wgan_gp": {"speed": 0.3333, "rounds": [12350.0, 2]},
        },
    }
    found = harness.part("vae", dict(gpu="a GPU"), mixed_precision=True)
    assert found == "vae, mixed precision, a GPU"


def test_only_a_whole_run_with_default_settings_on_a_quiet_machine_is_committed():
    def path(free=(), spoiled=False, finished=True, **flags):
        return harness.path(training.Config(**flags), free, spoiled=spoiled, finished=finished)

    assert path() == path(training.FREE, family="vae") == harness.COMMITTED
    assert path(quick=True, output="mine.json") == "mine.json"
    others = [path(quick=True), path(spoiled=True), path(finished=False), path(batch_size=8)]
    assert len({*others, harness.COMMITTED}) == 5


def test_flags_become_the_configuration(monkeypatch):
    received = []
    monkeypatch.setattr("sys.argv", ["it", "--quick", "--num_rounds=3", "--family=vae"])
    monkeypatch.setattr("sys.modules", {"__main__": training})
    harness.run(received.append, training.Config)
    assert received == [training.Config(quick=True, num_rounds=3, family="vae")]


def test_the_images_of_the_benchmark_are_on_their_levels():
    images = synthetic_images(8, 256)
    # Off by the rounding of float32.
    np.testing.assert_allclose(images * 255, np.rint(images * 255), atol=1e-4)
    assert images.min() == 0.0 and images.max() == 1.0 and len(np.unique(images)) > 230
