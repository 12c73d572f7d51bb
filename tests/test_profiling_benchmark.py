"""A profile tells operations from XLA, from the input pipeline and from idle time."""

import json

import pytest
import tensorflow as tf

from benchmarks import profiling


def test_profile_names_the_operations_of_a_step(tmp_path):
    multiply = tf.function(lambda x: x @ x)
    batches = tf.data.Dataset.range(4).map(lambda i: tf.ones((300, 300))).prefetch(1)

    def train():
        for batch in batches:
            multiply(batch)

    found = profiling.profile(train, tmp_path)
    # On two cores the threads of one product count twice.
    assert 0.0 < found.operations["MatMul"] < 2 * found.wall
    assert "Conv2D" not in found.operations and not found.xla
    assert found.pipeline["Prefetch"] > 0.0 and found.pipeline["making iterators"] > 0.0
    assert 0.0 <= found.idle < found.wall


def test_programs_of_xla_are_seen(tmp_path):
    multiply = tf.function(lambda x: x @ x, jit_compile=True)
    images = tf.ones((600, 600))
    found = profiling.profile(lambda: multiply(images).numpy(), tmp_path)
    assert 0.0 < found.xla <= found.wall
    assert found.idle <= found.wall - found.xla + 1e-6


def test_overlapping_intervals_count_once():
    assert profiling.union([(5.0, 6.0), (0.0, 2.0), (1.0, 3.0), (1.5, 1.6)]) == 4.0
    assert profiling.union([]) == 0.0


@pytest.mark.parametrize(
    "event, stage",
    [
        ("Iterator::Root::Prefetch::MapAndBatch", "MapAndBatch"),
        ("Iterator::Root", "Root"),
        ("Iterator::Root::Prefetch::FlatMap[0]::TensorSlice", "TensorSlice"),
        ("MakeIterator::RootDataset", "making iterators"),
        ("IteratorGetNext:IteratorGetNext", None),
    ],
)
def test_stages_of_the_input_pipeline(event, stage):
    assert profiling._stage(event) == stage


def test_quick_profiles_before_and_after_stay_side_by_side(tmp_path, capsys):
    output = tmp_path / "results.json"
    for note in ("before", "after"):
        options = dict(quick=True, folder=str(tmp_path / "profile"), output=str(output))
        profiling.main(profiling.Config(contender="kgen, XLA", note=note, **options))
    written = json.loads(output.read_text())["profiling"]
    assert sorted(written) == ["vae, kgen, XLA, after", "vae, kgen, XLA, before"]
    # The convolutional one is not trained through XLA.
    (case,) = written["vae, kgen, XLA, after"]["results"].values()
    assert 0.0 < case["milliseconds_a_step"]["programs of XLA"]
    assert "no operation on any thread" in capsys.readouterr().out


def test_unknown_contender_lists_those_that_exist(tmp_path):
    with pytest.raises(ValueError, match="kgen, 10 steps a call"):
        profiling.main(profiling.Config(contender="mine", quick=True))
