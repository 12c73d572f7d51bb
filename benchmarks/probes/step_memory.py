"""Peak memory of a training step of one contender."""

import contextlib
import dataclasses

from benchmarks import libraries, memory
from benchmarks.cases import FAMILIES, synthetic_images
from benchmarks.rivals import LeftOut

NUM_BATCHES = 4


def measure(library, family, case, contender, batch_size, threads, mixed_precision=False):
    """Peaks in MB once the contender is warm.

    Args:
        library: a name of `libraries.REQUIREMENTS`.
        family: a name of `FAMILIES`.
        case: a name in it.
        contender: a name that the library's file of the family yields.
        batch_size: int.
        threads: int, PyTorch's.
        mixed_precision: bool.

    Returns:
        dict with `step`, what the model and its steps allocate beyond what the library and the data
        had allocated before it was made, and `process`, all that is resident, its libraries
        included. On a GPU `step` is the peak of what is allocated there. If the contender is left
        out, dict with `left_out`, why.
    """
    missing = libraries.why_missing(library, threads)
    if missing:
        return dict(left_out=missing)
    chosen = dataclasses.replace(FAMILIES[family][case], mixed_precision=mixed_precision)
    images = synthetic_images(NUM_BATCHES * batch_size, chosen.num_levels)
    # This makes the data sets and tensors that hold the images.
    make = libraries.contenders(library, family, chosen, images, batch_size)[contender]
    first_operation(library)
    before = memory.allocated()
    gpu = _OnTensorFlow() if library in libraries.OF_TENSORFLOW else _OnPyTorch()
    gpu_before = gpu.allocated()
    try:
        with _precision(library, mixed_precision):
            train = make()
            # Twice: PyTorch compiles a second time where it finds that sizes change.
            train()
            train()
    except LeftOut as reason:
        return dict(left_out=str(reason))
    memory.forget_peak()
    gpu.forget_peak()
    train()
    step, process = memory.allocated_peak() - before, memory.megabytes("VmHWM")
    if gpu_before is not None:
        step = gpu.peak() - gpu_before
    return dict(step=step, process=process)


def first_operation(library):
    """Let the library start its threads and import whatever else it needs once."""
    if library in libraries.OF_TENSORFLOW:
        import tensorflow as tf

        # Bare Keras trains networks from here.
        from benchmarks.rivals import kgen_networks  # noqa: F401

        tf.ones((8, 8)) @ tf.ones((8, 8))
    else:
        import torch

        weight = torch.ones((8, 8), requires_grad=True)
        (weight @ weight).sum().backward()
        # Its first optimizer imports a part of the compiler.
        torch.optim.Adam([weight], fused=True).step()


def _precision(library, mixed):
    """The context that Keras' networks are built in; PyTorch's trainers see to it themselves."""
    if library not in libraries.OF_TENSORFLOW:
        return contextlib.nullcontext()
    # Late: PyTorch is measured in a process without TensorFlow.
    from benchmarks import precision

    return precision.of_keras(mixed)


class _OnTensorFlow:
    """MB that TensorFlow has allocated on the GPU, None without one."""

    def __init__(self):
        import tensorflow as tf

        self.has_gpu = bool(tf.config.get_visible_devices("GPU"))
        self.config = tf.config.experimental

    def allocated(self):
        if self.has_gpu:
            return self.config.get_memory_info("GPU:0")["current"] / 1e6
        return None

    def forget_peak(self):
        if self.has_gpu:
            self.config.reset_memory_stats("GPU:0")

    def peak(self):
        return self.config.get_memory_info("GPU:0")["peak"] / 1e6


class _OnPyTorch:
    """The same for PyTorch."""

    def __init__(self):
        import torch

        self.has_gpu = torch.get_default_device().type == "cuda"
        self.cuda = torch.cuda

    def allocated(self):
        return self.cuda.memory_allocated() / 1e6 if self.has_gpu else None

    def forget_peak(self):
        if self.has_gpu:
            self.cuda.reset_peak_memory_stats()

    def peak(self):
        return self.cuda.max_memory_allocated() / 1e6
