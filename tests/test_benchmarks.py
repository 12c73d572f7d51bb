"""The benchmarks run, without PyTorch too; how fast anything is, no test can say."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import (
    arithmetic,
    interleaved,
    machine,
    memory,
    probes,
    profiling,
    results,
    sampling,
    scaling,
    training,
)
from benchmarks.cases import FAMILIES, Case, synthetic_images
from benchmarks.probes import peak
from benchmarks.probes import scaling as scaling_probe
from benchmarks.rivals import kgen_networks


class Broken(Exception):
    pass


def breaking(after):
    """A function that raises at its call number `after`, from 0."""
    calls = iter(range(after))

    def train():
        if next(calls, None) is None:
            raise Broken("broke down")

    return train


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
    assert results.path(training.Config(), spoiled=True) != results.COMMITTED
    assert results.path(training.Config(output="mine.json"), spoiled=True) == "mine.json"


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


def test_quick_benchmark_of_sampling(tmp_path, monkeypatch, capsys):
    # Compiling takes a minute.
    monkeypatch.setenv("CXX", "no-compiler")
    output = tmp_path / "results.json"
    sampling.main(sampling.Config(quick=True, threads=1, output=str(output)))
    results = json.loads(output.read_text())["sampling"]["256 levels"]["results"]
    assert set(results["differing_pixels"]) >= {"kgen, cached", "kgen, cached, XLA", "kgen, naive"}
    # PyTorch's too, where it is installed.
    assert not any(results["differing_pixels"].values())
    # Two turns before and after each slow contender, one turn of the slow one.
    num_slow = len(results["seconds"]) - 2
    assert [len(turns) for turns in results["seconds"]["kgen, cached"]] == [2 * num_slow + 2] * 2
    assert [len(turns) for turns in results["seconds"]["kgen, naive"]] == [1, 1]
    rows = {(row["name"], row["side"]) for row in results["growth"]}
    assert rows == {
        (name, side) for name in ("kgen, cached", "kgen, cached, XLA") for side in (4, 8, 16)
    } | {("kgen, naive", 4), ("kgen, naive", 8)}
    # The current rows, with some columns of padding, and the rows above: linear in the width.
    sizes = [row["cache_bytes_an_image"] for row in results["memory"]]
    assert sizes[2] - sizes[1] == 2 * (sizes[1] - sizes[0]) > 0
    printed = capsys.readouterr().out
    assert "kgen, naive / kgen, cached, XLA" in printed


@pytest.mark.parametrize("levels", [2, 256])
def test_arithmetic_of_a_draw_is_that_of_one_pass_over_the_images(levels):
    config = sampling.Config(levels=levels, side=6, filters=8, num_blocks=1)
    model = sampling.build(config, config.side)
    network = tf.function(lambda images: model.network(images))
    graph = network.get_concrete_function(tf.TensorSpec((2, 6, 6, 1))).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["account_type_regexes"] = ["Conv2D"]
    options["output"] = "none"
    counted = tf.compat.v1.profiler.profile(graph, options=options).total_float_ops
    # The convolution multiplies the few taps of its last row that are not visible as well.
    assert 0.9 * counted < sampling.float_operations(model, 2) <= counted


def test_draw_is_measured_against_the_arithmetic(monkeypatch):
    monkeypatch.setattr(probes, "call", lambda *args, **kwargs: dict(gigaflops=2.0))
    seconds = {name: [[1.0, 9.0, 2.0], [4.0]] for name in sampling.GOALS}
    found = sampling.beside_the_arithmetic(10**9, seconds, sampling.Config())
    assert found["seconds_at_peak"] == 0.5
    assert found["ratios"] == {name: [4.0, 8.0] for name in sampling.GOALS}
    assert sampling.arithmetic_verdict([4.0, 8.0]) == "goal at most 3: MISSED in all rounds"
    assert sampling.arithmetic_verdict([2.0, 3.0]) == "goal at most 3: met in all rounds"
    assert "no verdict, met in 1 of 2" in sampling.arithmetic_verdict([2.0, 4.0])


def test_peak_counts_operations_and_bytes(monkeypatch):
    monkeypatch.setattr(peak, "_seconds", lambda work: 0.5)
    found = peak.measure(quick=True)
    # n^3 multiplications and additions of 256 rows; 65,536 numbers of 4 bytes, read and written.
    assert found["gigaflops"] == pytest.approx(2 * 256**3 / 0.5 / 1e9)
    assert found["gigabytes_a_second"] == pytest.approx(2 * 4 * 65536 / 0.5 / 1e9)


def test_times_are_compared_within_a_round_by_medians():
    seconds = {
        "kgen, cached": [[1.0, 2.0, 9.0], [1.0, 1.0, 1.0]],
        "kgen, cached, XLA": [[0.5, 0.5, 0.5], [0.1, 0.1, 0.1]],
        "kgen, naive": [[60.0], [40.0]],
    }
    rows = list(sampling.compare(seconds))
    assert [row["by_round"] for row in rows] == [[30.0, 40.0], [120.0, 400.0]]
    assert sampling.verdict(rows[0]) == "goal 30: met in all rounds"
    assert (
        sampling.verdict({**rows[0], "by_round": [29.0, 28.0]}) == "goal 30: MISSED in all rounds"
    )
    assert "no verdict, met in 1 of 2" in sampling.verdict({**rows[0], "by_round": [29.0, 31.0]})


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


def test_every_contender_is_warmed_up_and_every_second_round_is_reversed():
    order = []
    contenders = {name: lambda name=name: order.append(name) for name in "ab"}
    interleaved.seconds_by_round(contenders, 2)
    assert "".join(order) == "ab" + "ab" + "ba"


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


def test_data_sets_on_disk_grow_and_are_streamed(tmp_path):
    config = scaling.Config(sizes="1000", data_dir=str(tmp_path), num_rounds=2)
    ((label, arguments),) = scaling.by_images(config)
    assert label == dict(label="1,000 images on disk", shards=1)
    row = scaling_probe.measure(batch_size=256, num_batches=0, **arguments)
    assert len(row["images_per_second"]) == 2
    # 3 whole batches of 1,000 images.
    middle = 768 / np.median([768 / speed for speed in row["images_per_second"]])
    assert row["milliseconds_a_step"] == pytest.approx(1e3 * 256 / middle, rel=1e-6)


def test_two_replicas_split_the_step_of_one_device(tmp_path, capsys):
    output = tmp_path / "results.json"
    found = scaling.main(scaling.Config(quick=True, axes="replicas", output=str(output)))
    one, two = found["replicas"]
    # After three steps; sums in another order differ by 1e-7.
    assert two["largest_difference"] <= 1e-5 and "largest_difference" not in one
    assert list(json.loads(output.read_text())["scaling"]) == ["replicas"]
    assert "from one device's" in capsys.readouterr().out


def test_profile_names_the_operations_of_a_step(tmp_path):
    multiply = tf.function(lambda x: x @ x)
    seconds, operations = profiling.profile(lambda: multiply(tf.ones((300, 300))), tmp_path)
    # On two cores the threads of one product count twice.
    assert 0.0 < operations["MatMul"] < 2 * seconds
    assert "Conv2D" not in operations


def test_every_case_names_networks():
    assert {case.networks for cases in FAMILIES.values() for case in cases.values()} == set(
        kgen_networks.NETWORKS
    )
    assert Case("dense").kgen_networks == kgen_networks.NETWORKS["dense"]
