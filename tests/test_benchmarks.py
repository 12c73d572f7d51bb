"""The benchmarks run, without PyTorch too; how fast anything is, no test can say."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import (
    arithmetic,
    interleaved,
    libraries,
    machine,
    memory,
    probes,
    results,
    rivals,
    training,
    verdicts,
)
from benchmarks.cases import FAMILIES, Case, synthetic_images
from benchmarks.rivals import kgen_networks

BOTH = {"kgen", "kgen, 10 steps a call", "bare Keras"}
NAMES = {
    "dense VAE": BOTH | {"kgen, XLA", "kgen, XLA, 10 steps a call", "bare Keras, XLA"},
    "convolutional VAE": BOTH,
    "WGAN-GP": BOTH | {"kgen, XLA", "bare Keras, XLA"},
    "PixelCNN": BOTH,
    "SimCLR": BOTH,
}


def quick(tmp_path, **options):
    """The results of `training.main`, and what it wrote."""
    output = tmp_path / "results.json"
    config = training.Config(
        quick=True, batch_size=4, threads=1, memory_runs=0, output=str(output), **options
    )
    contents = training.main(config)
    written = json.loads(output.read_text())["training"] if output.exists() else {}
    return contents, written


@pytest.mark.parametrize("family", FAMILIES)
def test_quick_benchmark_of_the_keras_contenders(family, tmp_path, capsys):
    _, written = quick(tmp_path, family=family, libraries="kgen,keras")
    assert list(written) == [family]
    assert set(written[family]["results"]) == set(FAMILIES[family])
    for case, result in written[family]["results"].items():
        assert set(result["images_per_second"]) == NAMES[case]
        assert all(len(speeds) == 2 for speeds in result["images_per_second"].values())
        # Nothing stands between a step and its arithmetic, which is the same for all.
        assert set(result["gigaflops"]) == set(result["share_of_peak"]) == NAMES[case]
        assert result["hindrance"] == "--quick measures nothing"
    assert written[family]["machine"]["num_cores"] == machine.num_cores()
    printed = capsys.readouterr().out
    assert "kgen / bare Keras" in printed and "no verdict, --quick measures nothing" in printed


RIVALS = {
    ("wgan_gp", "torch"): {"PyTorch eager", "PyTorch eager, channels last"},
    ("pixelcnn", "torch"): {"PyTorch eager"},
    ("simclr", "torch"): {"PyTorch eager"},
    ("simclr", "lightly"): {
        "lightly",
        "lightly's loss, views by hand",
        "lightly, one draw a batch",
    },
    ("vae", "pythae"): {"Pythae"},
}


# What the rivals' own packages warn of is theirs.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family, library", RIVALS)
def test_quick_benchmark_of_a_rival(family, library, tmp_path, monkeypatch, capsys):
    if not libraries.is_at_hand(library, threads=1):
        pytest.skip(capsys.readouterr().out)
    # Compiling takes a minute.
    monkeypatch.setenv("CXX", "no-compiler")
    _, written = quick(tmp_path, family=family, libraries=library)
    for result in written[family]["results"].values():
        assert set(result["images_per_second"]) == RIVALS[family, library]
        if library != "pythae":
            compiled = [name for name in result["left_out"] if "torch.compile" in name]
            assert len(compiled) == len(RIVALS[family, library]) - (library == "lightly")
            assert "it needs a C++ compiler" in result["left_out"][compiled[0]]
    if library != "pythae":
        assert "torch.compile is left out: it needs a C++ compiler" in capsys.readouterr().out


def test_lightly_takes_part_without_torchvision(tmp_path, monkeypatch, capsys):
    if not libraries.is_at_hand("lightly", threads=1):
        pytest.skip(capsys.readouterr().out)
    monkeypatch.setenv("CXX", "no-compiler")
    for name in [name for name in sys.modules if name.split(".")[0] in ("torchvision", "lightly")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    _, written = quick(tmp_path, family="simclr", libraries="lightly")
    (result,) = written["simclr"]["results"].values()
    assert set(result["images_per_second"]) == {"lightly's loss, views by hand"}
    assert "need torchvision" in result["left_out"]["lightly"]


class Broken(Exception):
    pass


def breaking(after):
    """A function that raises at its call number `after`, from 0."""
    calls = iter(range(after))

    def train():
        if next(calls, None) is None:
            raise Broken("broke down")

    return train


def test_contender_that_fails_loses_nothing_that_was_measured(tmp_path, monkeypatch, capsys):
    def contenders(library, family, case, images, batch_size):
        if library == "pythae":
            raise ImportError("half installed")
        found = {
            "kgen": {"kgen": lambda: lambda: None, "kgen, XLA": lambda: breaking(2)},
            "keras": {"bare Keras": lambda: lambda: None, "bare Keras, XLA": lambda: breaking(0)},
            "torch": {"PyTorch eager": lambda: lambda: None, "torch.compile": breaking(0)},
        }[library]
        return {name: rivals.Contender(name, make, library=library) for name, make in found.items()}

    monkeypatch.setattr(libraries, "contenders", contenders)
    monkeypatch.setattr(libraries, "why_missing", lambda *args: "")
    monkeypatch.setattr(training.machine, "refuse_unlike_devices", lambda: None)
    monkeypatch.setattr(probes, "call", breaking(0))
    monkeypatch.setattr(training.arithmetic, "of_step", breaking(0))
    output = tmp_path / "results.json"
    config = training.Config(
        quick=True, family="vae", libraries="kgen,keras,torch,pythae", output=str(output)
    )
    training.main(config)
    written = json.loads(output.read_text())["training"]["vae"]
    assert set(written["results"]) == set(FAMILIES["vae"])
    result = written["results"]["dense VAE"]
    assert set(result["images_per_second"]) == {"kgen", "bare Keras", "PyTorch eager"}
    assert set(result["left_out"]) == {
        "pythae",
        "torch.compile",
        "bare Keras, XLA",
        "kgen, XLA",
        "the arithmetic of a step",
        *(f"the memory of {name}" for name in ("kgen", "bare Keras", "PyTorch eager")),
    }
    assert "left out: torch.compile" in capsys.readouterr().out


def test_rival_that_is_not_installed_is_named_and_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(libraries.REQUIREMENTS, "torch", ("no_such_module",))
    monkeypatch.setitem(libraries.REQUIREMENTS, "pythae", ("no_such_module",))
    config, missing = training.of_family(
        "vae", training.Config(libraries="kgen,torch,pythae,lightly")
    )
    # lightly trains no VAE, which is nothing to speak of.
    assert config.libraries == "kgen" and set(missing) == {"torch", "pythae"}
    printed = capsys.readouterr().out
    assert "PyTorch is left out: no_such_module cannot be imported" in printed
    assert "Pythae is left out" in printed and "lightly" not in printed
    contents, written = quick(tmp_path, family="vae", libraries="torch,pythae")
    assert contents["vae"]["results"] == {} and written == {}
    assert set(contents["vae"]["left_out"]) == {"torch", "pythae"}
    assert list(verdicts.ratios({"kgen": [1.0, 1.0]}, named(kgen="kgen"), 1.0)) == []


def named(**libraries_of):
    """Contenders of these names, with the library of each."""
    return {
        name: rivals.Contender(name, None, library=library)
        for name, library in libraries_of.items()
    }


def test_files_of_pytorch_do_not_import_tensorflow():
    pytest.importorskip("torch")
    rivals = ", ".join(f"torch_{family}" for family in FAMILIES)
    script = (
        "import sys; import benchmarks.probes.step_memory; "
        f"from benchmarks.rivals import {rivals}; print('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_peak_of_what_is_allocated():
    memory.forget_peak()
    before = memory.megabytes("RssAnon")
    numbers = np.ones(25_000_000)
    del numbers
    # 200 MB; what else the process does meanwhile is a thousandth of that.
    assert memory.allocated_peak() - before == pytest.approx(200.0, abs=5.0)
    assert memory.megabytes("RssAnon") - before < 5.0


def test_memory_of_a_step_is_measured_in_a_process_of_its_own():
    pytest.importorskip("torch")
    call = dict(library="torch", family="vae", case="dense VAE", contender="PyTorch eager")
    small, large = (
        probes.call("step_memory", batch_size=size, threads=1, **call) for size in (8, 2048)
    )
    # Weights of 1.1 million numbers, their gradients and Adam's two moments: 16 bytes each.
    assert small["step"] > 16 * 1.1
    # Float32 activations of 784 + 512 + 256 units on both sides, at the least.
    assert large["step"] - small["step"] > 4e-6 * 2040 * 2 * (784 + 512 + 256)
    assert large["process"] > large["step"]


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


@pytest.mark.parametrize("others", [[0.0, 1.5], [1.5, 0.0]])
def test_run_on_a_busy_machine_gives_no_verdict(others, monkeypatch):
    monkeypatch.setattr(machine, "num_cores", lambda: 2)
    hindrance = training.hindrance(training.Config(), others)
    row = dict(goals={"bare Keras": 0.97}, median=2.0, lower_quartile=2.0, upper_quartile=2.0)
    words = "goal 0.97 (bare Keras): no verdict, the machine was busy"
    assert verdicts.verdict(row, hindrance) == words
    assert training.hindrance(training.Config(threads=1), [0.0, 0.0]) == "--threads is set"
    assert training.hindrance(training.Config(), [0.0, 0.0]) == ""


def test_devices_that_differ_are_not_compared(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(machine, "gpu_name", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    machine.refuse_unlike_devices()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    with pytest.raises(RuntimeError, match="TensorFlow's GPU is None, PyTorch's a GPU"):
        machine.refuse_unlike_devices()


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


@pytest.mark.parametrize(
    "median, lower, upper, expected",
    [
        (0.98, 0.97, 0.99, "met"),
        (0.95, 0.94, 0.96, "MISSED"),
        (0.98, 0.96, 0.99, "met, but the goal lies between the quartiles"),
        (1.5, 1.2, 1.9, "no verdict, the quartiles are too far apart: run again"),
    ],
)
def test_verdict_says_when_the_spread_hides_the_answer(median, lower, upper, expected):
    row = dict(median=median, lower_quartile=lower, upper_quartile=upper, goals={"it": 0.97})
    assert verdicts.verdict(row) == f"goal 0.97 (it): {expected}"
    assert verdicts.verdict(row | dict(goals={})) == "no goal"


def test_goals_are_those_of_the_rivals():
    contenders = named(
        **{
            "kgen": "kgen",
            "kgen, 10 steps a call": "kgen",
            "bare Keras": "keras",
            "PyTorch eager": "torch",
            "torch.compile": "torch",
        }
    )
    contenders |= {
        one.name: one
        for one in (
            rivals.Contender("Pythae", None, own_way=True, library="pythae"),
            rivals.Contender("lightly", None, own_way=True, library="lightly"),
            rivals.Contender("lightly's loss", None, library="lightly"),
            rivals.Contender("lightly, one draw", None, same_work=False, library="lightly"),
        )
    }
    medians = (6.0, 8.0, 5.0, 2.0, 4.0, 3.0, 1.0, 3.5, 9.0)
    speeds = {name: [s, s] for name, s in zip(contenders, medians, strict=True)}

    def found(speeds, **options):
        rows = verdicts.ratios(speeds, contenders, 1.3, **options)
        return [(row["of"], row["to"], row["goals"], row["median"]) for row in rows]

    lightly = "lightly, as its users write it"
    others = [
        ("kgen", "Pythae", {"Pythae, as its users write it": 2.0}, 2.0),
        ("kgen", "lightly", {lightly: 1.5}, 6.0),
        ("kgen", "lightly, one draw", {}, 6.0 / 9.0),
    ]
    assert found(speeds) == [
        ("kgen", "bare Keras", {"bare Keras": 0.97}, 1.2),
        ("kgen, 10 steps a call", "torch.compile", {"PyTorch's fastest form": 1.3}, 2.0),
        ("kgen", "torch.compile", {}, 1.5),
        *others,
    ]
    # Without it, lightly's loss with views by hand is the fastest.
    fewer = {name: s for name, s in speeds.items() if name != "torch.compile"}
    judged = "PyTorch's fastest form of those at hand; left out: torch.compile"
    assert found(fewer, absent=["torch.compile"])[1:3] == [
        ("kgen, 10 steps a call", "lightly's loss", {judged: 1.3}, 8.0 / 3.5),
        ("kgen", "lightly's loss", {}, 6.0 / 3.5),
    ]
    # A pair with two goals is one row.
    slow = speeds | {"kgen, 10 steps a call": [1.0, 1.0], "lightly": [6.0, 6.0]}
    assert found(slow)[1:] == [
        ("kgen", "lightly", {"PyTorch's fastest form": 1.3, lightly: 1.5}, 1.0),
        others[0],
        others[2],
    ]


def test_memory_is_compared_with_each_form_of_pytorch():
    contenders = named(
        **{"kgen": "kgen", "kgen, XLA": "kgen", "PyTorch eager": "torch", "Pythae": "pythae"}
    )
    contenders["torch.compile"] = rivals.Contender(
        "torch.compile", None, compiled=True, library="torch"
    )
    peaks = {
        "kgen": [80.0, 100.0],
        "kgen, XLA": [200.0],
        "PyTorch eager": [100.0, 160.0],
        "torch.compile": [400.0],
    }
    rows = list(verdicts.memory_ratios(peaks, contenders, "kgen, XLA"))
    assert [(row["of"], row["to"], row["smallest"], row["largest"]) for row in rows] == [
        ("kgen", "PyTorch eager", 0.5, 1.0),
        ("kgen", "torch.compile", 0.2, 0.25),
        ("kgen, XLA", "PyTorch eager", 1.25, 2.0),
        ("kgen, XLA", "torch.compile", 0.5, 0.5),
    ]
    row = rows[0]
    assert verdicts.memory_verdict(row) == "goal at most 1: met"
    assert verdicts.memory_verdict(row | dict(largest=1.1)).startswith("goal at most 1: no verdict")
    assert verdicts.memory_verdict(rows[2]) == "goal at most 1: MISSED"
    # The compiler is in the same process.
    assert verdicts.memory_verdict(rows[1]) == "no goal"


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


def test_unknown_names_list_those_that_exist():
    with pytest.raises(ValueError, match="kgen, keras, torch, pythae, lightly"):
        training.main(training.Config(libraries="caffe"))
    with pytest.raises(ValueError, match="vae, wgan_gp, pixelcnn, simclr"):
        training.main(training.Config(family="flow"))


def test_every_case_names_networks():
    assert {case.networks for cases in FAMILIES.values() for case in cases.values()} == set(
        kgen_networks.NETWORKS
    )
    assert Case("dense").kgen_networks == kgen_networks.NETWORKS["dense"]
