"""`torch.compile` where it can be had."""

import os
import shutil

import torch

from benchmarks.libraries import first_line
from benchmarks.rivals import Contender, LeftOut


def compiled(first_step, *functions):
    """What `torch.compile` makes of functions or modules.

    Args:
        first_step: function of the compiled functions that calls them for a first time.
        *functions: what to compile.

    Returns:
        list of the compiled functions.

    Raises:
        LeftOut: without a C++ compiler, or if the first step failed.
    """
    # First: the call alone imports a compiler's worth of modules.
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        raise LeftOut("it needs a C++ compiler, and there is no g++ or $CXX.")
    results = [torch.compile(function) for function in functions]
    try:
        first_step(*results)
    except Exception as error:
        raise LeftOut(f"its first step failed ({first_line(error)}).") from error
    return results


def compiled_trainer(make_trainer, batches, *functions):
    """`make_trainer(batches, *functions)` of the compiled functions."""
    results = compiled(lambda *found: make_trainer(batches[:1], *found)(), *functions)
    return make_trainer(batches, *results)


def eager_and_compiled(make_trainer, batches, functions, suffix="", *, to_compile=None, **how):
    """Yields the contenders "PyTorch eager" and "torch.compile" of one loop.

    Args:
        make_trainer: function of the batches and of `functions` that returns `train`.
        batches: sequence of tensors.
        functions: function without arguments that returns what the trainer takes, as a tuple.
        suffix: str, what is added to the names.
        to_compile: the same of what is compiled, where that is to differ.
        **how: other fields of `Contender`.
    """

    def compiled_one():
        return compiled_trainer(make_trainer, batches, *(to_compile or functions)())

    yield Contender(f"PyTorch eager{suffix}", lambda: make_trainer(batches, *functions()), **how)
    yield Contender(f"torch.compile{suffix}", compiled_one, compiled=True, **how)
