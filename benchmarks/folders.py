"""Preparing a folder of photographs, beside Pillow alone on the same cores.

python -m benchmarks.folders
python -m benchmarks.folders --source=/my/photos --size=128
"""

import concurrent.futures
import contextlib
import dataclasses
import pathlib
import statistics
import tempfile

import numpy as np

from benchmarks import harness
from benchmarks.harness import option

GOAL = 2.0


@dataclasses.dataclass(frozen=True)
class Config(harness.Config):
    source: str = option("", "a folder of pictures; empty: JPEG files made for the run")
    count: int = option(4000, "how many are made, of 240 to 960 pixels a side")
    size: int = option(64, "height and width of what they become")
    rounds: int = option(3, "rounds, in each of which both take their turn")


def make_photographs(folder, count):
    """Writes JPEG files of unequal sizes, with smooth and fine parts as photographs have."""
    from PIL import Image

    draws = np.random.default_rng(0)
    for row in range(count):
        width, height = (int(side) for side in draws.integers(240, 961, 2))
        coarse = draws.integers(256, size=(6, 8, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        grain = draws.normal(scale=6.0, size=(height, width, 1))
        pixels = np.clip(np.asarray(smooth) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{row:05}.jpg", quality=85)


def by_pillow(paths, size):
    """Decodes, turns upright and resizes, in as many threads as there are cores."""
    from PIL import Image, ImageOps

    def read(path):
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file).convert("RGB")
        return np.asarray(ImageOps.fit(image, (size, size), method=Image.Resampling.LANCZOS))

    with concurrent.futures.ThreadPoolExecutor(harness.num_cores()) as pool:
        return np.stack(list(pool.map(read, paths)))


def by_kgen(source, size):
    """Prepares the folder as a data set on disk."""
    from kgen.data import builders, catalog

    with tempfile.TemporaryDirectory() as data_dir:
        builder = builders.ImageFolder(source=source, size=size, data_dir=data_dir)
        return catalog.prepare(builder).info.splits.total_num_examples


def main(config):
    """Measure, print and write the figures. Returns them."""
    harness.check(config, count=1, size=1, rounds=1)
    if config.quick:
        config = dataclasses.replace(config, count=20, rounds=1)
    before = harness.start(config)
    with contextlib.ExitStack() as stack:
        source = config.source
        if not source:
            source = stack.enter_context(tempfile.TemporaryDirectory())
            make_photographs(pathlib.Path(source), config.count)
        from kgen.data.builders import ImageFolder

        paths = [path for pairs in ImageFolder(source=source)._files.values() for path, _ in pairs]
        work = dict(
            pillow=lambda: by_pillow(paths, config.size), kgen=lambda: by_kgen(source, config.size)
        )
        seconds = harness.seconds_by_round(work, config.rounds)
    ratios = [a / b for a, b in zip(seconds["kgen"], seconds["pillow"], strict=True)]
    found = (min(ratios), statistics.median(ratios), max(ratios))
    words = harness.verdict(
        found, GOAL, "rounds", at_most=True, why_not=harness.obstacle_after(config, before)
    )
    print(f"\n{len(paths):,} pictures to {config.size} x {config.size}: seconds, median (range)")
    for name, values in seconds.items():
        print(f"  {name:8} {harness.spread(values)}")
    print(f"  kgen / pillow {harness.spread(ratios, digits=2)}  goal at most {GOAL:g}: {words}")
    content = dict(seconds=seconds, num_pictures=len(paths), machine=before)
    harness.finish(config, "folders", harness.part("prepare", before), content)
    return content


if __name__ == "__main__":
    harness.run(main, Config)
