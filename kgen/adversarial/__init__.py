"""Generative adversarial networks."""

from kgen.adversarial.acgan import ACGAN as ACGAN
from kgen.adversarial.began import BEGAN as BEGAN
from kgen.adversarial.bigan import BiGAN as BiGAN
from kgen.adversarial.conditional_gan import ConditionalGAN as ConditionalGAN
from kgen.adversarial.ebgan import EBGAN as EBGAN
from kgen.adversarial.gan import GAN as GAN
from kgen.adversarial.infogan import InfoGAN as InfoGAN
from kgen.adversarial.parts.clipping import WeightClipping as WeightClipping
from kgen.adversarial.wgan import WGAN as WGAN
from kgen.adversarial.wgan_gp import WGANGP as WGANGP
