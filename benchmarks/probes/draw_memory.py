"""Peak memory of drawing images with one contender of the sampling benchmark."""

import contextlib
import itertools

import numpy as np

from benchmarks import libraries, memory
from benchmarks.probes.step_memory import first_operation


def measure(contender, version, *, threads, num_images, side, levels, **sizes):
    """Peaks in MB once the contender is warm.

    Args:
        contender: a name of `sampling.contenders`.
        version: the folder of the exported model.
        threads: int, PyTorch's.
        num_images: int, images a draw.
        side: int, pixels.
        levels: int, values of a pixel.
        **sizes: `filters` and `num_blocks` of the network.

    Returns:
        dict with `draw`, what the model and its draws allocate beyond what its library had
        allocated before it was made, and `process`, all that is resident.
    """
    is_pytorch = "torch" in contender.lower()
    first_operation("torch" if is_pytorch else "kgen")
    noise = np.random.default_rng(0).random((num_images, side, side, 1), np.float32)
    with contextlib.ExitStack() as stack:
        if is_pytorch:
            reason = libraries.why_missing("torch", threads)
            if reason:
                raise RuntimeError(reason)
            from benchmarks.rivals import torch_pixelcnn

            before = memory.allocated()
            module = torch_pixelcnn.PixelCNN(1 if levels == 2 else levels, **sizes)
            draws = torch_pixelcnn.samplers(module, noise)
        else:
            # Late: the memory of PyTorch is measured in a process without TensorFlow.
            from benchmarks import sampling
            from benchmarks.rivals import kgen_pixelcnn

            sampling.c_api.load_library()
            before = memory.allocated()
            if contender == "kgen, served":
                served = sampling.served_sampler(version, num_images)
                draws = [(contender, stack.enter_context(served))]
            else:
                model = sampling.build(sampling.Config(levels=levels, **sizes), side)
                draws = itertools.chain(
                    kgen_pixelcnn.cached_samplers(model, num_images),
                    kgen_pixelcnn.naive_samplers(model, noise),
                )
        # No further: making PyTorch's second sampler starts a compiler.
        draw = next(draw for name, draw in draws if name == contender)
        draw()
        memory.forget_peak()
        draw()
        return dict(draw=memory.allocated_peak() - before, process=memory.megabytes("VmHWM"))
