"""A GAN that draws the class it is asked for, from data to a served model.

    python recipes/conditional_gan.py
    python recipes/conditional_gan.py --dataset=fashion_mnist --epochs=15

Reference: Mirza & Osindero 2014, "Conditional Generative Adversarial Nets"; Miyato & Koyama 2018,
"cGANs with Projection Discriminator".
"""

import dataclasses

import kgen
from kgen import data, recipe
from kgen.recipe import option


@dataclasses.dataclass(frozen=True)
class Config:
    """The flags, with their defaults and help."""

    dataset: str = option("digits", "any TFDS data set of labelled images; digits needs no network")
    data_dir: str = option("", "folder of prepared data sets; TFDS' own by default")
    latent_dim: int = option(64, "size of the latent vector")
    batch_size: int = option(64, "images a step, over all replicas")
    epochs: int = option(100, "passes over the training images")
    learning_rate: float = option(2e-4, "Adam's, of both players; its beta_1 is 0.5")
    num_samples: int = option(10_000, "samples to measure, at most as many as test images")
    classifier_dir: str = option("runs/classifiers", "where the features' classifier is kept")
    strategy: str = option("none", "none, mirrored or multi_worker")
    mixed_precision: bool = option(False, "compute in bfloat16, keep weights in float32")
    seed: int = option(0, "of weights, data order and noise")
    run_dir: str = option("runs/conditional_gan", "checkpoint and logs; a killed run resumes")
    export_dir: str = option("saved_models", "where conditional_gan/<version>/ and its pictures go")


TINY = Config(epochs=1, batch_size=500, num_samples=200)


def build(config):
    """The model of a configuration, compiled."""
    info = data.info(config.dataset, data_dir=config.data_dir or None)
    if info.num_classes is None:
        raise ValueError(f"--dataset={config.dataset} has no labels to condition on.")
    model = kgen.ConditionalGAN.for_images(
        info.image_shape,
        num_classes=info.num_classes,
        latent_dim=config.latent_dim,
        seed=config.seed,
    )
    optimizers = [kgen.optimizers.Adam(config.learning_rate, beta_1=0.5) for _ in range(2)]
    model.compile(*optimizers)
    return model


def main(config):
    """Train, evaluate, draw, export. Returns the metrics that it writes."""
    return recipe.image_generator(config, "conditional_gan", build, labels=True)


if __name__ == "__main__":
    recipe.run(main, Config)
