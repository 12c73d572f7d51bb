"""Autoencoders, tiny."""

import functools

import kgen
from cases.parts import (
    CONVOLUTIONAL,
    FEATURES,
    GATED,
    RESIDUAL,
    SHAPE,
    SMALL,
    STANDARDIZED,
    TABLE,
    Case,
    vae,
)
from kgen import heads, networks, specs
from kgen.autoencoding import MaskingCorruption, SaltAndPepperCorruption

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
]
