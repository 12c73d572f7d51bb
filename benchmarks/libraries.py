"""Which libraries take part. One that is not installed is named and left out."""

import dataclasses
import importlib
import os
import pathlib
import sys
import types
import warnings

from benchmarks import machine

# What each needs beside kgen's own requirements.
REQUIREMENTS = {
    "kgen": (),
    "keras": (),
    "torch": ("torch",),
    "pythae": ("torch", "pythae.trainers"),
    # Its transforms need torchvision, its losses do not.
    "lightly": ("torch", "lightly.loss"),
}
OF_TENSORFLOW = ("kgen", "keras")
_RIVALS = pathlib.Path(__file__).parent / "rivals"


def of_family(family, names):
    """Those of `names` that have a file `rivals/<library>_<family>.py`."""
    return [name for name in names if (_RIVALS / f"{name}_{family}.py").exists()]


def is_at_hand(library, threads=0):
    """Whether a library can be imported. What is missing is printed; PyTorch is set up.

    Args:
        library: a name of `REQUIREMENTS`.
        threads: int, PyTorch's threads; 0: one a core, as TensorFlow takes by itself.
    """
    reason = why_missing(library, threads)
    if reason:
        print(f"{spelled(library)} is left out: {reason}")
    return not reason


def why_missing(library, threads=0):
    """As `is_at_hand`: why the library cannot be had, or "" if it is there."""
    for module in REQUIREMENTS[library]:
        try:
            import_rival(module)
        except (ImportError, RuntimeError, OSError) as error:
            return f"{module} cannot be imported ({first_line(error)}). pip install kgen[bench]"
        if module == "torch":
            _set_up_torch(threads)
    return ""


def spelled(library):
    """A library's name as its authors write it."""
    return {"torch": "PyTorch", "pythae": "Pythae"}.get(library, library)


def first_line(error):
    """What an error says, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def contenders(library, family, case, images, batch_size):
    """The contenders of a library that is at hand.

    Returns:
        dict of name to `rivals.Contender`, which is called without arguments to build the model;
        see there.
    """
    rival = importlib.import_module(f"benchmarks.rivals.{library}_{family}")
    found = rival.contenders(case, images, batch_size)
    return {one.name: dataclasses.replace(one, library=library) for one in found}


def import_rival(module):
    """Import a module of a rival without its warnings, and past what it does not need."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if module.startswith(("torchvision", "lightly")):
            try:
                _import_torchvision()
            except ImportError:
                if module == "lightly.loss":
                    return _import_lightly_loss()
                raise
        return importlib.import_module(module)


def _set_up_torch(threads):
    import torch

    torch.set_num_threads(threads or machine.num_cores())
    # Units that no longer learn have moments that decay into denormal numbers, which are slow.
    # TensorFlow flushes them by itself.
    torch.set_flush_denormal(True)
    if torch.cuda.is_available() and os.environ.get("CUDA_VISIBLE_DEVICES") != "-1":
        torch.set_default_device("cuda")
        # As TensorFlow multiplies and chooses kernels by itself.
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True


def _import_lightly_loss():
    """Import lightly's losses without torchvision, of which NT-Xent needs nothing."""
    parts = {name: types.ModuleType(name) for name in ("torchvision", "torchvision.ops")}
    # What others of them import.
    parts["torchvision.ops"].roi_align = parts["torchvision.ops"].StochasticDepth = None
    before = {name: sys.modules[name] for name in parts if name in sys.modules}
    sys.modules.update(parts)
    try:
        return importlib.import_module("lightly.loss")
    finally:
        for name in parts:
            del sys.modules[name]
        sys.modules.update(before)


def _import_torchvision():
    """Import it beside a PyTorch of another build too, such as that for CPUs.

    Its compiled operations cannot be loaded then, and the import fails as it describes them to
    PyTorch, unless somebody has declared them. The transforms use none of them.
    """
    import torch

    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{name}",
                "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
            )
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        importlib.import_module("torchvision")
