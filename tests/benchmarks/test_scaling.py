"""What is said about scaling follows from what was measured."""

import json

import pytest
import tensorflow as tf

from benchmarks import harness, probes, scaling


def test_quick_run(tmp_path, monkeypatch, capsys):
    # In this process, which has two logical devices already.
    for name in ("set_visible_devices", "set_logical_device_configuration"):
        monkeypatch.setattr(tf.config, name, lambda *arguments: None)
    monkeypatch.setattr(harness, "probe", lambda name, **how: getattr(probes, name)(**how))
    monkeypatch.setattr(scaling, "BATCH_SIZE", 64)
    output = tmp_path / "results.json"
    scaling.main(scaling.Config(quick=True, axes="side,images,replicas", output=str(output)))
    written = json.loads(output.read_text())["scaling"]
    (side,), (images,) = (written[axis]["results"]["rows"] for axis in ("side", "images"))
    # Weights of half a million numbers, their gradients and Adam's two moments: 16 bytes each.
    # Some of them where earlier steps left room.
    assert 4 < side["step_megabytes"] < side["process_megabytes"]
    assert len(side["images_per_second"]) == 2
    # Streamed past an epoch, which has 15 batches.
    assert (images["num_images"], len(images["images_per_second"])) == (1000, 3)
    middle = 64 / sorted(images["images_per_second"])[1]
    assert images["milliseconds_a_step"] == pytest.approx(1e3 * middle, rel=1e-3)
    replicas = written["replicas"]["results"]
    assert 0 < replicas["largest_movement"]
    assert replicas["largest_difference"] <= 1e-4 * replicas["largest_movement"]
    assert "nothing to conclude, --quick measures nothing" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags, message",
    [
        (dict(batch_sizes="0,16"), "--batch_sizes=0,16 must be integers of at least 1"),
        (dict(sides="abc"), "--sides=abc must be integers"),
        (dict(num_rounds=1), "--num_rounds must be at least 2"),
        (dict(axes="width"), "One of: batch, side, images, replicas"),
    ],
)
def test_bad_flags_are_refused_before_any_work(flags, message):
    with pytest.raises(ValueError, match=message):
        scaling.main(scaling.Config(**flags))


def test_every_batch_size_sees_as_many_images_a_round():
    rows = scaling.rows_in_memory("batch", scaling.Config(batch_sizes="16,128"))
    assert [(row["batch_size"], row["num_batches"]) for _, row in rows] == [(16, 256), (128, 32)]


def test_memory_is_flat_or_not_known():
    rows = [dict(num_images=n, step_megabytes=m) for n, m in ((200_000, 200.0), (10_000, 90.0))]
    assert scaling.flatness(rows) is None and "needs --full" in scaling.flat_verdict(None)
    rows.append(dict(num_images=1_000_000, step_megabytes=210.0))
    assert scaling.flatness(rows) == 1.05
    assert scaling.flat_verdict(1.05).endswith("met, flat")
    assert scaling.flat_verdict(1.2).endswith("MISSED, it grows")


def test_split_is_judged_by_how_far_the_weights_moved():
    assert scaling.split_verdict(1e-9, 1e-3).endswith("met")
    # A step of twice the size.
    assert scaling.split_verdict(1e-3, 1e-3).endswith("MISSED")
    assert "no weight moved" in scaling.split_verdict(0.0, 0.0)
    assert scaling.overhead_text([0.5, 0.5], "").endswith("the split costs 50%, no goal")
    assert "too far apart" in scaling.overhead_text([0.5, 0.7], "")
    assert "the machine was busy" in scaling.overhead_text([0.5, 0.5], "the machine was busy")
