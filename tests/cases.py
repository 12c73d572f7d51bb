"""Every model once, tiny. The contract tests run over this table: a new system adds a row."""

import dataclasses
import functools
from collections.abc import Callable

import kgen
from kgen import heads, losses, networks, specs
from kgen.autoencoding import MaskingCorruption, SaltAndPepperCorruption

SHAPE = (5, 6, 1)


@dataclasses.dataclass(frozen=True)
class Case:
    """A name, a function that builds the model, and what the contracts must know of it."""

    name: str
    build: Callable
    # Variables that no gradient reaches and that training moves all the same, by a part of their
    # path.
    follows: tuple = ()
    # Weights that no step moves, likewise: the last bias cancels in a difference of two logits.
    still: tuple = ()
    # Whether the contract exports it: of cases that differ in a head alone, one does.
    exports: bool = True
    # Whether two replicas take the step of one device: no noise of its own, and the statistics of
    # the whole batch.
    same_on_replicas: bool = False
    # A second stage of training, `(model, *data)`, after `fit`.
    second_stage: Callable | None = None


SMALL = dict(
    encoder=lambda shape, size: networks.dense_encoder(shape, size, hidden_units=(8,)),
    decoder=lambda size, shape: networks.dense_decoder(size, shape, hidden_units=(8,)),
)
CONVOLUTIONAL = dict(
    encoder=lambda shape, size: networks.convolutional_encoder(shape, size, filters=(3,), units=4),
    decoder=lambda size, shape: networks.convolutional_decoder(size, shape, filters=(3,), units=4),
)
RESIDUAL = dict(
    encoder=lambda shape, size: networks.residual_encoder(
        shape, size, filters=(3,), num_blocks=1, units=4
    ),
    decoder=lambda size, shape: networks.residual_decoder(
        size, shape, filters=(3,), num_blocks=1, units=4
    ),
)


FEATURES = dict(
    encoder=functools.partial(networks.convolutional_feature_encoder, filters=(3,)),
    decoder=functools.partial(networks.convolutional_feature_decoder, filters=(3,)),
)


def vae(**kwargs):
    """A builder of VAEs with two latents and small networks, unless told otherwise."""
    shape = kwargs.pop("shape", SHAPE)
    return lambda: kgen.VAE.for_images(shape, **{"latent_dim": 2, **SMALL, **kwargs})


def dcgan(**kwargs):
    """The two networks of a DCGAN of one level."""
    return dict(
        generator=lambda size, shape: networks.dcgan_generator(size, shape, filters=(3,)),
        discriminator=lambda shape: networks.dcgan_discriminator(shape, filters=(3, 2), **kwargs),
    )


DENSE_PLAYERS = dict(
    generator=lambda size, shape: networks.dense_generator(size, shape, hidden_units=(8,)),
    discriminator=lambda shape: networks.dense_discriminator(shape, hidden_units=(8,)),
)
# What follows the two players of a GAN; "/u" is the vector of spectral normalization.
AVERAGES = ("average_",)
FOLLOWS = (*AVERAGES, "moving_mean", "moving_variance")


# For discriminators that also read something off the image: (shape, output_dim).
READERS = dict(
    generator=lambda size, shape: networks.dcgan_generator(size, shape, filters=(3,)),
    discriminator=lambda shape, size: networks.dcgan_discriminator(shape, size, filters=(3, 2)),
)

# Means and deviations of the data, which a model takes from it before the first step.
STANDARDIZED = ("/mean", "/scale", "/adapted")
TABLE = [
    ("height", heads.Normal()),
    ("kind", heads.Categorical(3)),
    ("alive", heads.Bernoulli()),
    ("weight", heads.Normal()),
]
MOVING = ("moving_mean", "moving_variance")


def embedder(shape=SHAPE):
    """An encoder of one block into three numbers."""
    return networks.contrastive_encoder(shape, 3, filters=(2,))


def projector(size=2, **kwargs):
    """Three numbers into `size`."""
    return networks.projection_head(3, (4,), size, **kwargs)


PIXELCNN = functools.partial(networks.pixelcnn, filters=6, num_blocks=1, head_filters=(6,))
PIXEL_RNN = functools.partial(networks.pixel_rnn, hidden_units=3, num_layers=1)
GATED = functools.partial(networks.gated_pixelcnn, filters=3, num_layers=2, head_filters=(3,))


CASES = [
    Case(
        "autoencoder",
        lambda: kgen.Autoencoder.for_images(SHAPE, latent_dim=2, **SMALL),
        same_on_replicas=True,
    ),
    Case(
        "denoising_autoencoder",
        lambda: kgen.Autoencoder.for_images(
            SHAPE, latent_dim=2, corruption=MaskingCorruption(0.3), **SMALL
        ),
    ),
    Case(
        "walkback_autoencoder",
        lambda: kgen.Autoencoder.for_images(
            SHAPE, latent_dim=2, corruption=SaltAndPepperCorruption(0.3), walkback_steps=2, **SMALL
        ),
    ),
    Case("vae", vae(**CONVOLUTIONAL)),
    Case("vae_residual_colour", vae(shape=(7, 5, 3), **RESIDUAL)),
    Case(
        "vae_warmup_free_bits",
        vae(kl_warmup_epochs=2, free_bits=0.05, beta=2.0),
        follows=("kl_weight",),
    ),
    Case(
        "vae_of_labels_and_attributes",
        vae(condition=(specs.Labels(3), specs.Attributes(2)), embedding_dim=2),
    ),
    Case(
        "semi_supervised_vae",
        lambda: kgen.SemiSupervisedVAE.for_images(
            SHAPE,
            condition=specs.Labels(3),
            latent_dim=2,
            embedding_dim=2,
            classifier=SMALL["encoder"],
            **SMALL,
        ),
    ),
    Case("iwae", vae(num_importance_samples=3)),
    Case(
        "vae_laplace",
        vae(posterior=heads.DiagonalLaplace(), likelihood=heads.Normal()),
        exports=False,
    ),
    Case("vae_logistic", vae(posterior=heads.DiagonalLogistic()), exports=False),
    Case(
        "vae_log_normal",
        lambda: kgen.VAE.for_images(SHAPE, latent_dim=2, posterior=heads.LogNormal(), **SMALL),
        exports=False,
    ),
    Case(
        "vae_categorical",
        lambda: kgen.VAE.for_images(
            SHAPE, latent_dim=4, posterior=heads.RelaxedOneHotCategorical(2), **SMALL
        ),
        exports=False,
    ),
    Case(
        "vae_mixtures",
        lambda: kgen.VAE.for_images(
            SHAPE,
            latent_dim=2,
            posterior=heads.MixtureOfNormals(2),
            prior=heads.MixtureOfNormalsPrior(2, 3),
            likelihood=heads.DiscretizedLogistic(16),
            **SMALL,
        ),
        exports=False,
    ),
    Case("vae_mixture_posterior", vae(posterior=heads.MixtureOfNormals(2)), exports=False),
    Case(
        "vae_vamp",
        lambda: kgen.VAE.for_images(
            SHAPE,
            latent_dim=2,
            prior=heads.VampPrior(SHAPE, 3),
            likelihood=heads.Categorical(4),
            **SMALL,
        ),
        exports=False,
    ),
    Case(
        "vae_flows",
        lambda: kgen.VAE.for_images(
            SHAPE,
            latent_dim=2,
            posterior=heads.InverseAutoregressiveFlow(2, hidden_units=(4,)),
            prior=heads.AutoregressiveFlowPrior(2, hidden_units=(4,)),
            likelihood=heads.ContinuousBernoulli(),
            **SMALL,
        ),
    ),
    Case(
        "vae_flow_posterior",
        vae(posterior=heads.InverseAutoregressiveFlow(2, hidden_units=(4,))),
        exports=False,
    ),
    Case(
        "vae_coupling",
        lambda: kgen.VAE.for_images(
            SHAPE, latent_dim=2, prior=heads.CouplingFlowPrior(2, hidden_units=(4,)), **SMALL
        ),
        exports=False,
    ),
    Case(
        "vqvae",
        lambda: kgen.VQVAE.for_images(SHAPE, num_codes=4, code_dim=2, **FEATURES),
        follows=("codebook", "counts", "sums"),
        same_on_replicas=True,
    ),
    Case(
        "vqvae_prior",
        lambda: kgen.VQVAE.for_images(
            SHAPE,
            num_codes=4,
            code_dim=2,
            prior=functools.partial(
                kgen.GatedPixelCNN.for_codes, embedding_dim=2, network=GATED, name="prior"
            ),
            **FEATURES,
        ),
        second_stage=lambda model, x: model.fit_prior(x, batch_size=8, epochs=2, verbose=0),
        # All weights of the prior, by the names of its layers.
        follows=("codebook", "counts", "sums", "prior", "causal", "row_conv", "category"),
    ),
    Case(
        "adversarial_autoencoder",
        lambda: kgen.AdversarialAutoencoder(
            SMALL["encoder"](SHAPE, 2),
            SMALL["decoder"](2, SHAPE),
            networks.dense_discriminator((2,), hidden_units=(8,)),
            discriminator_steps=2,
        ),
    ),
    Case(
        "adversarial_autoencoder_of_labels",
        lambda: kgen.AdversarialAutoencoder.for_images(
            SHAPE,
            condition=specs.Labels(3),
            embedding_dim=2,
            latent_dim=2,
            discriminator=functools.partial(networks.dense_discriminator, hidden_units=(8,)),
            **SMALL,
        ),
        exports=False,
    ),
    Case(
        "vae_of_a_table",
        lambda: kgen.VAE.for_vectors(4, latent_dim=2, likelihood=heads.Columns(TABLE), **SMALL),
        follows=STANDARDIZED,
    ),
    Case(
        "vae_of_vectors",
        lambda: kgen.VAE.for_vectors(3, latent_dim=2, likelihood=heads.StudentT(), **SMALL),
        follows=STANDARDIZED,
        exports=False,
    ),
    Case(
        "vqvae_of_vectors",
        lambda: kgen.VQVAE.for_vectors(3, num_codes=4, code_dim=2, num_positions=2, **SMALL),
        follows=("codebook", "counts", "sums", *STANDARDIZED),
    ),
    Case(
        "autoencoder_of_signals",
        lambda: kgen.Autoencoder(
            SMALL["encoder"]((5, 2), 2),
            SMALL["decoder"](2, (5, 4)),
            likelihood=heads.Standardized(heads.Normal(), 2),
        ),
        follows=STANDARDIZED,
        same_on_replicas=True,
    ),
    Case(
        "adversarial_autoencoder_of_volumes",
        lambda: kgen.AdversarialAutoencoder(
            SMALL["encoder"]((2, 3, 4, 1), 2),
            SMALL["decoder"](2, (2, 3, 4, 1)),
            networks.dense_discriminator((2,), hidden_units=(8,)),
        ),
    ),
    Case(
        "wgan_gp_of_vectors",
        lambda: kgen.WGANGP.for_vectors(3, latent_dim=2, discriminator_steps=2, **DENSE_PLAYERS),
        still=("dense_1/bias", "dense_3/bias"),
        follows=(*AVERAGES, *STANDARDIZED),
    ),
    Case(
        "made_of_vectors",
        lambda: kgen.MADE.for_vectors(
            3,
            network=functools.partial(
                networks.made_network, hidden_units=(8,), num_masks=3, order_agnostic=True
            ),
        ),
        follows=STANDARDIZED,
    ),
    Case(
        "nade_of_vectors",
        lambda: kgen.NADE.for_vectors(
            3,
            likelihood=heads.StudentT(),
            network=functools.partial(networks.nade_network, hidden_units=8),
        ),
        follows=STANDARDIZED,
        exports=False,
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
    Case(
        "pixelcnn",
        lambda: kgen.PixelCNN.for_images(SHAPE, likelihood=heads.Categorical(4), network=PIXELCNN),
        same_on_replicas=True,
    ),
    Case(
        "pixelcnn_of_attributes",
        lambda: kgen.PixelCNN.for_images(
            SHAPE,
            likelihood=heads.Categorical(4),
            condition=specs.Attributes(2),
            network=PIXELCNN,
        ),
        exports=False,
    ),
    Case(
        "pixelcnn_colour",
        lambda: kgen.PixelCNN.for_images(
            (3, 4, 3), likelihood=heads.DiscretizedLogistic(3), network=PIXELCNN
        ),
    ),
    Case(
        "gated_pixelcnn",
        lambda: kgen.GatedPixelCNN.for_images(
            SHAPE,
            likelihood=heads.Bernoulli(),
            condition=specs.Labels(3),
            network=functools.partial(
                networks.gated_pixelcnn, filters=4, num_layers=2, head_filters=(4,)
            ),
        ),
        same_on_replicas=True,
    ),
    Case(
        "pixelcnn_plus_plus",
        lambda: kgen.PixelCNNPlusPlus.for_images(
            (4, 6, 1),
            likelihood=heads.DiscretizedLogisticMixture(4, 2),
            network=functools.partial(networks.pixelcnn_plus_plus, filters=3, num_blocks=1),
        ),
    ),
    Case(
        "made",
        lambda: kgen.MADE.for_images(
            SHAPE,
            network=functools.partial(networks.made_network, hidden_units=(8,)),
            likelihood=heads.Categorical(4),
        ),
        same_on_replicas=True,
    ),
    Case(
        "made_orders_colour",
        lambda: kgen.MADE.for_images(
            (3, 2, 3),
            network=functools.partial(
                networks.made_network, hidden_units=(8, 7), num_masks=3, order_agnostic=True
            ),
            likelihood=heads.Categorical(4),
        ),
    ),
    Case(
        "made_orders_of_labels",
        lambda: kgen.MADE.for_images(
            (3, 2, 3),
            condition=specs.Labels(3),
            network=functools.partial(
                networks.made_network, hidden_units=(8, 7), num_masks=3, order_agnostic=True
            ),
            likelihood=heads.Categorical(4),
        ),
        exports=False,
    ),
    Case(
        "nade_of_labels",
        lambda: kgen.NADE.for_images(
            SHAPE,
            condition=specs.Labels(3),
            network=functools.partial(networks.nade_network, hidden_units=8),
            likelihood=heads.Categorical(4),
        ),
        exports=False,
    ),
    Case(
        "pixel_rnn_of_labels",
        lambda: kgen.PixelRNN.for_images(
            SHAPE,
            condition=specs.Labels(3),
            likelihood=heads.Categorical(4),
            network=functools.partial(networks.pixel_rnn, hidden_units=2, num_layers=1),
        ),
        exports=False,
    ),
    Case(
        "nade",
        lambda: kgen.NADE.for_images(
            SHAPE,
            network=functools.partial(networks.nade_network, hidden_units=8),
            likelihood=heads.Categorical(4),
        ),
        same_on_replicas=True,
    ),
    Case(
        "pixel_rnn",
        lambda: kgen.PixelRNN.for_images(SHAPE, likelihood=heads.Categorical(4), network=PIXEL_RNN),
        same_on_replicas=True,
    ),
    Case(
        "pixel_rnn_diagonal_colour",
        lambda: kgen.PixelRNN.for_images(
            (3, 4, 3),
            likelihood=heads.Categorical(4),
            network=functools.partial(PIXEL_RNN, kind="diagonal"),
        ),
    ),
    Case(
        "pixel_vae",
        lambda: kgen.PixelVAE.for_images(
            SHAPE,
            latent_dim=2,
            likelihood=heads.Categorical(4),
            num_maps=3,
            pixel_network=GATED,
            kl_warmup_epochs=2,
            **SMALL,
        ),
        follows=("kl_weight",),
    ),
    Case(
        "multiscale_pixelcnn_colour",
        lambda: kgen.MultiScalePixelCNN.for_images(
            (4, 3, 3),
            likelihood=heads.DiscretizedLogisticMixture(4, num_components=2),
            num_maps=3,
            network=GATED,
            upsampler=functools.partial(networks.convolutional_feature_decoder, filters=(3,)),
        ),
    ),
    Case(
        "gaussian_mixture",
        lambda: kgen.GaussianMixture(2, 3),
        follows=("weights", "means", "covariances", "center"),
        same_on_replicas=True,
    ),
    Case(
        "simclr",
        lambda: kgen.SimCLR(embedder(), projector()),
        follows=MOVING,
        same_on_replicas=True,
    ),
    Case(
        "simclr_colour",
        lambda: kgen.SimCLR(embedder((7, 5, 3)), projector(), temperature=0.1),
        follows=MOVING,
    ),
    Case(
        "moco",
        lambda: kgen.MoCo(embedder(), projector(), queue_size=80),
        follows=(*MOVING, "queue", "key_encoder", "key_projector"),
    ),
    Case(
        "byol",
        lambda: kgen.BYOL(embedder(), projector(), networks.prediction_head(2, 3)),
        follows=(*MOVING, "target_encoder", "target_projector"),
    ),
    Case(
        "simsiam",
        lambda: kgen.SimSiam(
            embedder(), projector(normalize_output=True), networks.prediction_head(2, 3)
        ),
        follows=MOVING,
    ),
    Case(
        "barlow_twins",
        lambda: kgen.BarlowTwins(embedder(), projector(use_bias=False)),
        follows=MOVING,
    ),
    Case(
        "vicreg",
        lambda: kgen.VICReg(embedder(), projector(use_bias=False)),
        follows=MOVING,
    ),
    Case(
        "exemplar_metric",
        lambda: kgen.ExemplarMetric(embedder(), projector()),
        follows=MOVING,
    ),
    Case(
        "exemplar_network",
        lambda: kgen.ExemplarNetwork(embedder(), 16),
        follows=MOVING,
    ),
    Case(
        "npid",
        lambda: kgen.NPID(embedder(), projector(), 16),
        follows=(*MOVING, "bank"),
    ),
    Case(
        "cpc",
        lambda: kgen.CPC.for_images(SHAPE, patch_size=2, stride=1, embedding_dim=3),
        same_on_replicas=True,
    ),
]


def examples(model, count=16, seed=0):
    """What a model trains on, in the form that `fit` takes: `(x,)` or `(x, y)`."""
    x, y = specs.x_and_y(model.data_spec)
    parts = specs.example(x, count, seed), None if y is None else specs.example(y, count, seed)
    return parts[:1] if y is None else parts


def compiled(case, optimizer=kgen.optimizers.Adam, **kwargs):
    """The case's model, compiled."""
    model = case.build()
    if isinstance(model, kgen.StatisticsModel):
        model.compile(**kwargs)
    else:
        model.compile(optimizer(1e-2), **kwargs)
    return model
