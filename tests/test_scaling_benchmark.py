"""What is said about scaling and about the machine's peak follows from what was measured."""

import json

import pytest

from benchmarks import machine, rounds, scaling
from benchmarks.probes import peak
from benchmarks.probes import scaling as scaling_probe

QUIET = dict(cores_of_others=0.1)


@pytest.mark.parametrize(
    "ratios, expected",
    [
        ([31.0, 32.0, 33.0], "goal 30: met in all rounds"),
        ([27.0, 28.0, 29.0], "goal 30: MISSED in all rounds"),
        ([29.0, 31.0], "goal 30: no verdict, met in 1 of 2 rounds: run again"),
        ([50.0, 70.0, 60.0], "goal 30: no verdict, the rounds are further apart than from the "),
        ([31.0, 40.0], "goal 30: no verdict, the rounds are further apart than from the goal"),
    ],
)
def test_rounds_that_are_too_wide_give_no_verdict(ratios, expected):
    if ratios[0] == 50.0:
        # As wide, but the goal is further away than that.
        assert rounds.verdict(ratios, 20.0) == "goal 20: met in all rounds"
        ratios = [ratio - 15.0 for ratio in ratios]
    assert rounds.verdict(ratios, 30.0).startswith(expected)


def test_verdict_of_a_goal_from_above_and_obstacles(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(rounds, "cores_of_others", lambda: now[0])
    assert rounds.verdict([2.0, 3.0, 3.0], 3.0, at_most=True).startswith("goal at most 3: no verd")
    assert rounds.verdict([2.9, 3.0], 3.0, at_most=True) == "goal at most 3: met in all rounds"
    assert rounds.verdict([4.0, 4.1], 3.0, at_most=True) == "goal at most 3: MISSED in all rounds"
    assert "one round" in rounds.verdict([4.0], 3.0, at_most=True)
    assert "one round" in scaling.overhead_text([0.5], "")
    assert rounds.obstacle(QUIET, quick=False) == ""
    now[0] = float(machine.num_cores())
    assert rounds.obstacle(QUIET, quick=False) == "the machine was busy"
    now[0] = 0.0
    busy = rounds.obstacle(QUIET | dict(cores_of_others=float(machine.num_cores())), quick=False)
    assert rounds.verdict([9.0], 3.0, why_not=busy) == "goal 3: no verdict, the machine was busy"
    assert "--quick" in rounds.obstacle(QUIET, quick=True)


@pytest.mark.parametrize(
    "flags, message",
    [
        (dict(batch_sizes="0,16"), "--batch_sizes=0,16 must be integers of at least 1"),
        (dict(sides="abc"), "--sides=abc must be integers"),
        (dict(sizes="5"), "--sizes=5 does not exist. One of: 1000, 10000"),
        (dict(num_rounds=1), "--num_rounds must be an integer of at least 2"),
        (dict(axes="width"), "--axes=width does not exist"),
    ],
)
def test_bad_flags_are_refused_before_any_work(flags, message):
    with pytest.raises(ValueError, match=message):
        scaling.main(scaling.Config(**flags))


def test_every_batch_size_sees_as_many_images_a_round():
    config = scaling.Config(batch_sizes="16,128", images_a_round=512)
    arguments = [row for _, row in scaling.by_batch(config)]
    assert [(row["batch_size"], row["num_batches"]) for row in arguments] == [(16, 32), (128, 4)]


def test_memory_is_flat_or_not_known():
    rows = [dict(num_images=n, step_megabytes=m) for n, m in ((200_000, 200.0), (10_000, 90.0))]
    assert scaling.flatness(rows) is None
    assert "needs --full" in scaling.flat_verdict(None)
    rows.append(dict(num_images=1_000_000, step_megabytes=210.0))
    assert scaling.flatness(rows) == 1.05
    assert scaling.flat_verdict(1.05).endswith("met, flat")
    assert scaling.flat_verdict(1.2).endswith("MISSED, it grows")


def test_split_is_judged_by_how_far_the_weights_moved():
    assert scaling.split_verdict(1e-9, 1e-3).endswith("met")
    # A step of twice the size.
    assert scaling.split_verdict(1e-3, 1e-3).endswith("MISSED")
    assert "no weight moved" in scaling.split_verdict(0.0, 0.0)


def test_overhead_of_the_split_needs_rounds_that_agree():
    assert scaling.overhead_text([0.5, 0.5], "").endswith("the split costs 50%, no goal")
    assert "too far apart" in scaling.overhead_text([0.5, 0.7], "")
    assert "the machine was busy" in scaling.overhead_text([0.5], "the machine was busy")


def test_data_sets_on_disk_are_streamed_past_an_epoch(tmp_path):
    config = scaling.Config(sizes="1000", data_dir=str(tmp_path), disk_batches=1)
    ((label, arguments),) = scaling.by_images(config)
    assert label == dict(label="1,000 images on disk", shards=1, num_images=1000)
    # 1 batch a round and 4 rounds; an epoch has 3.
    row = scaling_probe.measure(**arguments | dict(batch_size=256))
    assert len(row["images_per_second"]) == 3
    middle = 256 / sorted(row["images_per_second"])[1]
    assert row["milliseconds_a_step"] == pytest.approx(1e3 * middle, rel=1e-6)


def test_quick_run_of_all_in_memory(tmp_path, capsys):
    output = tmp_path / "results.json"
    config = scaling.Config(quick=True, axes="side,replicas", output=str(output))
    found = scaling.main(config)
    assert found["replicas"]["largest_movement"] > 0
    assert found["replicas"]["largest_difference"] <= 1e-4 * found["replicas"]["largest_movement"]
    assert len(found["replicas"]["by_round"]) == 2
    (row,) = found["side"]["rows"]
    # Weights of half a million numbers, their gradients and Adam's two moments: 16 bytes each.
    assert 8.0 < row["step_megabytes"] < row["process_megabytes"]
    assert sorted(json.loads(output.read_text())["scaling"]) == ["replicas", "side"]
    printed = capsys.readouterr().out
    assert "of the largest movement" in printed and "nothing to conclude, --quick" in printed


def test_unknown_axis_lists_those_that_exist():
    with pytest.raises(ValueError, match="batch, side, images, replicas"):
        scaling.main(scaling.Config(axes="time"))


def test_peak_counts_operations_and_bytes(monkeypatch):
    monkeypatch.setattr(peak, "best_seconds", lambda *arguments: 0.5)
    found = peak.measure(quick=True)
    # n^3 multiplications and additions of 256 rows; 65,536 numbers of 4 bytes, read and written.
    assert found["gigaflops"] == pytest.approx(2 * 256**3 / 0.5 / 1e9)
    assert found["gigabytes_a_second"] == pytest.approx(2 * 4 * 65536 / 0.5 / 1e9)
    monkeypatch.setattr(peak, "has_bfloat16", lambda: False)
    assert "no units" in peak.measure(quick=True, dtype="bfloat16")["missing"]


def test_peak_is_the_best_call_of_a_chain_that_lasts(monkeypatch):
    clock, calls = [0.0], []

    def count(index):
        calls.append(index)
        return index

    monkeypatch.setattr(peak.time, "perf_counter", lambda: clock[0])
    real = peak.tf.reshape

    def takes_time(x, shape):
        # 10 ms a link, the first call of each chain disturbed.
        clock[0] += 0.01 * int(count(float(real(x, [-1])[0]))) + 0.005 * (len(calls) % 2)
        return real(x, shape)

    monkeypatch.setattr(peak.tf, "reshape", takes_time)
    best = peak.best_seconds(lambda x: x + 1.0, peak.tf.zeros(1), quick=False)
    assert max(calls) * 0.01 >= peak.SECONDS_A_CALL
    assert best == pytest.approx(0.01)
