"""Images a second and memory of training against batch, image, data set and replicas.

    python -m benchmarks.scaling
    python -m benchmarks.scaling --full      # up to 1,000,000 images: 784 MB on disk
    python -m benchmarks.scaling --quick

The model is the convolutional `kgen.VAE`; each row is a process of its own.
"""

import contextlib
import dataclasses
import pathlib
import statistics
import tempfile

from benchmarks import machine, probes, results
from kgen import recipe
from kgen.data.quiet import quiet_preparation
from kgen.recipe import option


@dataclasses.dataclass(frozen=True)
class Config:
    """The flags, with their defaults and help."""

    axes: str = option("batch,side,images,replicas", "what is varied")
    batch_sizes: str = option("16,32,64,128,256,512", "images a step")
    sides: str = option("14,28,56", "pixels a side, at a batch of 128")
    sizes: str = option("10000,100000", "images on disk: 1000, 10000, 100000 or 1000000")
    full: bool = option(False, "1,000,000 images on disk as well, which take 784 MB")
    num_batches: int = option(50, "steps a round, of images in memory")
    num_rounds: int = option(5, "rounds, after one of warm-up")
    data_dir: str = option("", "where shards are kept; by default they are removed at the end")
    device: str = option("auto", "auto: a GPU where there is one; cpu")
    quick: bool = option(False, "tiny sizes: shows that all runs, measures nothing")
    output: str = option("", f"where the figures go: {results.COMMITTED}, or if quick elsewhere")


QUICK = dict(batch_sizes="4,8", sides="14", sizes="1000", num_batches=2, num_rounds=1)
BATCH_SIZE = 128


def by_batch(config):
    """Rows of growing batches."""
    for size in _integers(config.batch_sizes):
        yield dict(label=f"batch of {size}"), dict(batch_size=size)


def by_side(config):
    """Rows of growing images."""
    for side in _integers(config.sides):
        yield dict(label=f"{side} x {side} pixels"), dict(side=side)


def by_images(config):
    """Rows of growing data sets on disk, each written before it is read."""
    from benchmarks.synthetic_data import SIZES, SyntheticImages

    sizes = _integers(config.sizes) + ([SIZES[-1]] if config.full else [])
    for size in sizes:
        recipe.choose("sizes", size, dict.fromkeys(SIZES))
    with contextlib.ExitStack() as stack:
        folder = config.data_dir or stack.enter_context(tempfile.TemporaryDirectory())
        for size in sizes:
            builder = SyntheticImages(config=str(size), data_dir=folder)
            with quiet_preparation():
                builder.download_and_prepare()
            shards = len(list(pathlib.Path(builder.data_dir).glob("*tfrecord*")))
            # An epoch of the largest takes minutes; one is enough to see whether memory is flat.
            rounds = config.num_rounds if size < 100_000 else 1
            yield (
                dict(label=f"{size:,} images on disk", shards=shards),
                dict(num_images=size, data_dir=folder, num_rounds=rounds),
            )


def by_replicas(config):
    """One device, then two that share the processor."""
    for count in (1, 2):
        yield dict(label=f"{count} logical device(s)"), dict(replicas=count)


AXES = {"batch": by_batch, "side": by_side, "images": by_images, "replicas": by_replicas}


def print_row(row):
    """One line of the table."""
    speeds = row["images_per_second"]
    spread = f"({min(speeds):,.0f} - {max(speeds):,.0f})"
    line = f"  {row['label']:24} {statistics.median(speeds):9,.0f}  {spread:20}"
    line += f" {row['milliseconds_a_step']:8.2f} ms a step"
    if row["peak_megabytes"] is not None:
        line += f" {row['peak_megabytes']:7,.0f} MB"
    if "largest_difference" in row:
        line += f"  weights differ by {row['largest_difference']:.1e} from one device's"
    print(line, flush=True)


def main(config):
    """Measure, print and write the figures, axis by axis. Returns them."""
    if config.quick:
        config = dataclasses.replace(config, **QUICK)
    axes = config.axes.split(",")
    for axis in axes:
        recipe.choose("axes", axis, AXES)
    before = machine.start(config.quick, config.device)
    batch_size = 8 if config.quick else BATCH_SIZE
    common = dict(
        batch_size=batch_size, num_batches=config.num_batches, num_rounds=config.num_rounds
    )
    found = {}
    for axis in axes:
        print(f"\nBy {axis}: images a second, median (smallest - largest), and peak memory")
        found[axis] = []
        for label, arguments in AXES[axis](config):
            row = label | probes.call("scaling", **(common | arguments))
            found[axis].append(row)
            print_row(row)
        content = dict(results=found[axis], config=dataclasses.asdict(config), machine=before)
        results.update(results.path(config), "scaling", axis, content)
    print(f"\nThe figures are in {results.path(config)}.")
    return found


def _integers(text):
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    recipe.run(main, Config)
