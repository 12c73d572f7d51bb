"""What PyTorch's rivals share: threads, images, mixed precision, one training loop, compilation."""

import contextlib
import os
import shutil

import torch
from torch import nn

from benchmarks import harness
from benchmarks.cases import Contender, LeftOut

torch.set_num_threads(harness.num_cores())
# Units that no longer learn have moments that decay into denormal numbers, which are slow.
# TensorFlow flushes them by itself.
torch.set_flush_denormal(True)
if torch.cuda.is_available() and os.environ.get("CUDA_VISIBLE_DEVICES") != "-1":
    torch.set_default_device("cuda")
    # As TensorFlow multiplies and chooses kernels by itself.
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True


# By the suffix of a contender's name.
FORMATS = {"": torch.contiguous_format, ", channels last": torch.channels_last}


def as_tensor(images, memory_format=torch.contiguous_format):
    images = torch.from_numpy(images).to(torch.get_default_device())
    return images.permute(0, 3, 1, 2).contiguous(memory_format=memory_format)


class Apply(nn.Module):
    """A function as a layer."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


class Residual(nn.Module):
    """`shortcut(h) + layers(h)`."""

    def __init__(self, *layers, shortcut=None):
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.shortcut = shortcut or nn.Identity()

    def forward(self, inputs):
        return self.shortcut(inputs) + self.layers(inputs)


def initialize(network, initial=nn.init.xavier_uniform_):
    """Gives a network Keras' initial weights, PyTorch's own being smaller, and zero biases."""
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            initial(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def adam(network, **settings):
    """Keras' Adam. Measured, with one thread: fused takes 10 to 20 % off an eager step."""
    settings = dict(lr=1e-3, eps=1e-7, fused=True) | settings
    return torch.optim.Adam(network.parameters(), **settings)


def trainer(case, batches, *steps, prepare=None):
    """`train`, which takes some steps on each batch and returns their mean losses.

    A step is an optimizer and a function of a batch, its loss; `prepare` is called with the batch
    before them. Mixed precision is as PyTorch's users write it: autocast, and scaled losses.
    """
    device, mixed = torch.get_default_device().type, case.mixed_precision
    dtype = torch.float16 if device == "cuda" else torch.bfloat16
    scaler = torch.amp.GradScaler(device) if mixed and device == "cuda" else None

    def train():
        totals = [torch.zeros(()) for _ in steps]
        for batch in batches:
            batch = prepare(batch) if prepare else batch
            for total, (optimizer, loss) in zip(totals, steps, strict=True):
                optimizer.zero_grad(set_to_none=True)
                with torch.autocast(device, dtype) if mixed else contextlib.nullcontext():
                    value = loss(batch)
                (scaler.scale(value) if scaler else value).backward()
                scaler.step(optimizer) if scaler else optimizer.step()
                total += value.detach()
            if scaler:
                scaler.update()
        return [total.item() / len(batches) for total in totals]

    return train


def compiled(first_step, *functions):
    """What `torch.compile` makes of functions or modules, once `first_step` has called them."""
    # First: the call alone imports a compiler's worth of modules.
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        raise LeftOut("it needs a C++ compiler, and there is no g++ or $CXX.")
    results = [torch.compile(function) for function in functions]
    try:
        first_step(*results)
    except Exception as error:
        raise LeftOut(f"its first step failed ({harness.first_and_last_line(error)}).") from error
    return results


def compiled_trainer(make_trainer, batches, first, *functions):
    """`make_trainer(batches, ...)` of compiled functions, which `first` batches have warmed up."""
    results = compiled(lambda *found: make_trainer(first, *found)(), *functions)
    return make_trainer(batches, *results)


def eager_and_compiled(make_trainer, batches, functions, suffix="", to_compile=None):
    """Yields the contenders "PyTorch eager" and "torch.compile" of one loop.

    `functions()` are what `make_trainer` takes beside the batches, compiled or not; `to_compile()`
    what is compiled, where that is to differ.
    """

    def compile_one():
        return compiled_trainer(make_trainer, batches, batches[:1], *(to_compile or functions)())

    yield Contender(f"PyTorch eager{suffix}", lambda: make_trainer(batches, *functions()))
    yield Contender(f"torch.compile{suffix}", compile_one, compiled=True)
