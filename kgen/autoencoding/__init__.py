"""Autoencoders: plain, denoising, variational, vector-quantized, adversarial."""

from kgen.autoencoding.adversarial_autoencoder import (
    AdversarialAutoencoder as AdversarialAutoencoder,
)
from kgen.autoencoding.autoencoder import Autoencoder as Autoencoder
from kgen.autoencoding.parts.corruptions import GaussianCorruption as GaussianCorruption
from kgen.autoencoding.parts.corruptions import MaskingCorruption as MaskingCorruption
from kgen.autoencoding.parts.corruptions import SaltAndPepperCorruption as SaltAndPepperCorruption
from kgen.autoencoding.semi_supervised_vae import SemiSupervisedVAE as SemiSupervisedVAE
from kgen.autoencoding.vae import VAE as VAE
from kgen.autoencoding.vqvae import VQVAE as VQVAE
