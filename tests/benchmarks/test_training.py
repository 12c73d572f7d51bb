"""The training benchmark runs, without PyTorch too, and judges as it says."""

import json

import numpy as np
import pytest

from benchmarks import arithmetic, cases, goals, harness, profiling, stablehlo, training
from benchmarks.cases import FAMILIES, Case, Contender


@pytest.fixture
def small(monkeypatch):
    """Leaves one case, which is not trained through XLA."""
    monkeypatch.setitem(FAMILIES, "vae", {"dense VAE": Case("vae", "dense", torch_goal=1.3)})


def breaks(*arguments, **keywords):
    raise RuntimeError("broke down")


def test_quick_run(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(harness, "probe", lambda name, **arguments: dict(gigaflops=100.0))
    output = tmp_path / "results.json"
    flags = dict(family="vae", libraries="kgen,keras", memory_runs=0, output=str(output))
    training.main(training.Config(quick=True, batch_size=4, **flags))
    (result,) = json.loads(output.read_text())["training"]["vae"]["results"].values()
    names = {"kgen", "kgen, 10 steps a call", "bare Keras"}
    assert set(result["images_per_second"]) == set(result["gigaflops"]) == names
    assert all(len(speeds) == 2 for speeds in result["images_per_second"].values())
    # Nothing stands between a step and its arithmetic, which is the same for all.
    assert set(result["share_of_peak"]) == names
    printed = capsys.readouterr().out
    assert "kgen / bare Keras" in printed and "no verdict, --quick measures nothing" in printed


def test_what_fails_loses_nothing_that_was_measured(small, tmp_path, monkeypatch, capsys):
    def contenders(library, case, images, batch_size):
        if library == "pythae":
            raise ImportError("half installed")
        found = {
            "kgen": {"kgen": lambda: lambda: None, "kgen, XLA": lambda: breaks},
            "keras": {"bare Keras": lambda: lambda: None, "bare Keras, XLA": breaks},
            "torch": {"PyTorch eager": lambda: lambda: None, "torch.compile": breaks},
        }[library]
        return {name: Contender(name, make, library=library) for name, make in found.items()}

    monkeypatch.setattr(cases, "contenders", contenders)
    monkeypatch.setattr(cases, "why_missing", lambda *args: "")
    monkeypatch.setattr(harness, "refuse_unlike_devices", lambda: None)
    monkeypatch.setattr(harness, "probe", breaks)
    monkeypatch.setattr(arithmetic, "gigaflops_of_step", breaks)
    output = tmp_path / "results.json"
    flags = dict(family="vae", libraries="kgen,keras,torch,pythae", output=str(output))
    training.main(training.Config(quick=True, **flags))
    written = json.loads(output.read_text())["training"]["vae"]
    assert written["left_out"] == {"the machine's peak": "broke down"}
    result = written["results"]["dense VAE"]
    left = ("kgen", "bare Keras", "PyTorch eager")
    assert set(result["images_per_second"]) == set(left)
    failed = {"pythae", "torch.compile", "bare Keras, XLA", "kgen, XLA", "the arithmetic of a step"}
    assert set(result["left_out"]) == failed | {f"the memory of {name}" for name in left}
    assert "left out: torch.compile" in capsys.readouterr().out


def test_rival_that_is_not_installed_is_named_and_left_out(monkeypatch, capsys):
    reasons = {"torch": "no module", "pythae": "no module"}
    monkeypatch.setattr(cases, "why_missing", lambda key, family: reasons.get(key, ""))
    asked = training.Config(libraries="kgen,torch,pythae,lightly")
    config, missing = training.of_family("vae", asked)
    # lightly trains no VAE, which is nothing to speak of.
    assert config.libraries == "kgen" and set(missing) == {"torch", "pythae"}
    printed = capsys.readouterr().out
    assert "torch is left out: no module" in printed and "lightly" not in printed
    assert cases.trains("lightly", "simclr") and not cases.trains("lightly", "vae")


@pytest.mark.parametrize(
    "flags, message",
    [
        (dict(family="simclr", libraries="pythae"), "has no contender in"),
        (dict(family="flow"), "vae, wgan_gp, pixelcnn, simclr"),
        (dict(libraries="caffe"), "kgen, keras, torch, pythae, lightly"),
        (dict(num_rounds=1), "--num_rounds=1 has no spread"),
        (dict(batch_size=-1), "--batch_size must be at least 0"),
        (dict(device="tpu"), "--device=tpu does not exist"),
        (dict(output="."), "is a folder"),
        (dict(output=__file__), "holds no JSON"),
    ],
)
def test_bad_flags_are_refused_before_any_work(flags, message):
    with pytest.raises(ValueError, match=message):
        training.main(training.Config(**flags))


CONTENDERS = {
    one.name: one
    for one in (
        Contender("kgen", None, library="kgen"),
        Contender("kgen, 10 steps a call", None, library="kgen"),
        Contender("bare Keras", None, library="keras"),
        Contender("PyTorch eager", None, library="torch"),
        Contender("torch.compile", None, compiled=True, library="torch"),
        Contender("Pythae", None, own_way=True, library="pythae"),
        Contender("lightly", None, own_way=True, library="lightly"),
        Contender("lightly's loss", None, library="lightly"),
        Contender("lightly, one draw", None, same_work=False, library="lightly"),
    )
}
SPEEDS = dict(zip(CONTENDERS, (6.0, 8.0, 5.0, 2.0, 4.0, 3.0, 1.0, 3.5, 9.0), strict=True))
PYTHAE, LIGHTLY = "Pythae, as its users write it", "lightly, as its users write it"


def test_goals_are_those_of_the_rivals():
    def found(speeds, absent=()):
        speeds = {name: [speed, speed] for name, speed in speeds.items()}
        rows = goals.ratios(speeds, CONTENDERS, 1.3, absent)
        return [(row["of"], row["to"], row["goals"], row["median"]) for row in rows]

    others = [
        ("kgen", "Pythae", {PYTHAE: 2.0}, 2.0),
        ("kgen, 10 steps a call", "Pythae", {}, 8.0 / 3.0),
        ("kgen", "lightly", {LIGHTLY: 1.5}, 6.0),
        ("kgen, 10 steps a call", "lightly", {}, 8.0),
        ("kgen", "lightly, one draw", {}, 6.0 / 9.0),
    ]
    assert found(SPEEDS) == [
        ("kgen", "bare Keras", {"bare Keras": 0.97}, 1.2),
        ("kgen, 10 steps a call", "torch.compile", {"PyTorch's fastest form": 1.3}, 2.0),
        ("kgen", "torch.compile", {}, 1.5),
        *others,
    ]
    # Without it, lightly's loss with views by hand is the fastest.
    fewer = {name: speed for name, speed in SPEEDS.items() if name != "torch.compile"}
    judged = "PyTorch's fastest form of those at hand; left out: torch.compile"
    assert found(fewer, absent=["torch.compile"])[1:3] == [
        ("kgen, 10 steps a call", "lightly's loss", {judged: 1.3}, 8.0 / 3.5),
        ("kgen", "lightly's loss", {}, 6.0 / 3.5),
    ]
    # A pair with two goals is one row.
    slow = SPEEDS | {"kgen, 10 steps a call": 1.0, "lightly": 6.0}
    both = {"PyTorch's fastest form": 1.3, LIGHTLY: 1.5}
    assert found(slow)[1:] == [("kgen", "lightly", both, 1.0), others[0], others[-1]]
    assert list(goals.ratios({"kgen": [1.0, 1.0]}, CONTENDERS, 1.0)) == []


def test_ratios_are_taken_round_by_round():
    speeds = {"kgen": [10.0, 100.0, 30.0], "bare Keras": [10.0, 50.0, 60.0]}
    (row,) = goals.ratios(speeds, CONTENDERS, 1.0)
    assert (row["lower_quartile"], row["median"], row["upper_quartile"]) == (0.75, 1.0, 1.5)
    assert goals.verdict(row).startswith("goal 0.97 (bare Keras): no verdict")


def test_memory_is_compared_with_each_form_of_pytorch():
    fastest = "kgen, 10 steps a call"
    peaks = {"kgen": [80.0, 100.0], fastest: [200.0, 200.0], "PyTorch eager": [100.0, 160.0]}
    peaks["torch.compile"] = [400.0]
    assert [name for name in peaks if goals.is_eager_pytorch(CONTENDERS[name])] == ["PyTorch eager"]
    steps = {name: dict(step=values) for name, values in peaks.items()}
    rows = list(goals.memory_ratios(steps, CONTENDERS, fastest))
    assert [(row["of"], row["to"], row["smallest"], row["largest"]) for row in rows] == [
        ("kgen", "PyTorch eager", 0.5, 1.0),
        ("kgen", "torch.compile", 0.2, 0.25),
        (fastest, "PyTorch eager", 1.25, 2.0),
        (fastest, "torch.compile", 0.5, 0.5),
    ]
    words = [goals.memory_verdict(row) for row in rows]
    # The compiler is in the same process.
    assert words == ["goal at most 1: met", "no goal", "goal at most 1: MISSED", "no goal"]
    assert "no verdict" in goals.memory_verdict(rows[0] | dict(largest=1.1))
    assert "one process" in goals.memory_verdict(rows[2] | dict(processes=1))


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


def test_quick_profile(small, tmp_path, capsys):
    output = tmp_path / "results.json"
    flags = dict(note="after", folder=str(tmp_path / "profile"), output=str(output))
    profiling.main(profiling.Config(quick=True, **flags))
    written = json.loads(output.read_text())["profiling"]
    (case,) = written["vae, kgen, after"]["results"].values()
    steps = case["milliseconds_a_step"]
    # On two cores the threads of one product count twice.
    assert 0.0 < steps["operations"]["MatMul"] < 2 * steps["under the profiler"]
    assert not steps["programs of XLA"] and 0.0 <= steps["no operation"]
    assert steps["input pipeline"]["Prefetch"] > 0.0
    assert steps["input pipeline"]["making iterators"] > 0.0
    assert "no operation  " in capsys.readouterr().out
    with pytest.raises(ValueError, match="kgen, 10 steps a call"):
        profiling.main(profiling.Config(contender="mine", quick=True))


def test_overlapping_intervals_count_once():
    assert profiling.union([(5.0, 6.0), (0.0, 2.0), (1.0, 3.0), (1.5, 1.6)]) == 4.0
