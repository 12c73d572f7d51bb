"""Images a second and memory of training against batch, image, data set and replicas.

    python -m benchmarks.scaling --full

The model is the convolutional `kgen.VAE`; each row is a process of its own, but the two of the
replicas, which take turns in one.
"""

import contextlib
import dataclasses
import io
import pathlib
import statistics
import tempfile

import numpy as np
import tensorflow_datasets as tfds

from benchmarks import harness
from benchmarks.harness import option

AXES = ("batch", "side", "images", "replicas")


@dataclasses.dataclass(frozen=True)
class Config(harness.Config):
    axes: str = option(",".join(AXES), "what is varied")
    batch_sizes: str = option("16,32,64,128,256,512", "images a step")
    sides: str = option("14,28,56", "pixels a side, at a batch of 128")
    full: bool = option(False, "1,000,000 images on disk as well, which take 784 MB")
    num_rounds: int = option(5, "rounds of images in memory, after one of warm-up; at least 2")


# What may differ from its default in a run that is committed.
FREE = ("axes", "full", "device")
BATCH_SIZE = 128
# Both beyond the shuffle buffer, which holds 171,000 images of this size.
FLAT_FROM, FLAT_TO, FLAT_GOAL = 200_000, 1_000_000, 1.1
# Of the largest movement of a weight. Float32's rounding was seen at 3e-6; a step that is not
# divided by the replicas, or twice, is off by a half or more.
SPLIT_GOAL = 1e-4


class SyntheticImages(tfds.core.GeneratorBasedBuilder):
    """Random grey images of 28 x 28, 784 bytes each; `synthetic_images/10000` has 10,000."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name=str(size)) for size in (1000, 10_000, FLAT_FROM, FLAT_TO)
    ]

    def _info(self):
        encoding = tfds.features.Encoding.BYTES
        image = tfds.features.Tensor(shape=(28, 28, 1), dtype=np.uint8, encoding=encoding)
        # Written as they come: shuffling would hold them in memory.
        how = dict(features=tfds.features.FeaturesDict(dict(image=image)), disable_shuffling=True)
        return tfds.core.DatasetInfo(builder=self, description="Random grey images.", **how)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(int(self.builder_config.name))}

    def _generate_examples(self, count):
        # Some thousand different images: drawing each would take longer than writing it.
        images = np.random.default_rng(0).integers(0, 256, (4096, 28, 28, 1), np.uint8)
        for index in range(count):
            yield index, {"image": images[index % len(images)]}


def rows_in_memory(axis, config):
    """Yields the label and the arguments of the probe for growing batches, or sides."""
    if axis == "batch":
        for size in _integers("batch_sizes", config):
            yield dict(label=f"batch of {size}"), _sizes(config, size)
        return
    for side in _integers("sides", config):
        yield dict(label=f"{side} x {side} pixels"), _sizes(config, BATCH_SIZE) | dict(side=side)


def _sizes(config, batch_size):
    # As many images a round for every batch: else what a round costs would bend the curve.
    num_batches = 2 if config.quick else max(1, 4096 // batch_size)
    return dict(batch_size=batch_size, num_batches=num_batches, num_rounds=config.num_rounds)


def rows_on_disk(config, folder):
    """Yields the same of growing data sets on disk, each written before it is read."""
    sizes = [1000] if config.quick else [10_000, FLAT_FROM] + [FLAT_TO] * config.full
    num_batches = 1 if config.quick else 50
    how = dict(batch_size=BATCH_SIZE, num_batches=num_batches, num_rounds=3, data_dir=folder)
    for size in sizes:
        builder = SyntheticImages(config=str(size), data_dir=folder)
        # It announces a download, which there is none of.
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
        shards = len(list(pathlib.Path(builder.data_dir).glob("*tfrecord*")))
        label = dict(label=f"{size:,} images on disk", shards=shards, num_images=size)
        yield label, dict(how, num_images=size)


def measure(axis, config):
    """The figures of an axis."""
    if axis == "replicas":
        found = harness.probe("replicas", **_sizes(config, BATCH_SIZE))
        one, two = found["images_per_second"].values()
        return found | dict(by_round=[a / b for a, b in zip(two, one, strict=True)])
    with tempfile.TemporaryDirectory() as folder:
        rows = rows_on_disk(config, folder) if axis == "images" else rows_in_memory(axis, config)
        found = [label | harness.probe("scaling", **arguments) for label, arguments in rows]
    return dict(rows=found) | (dict(flat=flatness(found)) if axis == "images" else {})


def flatness(rows):
    """Memory at the most images over that at the fewest beyond the shuffle buffer, or None."""
    megabytes = {row["num_images"]: row["step_megabytes"] for row in rows}
    if FLAT_TO in megabytes and FLAT_FROM in megabytes:
        return megabytes[FLAT_TO] / megabytes[FLAT_FROM]
    return None


def print_axis(axis, found, why_not=""):
    """Print the figures of an axis, and what they say of its goal."""
    if axis == "replicas":
        print("\nBy replicas, in turns in one process", end="")
        print(": images a second, median (smallest - largest)")
        for name, values in found["images_per_second"].items():
            print(f"  {name:24} {harness.spread(values, 0, 9)}")
        print(f"  {overhead_text(found['by_round'], why_not)}")
        print(f"  {split_verdict(found['largest_difference'], found['largest_movement'])}")
        return
    print(f"\nBy {axis}: images a second, median (smallest - largest), and peak memory in MB:")
    print("allocated by the model, its steps and the streaming; of the whole process")
    for row in found["rows"]:
        line = f"  {row['label']:24} {harness.spread(row['images_per_second'], 0, 9, 20)}"
        line += f" {row['milliseconds_a_step']:8.2f} ms a step"
        print(f"{line} {row['step_megabytes']:7,.0f} {row['process_megabytes']:7,.0f}")
    if "flat" in found:
        print(f"  {flat_verdict(found['flat'])}")


def flat_verdict(ratio):
    """Whether memory is flat, whatever the machine's load."""
    label = f"memory at {FLAT_TO:,} images / at {FLAT_FROM:,}"
    if ratio is None:
        return f"{label}: not measured, it needs --full"
    words = "met, flat" if ratio <= FLAT_GOAL else "MISSED, it grows"
    return f"{label}: {ratio:.3f}, goal at most {FLAT_GOAL}: {words}"


def overhead_text(ratios, why_not):
    """What the split costs. Two devices on one processor gain nothing, so there is no goal."""
    text, middle = harness.spread(ratios, 3).strip(), statistics.median(ratios)
    if not why_not and max(ratios) - min(ratios) > harness.WIDE_SPREAD * middle:
        why_not = "the rounds are too far apart: run again"
    words = f"the split {'costs' if middle < 1 else 'gains'} {abs(1 - middle):.0%}, no goal"
    words = f"nothing to conclude, {why_not}" if why_not else words
    return f"two replicas / one device {text}: {words}"


def split_verdict(difference, movement):
    """Whether two replicas took the steps of one device, whatever the machine's load."""
    if not movement:
        return "the split: no verdict, no weight moved"
    ratio = difference / movement
    return (
        f"after three steps of SGD weights differ by {ratio:.1e} of the largest movement "
        f"({movement:.1e}), goal at most {SPLIT_GOAL:.0e}: "
        f"{'met' if ratio <= SPLIT_GOAL else 'MISSED'}"
    )


def main(config):
    """Measure, print and write the figures, axis by axis. Returns them."""
    quick = dict(batch_sizes="4,8", sides="14", num_rounds=2)
    config = dataclasses.replace(config, **quick) if config.quick else config
    axes = config.axes.split(",")
    for axis in axes:
        harness.choose("axes", axis, AXES)
    harness.check(config, num_rounds=2)
    for flag in ("batch_sizes", "sides"):
        _integers(flag, config)
    before = harness.start(config)
    found = {}
    for axis in axes:
        found[axis] = measure(axis, config)
        why_not = harness.obstacle_after(config, before)
        print_axis(axis, found[axis], why_not)
        settings = dict(config=dataclasses.asdict(config), machine=before, hindrance=why_not)
        content, part = dict(results=found[axis], **settings), harness.part(axis, before)
        harness.finish(config, "scaling", part, content, FREE, spoiled=bool(why_not))
    return found


def _integers(flag, config):
    text = getattr(config, flag)
    numbers = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
    if min(numbers) < 1:
        raise ValueError(f"--{flag}={text} must be integers of at least 1, such as 16,32.")
    return numbers


if __name__ == "__main__":
    harness.run(main, Config)
