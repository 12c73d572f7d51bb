"""Adversarial models, tiny."""

import kgen
from cases.parts import (
    AVERAGES,
    DENSE_PLAYERS,
    FOLLOWS,
    READERS,
    SHAPE,
    SMALL,
    STANDARDIZED,
    Case,
    dcgan,
)
from kgen import losses, networks, specs

CASES = [
    Case(
        "wgan_gp_of_vectors",
        lambda: kgen.WGANGP.for_vectors(3, latent_dim=2, discriminator_steps=2, **DENSE_PLAYERS),
        still=("dense_1/bias", "dense_3/bias"),
        follows=(*AVERAGES, *STANDARDIZED),
    ),
    Case("gan", lambda: kgen.GAN.for_images(SHAPE, latent_dim=2, **dcgan()), follows=FOLLOWS),
    Case(
        "gan_minimax_unrolled",
        lambda: kgen.GAN.for_images(
            SHAPE,
            latent_dim=2,
            generator_loss=losses.adversarial.minimax_generator_loss,
            discriminator_loss=losses.adversarial.minimax_discriminator_loss,
            penalty=losses.penalties.r1_penalty,
            unrolled_steps=2,
            **DENSE_PLAYERS,
        ),
        follows=AVERAGES,
    ),
    Case(
        "gan_consensus",
        lambda: kgen.GAN.for_images(
            SHAPE, latent_dim=2, consensus_weight=0.5, ema_decay=None, **DENSE_PLAYERS
        ),
    ),
    Case(
        "gan_residual_colour",
        lambda: kgen.GAN.for_images(
            (7, 5, 3),
            latent_dim=2,
            generator=lambda size, shape: networks.residual_generator(
                size, shape, filters=2, num_levels=1
            ),
            discriminator=lambda shape: networks.residual_discriminator(
                shape, filters=2, num_blocks=0, spectral_normalization=True
            ),
        ),
        follows=(*FOLLOWS, "/u"),
    ),
    Case(
        "gan_points",
        lambda: kgen.GAN.for_images((2,), latent_dim=2, **DENSE_PLAYERS),
        follows=AVERAGES,
    ),
    Case(
        "wgan",
        lambda: kgen.WGAN.for_images(SHAPE, latent_dim=2, discriminator_steps=2, **DENSE_PLAYERS),
        # The bias of a critic cancels in D(G(z)) - D(x).
        still=("dense_3/bias",),
        follows=AVERAGES,
    ),
    Case(
        "wgan_gp",
        lambda: kgen.WGANGP.for_images(
            SHAPE, latent_dim=2, discriminator_steps=2, **dcgan(normalization="layer")
        ),
        still=("dense_1/bias",),
        follows=FOLLOWS,
    ),
    Case(
        "conditional_gan",
        lambda: kgen.ConditionalGAN.for_images(
            SHAPE,
            condition=specs.Labels(3),
            latent_dim=2,
            embedding_dim=2,
            generator=dcgan()["generator"],
            features=lambda shape, **kwargs: networks.dcgan_discriminator(
                shape, 4, filters=(2,), normalization=None, **kwargs
            ),
        ),
        follows=(*FOLLOWS, "/u"),
    ),
    Case(
        "wgan_gp_of_attributes",
        lambda: kgen.WGANGP.for_images(
            SHAPE,
            condition=specs.Attributes(2),
            embedding_dim=2,
            latent_dim=2,
            discriminator_steps=2,
            **DENSE_PLAYERS,
        ),
        still=("dense_4/bias",),
        follows=AVERAGES,
    ),
    Case(
        "acgan",
        lambda: kgen.ACGAN.for_images(
            SHAPE, condition=specs.Labels(3), latent_dim=2, embedding_dim=2, **READERS
        ),
        follows=FOLLOWS,
    ),
    Case(
        "infogan",
        lambda: kgen.InfoGAN.for_images(SHAPE, noise_dim=2, num_categories=4, **READERS),
        follows=FOLLOWS,
    ),
    Case(
        "infogan_of_labels",
        lambda: kgen.InfoGAN.for_images(
            SHAPE,
            noise_dim=2,
            num_categories=4,
            condition=specs.Labels(3),
            embedding_dim=2,
            **READERS,
        ),
        follows=FOLLOWS,
        exports=False,
    ),
    Case(
        "bigan",
        lambda: kgen.BiGAN.for_images(
            SHAPE,
            latent_dim=2,
            generator=READERS["generator"],
            encoder=READERS["discriminator"],
            features=READERS["discriminator"],
            feature_dim=3,
        ),
        follows=FOLLOWS,
    ),
    Case(
        "began",
        lambda: kgen.BEGAN.for_images(
            SHAPE,
            latent_dim=2,
            diversity_ratio=1.0,
            proportional_gain=0.1,
            generator=DENSE_PLAYERS["generator"],
            **SMALL,
        ),
        follows=(*AVERAGES, "fake_weight"),
    ),
    Case(
        "ebgan",
        lambda: kgen.EBGAN.for_images(
            SHAPE, latent_dim=2, generator=DENSE_PLAYERS["generator"], **SMALL
        ),
        follows=AVERAGES,
    ),
]
