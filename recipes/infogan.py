"""An InfoGAN that finds classes without labels, from data to a served model.

    python recipes/infogan.py
    python recipes/infogan.py --dataset=fashion_mnist --network=convolutional --noise_dim=62

Reference:
    Chen et al. 2016, "InfoGAN: Interpretable Representation Learning by Information Maximizing
    Generative Adversarial Nets".
"""

import dataclasses
import functools

import keras
import numpy as np

import kgen
from kgen import callbacks, data, evaluation, networks, plots, recipe, seeds
from kgen.recipe import option


@dataclasses.dataclass(frozen=True)
class Config:
    """The flags, with their defaults and help."""

    dataset: str = option("digits", "any TFDS data set of labelled images; digits needs no network")
    data_dir: str = option("", "folder of prepared data sets; TFDS' own by default")
    network: str = option("dense", "dense, or convolutional (DCGAN's) for larger images")
    noise_dim: int = option(16, "size of the latent beside the codes")
    num_categories: int = option(10, "values of the categorical code")
    continuous_dim: int = option(2, "number of the continuous codes")
    information_weight: float = option(1.0, "lambda, the weight of the mutual information")
    continuous_weight: float = option(0.02, "further weight of the continuous codes' part of it")
    batch_size: int = option(64, "images a step, over all replicas")
    epochs: int = option(150, "passes over the training images")
    generator_learning_rate: float = option(1e-3, "Adam's, as in the paper")
    discriminator_learning_rate: float = option(5e-4, "Adam's; the paper's is 2e-4")
    strategy: str = option("none", "none, mirrored or multi_worker")
    mixed_precision: bool = option(False, "compute in bfloat16, keep weights in float32")
    seed: int = option(0, "of weights, data order and noise")
    run_dir: str = option(
        "runs/infogan", "checkpoint and TensorBoard logs; an interrupted run resumes"
    )
    export_dir: str = option("saved_models", "where infogan/<version>/ and its pictures go")


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
    info = data.info(config.dataset, data_dir=config.data_dir or None)
    generator, discriminator = recipe.choose("network", config.network, NETWORKS)
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
    # First: a strategy of several workers must exist before TensorFlow does anything else.
    strategy = recipe.strategy(config.strategy)
    recipe.set_up(config)
    recipe.check_folders(config, "infogan")
    load = dict(batch_size=config.batch_size, seed=config.seed, data_dir=config.data_dir or None)
    # Training sees no label; only the figures do.
    train = data.load(config.dataset, "train", shuffle=True, **load)
    test = data.load(config.dataset, "test", **load)
    labelled = {
        split: data.load(config.dataset, split, labels=True, **load) for split in ("train", "test")
    }

    with strategy.scope():
        model = build(config)
        model.compile(
            generator_optimizer=kgen.optimizers.Adam(config.generator_learning_rate, beta_1=0.5),
            discriminator_optimizer=kgen.optimizers.Adam(
                config.discriminator_learning_rate, beta_1=0.5
            ),
        )
    recipe.check_folders(config, "infogan", model=model)
    backup = callbacks.BackupAndRestore(
        f"{config.run_dir}/backup", fingerprint=recipe.fingerprint(config)
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
    with recipe.timer(seconds, "training"):
        model.fit(
            train,
            validation_data=test,
            epochs=config.epochs,
            verbose=recipe.verbosity(),
            callbacks=[
                keras.callbacks.TensorBoard(config.run_dir),
                callbacks.PictureLogger(config.run_dir, pictures, every=max(1, config.epochs // 5)),
                backup,  # Last: once an epoch is backed up, it is not run again.
            ],
        )
    with recipe.timer(seconds, "evaluation"):
        metrics = {
            f"{split}_matched_accuracy": agreement(model, batches)
            for split, batches in labelled.items()
        }
        for name in ("mutual_information", "category_information"):
            metrics[name] = recipe.mean_term(model, test, name)
            metrics[name]["protocol"] = "lower bound, mean over one generated image a test image"
    if not strategy.extended.should_checkpoint:
        return metrics
    recipe.publish(
        model,
        "infogan",
        config,
        metrics=metrics,
        pictures=pictures,
        seconds=seconds,
        protocol=config.dataset,
    )
    backup.clear()
    return metrics


if __name__ == "__main__":
    recipe.run(main, Config)
