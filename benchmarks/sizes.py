"""The default networks at growing sizes: parameters, and seconds of a training step.

python -m benchmarks.sizes
python -m benchmarks.sizes --sizes=32,64 --models=VAE,GAN
"""

import dataclasses
import statistics
import time

from benchmarks import harness
from benchmarks.harness import option

MODELS = ("VAE", "VQVAE", "GAN", "WGANGP", "GatedPixelCNN", "SimCLR")


@dataclasses.dataclass(frozen=True)
class Config(harness.Config):
    models: str = option(",".join(MODELS), "classes of kgen with for_images")
    sizes: str = option("32,64,128,256,512", "height and width")
    batch_size: int = option(5, "images per step")
    limit: float = option(5.0, "seconds of a step above which larger sizes are only counted")
    steps: int = option(2, "steps that are timed, after one that compiles")


def step_of(name, size, config):
    """The parameters of a default model for colour, and the function that takes a step."""
    import keras
    import numpy as np

    import kgen

    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    model = getattr(kgen, name).for_images((size, size, 3))
    model.compile(kgen.optimizers.Adam(1e-4))
    x, y = kgen.specs.x_and_y(model.data_spec)
    x = keras.tree.map_structure(lambda spec: np.asarray(spec.example(config.batch_size)), x)
    return model.count_params(), lambda: model.train_on_batch(x)


def main(config):
    """Measure, print and write the figures. Returns them."""
    harness.check(config, batch_size=1, steps=1)
    if config.quick:
        config = dataclasses.replace(config, models="VAE", sizes="8,16", steps=1, batch_size=2)
    names, sizes = config.models.split(","), [int(size) for size in config.sizes.split(",")]
    for name in names:
        harness.choose("models", name, MODELS)
    before = harness.start(config)
    rows, slow = {}, set()
    print(f"| model | {' | '.join(f'{size} x {size}' for size in sizes)} |")
    print("| --- |" + " --- |" * len(sizes))
    for name in names:
        cells = []
        for size in sizes:
            count, step = step_of(name, size, config)
            seconds = []
            if name not in slow:
                step()
                for _ in range(config.steps):
                    begin = time.perf_counter()
                    step()
                    seconds.append(time.perf_counter() - begin)
                if max(seconds) > config.limit:
                    slow.add(name)
            rows[f"{name} {size}"] = dict(parameters=count, seconds=seconds)
            text = f", {statistics.median(seconds):.2g} s" if seconds else ""
            cells.append(f"{count / 1e6:.1f} M{text}")
        print(f"| `{name}` | {' | '.join(cells)} |", flush=True)
    content = dict(rows=rows, batch_size=config.batch_size, machine=before)
    busy = bool(harness.obstacle_after(config, before))
    harness.finish(config, "sizes", harness.part("step", before), content, spoiled=busy)
    return content


if __name__ == "__main__":
    harness.run(main, Config)
