"""Generative adversarial networks, their losses and penalties."""

from kgen.adversarial.acgan import ACGAN as ACGAN
from kgen.adversarial.began import BEGAN as BEGAN
from kgen.adversarial.bigan import BiGAN as BiGAN
from kgen.adversarial.conditional_gan import ConditionalGAN as ConditionalGAN
from kgen.adversarial.ebgan import EBGAN as EBGAN
from kgen.adversarial.ebgan import pull_away_term as pull_away_term
from kgen.adversarial.gan import GAN as GAN
from kgen.adversarial.infogan import InfoGAN as InfoGAN
from kgen.adversarial.losses import classification_loss as classification_loss
from kgen.adversarial.losses import hinge_discriminator_loss as hinge_discriminator_loss
from kgen.adversarial.losses import hinge_generator_loss as hinge_generator_loss
from kgen.adversarial.losses import (
    least_squares_discriminator_loss as least_squares_discriminator_loss,
)
from kgen.adversarial.losses import least_squares_generator_loss as least_squares_generator_loss
from kgen.adversarial.losses import minimax_discriminator_loss as minimax_discriminator_loss
from kgen.adversarial.losses import minimax_generator_loss as minimax_generator_loss
from kgen.adversarial.losses import (
    non_saturating_discriminator_loss as non_saturating_discriminator_loss,
)
from kgen.adversarial.losses import non_saturating_generator_loss as non_saturating_generator_loss
from kgen.adversarial.losses import wasserstein_discriminator_loss as wasserstein_discriminator_loss
from kgen.adversarial.losses import wasserstein_generator_loss as wasserstein_generator_loss
from kgen.adversarial.penalties import WeightClipping as WeightClipping
from kgen.adversarial.penalties import dragan_penalty as dragan_penalty
from kgen.adversarial.penalties import gradient_penalty as gradient_penalty
from kgen.adversarial.penalties import one_sided_gradient_penalty as one_sided_gradient_penalty
from kgen.adversarial.penalties import r1_penalty as r1_penalty
from kgen.adversarial.wgan import WGAN as WGAN
from kgen.adversarial.wgan_gp import WGANGP as WGANGP
