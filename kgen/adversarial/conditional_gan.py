"""The conditional GAN: both players see the condition."""

import functools

import keras

from kgen import checks
from kgen.adversarial.gan import GAN
from kgen.losses import adversarial as losses
from kgen.networks import (
    dcgan_discriminator,
    dcgan_generator,
    make_conditioned,
    projection_discriminator,
)

_FEATURES = functools.partial(dcgan_discriminator, output_dim=128, normalization=None)


@keras.saving.register_keras_serializable(package="kgen")
class ConditionalGAN(GAN):
    """Conditional GAN (Mirza & Osindero 2014), by default with a projection discriminator.

        discriminator:   discriminator_loss(D(x, y), D(G(z, y), y)) + penalty_weight * penalty
        generator:       generator_loss(D(G(z, y), y)),      z ~ N(0, I), y as in the data

    The game is that of `kgen.GAN` with a condition; hinge losses, and `for_images` with spectral
    normalization, are those of Miyato & Koyama.

    Args:
        generator: keras.Model from `[latents (batch, latent_dim), *condition]` to images in [0, 1],
            such as `kgen.networks.conditioned` makes.
        discriminator: keras.Model from `[images, *condition]` to logits `(batch, 1)`, such as
            `kgen.networks.projection_discriminator` makes.
        condition: `kgen.specs.Labels(num_classes)`, `kgen.specs.Attributes(dim)`, or a tuple of
            them. Labels out of range stop training and fail a request, but XLA (`jit_compile`)
            leaves that check out after the first batch.
        generator_loss: function of the fake logits, one value per example.
        discriminator_loss: function of the real and the fake logits.
        **kwargs: those of `kgen.GAN`, such as `penalty` and `ema_decay`.

    Raises:
        ValueError: if the networks do not fit, or for an argument out of range.

    Reference:
        Mirza & Osindero 2014, "Conditional Generative Adversarial Nets", eq. 2; Miyato & Koyama
        2018, "cGANs with Projection Discriminator", eq. 3.
    """

    def __init__(
        self,
        generator,
        discriminator,
        *,
        condition,
        generator_loss=losses.hinge_generator_loss,
        discriminator_loss=losses.hinge_discriminator_loss,
        **kwargs,
    ):
        super().__init__(
            generator,
            discriminator,
            condition=condition,
            generator_loss=generator_loss,
            discriminator_loss=discriminator_loss,
            **kwargs,
        )

    @classmethod
    def for_images(
        cls,
        image_shape,
        *,
        condition,
        latent_dim=64,
        embedding_dim=32,
        generator=dcgan_generator,
        features=_FEATURES,
        spectral_normalization=True,
        **kwargs,
    ):
        """A conditional GAN with networks made for an image shape.

        Args:
            image_shape: `(height, width, channels)`, any of each.
            condition: as for the class.
            latent_dim: int >= 1.
            embedding_dim: int >= 1, of the generator's embedding of the condition.
            generator: function `(latent_dim, image_shape) -> keras.Model` from `kgen.networks`.
            features: function `image_shape -> keras.Model` of the discriminator's features.
            spectral_normalization: bool, for all of the discriminator; `features` must take it.
            **kwargs: the class's other arguments.
        """
        checks.network_functions(generator=generator, features=features)
        checks.positive_integer("latent_dim", latent_dim)
        how = dict(condition=condition, embedding_dim=embedding_dim)
        phi = features(image_shape, spectral_normalization=spectral_normalization)
        return cls(
            make_conditioned(generator, latent_dim, image_shape, **how),
            projection_discriminator(phi, condition, spectral_normalization=spectral_normalization),
            condition=condition,
            **kwargs,
        )
