import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from kgen.data import loading

SHAPE = (64, 64, 3)
COUNTS = (1_000, 9_000)
ROOT = pathlib.Path(__file__).parents[2]

# Prints the peak of resident memory after each data set, each read as often as gives as many
# batches: an allocator grows with use too. Not getrusage: its peak includes that of the process
# which started this one.
PROBE = """
import pathlib, re, sys
import tensorflow_datasets as tfds
from kgen.data import load, pipeline

pipeline.SHUFFLE_BUFFER_BYTES = 4 << 20
for folder in sys.argv[1:]:
    builder = tfds.builder_from_directory(folder)
    dataset = load(builder, batch_size=64, shuffle=True, cache=False)
    for _ in range(9_000 // builder.info.splits["train"].num_examples):
        count = sum(len(batch) for batch in dataset)
    status = pathlib.Path("/proc/self/status").read_text()
    print(count, int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) * 1024)
"""


def prepare_noise(count, data_dir):
    import tensorflow_datasets as tfds

    from kgen.data.builders.features import images_and_labels

    class Noise(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=images_and_labels(SHAPE, ()))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            image = np.random.default_rng(0).integers(256, size=SHAPE, dtype=np.uint8)
            for row in range(count):
                yield row, {"image": image}

    builder = Noise(data_dir=data_dir)
    builder.download_and_prepare()
    return builder.data_dir


def test_streaming_takes_memory_that_does_not_grow_with_the_data(tmp_path):
    folders = [prepare_noise(count, tmp_path / str(count)) for count in COUNTS]
    output = subprocess.run(
        [sys.executable, "-c", PROBE, *folders],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.PIPE,
        timeout=300,
        check=True,
    ).stdout
    (small, small_peak), (large, large_peak) = np.array(output.split(), int).reshape(2, 2)
    assert (small, large) == COUNTS
    # Allocators and thread pools vary by tens of MB; the data grow by 98 MB.
    assert large_peak - small_peak < (large - small) * np.prod(SHAPE) / 2


def test_auto_streams_what_is_large(data_dir, monkeypatch):
    def in_memory():
        read = []
        monkeypatch.setattr(
            loading.pipeline, "read_into_memory", lambda *args: read.append(1) or unpatched(*args)
        )
        loading.load("digits", "test", data_dir=data_dir)
        return bool(read)

    unpatched = loading.pipeline.read_into_memory
    assert in_memory()
    monkeypatch.setattr(loading, "MEMORY_CACHE_BYTES", 297 * 64)
    assert not in_memory()
    monkeypatch.setattr(loading, "MEMORY_CACHE_BYTES", 297 * 64 + 1)
    assert in_memory()


def test_memory_holds_bytes_not_floats(data_dir):
    from kgen.data.catalog import find_builder, prepare

    builder = prepare(find_builder("digits", data_dir))
    examples = loading._read(builder, "test", ["image"])
    (images,) = loading.pipeline.read_into_memory(examples, 297)
    assert images.dtype == np.uint8 and images.shape == (297, 8, 8, 1)


def test_a_wrong_count_is_not_silent(data_dir):
    dataset = loading.pipeline.assemble(
        loading.pipeline.batches_in_memory(
            (np.zeros((5, 2), np.float32),),
            batch_size=2,
            shuffle=False,
            seed=0,
            drop_remainder=False,
        ),
        9,
        batch_size=2,
        drop_remainder=False,
        seed=0,
        binarize=None,
        columns=[loading.pipeline.Column()],
        pack=tuple,
    )
    with pytest.raises(Exception, match="expected to contain 5 elements but contained only 3"):
        list(dataset)
