"""Where a training step's time goes, by operation.

    python -m benchmarks.profiling --family=wgan_gp
    tensorboard --logdir=runs/benchmarks/profile

The first of these reads what TensorFlow's profiler wrote; TensorBoard's profile plugin shows it as
well.
"""

import collections
import dataclasses
import pathlib
import re
import shutil
import time

import keras
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from benchmarks import libraries, machine
from benchmarks.cases import FAMILIES, synthetic_images
from kgen import recipe
from kgen.recipe import option


@dataclasses.dataclass(frozen=True)
class Config:
    """The flags, with their defaults and help."""

    family: str = option("vae", f"which models: {', '.join(FAMILIES)}")
    library: str = option("kgen", "kgen or keras")
    num_batches: int = option(10, "steps that are profiled")
    batch_size: int = option(0, "images a step; 0: that of the case")
    num_operations: int = option(15, "how many operations are listed")
    device: str = option("auto", "auto: a GPU where there is one; cpu")
    folder: str = option("runs/benchmarks/profile", "where the profiles go")


ITERATORS = "making iterators"


def seconds_by_operation(folder):
    """Time in each kind of operation, all threads together.

    Args:
        folder: what was given to `tf.profiler.experimental.start`.

    Returns:
        collections.Counter of kind, such as "Conv2D", to seconds; `ITERATORS` has those before the
        first step, in which tf.data makes its iterators.
    """
    seconds = collections.Counter()
    for path in pathlib.Path(folder).rglob("*.xplane.pb"):
        for plane in xplane_pb2.XSpace.FromString(path.read_bytes()).planes:
            for line in plane.lines:
                for event in line.events:
                    kind = _kind(plane.event_metadata[event.metadata_id].name)
                    seconds[kind] += 1e-12 * event.duration_ps
    del seconds[None]
    return seconds


def _kind(event):
    """The kind of operation of an event, or None if it is none."""
    if event == "MakeIterator::RootDataset":
        return ITERATORS
    # An operation of a graph is called "its name:its kind"; oneDNN's have a prefix.
    match = re.fullmatch(r"[^:]+:(?:_MklNative|_Mkl|_)?([A-Z]\w*)", event)
    return match and match[1]


def profile(train, folder):
    """Seconds of one call of `train`, and `seconds_by_operation`."""
    shutil.rmtree(folder, ignore_errors=True)
    train()
    tf.profiler.experimental.start(str(folder))
    start = time.perf_counter()
    train()
    seconds = time.perf_counter() - start
    tf.profiler.experimental.stop()
    return seconds, seconds_by_operation(folder)


def main(config):
    """Profile all cases of a family and print their operations. Returns the figures."""
    cases = recipe.choose("family", config.family, FAMILIES)
    recipe.choose("library", config.library, dict.fromkeys(("kgen", "keras")))
    machine.start(False, config.device)
    found = {}
    for name, case in cases.items():
        keras.utils.set_random_seed(0)
        batch_size = config.batch_size or case.batch_size
        images = synthetic_images(config.num_batches * batch_size, case.num_levels)
        makes = libraries.contenders(config.library, config.family, case, images, batch_size)
        contender, make = next(iter(makes.items()))
        folder = pathlib.Path(config.folder) / name.replace(" ", "_")
        seconds, operations = profile(make(), folder)
        found[name] = dict(seconds=seconds, operations=operations)
        iterators = operations.pop(ITERATORS, 0.0)
        busy = sum(operations.values())
        milliseconds = 1e3 / config.num_batches
        print(
            f"\n{name}, {contender}: {milliseconds * seconds:.2f} ms a step under the profiler, "
            f"{milliseconds * busy:.2f} ms of operations on all threads; before the first step "
            f"{1e3 * iterators:.0f} ms went into making iterators"
        )
        for kind, share in operations.most_common(config.num_operations):
            print(f"  {kind:40} {milliseconds * share:9.3f} ms a step {share / busy:8.1%}")
    return found


if __name__ == "__main__":
    recipe.run(main, Config)
