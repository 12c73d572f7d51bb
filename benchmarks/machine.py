"""What every benchmark starts with: which devices take part, a quiet machine, the versions."""

import importlib.metadata
import os
import pathlib
import platform
import re

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
        dict of what the figures depend on; see `description`.

    Raises:
        ValueError: for another device.
    """
    if device not in ("auto", "cpu"):
        raise ValueError(f"--device={device} does not exist. One of: auto, cpu.")
    if device == "cpu":
        hide_gpus()
    before = description()
    if quick:
        print("--quick: the figures below measure nothing.")
    elif before["load_before"] > BUSY_SHARE * before["num_cores"]:
        print(
            f"The machine is busy (load {before['load_before']}, {before['num_cores']} cores), "
            "which slows PyTorch down many times more than Keras. Do not report these figures: run "
            "again when it is quiet."
        )
    return before


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
        num_cores=os.cpu_count(),
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
