"""A Wasserstein GAN with gradient penalty from data to a served model.

    python recipes/wgan_gp.py
    python recipes/wgan_gp.py --dataset=fashion_mnist --epochs=15

Reference: Gulrajani et al. 2017, "Improved Training of Wasserstein GANs".
"""

import dataclasses
import functools

import kgen
from kgen import evaluation, experiment, networks, plots
from kgen.experiment import option


@dataclasses.dataclass(frozen=True)
class Config(experiment.Flags):
    """The flags beside those of every recipe, and defaults of these."""

    dataset: str = option("digits", "any TFDS data set of labelled images; digits needs no network")
    network: str = option("dcgan", "dcgan or residual")
    penalty_weight: float = option(10.0, "weight of the gradient penalty")
    discriminator_steps: int = option(5, "critic steps for one of the generator")
    width: int = option(64, "channels at half the image's size; doubled at each halving")
    latent_dim: int = option(64, "size of the latent vector")
    batch_size: int = option(
        320, "images of discriminator_steps critic steps and one of the generator"
    )
    epochs: int = 300
    learning_rate: float = option(2e-4, "Adam's, of both players; its betas are 0 and 0.9")
    num_samples: int = option(
        10_000, "samples to measure, at most as many as test images", may_change=True
    )
    classifier_dir: str = option("runs/classifiers", "where the features' classifier is kept")
    run_dir: str = "runs/wgan_gp"


TINY = Config(width=8, epochs=1, batch_size=500, num_samples=200)


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
    """The model of a configuration, not yet compiled."""
    shape = experiment.info(config).image_shape
    make_networks = experiment.choose("network", config.network, NETWORKS)
    generator, critic = make_networks(config.width, shape)
    return kgen.WGANGP.for_images(
        shape,
        latent_dim=config.latent_dim,
        generator=generator,
        discriminator=critic,
        penalty_weight=config.penalty_weight,
        discriminator_steps=config.discriminator_steps,
        seed=config.seed,
    )


def main(config):
    """Train, evaluate, draw, export. Returns the metrics that it writes."""
    strategy = experiment.start(config, "wgan_gp")
    train = experiment.load(config, config.train_split, shuffle=True, drop_remainder=True)
    seconds = {}
    with strategy.scope():
        model = build(config)
        model.compile(kgen.optimizers.Adam(config.learning_rate, beta_1=0.0, beta_2=0.9))
    if experiment.is_chief(model):
        with experiment.timer(seconds, "classifier"):
            features = experiment.classifier_features(config)
    pictures = {
        "samples": lambda model: plots.sample_grid(model, seed=config.seed),
        "interpolations": lambda model: plots.interpolation_grid(model, seed=config.seed),
    }
    with experiment.timer(seconds, "training"):
        experiment.train(model, train, config, pictures=pictures)
    if not experiment.is_chief(model):
        return {}
    with experiment.timer(seconds, "evaluation"):
        metrics = evaluation.sample_quality(
            model,
            experiment.load(config, config.test_split),
            features.extractor,
            classifier=features.classifier,
            num_samples=config.num_samples,
            train=experiment.load(config, config.train_split),
            seed=config.seed,
        )
    protocol = f"{experiment.data_name(config)}, test images"
    experiment.publish(model, "wgan_gp", config, metrics, pictures, seconds, protocol=protocol)
    return metrics


if __name__ == "__main__":
    experiment.run(main, Config)
