"""An InfoGAN that finds classes without labels, from data to a served model.

    python recipes/infogan.py
    python recipes/infogan.py --dataset=fashion_mnist --network=convolutional --noise_dim=62

Reference:
    Chen et al. 2016, "InfoGAN: Interpretable Representation Learning by Information Maximizing
    Generative Adversarial Nets".
"""

import dataclasses
import functools

import numpy as np

import kgen
from kgen import evaluation, experiment, networks, plots, seeds
from kgen.experiment import option


@dataclasses.dataclass(frozen=True)
class Config(experiment.Flags):
    """The flags beside those of every recipe, and defaults of these."""

    dataset: str = option("digits", "any TFDS data set of labelled images; digits needs no network")
    network: str = option("dense", "dense, or convolutional (DCGAN's) for larger images")
    noise_dim: int = option(16, "size of the latent beside the codes")
    num_categories: int = option(10, "values of the categorical code")
    continuous_dim: int = option(2, "number of the continuous codes")
    information_weight: float = option(1.0, "lambda, the weight of the mutual information")
    continuous_weight: float = option(0.02, "further weight of the continuous codes' part of it")
    epochs: int = 150
    generator_learning_rate: float = option(1e-3, "Adam's, as in the paper")
    discriminator_learning_rate: float = option(5e-4, "Adam's; the paper's is 2e-4")
    run_dir: str = "runs/infogan"


TINY = Config(noise_dim=4, epochs=1, batch_size=500)

# No batch normalization where images are read: it sees real and generated ones in batches apart,
# so that its moving means, which `infer` uses, fit neither.
NETWORKS = {
    "convolutional": (
        functools.partial(networks.dcgan_generator, kernel_size=4),
        functools.partial(networks.dcgan_discriminator, kernel_size=4, normalization="layer"),
    ),
    "dense": (
        functools.partial(networks.dense_generator, normalization="batch"),
        functools.partial(networks.dense_discriminator, normalization="layer"),
    ),
}


def build(config):
    """The model of a configuration, not yet compiled."""
    info = experiment.info(config)
    generator, discriminator = experiment.choose("network", config.network, NETWORKS)
    return kgen.InfoGAN.for_images(
        info.image_shape,
        noise_dim=config.noise_dim,
        num_categories=config.num_categories,
        continuous_dim=config.continuous_dim,
        generator=generator,
        discriminator=discriminator,
        information_weight=config.information_weight,
        continuous_weight=config.continuous_weight,
        seed=config.seed,
    )


def category_grid(model, *, columns=10, seed=0):
    """A row a category; the images of a column have the same noise and continuous codes."""
    rows = [
        model.sample(columns, categories=category, seed=seed)
        for category in range(model.num_categories)
    ]
    return plots.image_grid(np.concatenate(rows), columns=columns)


def code_sweep(model, index, *, columns=9, seed=0):
    """A row a category; along it one continuous code goes from -1 to 1, all else is the same."""
    latents = np.repeat(model.sample_latents(seeds.seed_rows(seed, 1)), columns, axis=0)
    first_continuous = model.noise_dim + model.num_categories
    latents[:, first_continuous:] = 0.0
    latents[:, first_continuous + index] = np.linspace(-1.0, 1.0, columns)
    rows = []
    for category in np.eye(model.num_categories, dtype=np.float32):
        latents[:, model.noise_dim : first_continuous] = category
        rows.append(model.decode(latents))
    return plots.image_grid(np.concatenate(rows), columns=columns)


def agreement(model, labelled):
    """Of the categories that the model infers with the data's classes."""
    inferred, labels = [], []
    for images, classes in labelled:
        probabilities, _ = model.infer(images)
        inferred.append(np.argmax(probabilities, axis=-1))
        labels.append(classes)
    return evaluation.matched_accuracy(np.concatenate(inferred), np.concatenate(labels))


def main(config):
    """Train, evaluate, draw, export. Returns the metrics that it writes."""
    strategy = experiment.start(config, "infogan")
    # Training sees no label; only the figures do. Data without labels fail here, not after it.
    train = experiment.load(config, config.train_split, shuffle=True)
    test = experiment.load(config, config.test_split)
    labelled = {
        "train": experiment.load(config, config.train_split, labels=True),
        "test": experiment.load(config, config.test_split, labels=True),
    }
    with strategy.scope():
        model = build(config)
        model.compile(
            generator_optimizer=kgen.optimizers.Adam(config.generator_learning_rate, beta_1=0.5),
            discriminator_optimizer=kgen.optimizers.Adam(
                config.discriminator_learning_rate, beta_1=0.5
            ),
        )
    pictures = {
        "samples": lambda model: plots.sample_grid(model, seed=config.seed),
        "categories": lambda model: category_grid(model, seed=config.seed),
    }
    for index in range(config.continuous_dim):
        pictures[f"continuous_code_{index}"] = functools.partial(
            code_sweep, index=index, seed=config.seed
        )
    seconds = {}
    with experiment.timer(seconds, "training"):
        experiment.train(model, train, config, pictures=pictures, validation_data=test)
    with experiment.timer(seconds, "evaluation"):
        metrics = {
            f"{split}_matched_accuracy": agreement(model, batches)
            for split, batches in labelled.items()
        }
        for name in ("mutual_information", "category_information"):
            metrics[name] = experiment.mean_term(model, test, name)
            metrics[name]["protocol"] = "lower bound, mean over one generated image a test image"
    experiment.publish(
        model, "infogan", config, metrics, pictures, seconds, protocol=experiment.data_name(config)
    )
    return metrics


if __name__ == "__main__":
    experiment.run(main, Config)
