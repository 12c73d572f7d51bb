"""The benchmarks run, without PyTorch too; how fast anything is, no test can say."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import (
    interleaved,
    libraries,
    machine,
    memory,
    probes,
    results,
    training,
    verdicts,
)
from benchmarks.cases import FAMILIES, Case, synthetic_images
from benchmarks.rivals import kgen_networks

BOTH = {"kgen", "kgen, 10 steps a call", "bare Keras"}
NAMES = {
    "dense VAE": BOTH | {"kgen, XLA", "kgen, XLA, 10 steps a call", "bare Keras, XLA"},
    "convolutional VAE": BOTH,
    "WGAN-GP": BOTH | {"kgen, XLA"},
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
    assert written[family]["machine"]["num_cores"] == os.cpu_count()
    assert "kgen / bare Keras" in capsys.readouterr().out


RIVALS = {
    ("wgan_gp", "torch"): {"PyTorch eager"},
    ("pixelcnn", "torch"): {"PyTorch eager"},
    ("simclr", "torch"): {"PyTorch eager"},
    ("simclr", "lightly"): {"lightly", "lightly, one draw a batch"},
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
        assert "torch.compile is left out: it needs a C++ compiler" in capsys.readouterr().out


def test_rival_that_is_not_installed_is_named_and_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(libraries.REQUIREMENTS, "torch", ("no_such_module",))
    monkeypatch.setitem(libraries.REQUIREMENTS, "pythae", ("no_such_module",))
    config = training.of_family("vae", training.Config(libraries="kgen,torch,pythae,lightly"))
    # lightly trains no VAE, which is nothing to speak of.
    assert config.libraries == "kgen"
    printed = capsys.readouterr().out
    assert "PyTorch is left out: no_such_module cannot be imported" in printed
    assert "Pythae is left out" in printed and "lightly" not in printed
    contents, written = quick(tmp_path, family="vae", libraries="torch,pythae")
    assert contents["vae"]["results"] == {} and written == {}
    keras_only = dict(verdicts.ratios({"kgen": [1.0, 1.0]}, {"kgen": "kgen"}, 1.0))
    assert keras_only == {}


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


@pytest.mark.parametrize("load, says", [(1.9, "The machine is busy"), (0.1, "")])
def test_busy_machine_is_told(load, says, monkeypatch, capsys):
    monkeypatch.setattr(machine.os, "getloadavg", lambda: (load, load, load))
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 2)
    before = machine.start(quick=False)
    assert before["load_before"] == load
    assert capsys.readouterr().out.startswith(says) if says else not capsys.readouterr().out


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
    assert verdicts.verdict(row) == expected


def test_goals_are_those_of_the_rivals():
    library_of = {
        "kgen": "kgen",
        "kgen, 10 steps a call": "kgen",
        "bare Keras": "keras",
        "PyTorch eager": "torch",
        "torch.compile": "torch",
        "Pythae": "pythae",
        "lightly": "lightly",
        "lightly, one draw a batch": "lightly",
    }
    medians = (6.0, 8.0, 5.0, 2.0, 4.0, 3.0, 1.0, 9.0)
    speeds = {name: [s, s] for name, s in zip(library_of, medians, strict=True)}
    rows = list(verdicts.ratios(speeds, library_of, 1.3))
    assert [(row["of"], row["to"], row["goal"], row["median"]) for row in rows] == [
        ("kgen", "bare Keras", 0.97, 1.2),
        ("kgen, 10 steps a call", "torch.compile", 1.3, 2.0),
        ("kgen", "torch.compile", None, 1.5),
        ("kgen", "Pythae", 2.0, 2.0),
        ("kgen", "lightly", 1.5, 6.0),
        ("kgen", "lightly, one draw a batch", None, 6.0 / 9.0),
    ]


def test_memory_is_compared_with_each_form_of_pytorch():
    library_of = {"kgen": "kgen", "kgen, XLA": "kgen", "PyTorch eager": "torch", "Pythae": "pythae"}
    peaks = {"kgen": [80.0, 100.0], "kgen, XLA": [1.0], "PyTorch eager": [100.0, 160.0]}
    (row,) = verdicts.memory_ratios(peaks, library_of)
    assert row == dict(of="kgen", to="PyTorch eager", smallest=0.5, largest=1.0)
    assert verdicts.memory_verdict(row) == "goal at most 1: met"
    assert verdicts.memory_verdict(row | dict(largest=1.1)).startswith("goal at most 1: no verdict")
    assert verdicts.memory_verdict(dict(smallest=1.1, largest=1.2)) == "goal at most 1: MISSED"


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
