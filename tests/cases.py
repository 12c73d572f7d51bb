"""Every model once, tiny. The contract tests run over this table: a new system adds a row."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

import kgen
from kgen import heads, networks
from kgen.autoencoding import MaskingCorruption, SaltAndPepperCorruption

SHAPE = (5, 6, 1)


@dataclasses.dataclass(frozen=True)
class Case:
    """A name, a function that builds the model, and what the contracts must know of it."""

    name: str
    build: Callable
    image_shape: tuple = SHAPE
    # Variables that no gradient reaches and that training moves all the same, by a part of their
    # path.
    follows: tuple = ()


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


def vae(**kwargs):
    """A builder of VAEs with two latents and small networks, unless told otherwise."""
    shape = kwargs.pop("shape", SHAPE)
    return lambda: kgen.VAE.for_images(shape, **{"latent_dim": 2, **SMALL, **kwargs})


CASES = [
    Case("autoencoder", lambda: kgen.Autoencoder.for_images(SHAPE, 2, **SMALL)),
    Case(
        "denoising_autoencoder",
        lambda: kgen.Autoencoder.for_images(SHAPE, 2, corruption=MaskingCorruption(0.3), **SMALL),
    ),
    Case(
        "walkback_autoencoder",
        lambda: kgen.Autoencoder.for_images(
            SHAPE, 2, corruption=SaltAndPepperCorruption(0.3), walkback_steps=2, **SMALL
        ),
    ),
    Case("vae", vae(**CONVOLUTIONAL)),
    Case("vae_residual_colour", vae(shape=(7, 5, 3), **RESIDUAL), image_shape=(7, 5, 3)),
    Case(
        "vae_warmup_free_bits",
        vae(kl_warmup_epochs=2, free_bits=0.05, beta=2.0),
        follows=("kl_weight",),
    ),
    Case("iwae", vae(num_importance_samples=3)),
    Case("vae_laplace", vae(posterior=heads.DiagonalLaplace(), likelihood=heads.Normal())),
    Case("vae_logistic", vae(posterior=heads.DiagonalLogistic())),
    Case(
        "vae_log_normal",
        lambda: kgen.VAE.for_images(SHAPE, 2, posterior=heads.LogNormal(), **SMALL),
    ),
    Case(
        "vae_categorical",
        lambda: kgen.VAE.for_images(SHAPE, 4, posterior=heads.RelaxedOneHotCategorical(2), **SMALL),
    ),
    Case(
        "vae_mixtures",
        lambda: kgen.VAE.for_images(
            SHAPE,
            2,
            posterior=heads.MixtureOfNormals(2),
            prior=heads.MixtureOfNormalsPrior(2, 3),
            likelihood=heads.DiscretizedLogistic(16),
            **SMALL,
        ),
    ),
    Case("vae_mixture_posterior", vae(posterior=heads.MixtureOfNormals(2))),
    Case(
        "vae_vamp",
        lambda: kgen.VAE.for_images(
            SHAPE, 2, prior=heads.VampPrior(SHAPE, 3), likelihood=heads.Categorical(4), **SMALL
        ),
    ),
    Case(
        "vae_flows",
        lambda: kgen.VAE.for_images(
            SHAPE,
            2,
            posterior=heads.InverseAutoregressiveFlow(2, hidden_units=(4,)),
            prior=heads.AutoregressiveFlowPrior(2, hidden_units=(4,)),
            likelihood=heads.ContinuousBernoulli(),
            **SMALL,
        ),
    ),
    Case(
        "vae_flow_posterior", vae(posterior=heads.InverseAutoregressiveFlow(2, hidden_units=(4,)))
    ),
    Case(
        "vae_coupling",
        lambda: kgen.VAE.for_images(
            SHAPE, 2, prior=heads.CouplingFlowPrior(2, hidden_units=(4,)), **SMALL
        ),
    ),
    Case(
        "vqvae",
        lambda: kgen.VQVAE.for_images(SHAPE, num_codes=4, code_dim=2, filters=(3,)),
        follows=("codebook", "counts", "sums"),
    ),
    Case(
        "adversarial_autoencoder",
        lambda: kgen.AdversarialAutoencoder.for_images(SHAPE, 2, discriminator_steps=2, **SMALL),
    ),
]


def images(case, count=16, seed=0):
    """Float32 images for a case, on 4 levels so that every likelihood takes them."""
    levels = np.random.RandomState(seed).randint(0, 4, size=(count, *case.image_shape))
    return (levels / 3).astype("float32")


def compiled(case, optimizer=keras.optimizers.Adam, **kwargs):
    """The case's model, compiled with a fresh optimizer a player."""
    model = case.build()
    if isinstance(model, kgen.AdversarialModel):
        model.compile(optimizer(1e-2), optimizer(1e-2), **kwargs)
    else:
        model.compile(optimizer(1e-2), **kwargs)
    return model
