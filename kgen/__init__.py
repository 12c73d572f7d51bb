"""kgen: deep generative models and self-supervised representation learners for Keras 3."""

from kgen import adversarial as adversarial
from kgen import autoencoding as autoencoding
from kgen import autoregressive as autoregressive
from kgen import evaluation as evaluation
from kgen import heads as heads
from kgen import layers as layers
from kgen import networks as networks
from kgen.adversarial import ACGAN as ACGAN
from kgen.adversarial import BEGAN as BEGAN
from kgen.adversarial import EBGAN as EBGAN
from kgen.adversarial import GAN as GAN
from kgen.adversarial import WGAN as WGAN
from kgen.adversarial import WGANGP as WGANGP
from kgen.adversarial import BiGAN as BiGAN
from kgen.adversarial import ConditionalGAN as ConditionalGAN
from kgen.adversarial import InfoGAN as InfoGAN
from kgen.autoencoding import VAE as VAE
from kgen.autoencoding import VQVAE as VQVAE
from kgen.autoencoding import AdversarialAutoencoder as AdversarialAutoencoder
from kgen.autoencoding import Autoencoder as Autoencoder
from kgen.autoregressive import MADE as MADE
from kgen.autoregressive import NADE as NADE
from kgen.training import AdversarialModel as AdversarialModel
from kgen.training import ObjectiveModel as ObjectiveModel
from kgen.version import __version__ as __version__
