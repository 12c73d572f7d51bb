"""The models that are trained beside their rivals. Nothing here imports TensorFlow or PyTorch."""

import dataclasses
import importlib
import pathlib
import warnings
from collections.abc import Callable

import numpy as np

# A rival of a family is `rivals/<library>_<family>.py`, or `rivals/<library>.py` for all families.
LIBRARIES = ("kgen", "keras", "torch", "pythae", "lightly")
OF_TENSORFLOW = ("kgen", "keras")
RIVALS = pathlib.Path(__file__).parent / "rivals"


@dataclasses.dataclass(frozen=True)
class Case:
    """One model to train; `networks` is a name of `rivals.kgen.NETWORKS`."""

    family: str
    networks: str
    # Through XLA as well, which slows convolutions down on CPUs; on a GPU each case is.
    with_xla: bool = False
    latent_dim: int = 16
    batch_size: int = 128
    # Values of a pixel.
    num_levels: int = 2
    # What kgen's speed over that of the fastest PyTorch is to reach.
    torch_goal: float = 1.0
    mixed_precision: bool = False


FAMILIES = {
    "vae": {
        "dense VAE": Case("vae", "dense", with_xla=True, torch_goal=1.3),
        "convolutional VAE": Case("vae", "convolutional", torch_goal=1.3),
    },
    "wgan_gp": {"WGAN-GP": Case("wgan_gp", "dcgan", latent_dim=64, batch_size=64)},
    "pixelcnn": {"PixelCNN": Case("pixelcnn", "pixelcnn", batch_size=64, num_levels=256)},
    "simclr": {"SimCLR": Case("simclr", "contrastive", batch_size=256, num_levels=256)},
}


class LeftOut(Exception):
    """Why a contender cannot be had, raised when it is made."""


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to train a model: `make` builds it and returns `train`, a pass over the images."""

    name: str
    make: Callable
    # The loop that the library gives or its documentation shows, not one tuned by hand.
    own_way: bool = False
    # If not, it has no goal.
    same_work: bool = True
    # By `torch.compile`, whose compiler lives in the process.
    compiled: bool = False
    # One of `LIBRARIES`, which `contenders` fills in.
    library: str = ""


def trains(library, family):
    """The name of a library's file for a family, or None."""
    names = (library, f"{library}_{family}")
    return next((name for name in names if (RIVALS / f"{name}.py").exists()), None)


def rival(library, family):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(f"benchmarks.rivals.{trains(library, family)}")


def why_missing(library, family):
    """Why a library cannot be imported, or ""."""
    try:
        rival(library, family)
    except (ImportError, RuntimeError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return f"it cannot be imported ({reason}). pip install kgen[bench]"
    return ""


def contenders(library, case, images, batch_size):
    """The contenders of a library that is at hand, by name."""
    found = rival(library, case.family).contenders(case, images, batch_size)
    return {one.name: dataclasses.replace(one, library=library) for one in found}


def synthetic_images(num_images, num_levels=2, *, side=28):
    """Images on levels, with structure, so that latents stay in use: `(n, side, side, 1)`."""
    generator = np.random.default_rng(0)
    codes = generator.normal(size=(num_images, 8))
    gray = 1.0 / (1.0 + np.exp(-codes @ generator.normal(size=(8, side**2))))
    levels = np.rint(gray * (num_levels - 1)) / (num_levels - 1)
    return levels.astype(np.float32).reshape(-1, side, side, 1)
