"""The training benchmark runs, without PyTorch too, and judges as it says."""

import json
import subprocess
import sys

import numpy as np
import pytest
from breaking import breaking

from benchmarks import (
    libraries,
    machine,
    probes,
    rivals,
    stablehlo,
    training,
    verdicts,
)
from benchmarks.cases import FAMILIES

FAR = "the quartiles are further apart than from the goal"
BOTH = {"kgen", "kgen, 10 steps a call", "bare Keras"}
NAMES = {
    "dense VAE": BOTH | {"kgen, XLA", "kgen, XLA, 10 steps a call", "bare Keras, XLA"},
    "convolutional VAE": BOTH,
    "WGAN-GP": BOTH,
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
    ("pixelcnn", "torch"): {"PyTorch eager", "PyTorch eager, cropped kernels"},
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


@pytest.mark.filterwarnings("ignore")
def test_lightly_takes_part_without_torchvision(monkeypatch, capsys):
    if not libraries.is_at_hand("lightly", threads=1):
        pytest.skip(capsys.readouterr().out)
    script = (
        "import sys; sys.modules['torchvision'] = None; from benchmarks import libraries; "
        "print(libraries.why_missing('lightly', 1) or 'at hand'); "
        "import torch; from lightly.loss import NTXentLoss; "
        "print(NTXentLoss()(torch.ones(2, 3), torch.ones(2, 3)).item() > 0.0)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True
    )
    assert done.stdout.split("\n")[:2] == ["at hand", "True"], done.stderr
    from benchmarks.rivals import lightly_simclr

    def missing():
        raise ImportError("No module named 'torchvision'")

    monkeypatch.setattr(libraries, "_import_torchvision", missing)
    with pytest.raises(rivals.LeftOut, match="need torchvision"):
        lightly_simclr.transforms()


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


@pytest.mark.parametrize(
    "median, lower, upper, expected",
    [
        (0.98, 0.97, 0.99, "met"),
        (0.95, 0.94, 0.96, "MISSED"),
        (0.98, 0.96, 0.99, "no verdict, the goal lies between the quartiles: run again"),
        (1.5, 1.2, 1.9, f"no verdict, {FAR}: run again"),
        (2.5, 2.2, 2.9, "met"),
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
    pythae = "Pythae, as its users write it"
    others = [
        ("kgen", "Pythae", {pythae: 2.0}, 2.0),
        ("kgen, 10 steps a call", "Pythae", {}, 8.0 / 3.0),
        ("kgen", "lightly", {lightly: 1.5}, 6.0),
        ("kgen, 10 steps a call", "lightly", {}, 8.0),
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
        (
            "kgen",
            "lightly",
            {"PyTorch's fastest form": 1.3, lightly: 1.5},
            1.0,
        ),
        ("kgen", "Pythae", {pythae: 2.0}, 2.0),
        others[-1],
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
        "kgen, XLA": [200.0, 200.0],
        "PyTorch eager": [100.0, 160.0],
        "torch.compile": [400.0],
    }
    judged = verdicts.with_memory_goal(peaks, contenders, "kgen, XLA")
    assert judged == {"kgen", "kgen, XLA", "PyTorch eager"}
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
    assert "one process" in verdicts.memory_verdict(rows[2] | dict(processes=1))
    assert "it was quick" in verdicts.memory_verdict(rows[2], "it was quick")
    # The compiler is in the same process.
    assert verdicts.memory_verdict(rows[1]) == "no goal"


def test_unknown_names_list_those_that_exist():
    with pytest.raises(ValueError, match="kgen, keras, torch, pythae, lightly"):
        training.main(training.Config(libraries="caffe"))
    with pytest.raises(ValueError, match="vae, wgan_gp, pixelcnn, simclr"):
        training.main(training.Config(family="flow"))


def test_exported_step_is_a_program_with_its_arguments(tmp_path):
    stablehlo.export("vae", "dense VAE", tmp_path, batch_size=2)
    program = (tmp_path / "step.mlir").read_text()
    about = json.loads((tmp_path / "step.json").read_text())
    assert "stablehlo.dot" in program and "mhlo.input_output_alias" not in program
    assert about["arguments"][0] == dict(shape=[2, 28, 28, 1], dtype="float32")
    with np.load(tmp_path / "arguments.npz") as stored:
        arguments = [stored[name] for name in stored.files]
    stablehlo.check(program, arguments)
    with pytest.raises(ValueError, match="The step's parameters are"):
        stablehlo.check(program, arguments[1:])
