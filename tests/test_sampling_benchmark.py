"""The benchmark of sampling compares equal images, and loses nothing where a part of it fails."""

import json
import re

import pytest
import tensorflow as tf

from benchmarks import probes, sampling
from benchmarks.probes import products

CACHED = ("kgen, cached", "kgen, served", "kgen, cached, XLA")
SECONDS = {
    "kgen, cached": [[1.0, 2.0, 9.0], [1.0, 1.0, 1.0]],
    "kgen, served": [[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]],
    "kgen, cached, XLA": [[0.5, 0.5, 0.5], [0.4, 0.4, 0.4]],
    "kgen, naive": [[70.0], [66.0]],
}
SAME = dict.fromkeys(SECONDS, 0)


def test_quick_benchmark_of_sampling(tmp_path, monkeypatch, capsys):
    # Compiling takes a minute.
    monkeypatch.setenv("CXX", "no-compiler")
    monkeypatch.setattr(probes, "call", failing_probe)
    output = tmp_path / "results.json"
    sampling.main(sampling.Config(quick=True, threads=1, output=str(output)))
    results = json.loads(output.read_text())["sampling"]["256 levels"]["results"]
    assert set(results["differing_pixels"]) >= {*CACHED, "kgen, naive"}
    # PyTorch's too, where it is installed, and those of the served signature.
    assert not any(results["differing_pixels"].values())
    # Two turns before and after each slow contender, one turn of the slow one.
    num_slow = len(results["seconds"]) - 3
    assert [len(turns) for turns in results["seconds"]["kgen, served"]] == [2 * num_slow + 2] * 2
    assert [len(turns) for turns in results["seconds"]["kgen, naive"]] == [1, 1]
    rows = {(row["name"], row["side"]) for row in results["growth"]}
    assert rows == {
        (name, side) for name in ("kgen, cached", "kgen, cached, XLA") for side in (4, 8, 16)
    } | {("kgen, naive", 4), ("kgen, naive", 8)}
    # The current rows, with some columns of padding, and the rows above: linear in the width.
    sizes = [row["cache_bytes_an_image"] for row in results["memory"]["cache"]]
    assert sizes[2] - sizes[1] == 2 * (sizes[1] - sizes[0]) > 0
    assert results["tfp"] == results["arithmetic"] == dict(missing="out of memory")
    assert results["memory"]["megabytes"]["kgen, served"] == dict(missing="out of memory")
    printed = capsys.readouterr().out
    assert "kgen, naive / kgen, served" in printed
    assert "no verdict, --quick measures nothing" in printed
    assert "PixelCNN is left out: out of memory" in printed


def failing_probe(name, **arguments):
    raise RuntimeError(f"The probe '{name}' failed:\nout of memory")


def test_memory_of_a_draw():
    sizes = dict(levels=2, side=6, num_images=2, filters=8, num_blocks=1, threads=1)
    found = probes.call("draw_memory", contender="kgen, cached", version="", **sizes)
    assert 0 < found["draw"] < found["process"]


@pytest.mark.parametrize("flag", ["levels", "side", "num_rounds", "num_turns", "num_images"])
def test_bad_flags_are_refused_before_any_work(flag):
    with pytest.raises(ValueError, match=f"--{flag} must be an integer of at least"):
        sampling.main(sampling.Config(**{flag: 0}))


@pytest.mark.parametrize("levels", [2, 256])
def test_arithmetic_of_a_draw_is_that_of_one_pass_over_the_images(levels):
    config = sampling.Config(levels=levels, side=6, filters=8, num_blocks=1)
    model = sampling.build(config, config.side)
    network = tf.function(lambda images: model.network(images))
    graph = network.get_concrete_function(tf.TensorSpec((2, 6, 6, 1))).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["account_type_regexes"] = ["Conv2D", "MatMul"]
    options["output"] = "none"
    counted = tf.compat.v1.profiler.profile(graph, options=options).total_float_ops
    # The convolution multiplies the few taps of its last row that are not visible as well.
    assert 0.9 * counted < sampling.float_operations(model, 2) <= counted


def test_draw_is_measured_against_the_arithmetic(monkeypatch, capsys):
    config = sampling.Config(levels=2, side=6, filters=8, num_blocks=1, num_images=3)
    model = sampling.build(config, config.side)
    operations = sampling.float_operations(model, 3)
    calls = {}

    def probe(name, **arguments):
        calls[name] = arguments
        if name == "products":
            return dict(operations=operations // 2, seconds=2.0, seconds_xla=1.0)
        return dict(gigaflops=2e-9 * operations, gigabytes_a_second=1.0)

    monkeypatch.setattr(probes, "call", probe)
    seconds = {name: [[1.0, 9.0, 2.0], [4.0]] for name in sampling.GOALS}
    found = sampling.beside_the_arithmetic(model, seconds, config)
    assert found["operations"] == operations
    assert found["seconds_at_peak"] == pytest.approx(0.5)
    assert found["ratios"] == {name: pytest.approx([4.0, 8.0]) for name in sampling.GOALS}
    assert calls["products"]["rows"] == 3
    assert calls["products"]["count"] == 36
    sampling.sampling_tables.print_arithmetic(found, None)
    printed = capsys.readouterr().out
    assert "GFLOP/s" in printed
    # Half of the operations in a second, of twice all of them.
    assert re.search(r"its products in order, XLA +1.0000 s: 25.0% of the peak", printed)
    # 4 and 8 are further apart than 4 from 3.
    assert "further apart" in found["verdicts"]["kgen, served"]


def test_products_of_a_pixel_are_what_the_rows_above_do_not_give():
    config = sampling.Config(levels=2, side=6, filters=8, num_blocks=1)
    model = sampling.build(config, config.side)
    shapes = sampling.products_of_a_pixel(model)
    # Mask A, 7 x 7: three pixels to the left. A block: 1 x 1, one pixel to the left and itself.
    assert shapes[:3] == [[3, 8], [8, 4], [2 * 4, 4]]
    assert shapes[-1][1] == 1
    found = products.measure(shapes, rows=2, count=5, quick=True)
    assert found["operations"] == 2 * 5 * 2 * sum(a * b for a, b in shapes)
    assert min(found["seconds"], found["seconds_xla"]) > 0
    whole = sampling.float_operations(model, 1)
    assert 0.2 * whole < 2 * 36 * sum(a * b for a, b in shapes) < whole


def test_times_are_compared_within_a_round_by_medians():
    rows = {row["to"]: row for row in sampling.compare(SECONDS, SAME)}
    assert {name: row["by_round"] for name, row in rows.items()} == {
        "kgen, cached": [35.0, 66.0],
        "kgen, served": [35.0, 33.0],
        "kgen, cached, XLA": [140.0, 165.0],
    }
    # 35 and 66 are further apart than 35 from 30.
    assert "further apart" in rows["kgen, cached"]["verdict"]
    assert rows["kgen, served"]["verdict"] == "goal 30: met in all rounds"
    assert rows["kgen, cached, XLA"]["verdict"] == "goal 100: met in all rounds"


def test_other_images_or_a_busy_machine_forbid_a_verdict():
    differing = SAME | {"kgen, served": 1}
    rows = {row["to"]: row["verdict"] for row in sampling.compare(SECONDS, differing)}
    assert rows["kgen, served"] == "goal 30: no verdict, the images differ"
    assert rows["kgen, cached, XLA"] == "goal 100: met in all rounds"
    differing = SAME | {"kgen, naive": 1}
    for row in sampling.compare(SECONDS, differing):
        assert row["verdict"].endswith("no verdict, the images differ")
    for row in sampling.compare(SECONDS, SAME, "the machine was busy"):
        assert row["verdict"].endswith("no verdict, the machine was busy")
