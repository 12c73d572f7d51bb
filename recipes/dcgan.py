"""A deep convolutional GAN from data to a served model.

    python recipes/dcgan.py
    python recipes/dcgan.py --dataset=fashion_mnist --epochs=15

Reference: Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks".
"""

import dataclasses
import functools

import kgen
from kgen import adversarial, data, networks, recipe
from kgen.recipe import option


@dataclasses.dataclass(frozen=True)
class Config:
    """The flags, with their defaults and help."""

    dataset: str = option("digits", "any TFDS data set of labelled images; digits needs no network")
    data_dir: str = option("", "folder of prepared data sets; TFDS' own by default")
    loss: str = option("non_saturating", "non_saturating, minimax, least_squares or hinge")
    width: int = option(64, "channels at half the image's size; doubled at each halving")
    latent_dim: int = option(64, "size of the latent vector")
    batch_size: int = option(64, "images a step, over all replicas")
    epochs: int = option(100, "passes over the training images")
    learning_rate: float = option(2e-4, "Adam's, of both players; its beta_1 is 0.5")
    num_samples: int = option(10_000, "samples to measure, at most as many as test images")
    classifier_dir: str = option("runs/classifiers", "where the features' classifier is kept")
    strategy: str = option("none", "none, mirrored or multi_worker")
    mixed_precision: bool = option(False, "compute in bfloat16, keep weights in float32")
    seed: int = option(0, "of weights, data order and noise")
    run_dir: str = option("runs/dcgan", "checkpoint and TensorBoard logs; a killed run resumes")
    export_dir: str = option("saved_models", "where dcgan/<version>/ and its pictures go")


TINY = Config(epochs=1, batch_size=500, num_samples=200)

LOSSES = {
    name: dict(
        generator_loss=getattr(adversarial, f"{name}_generator_loss"),
        discriminator_loss=getattr(adversarial, f"{name}_discriminator_loss"),
    )
    for name in ("non_saturating", "minimax", "least_squares", "hinge")
}


def build(config):
    """The model of a configuration, compiled."""
    shape = data.info(config.dataset, data_dir=config.data_dir or None).image_shape
    filters = networks.doubling_filters(config.width, shape)
    model = kgen.GAN.for_images(
        shape,
        latent_dim=config.latent_dim,
        generator=functools.partial(networks.dcgan_generator, filters=filters[::-1]),
        discriminator=functools.partial(networks.dcgan_discriminator, filters=filters),
        seed=config.seed,
        **recipe.choose("loss", config.loss, LOSSES),
    )
    optimizers = [kgen.optimizers.Adam(config.learning_rate, beta_1=0.5) for _ in range(2)]
    model.compile(*optimizers)
    return model


def main(config):
    """Train, evaluate, draw, export. Returns the metrics that it writes."""
    return recipe.image_generator(config, "dcgan", build)


if __name__ == "__main__":
    recipe.run(main, Config)
