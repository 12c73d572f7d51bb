"""Images a second and memory of training against batch, image, data set and replicas.

    python -m benchmarks.scaling             # some five minutes on two cores
    python -m benchmarks.scaling --full      # 1,000,000 images as well: 784 MB on disk
    python -m benchmarks.scaling --quick

The model is the convolutional `kgen.VAE`; each row is a process of its own, but the two of the
replicas, which take turns in one.
"""

import contextlib
import dataclasses
import pathlib
import statistics
import tempfile

from benchmarks import machine, probes, results, rounds
from kgen import recipe
from kgen.data.quiet import quiet_preparation
from kgen.recipe import option


@dataclasses.dataclass(frozen=True)
class Config:
    """The flags, with their defaults and help."""

    axes: str = option("batch,side,images,replicas", "what is varied")
    batch_sizes: str = option("16,32,64,128,256,512", "images a step")
    sides: str = option("14,28,56", "pixels a side, at a batch of 128")
    sizes: str = option("10000,200000", "images on disk: 1000, 10000, 200000 or 1000000")
    full: bool = option(False, "1,000,000 images on disk as well, which take 784 MB")
    images_a_round: int = option(4096, "in memory; steps a round are this over the batch")
    num_rounds: int = option(5, "rounds of images in memory, after one of warm-up; at least 2")
    disk_batches: int = option(50, "steps a round of images on disk, 3 rounds")
    data_dir: str = option("", "where shards are kept; by default they are removed at the end")
    device: str = option("auto", "auto: a GPU where there is one; cpu")
    quick: bool = option(False, "tiny sizes: shows that all runs, measures nothing")
    output: str = option("", f"where the figures go: {results.COMMITTED}, or if quick elsewhere")


QUICK = dict(
    batch_sizes="4,8",
    sides="14",
    sizes="1000",
    images_a_round=16,
    num_rounds=2,
    disk_batches=2,
)
BATCH_SIZE = 128
DISK_ROUNDS = 3
# Both beyond the shuffle buffer, which holds 171,000 images of this size.
FLAT_FROM, FLAT_TO, FLAT_GOAL = 200_000, 1_000_000, 1.1
# Of the largest movement of a weight. Float32's rounding was seen at 3e-6; a step that is not
# divided by the replicas, or twice, is off by a half or more.
SPLIT_GOAL = 1e-4


def by_batch(config):
    """Rows of growing batches."""
    for size in _integers("batch_sizes", config):
        yield _in_memory(config, f"batch of {size}", size)


def by_side(config):
    """Rows of growing images."""
    for side in _integers("sides", config):
        label = f"{side} x {side} pixels"
        yield _in_memory(config, label, 8 if config.quick else BATCH_SIZE, side=side)


def _in_memory(config, label, batch_size, **arguments):
    # As many images a round for every batch: else what a round costs would bend the curve.
    num_batches = max(1, config.images_a_round // batch_size)
    return dict(label=label), dict(
        batch_size=batch_size, num_batches=num_batches, num_rounds=config.num_rounds, **arguments
    )


def by_images(config):
    """Rows of growing data sets on disk, each written before it is read."""
    from benchmarks.synthetic_data import SyntheticImages

    sizes = _integers("sizes", config)
    if config.full and FLAT_TO not in sizes:
        sizes.append(FLAT_TO)
    with contextlib.ExitStack() as stack:
        folder = config.data_dir or stack.enter_context(tempfile.TemporaryDirectory())
        for size in sizes:
            builder = SyntheticImages(config=str(size), data_dir=folder)
            with quiet_preparation():
                builder.download_and_prepare()
            shards = len(list(pathlib.Path(builder.data_dir).glob("*tfrecord*")))
            yield (
                dict(label=f"{size:,} images on disk", shards=shards, num_images=size),
                dict(
                    batch_size=8 if config.quick else BATCH_SIZE,
                    num_batches=config.disk_batches,
                    num_rounds=DISK_ROUNDS,
                    num_images=size,
                    data_dir=folder,
                ),
            )


ROWS = {"batch": by_batch, "side": by_side, "images": by_images}


def measure_rows(axis, config):
    """Measure and print the rows of an axis, and for data on disk whether memory is flat."""
    print_head(axis)
    found = dict(rows=[])
    for label, arguments in ROWS[axis](config):
        row = label | probes.call("scaling", **arguments)
        found["rows"].append(row)
        print_row(row)
    if axis == "images":
        found["flat"] = flatness(found["rows"])
        print(f"  {flat_verdict(found['flat'])}")
    return found


def print_axis(axis, found, why_not=""):
    """What a run printed of an axis, from its results."""
    if axis == "replicas":
        print_replicas(found, why_not)
        return
    print_head(axis)
    for row in found["rows"]:
        print_row(row)
    if "flat" in found:
        print(f"  {flat_verdict(found['flat'])}")


def print_head(axis):
    """What the columns are."""
    print(f"\nBy {axis}: images a second, median (smallest - largest), and peak memory in MB:")
    print("allocated by the model, its steps and the streaming; of the whole process")


def print_row(row):
    """One line of the table."""
    line = f"  {row['label']:24} {_speeds(row['images_per_second'])}"
    line += f" {row['milliseconds_a_step']:8.2f} ms a step"
    if row["step_megabytes"] is not None:
        line += f" {row['step_megabytes']:7,.0f} {row['process_megabytes']:7,.0f}"
    print(line, flush=True)


def flatness(rows):
    """Memory at the most images over that at the fewest beyond the shuffle buffer, or None."""
    megabytes = {row["num_images"]: row["step_megabytes"] for row in rows}
    if megabytes.get(FLAT_FROM) is None or megabytes.get(FLAT_TO) is None:
        return None
    return megabytes[FLAT_TO] / megabytes[FLAT_FROM]


def flat_verdict(ratio):
    """Whether memory is flat, whatever the machine's load."""
    label = f"memory at {FLAT_TO:,} images / at {FLAT_FROM:,}"
    if ratio is None:
        return f"{label}: not measured, it needs --full"
    words = "met, flat" if ratio <= FLAT_GOAL else "MISSED, it grows"
    return f"{label}: {ratio:.3f}, goal at most {FLAT_GOAL}: {words}"


def measure_replicas(config, before):
    """Measure and print two logical devices that share the processor beside one."""
    batch_size = 8 if config.quick else BATCH_SIZE
    found = probes.call(
        "replicas",
        batch_size=batch_size,
        num_batches=max(1, config.images_a_round // batch_size),
        num_rounds=config.num_rounds,
    )
    one, two = found["images_per_second"].values()
    found["by_round"] = [a / b for a, b in zip(two, one, strict=True)]
    print_replicas(found, rounds.obstacle(before, config.quick))
    return found


def print_replicas(found, why_not):
    """Speeds, what the split costs, and whether it is right."""
    print("\nBy replicas, in turns in one process: images a second, median (smallest - largest)")
    for name, values in found["images_per_second"].items():
        print(f"  {name:24} {_speeds(values)}".rstrip())
    print(f"  {overhead_text(found['by_round'], why_not)}")
    print(f"  {split_verdict(found['largest_difference'], found['largest_movement'])}")


def overhead_text(ratios, why_not):
    """What the split costs. Two devices on one processor gain nothing, so there is no goal."""
    text = f"two replicas / one device {rounds.spread(ratios, 3).strip()}"
    if why_not:
        return f"{text}: nothing to conclude, {why_not}"
    if len(ratios) < 2:
        return f"{text}: nothing to conclude, one round shows no spread"
    middle = statistics.median(ratios)
    if max(ratios) - min(ratios) > rounds.WIDE_SPREAD * middle:
        return f"{text}: nothing to conclude, the rounds are too far apart: run again"
    return f"{text}: the split {'costs' if middle < 1 else 'gains'} {abs(1 - middle):.0%}, no goal"


def split_verdict(difference, movement):
    """Whether two replicas took the steps of one device, whatever the machine's load."""
    if not movement:
        return "the split: no verdict, no weight moved"
    ratio = difference / movement
    words = "met" if ratio <= SPLIT_GOAL else "MISSED"
    return (
        f"after three steps of SGD weights differ by {ratio:.1e} of the largest movement "
        f"({movement:.1e}), goal at most {SPLIT_GOAL:.0e}: {words}"
    )


AXES = (*ROWS, "replicas")
# What may differ from its default in a run that is committed.
FREE = ("axes", "full", "data_dir", "device")


def check(config):
    """Refuse what cannot be measured, before any work; each error names the flag."""
    from benchmarks.synthetic_data import SIZES

    results.check(config, images_a_round=1, num_rounds=2, disk_batches=1)
    for name in ("batch_sizes", "sides"):
        _integers(name, config)
    for size in _integers("sizes", config):
        recipe.choose("sizes", str(size), dict.fromkeys(map(str, SIZES)))


def main(config):
    """Measure, print and write the figures, axis by axis. Returns them."""
    if config.quick:
        config = dataclasses.replace(config, **QUICK)
    axes = config.axes.split(",")
    for axis in axes:
        recipe.choose("axes", axis, dict.fromkeys(AXES))
    check(config)
    before = machine.start(config.quick, config.device)
    found = {}
    for axis in axes:
        found[axis] = (
            measure_replicas(config, before) if axis == "replicas" else measure_rows(axis, config)
        )
        hindrance = rounds.obstacle(before, config.quick)
        path = results.path(config, FREE, spoiled=bool(hindrance))
        settings = dict(config=dataclasses.asdict(config), machine=before, hindrance=hindrance)
        content = dict(results=found[axis], **settings)
        results.update(path, "scaling", results.part(axis, before), content)
        print(f"  The figures are in {path}.")
    return found


def _speeds(values):
    spread = f"({min(values):,.0f} - {max(values):,.0f})"
    return f"{statistics.median(values):9,.0f}  {spread:20}"


def _integers(name, config):
    """The numbers of a flag, in order.

    Raises:
        ValueError: if there is anything but integers of at least 1.
    """
    text = getattr(config, name)
    numbers = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
    if min(numbers) < 1:
        raise ValueError(f"--{name}={text} must be integers of at least 1, such as 16,32.")
    return numbers


if __name__ == "__main__":
    recipe.run(main, Config)
