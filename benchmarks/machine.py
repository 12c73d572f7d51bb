"""What every benchmark starts with: the processor alone, a quiet machine, PyTorch's threads."""

import importlib.metadata
import os
import platform

import tensorflow as tf

# PyTorch's threads wait for one another at every operation: on a machine that others use it loses
# far more than TensorFlow does: ratios to it would flatter kgen many times over.
BUSY_LOAD = 0.3


def start(quick):
    """Hide GPUs and say what speaks against the figures: `--quick`, or a busy machine.

    Args:
        quick: bool.

    Returns:
        dict of what the figures depend on; see `description`.
    """
    if tf.config.get_visible_devices("GPU"):
        tf.config.set_visible_devices([], "GPU")
    before = description()
    if quick:
        print("--quick: the figures below measure nothing.")
    elif before["load_before"] > BUSY_LOAD:
        print(
            f"The machine is busy (load {before['load_before']:.2f}), which slows PyTorch down "
            "many times more than Keras. Do not report these figures: run again when it is quiet."
        )
    return before


def description():
    """What the figures depend on: processor count, load before the run, versions."""
    versions = {}
    for package in ("tensorflow", "keras", "tensorflow-probability", "torch"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return dict(
        num_cores=os.cpu_count(),
        load_before=os.getloadavg()[0],
        python=platform.python_version(),
        versions=versions,
    )


def set_up_torch(threads):
    """Give PyTorch its threads; 0: one a core. Whether it is installed."""
    try:
        import torch
    except ModuleNotFoundError:
        print("PyTorch is left out: it is not installed (pip install kgen[bench]).")
        return False
    torch.set_num_threads(threads or os.cpu_count())
    return True
