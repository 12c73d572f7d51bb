"""A Wasserstein GAN with gradient penalty from data to a served model.

    python recipes/wgan_gp.py
    python recipes/wgan_gp.py --dataset=fashion_mnist --epochs=15

Reference: Gulrajani et al. 2017, "Improved Training of Wasserstein GANs".
"""

import dataclasses
import functools

import kgen
from kgen import data, networks, recipe
from kgen.recipe import option


@dataclasses.dataclass(frozen=True)
class Config:
    """The flags, with their defaults and help."""

    dataset: str = option("digits", "any TFDS data set of labelled images; digits needs no network")
    data_dir: str = option("", "folder of prepared data sets; TFDS' own by default")
    network: str = option("dcgan", "dcgan or residual")
    penalty_weight: float = option(10.0, "weight of the gradient penalty")
    discriminator_steps: int = option(5, "critic steps for one of the generator")
    width: int = option(64, "channels at half the image's size; doubled at each halving")
    latent_dim: int = option(64, "size of the latent vector")
    batch_size: int = option(
        320, "images of discriminator_steps critic steps and one of the generator"
    )
    epochs: int = option(300, "passes over the training images")
    learning_rate: float = option(2e-4, "Adam's, of both players; its betas are 0 and 0.9")
    num_samples: int = option(10_000, "samples to measure, at most as many as test images")
    classifier_dir: str = option("runs/classifiers", "where the features' classifier is kept")
    strategy: str = option("none", "none, mirrored or multi_worker")
    mixed_precision: bool = option(False, "compute in bfloat16, keep weights in float32")
    seed: int = option(0, "of weights, data order and noise")
    run_dir: str = option("runs/wgan_gp", "checkpoint and TensorBoard logs; a killed run resumes")
    export_dir: str = option("saved_models", "where wgan_gp/<version>/ and its pictures go")


TINY = Config(epochs=1, batch_size=500, num_samples=200)


def dcgan_networks(width, shape):
    """DCGAN's, with layer normalization in the critic: batch normalization mixes images."""
    filters = networks.doubling_filters(width, shape)
    generator = functools.partial(networks.dcgan_generator, filters=filters[::-1])
    critic = functools.partial(networks.dcgan_discriminator, filters=filters, normalization="layer")
    return generator, critic


def residual_networks(width, shape):
    """Those of the paper's appendix, of one width."""
    return (
        functools.partial(networks.residual_generator, filters=width),
        functools.partial(networks.residual_discriminator, filters=width),
    )


NETWORKS = {"dcgan": dcgan_networks, "residual": residual_networks}


def build(config):
    """The model of a configuration, compiled."""
    shape = data.info(config.dataset, data_dir=config.data_dir or None).image_shape
    make_networks = recipe.choose("network", config.network, NETWORKS)
    generator, critic = make_networks(config.width, shape)
    model = kgen.WGANGP.for_images(
        shape,
        latent_dim=config.latent_dim,
        generator=generator,
        discriminator=critic,
        penalty_weight=config.penalty_weight,
        discriminator_steps=config.discriminator_steps,
        seed=config.seed,
    )
    rate = dict(learning_rate=config.learning_rate, beta_1=0.0, beta_2=0.9)
    model.compile(
        generator_optimizer=kgen.optimizers.Adam(**rate),
        discriminator_optimizer=kgen.optimizers.Adam(**rate),
    )
    return model


def main(config):
    """Train, evaluate, draw, export. Returns the metrics that it writes."""
    return recipe.image_generator(config, "wgan_gp", build)


if __name__ == "__main__":
    recipe.run(main, Config)
