"""`torch.compile` where it can be had."""

import os
import shutil

import torch


def compiled(first_step, *functions):
    """What `torch.compile` makes of functions or modules, or why they are left out, printed.

    Args:
        first_step: function of the compiled functions that calls them for a first time.
        *functions: what to compile.

    Returns:
        list of the compiled functions; empty without a C++ compiler, or if the first step failed.
    """
    # First: the call alone imports a compiler's worth of modules.
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        print("torch.compile is left out: it needs a C++ compiler, and there is no g++ or $CXX.")
        return []
    results = [torch.compile(function) for function in functions]
    try:
        first_step(*results)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        print(f"torch.compile is left out: its first step failed ({reason}).")
        return []
    return results


def compiled_trainer(make_trainer, batches, *functions):
    """`make_trainer(batches, *functions)` of the compiled functions, or None without them."""
    results = compiled(lambda *found: make_trainer(batches[:1], *found)(), *functions)
    return make_trainer(batches, *results) if results else None
