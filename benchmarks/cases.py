"""The models that are trained beside their rivals. Nothing here imports TensorFlow or PyTorch."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Case:
    """One model to train.

    Attributes:
        networks: a name of `rivals/kgen_networks.py`.
        with_xla: whether to train it through XLA as well; on CPUs that slows convolutions down. On
            a GPU each case is trained with XLA and without.
        latent_dim: int.
        batch_size: int, images a step unless a flag says otherwise.
        num_levels: int, how many values a pixel can take.
        torch_goal: float, what kgen's speed over that of the fastest PyTorch is to reach.
        mixed_precision: bool; float16 on a GPU, bfloat16 on a CPU.
    """

    networks: str
    with_xla: bool = False
    latent_dim: int = 16
    batch_size: int = 128
    num_levels: int = 2
    torch_goal: float = 1.0
    mixed_precision: bool = False

    @property
    def kgen_networks(self):
        """Functions that make the networks in Keras; see `rivals/kgen_networks.py`."""
        # Late: the memory of PyTorch is measured in a process without TensorFlow.
        from benchmarks.rivals import kgen_networks

        return kgen_networks.NETWORKS[self.networks]


# How a library trains a family is the file `rivals/<library>_<family>.py`.
FAMILIES = {
    "vae": {
        "dense VAE": Case("dense", with_xla=True, torch_goal=1.3),
        "convolutional VAE": Case("convolutional", torch_goal=1.3),
    },
    "wgan_gp": {"WGAN-GP": Case("dcgan", latent_dim=64, batch_size=64)},
    "pixelcnn": {"PixelCNN": Case("pixelcnn", batch_size=64, num_levels=256)},
    "simclr": {"SimCLR": Case("contrastive", batch_size=256, num_levels=256)},
}


def synthetic_images(num_images, num_levels=2, *, side=28, seed=0):
    """Images with structure, so that latents stay in use: float32 `(n, side, side, 1)` on levels.

    Args:
        num_images: int >= 1.
        num_levels: int >= 2, how many values a pixel can take.
        side: int >= 1, pixels.
        seed: int.
    """
    generator = np.random.default_rng(seed)
    codes = generator.normal(size=(num_images, 8))
    gray = 1.0 / (1.0 + np.exp(-codes @ generator.normal(size=(8, side**2))))
    levels = np.rint(gray * (num_levels - 1)) / (num_levels - 1)
    return levels.astype(np.float32).reshape(-1, side, side, 1)
