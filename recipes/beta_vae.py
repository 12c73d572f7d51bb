"""beta-VAE against VAE: how well single latents stand for the factors that images are drawn from.

    python recipes/beta_vae.py
    python recipes/beta_vae.py --beta=1

Reference: Higgins et al. 2017, "beta-VAE: Learning Basic Visual Concepts with a Constrained
Variational Framework".
"""

import dataclasses

import numpy as np

import kgen
from kgen import data, evaluation, experiment, heads, plots
from kgen.experiment import option


@dataclasses.dataclass(frozen=True)
class Config(experiment.Flags):
    """The flags beside those of every recipe, and defaults of these."""

    dataset: str = option(
        "shapes", "a data set with the feature `factors`; shapes needs no network"
    )
    beta: float = option(20.0, "weight of the KL; 1 is the VAE")
    latent_dim: int = option(10, "size of the latent vector")
    epochs: int = 30
    learning_rate: float = option(1e-3, "Adam's at the start; it falls to 0 along a cosine")
    run_dir: str = "runs/beta_vae"


TINY = Config(dataset="shapes", latent_dim=4, epochs=1, batch_size=64, train_split="train[:640]")


def build(config):
    """The model of a configuration, not yet compiled."""
    return kgen.VAE.for_images(
        experiment.info(config).image_shape,
        latent_dim=config.latent_dim,
        likelihood=heads.Normal(scale=0.1),
        beta=config.beta,
        seed=config.seed,
    )


def main(config):
    """Train, measure the disentanglement, draw, export. Returns the metrics that it writes."""
    strategy = experiment.start(config, "beta_vae")
    train = experiment.load(config, config.train_split, shuffle=True)
    test = experiment.load(config, config.test_split)
    with strategy.scope():
        model = build(config)
        model.compile(kgen.optimizers.Adam(experiment.cosine_decay(config, train)))
    images = next(iter(test))
    pictures = {
        "samples": lambda model: plots.sample_grid(model, seed=config.seed),
        "traversal": lambda model: plots.latent_traversal(model, image=images[0]),
        "reconstructions": lambda model: plots.reconstruction_grid(model, images[:16]),
    }
    seconds = {}
    with experiment.timer(seconds, "training"):
        experiment.train(model, train, config, pictures=pictures, validation_data=test)
    with experiment.timer(seconds, "evaluation"):
        factors, codes = factors_and_codes(model, config, config.train_split, 10_000)
        test_pair = factors_and_codes(model, config, config.test_split, 3_000)
        metrics = {
            "mutual_information_gap": evaluation.mutual_information_gap(factors, codes),
            **evaluation.disentanglement_completeness_informativeness(
                factors, codes, *test_pair, seed=config.seed
            ),
            "test_reconstruction": experiment.mean_term(model, test, "reconstruction"),
            "test_kl": experiment.mean_term(model, test, "kl"),
            "active_units": evaluation.active_units(model, test),
        }
    protocol = f"{experiment.data_name(config)}, means of q(z|x), normal likelihood of scale 0.1"
    experiment.publish(model, "beta_vae", config, metrics, pictures, seconds, protocol=protocol)
    return metrics


def factors_and_codes(model, config, split, count):
    """The factors of the first `count` images of a split, and their codes."""
    batches = data.load(
        config.dataset,
        split,
        features=("image", "factors"),
        batch_size=config.batch_size,
        data_dir=config.data_dir or None,
    ).take(-(-count // config.batch_size))
    pairs = [(factors.numpy(), model.encode(images).numpy()) for images, factors in batches]
    factors, codes = (np.concatenate(part)[:count] for part in zip(*pairs, strict=True))
    return factors, codes


if __name__ == "__main__":
    experiment.run(main, Config)
