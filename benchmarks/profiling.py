"""Where a training step's time goes: operations, XLA, the input pipeline, and nothing at all.

    python -m benchmarks.profiling --family=wgan_gp
    python -m benchmarks.profiling --family=vae --contender="kgen, XLA" --note=before
    python -m benchmarks.profiling --quick
    tensorboard --logdir=runs/benchmarks/profile

TensorBoard shows what TensorFlow's profiler wrote with the package tensorboard-plugin-profile,
which the extra `bench` has.
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

from benchmarks import libraries, machine, results, rounds
from benchmarks.cases import FAMILIES, synthetic_images
from kgen import recipe
from kgen.recipe import option


@dataclasses.dataclass(frozen=True)
class Config:
    """The flags, with their defaults and help."""

    family: str = option("vae", f"which models: {', '.join(FAMILIES)}")
    library: str = option("kgen", "kgen or keras")
    contender: str = option("", 'of the library, such as "kgen, XLA"; the first by default')
    note: str = option("", "before or after a change: both stay in the results")
    num_batches: int = option(10, "steps that are profiled")
    batch_size: int = option(0, "images a step; 0: that of the case")
    num_operations: int = option(15, "how many operations are listed")
    device: str = option("auto", "auto: a GPU where there is one; cpu")
    folder: str = option("runs/benchmarks/profile", "where the profiles go")
    quick: bool = option(False, "2 steps of 4 images: shows that all runs, measures nothing")
    output: str = option("", f"where the figures go: {results.COMMITTED}, or if quick elsewhere")


QUICK = dict(num_batches=2, batch_size=4)
# What may differ from its default in a run that is committed.
FREE = ("family", "library", "contender", "note", "num_operations", "folder", "device")
# They last as long as what they hold, or wait for the input: neither is work of their own.
NO_WORK = {
    "Case",
    "If",
    "IteratorGetNext",
    "IteratorGetNextAsOptional",
    "PartitionedCall",
    "StatefulPartitionedCall",
    "StatelessIf",
    "StatelessWhile",
    "While",
    "XlaLaunch",
}


@dataclasses.dataclass
class Profile:
    """Seconds of one profiled call.

    Attributes:
        wall: of the call, under the profiler.
        operations: kind, such as "Conv2D", to seconds, all threads together.
        pipeline: stage of the input pipeline to seconds, those of the stages before it included;
            "making iterators" has what tf.data does before the first step.
        xla: in programs that XLA compiled, all threads together.
        idle: in which no thread was in an operation or in a program of XLA.
    """

    wall: float
    operations: collections.Counter
    pipeline: collections.Counter
    xla: float
    idle: float


def read(folder, wall):
    """The profile in a folder.

    Args:
        folder: what was given to `tf.profiler.experimental.start`.
        wall: seconds of what was profiled.
    """
    operations, pipeline, xla, intervals = collections.Counter(), collections.Counter(), 0.0, []
    for path in pathlib.Path(folder).rglob("*.xplane.pb"):
        for plane in xplane_pb2.XSpace.FromString(path.read_bytes()).planes:
            for line in plane.lines:
                for event in line.events:
                    name = plane.event_metadata[event.metadata_id].name
                    seconds = 1e-12 * event.duration_ps
                    stage, kind = _stage(name), _kind(name)
                    is_xla = re.match(r"(Cpu|Gpu)Executable::Execute", name) is not None
                    if stage:
                        pipeline[stage] += seconds
                    if is_xla:
                        xla += seconds
                    if kind and kind not in NO_WORK:
                        operations[kind] += seconds
                    elif not is_xla:
                        continue
                    start = 1e-9 * line.timestamp_ns + 1e-12 * event.offset_ps
                    intervals.append((start, start + seconds))
    return Profile(wall, operations, pipeline, xla, max(0.0, wall - union(intervals)))


def union(intervals):
    """How long at least one of the intervals `(start, end)` lasts."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _kind(event):
    """The kind of operation of an event, or None if it is none."""
    # An operation of a graph is called "its name:its kind"; oneDNN's have a prefix.
    match = re.fullmatch(r"[^:]+:(?:_MklNative|_Mkl|_)?([A-Z]\w*)", event)
    return match and match[1]


def _stage(event):
    """The stage of the input pipeline of an event, or None if it is none."""
    if event == "MakeIterator::RootDataset":
        return "making iterators"
    match = re.fullmatch(r"Iterator::(?:.+::)?(\w+)(?:\[.*\])?", event)
    return match and match[1]


def profile(train, folder):
    """The `Profile` of one call of `train`, after one to warm up."""
    shutil.rmtree(folder, ignore_errors=True)
    train()
    tf.profiler.experimental.start(str(folder))
    start = time.perf_counter()
    train()
    seconds = time.perf_counter() - start
    tf.profiler.experimental.stop()
    return read(folder, seconds)


def print_profile(label, found, config):
    """Shares of the time of a step, then its operations."""
    scale = 1e3 / config.num_batches
    busy = sum(found.operations.values())
    print(f"\n{label}: {scale * found.wall:.2f} ms a step under the profiler")
    for what, seconds in (
        ("operations, all threads together", busy),
        ("programs of XLA", found.xla),
        ("no operation on any thread", found.idle),
    ):
        print(f"  {what:40} {scale * seconds:9.3f} ms a step {seconds / found.wall:8.1%} of it")
    for kind, seconds in found.operations.most_common(config.num_operations):
        print(f"  {kind:40} {scale * seconds:9.3f} ms a step {seconds / busy:8.1%} of operations")
    print("  input pipeline, each stage with those before it:")
    for stage, seconds in found.pipeline.most_common():
        print(f"  {stage:40} {scale * seconds:9.3f} ms a step")


def figures(contender, found, config):
    """What is written: milliseconds a step."""
    scale = 1e3 / config.num_batches
    milliseconds = {
        "under the profiler": scale * found.wall,
        "programs of XLA": scale * found.xla,
        "no operation": scale * found.idle,
        "operations": {k: scale * s for k, s in found.operations.most_common()},
        "input pipeline": {k: scale * s for k, s in found.pipeline.most_common()},
    }
    return dict(contender=contender, milliseconds_a_step=milliseconds)


def main(config):
    """Profile all cases of a family, print their operations and write them. Returns the figures."""
    if config.quick:
        config = dataclasses.replace(config, **QUICK)
    cases = recipe.choose("family", config.family, FAMILIES)
    recipe.choose("library", config.library, dict.fromkeys(("kgen", "keras")))
    recipe.choose("note", config.note, dict.fromkeys(("", "before", "after")))
    results.check(config, num_batches=1, batch_size=0, num_operations=1)
    before = machine.start(config.quick, config.device)
    found, with_contender = {}, {}
    for name, case in cases.items():
        keras.utils.set_random_seed(0)
        batch_size = config.batch_size or case.batch_size
        images = synthetic_images(config.num_batches * batch_size, case.num_levels)
        makes = libraries.contenders(config.library, config.family, case, images, batch_size)
        with_contender |= makes
        contender = config.contender or next(iter(makes))
        # XLA trains some cases of a family only.
        if contender not in makes:
            continue
        folder = pathlib.Path(config.folder) / name.replace(" ", "_")
        each = profile(makes[contender](), folder)
        print_profile(f"{name}, {contender}", each, config)
        found[name] = figures(contender, each, config)
    if not found:
        recipe.choose("contender", config.contender, with_contender)
    contender = config.contender or next(iter(with_contender))
    part = ", ".join(filter(None, (config.family, contender, config.note)))
    content = dict(results=found, config=dataclasses.asdict(config), machine=before)
    spoiled = bool(rounds.obstacle(before, config.quick))
    path = results.path(config, FREE, spoiled=spoiled)
    results.update(path, "profiling", results.part(part, before), content)
    print(f"\nThe figures are in {path}.")
    return found


if __name__ == "__main__":
    recipe.run(main, Config)
