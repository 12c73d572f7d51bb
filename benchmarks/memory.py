"""Peak memory of training against the batch size and against the size of the data set.

    python -m benchmarks.memory

Each row is a process of its own that trains a convolutional VAE for one epoch, its images streamed
from disk. Peaks are those of resident memory, as Linux reports them.
"""

import dataclasses
import pathlib
import re
import subprocess
import sys

from kgen import recipe
from kgen.recipe import option


@dataclasses.dataclass(frozen=True)
class Config:
    """The flags, with their defaults and help."""

    dataset: str = option("fashion_mnist", "any TFDS data set of images")
    splits: str = option("train[:15000],train[:30000],train", "splits of growing size")
    batch_sizes: str = option("32,128,512", "images a step; the second is that of all splits")
    cache: bool = option(False, "hold the decoded split in memory, as small data sets are")
    output: str = option("runs/benchmarks/memory.json", "where the figures go")


PROBE = """
import pathlib, sys
import kgen
from kgen import data
name, split, batch_size, cache = sys.argv[1:]
images = data.load(name, split, batch_size=int(batch_size), shuffle=True, cache=cache == "True")
model = kgen.VAE.for_images(images.element_spec.shape[1:])
model.compile()
model.fit(images, verbose=0)
print(pathlib.Path("/proc/self/status").read_text())
"""


def peak(config, split, batch_size):
    """Peak resident memory in MB of one epoch."""
    arguments = [config.dataset, split, str(batch_size), str(config.cache)]
    status = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROBE, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024 / 1e6


def main(config):
    """Measure, print and write the figures. Returns them."""
    if not pathlib.Path("/proc/self/status").exists():
        raise RuntimeError("Peaks are read from /proc/self/status, which only Linux has.")
    batch_sizes = [int(size) for size in config.batch_sizes.split(",")]
    # Splits may hold commas of their own only inside brackets, which none of TFDS' do.
    splits = config.splits.split(",")
    rows = [(split, batch_sizes[min(1, len(batch_sizes) - 1)]) for split in splits]
    rows += [(splits[0], size) for size in batch_sizes if (splits[0], size) not in rows]
    results = []
    for split, batch_size in rows:
        megabytes = round(peak(config, split, batch_size))
        results.append(dict(split=split, batch_size=batch_size, peak_megabytes=megabytes))
        print(f"{config.dataset} {split:16} batch {batch_size:4}: {megabytes:6,} MB", flush=True)
    recipe.write_json(config.output, dict(results=results, config=dataclasses.asdict(config)))
    return results


if __name__ == "__main__":
    recipe.run(main, Config)
