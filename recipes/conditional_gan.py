"""A GAN that draws the class it is asked for, from data to a served model.

    python recipes/conditional_gan.py
    python recipes/conditional_gan.py --dataset=fashion_mnist --epochs=15

Reference: Mirza & Osindero 2014, "Conditional Generative Adversarial Nets"; Miyato & Koyama 2018,
"cGANs with Projection Discriminator".
"""

import dataclasses
import functools

import kgen
from kgen import evaluation, experiment, networks, plots, specs
from kgen.experiment import option


@dataclasses.dataclass(frozen=True)
class Config(experiment.Flags):
    """The flags beside those of every recipe, and defaults of these."""

    dataset: str = option("digits", "any TFDS data set of labelled images; digits needs no network")
    width: int = option(64, "channels at half the image's size; doubled at each halving")
    latent_dim: int = option(64, "size of the latent vector")
    epochs: int = 100
    learning_rate: float = option(2e-4, "Adam's, of both players; its beta_1 is 0.5")
    num_samples: int = option(
        10_000, "samples to measure, at most as many as test images", may_change=True
    )
    classifier_dir: str = option("runs/classifiers", "where the features' classifier is kept")
    run_dir: str = "runs/conditional_gan"


TINY = Config(width=8, epochs=1, batch_size=500, num_samples=200)


def build(config):
    """The model of a configuration, not yet compiled."""
    info = experiment.info(config)
    if info.num_classes is None:
        raise ValueError(f"--dataset={config.dataset} has no labels to condition on.")
    filters = networks.doubling_filters(config.width, info.image_shape)
    return kgen.ConditionalGAN.for_images(
        info.image_shape,
        condition=specs.Labels(info.num_classes),
        latent_dim=config.latent_dim,
        generator=functools.partial(networks.dcgan_generator, filters=filters[::-1]),
        features=functools.partial(
            networks.dcgan_discriminator, output_dim=128, normalization=None, filters=filters
        ),
        seed=config.seed,
    )


def main(config):
    """Train, evaluate, draw, export. Returns the metrics that it writes."""
    strategy = experiment.start(config, "conditional_gan")
    train = experiment.load(
        config, config.train_split, shuffle=True, drop_remainder=True, labels=True
    )
    seconds = {}
    with strategy.scope():
        model = build(config)
        model.compile(kgen.optimizers.Adam(config.learning_rate, beta_1=0.5))
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
    experiment.publish(
        model, "conditional_gan", config, metrics, pictures, seconds, protocol=protocol
    )
    return metrics


if __name__ == "__main__":
    experiment.run(main, Config)
