"""Where a training step's time goes: operations, XLA, the input pipeline, and nothing at all.

python -m benchmarks.profiling --family=vae --contender="kgen, XLA" --note=before
tensorboard --logdir=runs/benchmarks/profile
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

from benchmarks import harness
from benchmarks.cases import FAMILIES, OF_TENSORFLOW, contenders, synthetic_images
from benchmarks.harness import option


@dataclasses.dataclass(frozen=True)
class Config(harness.Config):
    family: str = option("vae", f"which models: {', '.join(FAMILIES)}")
    contender: str = option("kgen", 'such as "kgen, XLA" or "bare Keras"')
    note: str = option("", "before or after a change: both stay in the results")
    folder: str = option("runs/benchmarks/profile", "where the profiles go")


# What may differ from its default in a run that is committed.
FREE = ("family", "contender", "note", "folder", "device")
# They last as long as what they hold, or wait for the input: neither is work of their own.
NO_WORK = {"Case", "If", "StatelessIf", "While", "StatelessWhile", "XlaLaunch"}
NO_WORK |= {"PartitionedCall", "StatefulPartitionedCall"}
NO_WORK |= {"IteratorGetNext", "IteratorGetNextAsOptional"}


def read(folder, wall):
    """The seconds of a call that took `wall` by what they were spent on, from its profile.

    Operations and programs of XLA are all threads together, "no operation" is where no thread was
    in either, and a stage of the input pipeline has those before it included.
    """
    operations, pipeline, xla, intervals = collections.Counter(), collections.Counter(), 0.0, []
    for path in pathlib.Path(folder).rglob("*.xplane.pb"):
        for plane in xplane_pb2.XSpace.FromString(path.read_bytes()).planes:
            for line, event in ((one, event) for one in plane.lines for event in one.events):
                name = plane.event_metadata[event.metadata_id].name
                seconds = 1e-12 * event.duration_ps
                is_xla = re.match(r"(Cpu|Gpu)Executable::Execute", name) is not None
                # An operation of a graph is called "its name:its kind"; oneDNN's have a prefix.
                kind = re.fullmatch(r"[^:]+:(?:_MklNative|_Mkl|_)?([A-Z]\w*)", name)
                works = kind is not None and kind[1] not in NO_WORK
                pipeline.update({_stage(name): seconds})
                operations.update({kind[1]: seconds} if works else {})
                xla += seconds if is_xla else 0.0
                if works or is_xla:
                    start = 1e-9 * line.timestamp_ns + 1e-12 * event.offset_ps
                    intervals.append((start, start + seconds))
    del pipeline[None]
    return {
        "under the profiler": wall,
        "programs of XLA": xla,
        "no operation": max(0.0, wall - union(intervals)),
        "operations": dict(operations.most_common()),
        "input pipeline": dict(pipeline.most_common()),
    }


def _stage(event):
    """The stage of the input pipeline of an event, or None if it is none."""
    if event == "MakeIterator::RootDataset":
        # What tf.data does before the first step.
        return "making iterators"
    match = re.fullmatch(r"Iterator::(?:.+::)?(\w+)(?:\[.*\])?", event)
    return match and match[1]


def union(intervals):
    """How long at least one of the intervals `(start, end)` lasts."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def profile(train, folder):
    """`read` of one call of `train`, after one to warm up."""
    shutil.rmtree(folder, ignore_errors=True)
    train()
    tf.profiler.experimental.start(str(folder))
    start = time.perf_counter()
    train()
    seconds = time.perf_counter() - start
    tf.profiler.experimental.stop()
    return read(folder, seconds)


def print_profile(label, found):
    """Milliseconds of a step and shares of it, then of its operations."""
    wall, busy = found["under the profiler"], sum(found["operations"].values())
    print(f"\n{label}: {wall:.2f} ms a step under the profiler")
    for what in ("operations", "programs of XLA", "no operation"):
        value = busy if what == "operations" else found[what]
        print(f"  {what:40} {value:9.3f} ms a step {value / wall:8.1%} of it")
    for kind, value in list(found["operations"].items())[:15]:
        print(f"  {kind:40} {value:9.3f} ms a step {value / busy:8.1%} of operations")
    print("  input pipeline, each stage with those before it:")
    for stage, value in found["input pipeline"].items():
        print(f"  {stage:40} {value:9.3f} ms a step")


def main(config):
    """Profile all cases of a family, print their operations and write them. Returns the figures."""
    harness.choose("family", config.family, FAMILIES)
    harness.choose("note", config.note, ("", "before", "after"))
    harness.check(config)
    before = harness.start(config)
    num_batches, found, names = 2 if config.quick else 10, {}, []
    for name, case in FAMILIES[config.family].items():
        keras.utils.set_random_seed(0)
        batch_size = 4 if config.quick else case.batch_size
        images = synthetic_images(num_batches * batch_size, case.num_levels)
        makes = {}
        for library in OF_TENSORFLOW:
            makes |= contenders(library, case, images, batch_size)
        names += makes
        # XLA trains some cases of a family only.
        if config.contender in makes:
            folder = pathlib.Path(config.folder) / name.replace(" ", "_")
            seconds = profile(makes[config.contender].make(), folder)
            steps = tf.nest.map_structure(lambda value: 1e3 * value / num_batches, seconds)
            print_profile(f"{name}, {config.contender}", steps)
            found[name] = dict(contender=config.contender, milliseconds_a_step=steps)
    harness.choose("contender", config.contender, dict.fromkeys(names))
    part = ", ".join(filter(None, (config.family, config.contender, config.note)))
    part = harness.part(part, before)
    content = dict(results=found, config=dataclasses.asdict(config), machine=before)
    spoiled = bool(harness.obstacle_after(config, before))
    harness.finish(config, "profiling", part, content, FREE, spoiled=spoiled)
    return found


if __name__ == "__main__":
    harness.run(main, Config)
