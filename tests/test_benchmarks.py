"""The benchmarks run, without PyTorch too; how fast anything is, no test can say."""

import json
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from breaking import Broken, breaking

from benchmarks import (
    arithmetic,
    interleaved,
    machine,
    memory,
    probes,
    results,
    training,
)
from benchmarks.cases import FAMILIES, Case, synthetic_images
from benchmarks.rivals import kgen_networks


def test_peak_of_what_is_allocated():
    memory.forget_peak()
    before = memory.megabytes("RssAnon")
    numbers = np.ones(25_000_000)
    del numbers
    # 200 MB; what else the process does meanwhile is a thousandth of that.
    assert memory.allocated_peak() - before == pytest.approx(200.0, abs=5.0)
    assert memory.megabytes("RssAnon") - before < 5.0


def test_failed_probe_says_why():
    with pytest.raises(RuntimeError, match="KeyError: 'no such contender'"):
        probes.call(
            "step_memory",
            library="keras",
            family="vae",
            case="dense VAE",
            contender="no such contender",
            batch_size=2,
            threads=1,
        )


def test_run_replaces_its_own_part_of_the_results(tmp_path):
    path = tmp_path / "folder" / "results.json"
    results.update(path, "training", "wgan_gp", dict(speed=1.0 / 3.0, rounds=[12345.6, 2]))
    results.update(path, "scaling", "batch", dict(rows=[]))
    results.update(path, "training", "vae", dict(speed=7.0))
    results.update(path, "training", "vae", dict(speed=8.0))
    assert json.loads(path.read_text()) == {
        "scaling": {"batch": {"rows": []}},
        "training": {
            "vae": {"speed": 8.0},
            "wgan_gp": {"speed": 0.3333, "rounds": [12350.0, 2]},
        },
    }


def test_quick_run_leaves_the_committed_figures_alone():
    assert results.path(training.Config(quick=True)) != results.COMMITTED
    assert results.path(training.Config()) == results.COMMITTED
    assert results.path(training.Config(quick=True, output="mine.json")) == "mine.json"
    assert results.path(training.Config(), spoiled=True) == results.SPOILED
    assert results.path(training.Config(), finished=False) == results.UNFINISHED
    assert results.path(training.Config(batch_size=8)) == results.OTHER
    assert results.path(training.Config(family="vae"), training.FREE) == results.COMMITTED
    assert results.path(training.Config(output="mine.json"), spoiled=True) == "mine.json"


def test_what_is_computed_differently_stands_in_a_part_of_its_own():
    assert results.part("vae", dict(gpu=None)) == "vae"
    found = results.part("vae", dict(gpu="a GPU"), mixed_precision=True)
    assert found == "vae, mixed precision, a GPU"


@pytest.mark.parametrize(
    "flags, message",
    [
        (dict(family="simclr", libraries="pythae"), "has no contender in"),
        (dict(num_rounds=1), "--num_rounds=1 has no spread"),
        (dict(batch_size=-1), "--batch_size must be an integer of at least 0"),
        (dict(memory_runs=-1), "--memory_runs must be an integer of at least 0"),
        (dict(output="tests"), "--output=tests is a folder"),
        (dict(output="setup.py"), "--output=setup.py holds no JSON"),
    ],
)
def test_bad_flags_are_refused_before_any_work(flags, message, monkeypatch):
    monkeypatch.chdir(pathlib.Path(__file__).parents[1])
    with pytest.raises(ValueError, match=message):
        training.main(training.Config(**flags))


@pytest.mark.parametrize("cores, says", [(1.9, "The machine is busy"), (0.1, "")])
def test_busy_machine_is_told(cores, says, monkeypatch, capsys):
    monkeypatch.setattr(machine, "cores_of_others", lambda: cores)
    monkeypatch.setattr(machine, "num_cores", lambda: 2)
    before = machine.start(quick=False)
    assert before["cores_of_others"] == cores
    assert capsys.readouterr().out.startswith(says) if says else not capsys.readouterr().out


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux counts")
def test_what_others_compute_is_what_this_process_did_not(monkeypatch):
    times = iter([100.0, 101.5])
    monkeypatch.setattr(machine, "_busy_seconds", lambda: next(times))
    # A second goes by, of which this process computes half, all its threads together.
    clocks = iter([7.0, 7.5]), iter([50.0, 51.0])
    monkeypatch.setattr(machine.time, "process_time", lambda: next(clocks[0]))
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(clocks[1]))
    monkeypatch.setattr(machine.time, "sleep", lambda seconds: None)
    assert machine.cores_of_others() == 1.0


def test_cores_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda process: {3, 5}, raising=False)
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 64)
    assert machine.num_cores() == 2
    assert machine.is_busy(0.4) and not machine.is_busy(0.2)


def test_unknown_device():
    with pytest.raises(ValueError, match="--device=tpu does not exist"):
        machine.start(quick=True, device="tpu")


def test_the_images_of_the_benchmark_are_on_their_levels():
    for num_levels in (2, 256):
        images = synthetic_images(8, num_levels)
        levels = images * (num_levels - 1)
        # Off by the rounding of float32.
        np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)
        assert levels.min() == 0.0 and images.max() == 1.0
        assert len(np.unique(images)) > 0.9 * num_levels


def test_fast_contenders_have_their_turns_between_slow_ones(monkeypatch):
    # A second each with TensorFlow's objects around.
    monkeypatch.setattr(interleaved.gc, "collect", lambda: None)
    order = []
    fast, slow = (
        {name: lambda name=name: order.append(name) for name in names} for names in ("ab", "XY")
    )
    seconds = interleaved.seconds_between(fast, slow, 2, 2)
    assert "".join(order) == "ababXababYabab" + "babaYbabaXbaba"
    assert [len(turns) for turns in seconds["a"]] == [6, 6]
    assert [len(turns) for turns in seconds["X"]] == [1, 1]


def test_ratios_are_taken_round_by_round():
    speeds = {"a": [10.0, 100.0, 30.0], "b": [10.0, 50.0, 60.0]}
    ratio = interleaved.ratio(speeds, "a", "b")
    assert ratio == dict(median=1.0, lower_quartile=0.75, upper_quartile=1.5)
    assert interleaved.fastest(speeds, ["a", "b"]) == "b"


def test_every_contender_is_warmed_up_and_follows_each_of_the_others():
    order = []
    contenders = {name: lambda name=name: order.append(name) for name in "abc"}
    interleaved.seconds_by_round(contenders, 11)
    assert len(order) == 3 * (1 + 11)
    rounds = ["".join(order[i : i + 3]) for i in range(0, len(order), 3)]
    assert {"".join(sorted(names)) for names in rounds} == {"abc"}
    assert {names[i : i + 2] for names in rounds for i in (0, 1)} == {
        first + second for first in "abc" for second in "abc" if first != second
    }


def test_contender_that_breaks_down_leaves_the_others_their_rounds():
    contenders = {"a": lambda: None, "b": breaking(2), "c": lambda: None}
    failed = {}
    seconds = interleaved.seconds_by_round(contenders, 3, failed.setdefault)
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "c": 3}
    assert str(failed["b"]) == "broke down"
    with pytest.raises(Broken):
        interleaved.seconds_by_round({"b": breaking(0)}, 2)


def test_arithmetic_of_a_graph_is_what_the_profiler_counts():
    kernel = tf.Variable(tf.ones((5, 5, 3, 7)))
    matrix = tf.Variable(tf.ones((7 * 16, 2)))

    @tf.function
    def forward(images):
        maps = tf.nn.conv2d(images, kernel, strides=2, padding="SAME")
        return tf.reshape(maps, (6, 7 * 16)) @ matrix

    @tf.function
    def step(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            loss = tf.reduce_sum(forward.python_function(images) ** 2)
        return tape.gradient(loss, [images, kernel, matrix])

    spec = tf.TensorSpec((6, 8, 8, 3))
    graph = forward.get_concrete_function(spec).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["account_type_regexes"] = ["Conv2D", "MatMul"]
    options["output"] = "none"
    counted = tf.compat.v1.profiler.profile(graph, options=options).total_float_ops
    once = arithmetic.of_graph(graph)
    assert once == counted == 2 * 6 * (16 * 7 * 75 + 7 * 16 * 2)
    # Backwards each product is two more, of the same size.
    assert arithmetic.of_graph(step.get_concrete_function(spec).graph) == 3 * once


def test_every_case_names_networks():
    assert {case.networks for cases in FAMILIES.values() for case in cases.values()} == set(
        kgen_networks.NETWORKS
    )
    assert Case("dense").kgen_networks == kgen_networks.NETWORKS["dense"]
