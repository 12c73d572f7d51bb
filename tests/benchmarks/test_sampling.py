"""The benchmark of sampling compares equal images, and loses nothing where a part of it fails."""

import json

import pytest

from benchmarks import cases, harness, probes, sampling

SECONDS = {
    "kgen, cached": [[1.0, 2.0, 9.0], [1.0, 1.0, 1.0]],
    "kgen, served": [[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]],
    "kgen, cached, XLA": [[0.5, 0.5, 0.5], [0.4, 0.4, 0.4]],
    "kgen, naive": [[70.0], [66.0]],
}
SAME = dict.fromkeys(SECONDS, 0)
TINY = dict(levels=2, side=6, filters=8, num_blocks=1, num_images=3)


def failing_probe(name, **arguments):
    raise RuntimeError(f"The probe '{name}' failed:\nout of memory")


def test_quick_run(tmp_path, monkeypatch, capsys):
    # Compiling takes a minute.
    monkeypatch.setenv("CXX", "no-compiler")
    monkeypatch.setattr(harness, "probe", failing_probe)
    output = tmp_path / "results.json"
    sampling.main(sampling.Config(quick=True, output=str(output)))
    results = json.loads(output.read_text())["sampling"]["256 levels"]["results"]
    assert set(results["differing_pixels"]) >= set(SECONDS)
    # PyTorch's too, where it is installed, and those of the served signature.
    assert not any(results["differing_pixels"].values())
    # Two turns before and after each slow contender, one turn of the slow one.
    num_slow = len(results["seconds"]) - 3
    assert [len(turns) for turns in results["seconds"]["kgen, served"]] == [2 * num_slow + 2] * 2
    assert [len(turns) for turns in results["seconds"]["kgen, naive"]] == [1, 1]
    rows = {(row["name"], row["side"]) for row in results["growth"]}
    fast = {(name, side) for name in ("kgen, cached", "kgen, cached, XLA") for side in (4, 8, 16)}
    assert rows == fast | {("kgen, naive", 4), ("kgen, naive", 8)}
    # The current rows, with some columns of padding, and the rows above: linear in the width.
    sizes = [row["cache_bytes_an_image"] for row in results["memory"]["cache"]]
    assert sizes[2] - sizes[1] == 2 * (sizes[1] - sizes[0]) > 0
    for found in (results["tfp"], results["memory"]["megabytes"]["kgen, served"]):
        assert found["missing"].endswith("out of memory")
    printed = capsys.readouterr().out
    assert "kgen, naive / kgen, served" in printed
    assert "no verdict, --quick measures nothing" in printed
    assert cases.trains("torch", "pixelcnn")


def test_draw_has_its_memory_and_its_arithmetic(monkeypatch, capsys):
    how = {key: TINY[key] for key in ("levels", "side", "filters", "num_blocks")}
    peaks = probes.draw_memory("kgen, cached", version="", num_images=2, **how)
    assert peaks["draw"] < peaks["process"]

    config = sampling.Config(**TINY)
    model = sampling.build(config, config.side)
    operations = sampling.float_operations(model, 3)
    calls = {}

    def probe(name, **arguments):
        calls[name] = arguments
        if name == "products":
            return dict(operations=operations // 2, seconds=2.0, seconds_xla=1.0)
        return dict(gigaflops=2e-9 * operations, gigabytes_a_second=1.0)

    monkeypatch.setattr(harness, "probe", probe)
    seconds = {name: [[1.0, 9.0, 2.0], [4.0]] for name in sampling.GOALS}
    found = sampling.beside_the_arithmetic(model, seconds, config)
    assert found["seconds_at_peak"] == pytest.approx(0.5)
    assert found["ratios"] == {name: pytest.approx([4.0, 8.0]) for name in sampling.GOALS}
    # 4 and 8 are further apart than 4 from 3.
    assert "further apart" in found["verdicts"]["kgen, served"]
    sampling._print_arithmetic(dict(arithmetic=found), None)
    # Half of the operations in a second, of twice all of them.
    assert "1.0000 s: 25.0% of the peak" in capsys.readouterr().out

    assert (calls["products"]["rows"], calls["products"]["count"]) == (3, 36)
    shapes = calls["products"]["shapes"]
    # Mask A, 7 x 7: three pixels to the left. A block: 1 x 1, one pixel to the left and itself.
    assert shapes[:3] == [[3, 8], [8, 4], [2 * 4, 4]] and shapes[-1][1] == 1
    once = probes.products(shapes, rows=2, count=36, quick=True)
    assert once["operations"] == 2 * 36 * 2 * sum(a * b for a, b in shapes)
    # The rest is of the rows above.
    assert 0.2 * operations < 3 / 2 * once["operations"] < operations


def test_times_are_compared_within_a_round_by_medians():
    rows = {row["to"]: row for row in sampling.compare(SECONDS, SAME)}
    assert {name: row["by_round"] for name, row in rows.items()} == {
        "kgen, cached": [35.0, 66.0],
        "kgen, served": [35.0, 33.0],
        "kgen, cached, XLA": [140.0, 165.0],
    }
    # 35 and 66 are further apart than 35 from 30.
    assert "further apart" in rows["kgen, cached"]["verdict"]
    assert rows["kgen, served"]["verdict"] == "goal 30: met"
    assert rows["kgen, cached, XLA"]["verdict"] == "goal 100: met"


def test_other_images_or_a_busy_machine_forbid_a_verdict():
    differing = SAME | {"kgen, served": 1}
    rows = {row["to"]: row["verdict"] for row in sampling.compare(SECONDS, differing)}
    assert rows["kgen, served"] == "goal 30: no verdict, the images differ"
    assert rows["kgen, cached, XLA"] == "goal 100: met"
    for differing, why in ((SAME | {"kgen, naive": 1}, "the images differ"), (SAME, "busy")):
        for row in sampling.compare(SECONDS, differing, why if why == "busy" else ""):
            assert row["verdict"].endswith(f"no verdict, {why}")


@pytest.mark.parametrize("flag", ["levels", "side", "num_rounds", "num_turns", "num_images"])
def test_bad_flags_are_refused_before_any_work(flag):
    with pytest.raises(ValueError, match=f"--{flag} must be at least"):
        sampling.main(sampling.Config(**{flag: 0}))
