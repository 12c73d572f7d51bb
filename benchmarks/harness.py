"""What all benchmarks share: flags, a quiet machine, turns, medians, verdicts, memory, results.

Nothing here imports TensorFlow or PyTorch before it must: the memory of PyTorch is measured in a
process without TensorFlow. What is asked of `/proc` needs Linux.
"""

import argparse
import ctypes
import dataclasses
import gc
import importlib.metadata
import json
import os
import pathlib
import platform
import random
import re
import statistics
import subprocess
import sys
import time

COMMITTED = "benchmarks/results.json"
PACKAGES = "tensorflow keras tensorflow-probability torch torchvision lightly pythae".split()
# Of the cores. PyTorch's threads wait for one another at every operation: on a machine that others
# use it loses far more than TensorFlow does, and ratios to it would flatter kgen many times over.
BUSY_SHARE = 0.15
# Figures further apart than this share of their median are wide.
WIDE_SPREAD = 0.15


# Flags


def option(default, help):
    """A field of a `Config`: its default and the text that `--help` shows."""
    return dataclasses.field(default=default, metadata={"help": help})


@dataclasses.dataclass(frozen=True)
class Config:
    device: str = option("auto", "auto: a GPU where there is one; cpu")
    quick: bool = option(False, "tiny sizes: shows that all runs, measures nothing")
    output: str = option("", f"where the figures go: {COMMITTED}, or if quick or so elsewhere")


def run(main, config_class):
    """Parse the command line into a `config_class` and call `main(config)`."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__.splitlines()[0])
    for field in dataclasses.fields(config_class):
        is_switch = isinstance(field.default, bool)
        how = dict(action="store_true") if is_switch else dict(type=type(field.default))
        text = f"{field.metadata['help']} (default: {field.default!r})"
        parser.add_argument(f"--{field.name}", default=field.default, help=text, **how)
    main(config_class(**vars(parser.parse_args())))


def choose(flag, value, names):
    """Refuse a value that is none of `names`."""
    if value not in names:
        raise ValueError(f"--{flag}={value} does not exist. One of: {', '.join(names)}.")


def check(config, **least):
    """Refuse sizes below the least, unknown devices and files that cannot be written."""
    for flag, smallest in least.items():
        if getattr(config, flag) < smallest:
            raise ValueError(f"--{flag} must be at least {smallest}: {getattr(config, flag)}.")
    choose("device", config.device, ("auto", "cpu"))
    if os.path.isdir(config.output):
        raise ValueError(f"--output={config.output} is a folder: name a file in it.")
    if config.output and os.path.exists(config.output):
        try:
            json.loads(pathlib.Path(config.output).read_text())
        except ValueError as error:
            raise ValueError(f"--output={config.output} holds no JSON to add to.") from error


# The machine


def start(config):
    """Choose the devices, and say what the figures depend on: processor, load, versions."""
    if config.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    # TensorFlow would take all of a GPU's memory, and leave none to PyTorch and to the probes.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    others = None if config.quick else cores_of_others()
    if config.quick:
        print("--quick: the figures below measure nothing.")
    elif is_busy(others):
        say_busy(others)
    return dict(description(), cores_of_others=others)


def description():
    installed = importlib.metadata.distributions()
    versions = {one.name.lower().replace("_", "-"): one.version for one in installed}
    model = re.search(r"model name\s*:\s*(.+)", pathlib.Path("/proc/cpuinfo").read_text())
    return dict(
        processor=model[1] if model else platform.machine(),
        num_cores=num_cores(),
        gpu=gpu_name(),
        load_before=round(os.getloadavg()[0], 2),
        python=platform.python_version(),
        versions={package: versions.get(package) for package in PACKAGES},
    )


def num_cores():
    """How many cores this process may use, which is what TensorFlow takes."""
    return len(os.sched_getaffinity(0))


def gpu_name():
    """The name of the GPU that TensorFlow sees, or None."""
    import tensorflow as tf

    devices = tf.config.get_visible_devices("GPU")
    details = tf.config.experimental.get_device_details
    return details(devices[0]).get("device_name", "GPU") if devices else None


def refuse_unlike_devices():
    """Do not compare PyTorch with TensorFlow if one alone sees a GPU."""
    import torch

    ours, theirs = gpu_name(), torch.cuda.get_device_name() if torch.cuda.is_available() else None
    if (ours is None) != (theirs is None):
        raise RuntimeError(
            f"TensorFlow's GPU is {ours}, PyTorch's {theirs}: a ratio of the two would say nothing."
            " Use --device=cpu, or --libraries=kgen,keras."
        )


def cores_of_others(seconds=2.0):
    """How many of this process' cores other programs keep busy, seen over some seconds.

    The load average is taken where the system counts no times; it still shows what ran before.
    """
    busy, ours, begin = _busy_seconds(), time.process_time(), time.perf_counter()
    if busy is None:
        return round(os.getloadavg()[0], 2)
    time.sleep(seconds)
    others = _busy_seconds() - busy - (time.process_time() - ours)
    return round(max(0.0, others) / (time.perf_counter() - begin), 2)


def _busy_seconds():
    rows = re.findall(r"^cpu(\d+) (.+)$", pathlib.Path("/proc/stat").read_text(), re.MULTILINE)
    cores = os.sched_getaffinity(0)
    ticks = [[int(tick) for tick in row.split()] for core, row in rows if int(core) in cores]
    # User, nice, system, idle, waiting, interrupts, soft interrupts, stolen by other machines.
    busy = sum(sum(row[:3]) + sum(row[5:8]) for row in ticks)
    # In some sandboxes all times are 0.
    return busy / os.sysconf("SC_CLK_TCK") if any(map(any, ticks)) else None


def is_busy(cores):
    """Whether so many cores in the hands of others spoil the figures."""
    return cores > BUSY_SHARE * num_cores()


def say_busy(cores):
    print(
        f"The machine is busy (others use {cores} of {num_cores()} cores), which slows PyTorch "
        "down many times more than Keras. Do not report these figures: run again when it is quiet."
    )


def obstacle(config, *cores):
    """What forbids every verdict of a run, or "", given what others compute at some times."""
    if config.quick:
        return "--quick measures nothing"
    return "the machine was busy" if any(map(is_busy, cores)) else ""


def obstacle_after(config, before):
    """The same at the end of a run: it looks at the machine again."""
    return obstacle(config) or obstacle(config, before["cores_of_others"], cores_of_others())


# Turns


def seconds_of_turns(work, rounds, on_failure=None, pause=0.0):
    """Seconds of each turn of `work`, functions by name: name -> one list per round.

    A round is a list of groups of names. Garbage is collected before each group, after a pause in
    which the threads of the last one go to sleep. After `on_failure(name, exception)` the others go
    on without it.
    """
    seconds = {name: [] for name in work}
    for groups in rounds:
        for turns in seconds.values():
            turns.append([])
        for names in groups:
            gc.collect()
            time.sleep(pause)
            for name in filter(seconds.__contains__, names):
                begin = time.perf_counter()
                try:
                    work[name]()
                except Exception as error:
                    if on_failure is None:
                        raise
                    del seconds[name]
                    on_failure(name, error)
                else:
                    seconds[name][-1].append(time.perf_counter() - begin)
    return seconds


def seconds_by_round(work, num_rounds, on_failure=None, pause=0.0):
    """One turn for each in each round, after one of warm-up: name -> one figure per round.

    Each round has an order of its own, drawn from a fixed seed, so that nobody always follows the
    same neighbour, whose threads may still wait for work when its turn is over.
    """
    order = random.Random(0)
    rounds = [[[name] for name in order.sample(list(work), len(work))] for _ in range(num_rounds)]
    seconds = seconds_of_turns(work, [[[name] for name in work], *rounds], on_failure, pause)
    return {name: [turn for (turn,) in turns[1:]] for name, turns in seconds.items()}


def seconds_between(fast, slow, num_rounds, num_turns):
    """Turns of contenders some of which take a hundred times longer: name -> one list per round.

    A round is `fast, slow 1, fast, slow 2, ..., fast`, where `fast` stands for all fast ones in
    turn, `num_turns` times over: what disturbs the machine for the seconds of a slow turn shows in
    them too. Every second round runs in reverse. Nothing is warmed up.
    """
    order = [list(fast) * num_turns]
    for name in slow:
        order += [[name], list(fast) * num_turns]
    reverse = [names[::-1] for names in order[::-1]]
    rounds = [reverse if number % 2 else order for number in range(num_rounds)]
    return seconds_of_turns({**fast, **slow}, rounds)


# Statistics


def quartiles(values):
    """The lower quartile, the median and the upper quartile."""
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, statistics.median(values), upper


def spread(values, digits=1, width=6, range_width=0):
    """The median and the range, as text."""
    middle, least, most = (f"{f(values):,.{digits}f}" for f in (statistics.median, min, max))
    return f"{middle:>{width}}  {f'({least} - {most})':{range_width}}"


def verdict(found, goal, of, *, at_most=False, wide=WIDE_SPREAD, why_not=""):
    """Whether a goal is met, or why nobody can say.

    What was measured is `(low, median, high)`, `of` what low and high are, such as "quartiles". A
    range says nothing if it is wider than a share of the median and than it is from the goal.
    """
    low, middle, high = found
    if why_not:
        return f"no verdict, {why_not}"
    if low <= goal < high if at_most else low < goal <= high:
        return f"no verdict, the goal lies between the {of}: run again"
    if high - low > max(wide * middle, min(abs(low - goal), abs(high - goal))):
        return f"no verdict, the {of} are further apart than from the goal: run again"
    return "met" if (high <= goal if at_most else low >= goal) else "MISSED"


# Memory


class PeakMemory:
    """The peak of what a process allocates from now on; on a GPU, of what it allocates there."""

    def __init__(self, library):
        self._current, self._forget, self._peak = _on_gpu(library) or (
            lambda: _megabytes("RssAnon"),
            lambda: pathlib.Path("/proc/self/clear_refs").write_text("5"),
            # Which pages of a library are resident does not change in a steady state.
            lambda: _megabytes("VmHWM") - _megabytes("RssFile"),
        )
        _give_back()
        self._before = self._current()

    def forget(self):
        """Let the peak begin anew at what is in use now."""
        _give_back()
        self._forget()

    def peaks(self):
        """MB: `step`, beyond what there was at the beginning, and `process`, all resident."""
        return dict(step=self._peak() - self._before, process=_megabytes("VmHWM"))


def _give_back():
    """Return to the system what importing and compiling left free."""
    gc.collect()
    getattr(ctypes.CDLL(None), "malloc_trim", int)(0)


def _megabytes(field):
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+) kB", status)[1]) * 1024 / 1e6


def _on_gpu(library):
    if library in ("kgen", "keras"):
        import tensorflow as tf

        found = tf.config.experimental
        return tf.config.get_visible_devices("GPU") and (
            lambda: found.get_memory_info("GPU:0")["current"] / 1e6,
            lambda: found.reset_memory_stats("GPU:0"),
            lambda: found.get_memory_info("GPU:0")["peak"] / 1e6,
        )
    from torch import cuda, get_default_device

    return get_default_device().type == "cuda" and (
        lambda: cuda.memory_allocated() / 1e6,
        cuda.reset_peak_memory_stats,
        lambda: cuda.max_memory_allocated() / 1e6,
    )


def probe(name, **arguments):
    """What a function of `probes.py` returns in a process of its own.

    If the process fails, a RuntimeError has what it said last in its last line.
    """
    script = (
        "import json, sys; from benchmarks import probes; name, arguments = sys.argv[1:]; "
        "found = getattr(probes, name)(**json.loads(arguments)); print(); print(json.dumps(found))"
    )
    command = [sys.executable, "-W", "ignore", "-c", script, name, json.dumps(arguments)]
    root = pathlib.Path(__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise RuntimeError(f"The probe '{name}' with {arguments} failed:\n{last}")
    return json.loads(done.stdout.splitlines()[-1])


def probe_or_missing(name, **arguments):
    """The same, or `missing`, why there is nothing: a failure must not lose other figures."""
    try:
        return probe(name, **arguments)
    except RuntimeError as error:
        return dict(missing=first_and_last_line(error))


def first_and_last_line(error):
    said = (str(error).strip() or type(error).__name__).splitlines()
    return " ".join(dict.fromkeys((said[0], said[-1])))


# Results


def path(config, free=(), *, spoiled=False, finished=True):
    """Where a run writes: `--output`, else the committed file, which holds default settings alone.

    A run that is quick, not at its end, spoiled (on a busy machine, say) or of other settings
    writes to a file of its own kind. `free` are the settings that may differ from their defaults.
    """
    settings = [field for field in dataclasses.fields(config) if field.name not in free]
    if config.output:
        return config.output
    others = any(getattr(config, field.name) != field.default for field in settings)
    kinds = dict(quick=config.quick, unfinished=not finished, spoiled=spoiled, others=others)
    kind = next((kind for kind, is_of in kinds.items() if is_of), None)
    return f"runs/benchmarks/{kind}.json" if kind else COMMITTED


def part(name, machine, mixed_precision=False):
    """The name of a run's part: what is computed differently stands beside it, not in its place."""
    precision = "mixed precision" if mixed_precision else None
    return ", ".join(filter(None, (name, precision, machine["gpu"])))


def finish(config, section, part, content, free=(), *, spoiled=False):
    """Write a part of the figures where it belongs, and say where."""
    output = path(config, free, spoiled=spoiled)
    update(output, section, part, content)
    print(f"  The figures of all rounds are in {output}.", flush=True)


def update(output, section, part, content):
    """Replace one part of one section of a JSON file; floats have four significant digits."""
    output = pathlib.Path(output)
    everything = json.loads(output.read_text()) if output.exists() else {}
    rounded = json.loads(json.dumps(content), parse_float=lambda text: float(f"{float(text):.4g}"))
    everything[section] = dict(sorted({**everything.get(section, {}), part: rounded}.items()))
    write(output, json.dumps(dict(sorted(everything.items())), indent=2) + "\n")


def write(output, text):
    """Write under a temporary name, then rename: readers never see half a file."""
    output = pathlib.Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.{os.getpid()}.partial")
    partial.write_text(text)
    partial.replace(output)
