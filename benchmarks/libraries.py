"""Which libraries take part. One that is not installed is named and left out."""

import importlib
import os
import pathlib
import sys
import warnings

# What each needs beside kgen's own requirements.
REQUIREMENTS = {
    "kgen": (),
    "keras": (),
    "torch": ("torch",),
    "pythae": ("torch", "pythae.trainers"),
    "lightly": ("torch", "torchvision.transforms.v2", "lightly.loss", "lightly.transforms"),
}
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
    for module in REQUIREMENTS[library]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if module.startswith("torchvision"):
                    _import_torchvision()
                importlib.import_module(module)
        except (ImportError, RuntimeError, OSError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            name = {"torch": "PyTorch", "pythae": "Pythae"}.get(library, library)
            print(
                f"{name} is left out: {module} cannot be imported ({reason}). "
                "pip install kgen[bench]"
            )
            return False
        if module == "torch":
            _set_up_torch(threads)
    return True


def contenders(library, family, case, images, batch_size):
    """The contenders of a library that is at hand.

    Returns:
        dict of name to a function without arguments, which builds the model and returns what
        `seconds_by_round` times, or None if the contender is left out.
    """
    rival = importlib.import_module(f"benchmarks.rivals.{library}_{family}")
    return dict(rival.contenders(case, images, batch_size))


def _set_up_torch(threads):
    import torch

    torch.set_num_threads(threads or os.cpu_count())
    # Units that no longer learn have moments that decay into denormal numbers, which are slow.
    # TensorFlow flushes them by itself.
    torch.set_flush_denormal(True)
    if torch.cuda.is_available() and os.environ.get("CUDA_VISIBLE_DEVICES") != "-1":
        torch.set_default_device("cuda")
        # As TensorFlow multiplies by itself.
        torch.set_float32_matmul_precision("high")


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
