"""What every benchmark starts with: which devices take part, a quiet machine, the versions."""

import importlib.metadata
import os
import pathlib
import platform
import re
import time

# Of the cores. PyTorch's threads wait for one another at every operation: on a machine that others
# use it loses far more than TensorFlow does: ratios to it would flatter kgen many times over.
BUSY_SHARE = 0.15
PACKAGES = (
    "tensorflow",
    "keras",
    "tensorflow-probability",
    "torch",
    "torchvision",
    "lightly",
    "pythae",
)


def start(quick, device="auto"):
    """Choose the devices and say what speaks against the figures: `--quick`, or a busy machine.

    Args:
        quick: bool.
        device: "cpu" hides GPUs from all libraries; "auto" lets each use what it sees.

    Returns:
        dict of what the figures depend on; see `description`. `cores_of_others` is what
        `is_busy` judges, None if quick.

    Raises:
        ValueError: for another device.
    """
    if device not in ("auto", "cpu"):
        raise ValueError(f"--device={device} does not exist. One of: auto, cpu.")
    if device == "cpu":
        hide_gpus()
    # TensorFlow would take all of a GPU's memory, and leave none to PyTorch and to the probes.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    before = dict(description(), cores_of_others=None if quick else cores_of_others())
    if quick:
        print("--quick: the figures below measure nothing.")
    elif is_busy(before["cores_of_others"]):
        say_busy(before["cores_of_others"])
    return before


def num_cores():
    """How many cores this process may use, which is what TensorFlow takes."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def cores_of_others(seconds=2.0):
    """How many of this process' cores other programs keep busy, seen over a time of waiting.

    The load average does not tell: it decays over minutes, so it calls a machine busy on which
    nothing but the benchmark before has run. It is taken where the system counts no times.

    Args:
        seconds: float, how long to look.
    """
    busy, ours, start = _busy_seconds(), time.process_time(), time.perf_counter()
    if busy is None:
        return round(os.getloadavg()[0], 2)
    time.sleep(seconds)
    others = _busy_seconds() - busy - (time.process_time() - ours)
    return round(max(0.0, others) / (time.perf_counter() - start), 2)


def is_busy(cores):
    """Whether so many cores in the hands of others spoil the figures."""
    return cores > BUSY_SHARE * num_cores()


def say_busy(cores):
    """Print that the machine is busy, and what that does to the figures."""
    print(
        f"The machine is busy (others use {cores} of {num_cores()} cores), which slows PyTorch "
        "down many times more than Keras. Do not report these figures: run again when it is quiet."
    )


def _busy_seconds():
    """Time that this process' cores were not idle since they started; None if unknown."""
    path = pathlib.Path("/proc/stat")
    if not path.exists():
        return None
    cores = os.sched_getaffinity(0)
    rows = re.findall(r"^cpu(\d+) (.+)$", path.read_text(), re.MULTILINE)
    ticks = [[int(tick) for tick in row.split()] for core, row in rows if int(core) in cores]
    # In some sandboxes all times are 0.
    if not any(map(any, ticks)):
        return None
    # User, nice, system, idle, waiting, interrupts, soft interrupts, stolen by other machines.
    busy = sum(sum(row[:3]) + sum(row[5:8]) for row in ticks)
    return busy / os.sysconf("SC_CLK_TCK")


def hide_gpus():
    """Let this process and those that it starts see no GPU; before any library has looked."""
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"


def gpu_name():
    """The name of the GPU that TensorFlow sees, or None."""
    import tensorflow as tf

    devices = tf.config.get_visible_devices("GPU")
    if not devices:
        return None
    return tf.config.experimental.get_device_details(devices[0]).get("device_name", "GPU")


def refuse_unlike_devices():
    """Do not compare PyTorch, which is at hand, with TensorFlow if one alone sees a GPU.

    Raises:
        RuntimeError: if so.
    """
    import torch

    tensorflow_gpu = gpu_name()
    torch_gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    if (tensorflow_gpu is None) != (torch_gpu is None):
        raise RuntimeError(
            f"TensorFlow's GPU is {tensorflow_gpu}, PyTorch's {torch_gpu}: a ratio of the two "
            "would say nothing. Use --device=cpu, or --libraries=kgen,keras."
        )


def description():
    """What the figures depend on: processor, load before the run, versions."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return dict(
        processor=_processor(),
        num_cores=num_cores(),
        gpu=gpu_name(),
        load_before=round(os.getloadavg()[0], 2),
        python=platform.python_version(),
        versions=versions,
    )


def _processor():
    """Its name where Linux knows it."""
    path = pathlib.Path("/proc/cpuinfo")
    match = re.search(r"model name\s*:\s*(.+)", path.read_text()) if path.exists() else None
    return match[1] if match else platform.machine()
