"""A variational autoencoder from data to a served model.

    python recipes/vae.py
    python recipes/vae.py --dataset=fashion_mnist --epochs=20

Reference: Kingma & Welling 2014, "Auto-Encoding Variational Bayes".
"""

import dataclasses

import keras
import numpy as np

import kgen
from kgen import callbacks, checks, data, evaluation, heads, networks, plots, recipe
from kgen.recipe import option


@dataclasses.dataclass(frozen=True)
class Config:
    """The flags, with their defaults and help."""

    dataset: str = option("digits", "any TFDS data set of images; digits needs no network")
    train_split: str = option("train", "split to train on, such as train[:90%]")
    test_split: str = option("test", "split to measure on, such as train[90%:]")
    data_dir: str = option("", "folder of prepared data sets; TFDS' own by default")
    binarize: str = option(
        "none", "none, threshold, fixed (one draw a pixel) or dynamic (an epoch)"
    )
    network: str = option("convolutional", "convolutional, dense or residual")
    latent_dim: int = option(16, "size of the latent vector; 2 also draws the latent manifold")
    likelihood: str = option(
        "discretized_logistic",
        "discretized_logistic (exact levels), bernoulli, continuous_bernoulli or normal",
    )
    prior: str = option(
        "standard_normal", "standard_normal, mixture, vamp, autoregressive, coupling"
    )
    beta: float = option(1.0, "weight of the KL")
    free_bits: float = option(0.0, "nats a latent dimension below which the KL costs a constant")
    kl_warmup_epochs: int = option(0, "epochs over which the weight of the KL grows from 0")
    num_importance_samples: int = option(1, "above 1: the importance-weighted bound (IWAE)")
    batch_size: int = option(128, "images a step, over all replicas")
    epochs: int = option(100, "passes over the training images")
    learning_rate: float = option(1e-3, "Adam's")
    bound_samples: int = option(100, "samples of the importance-weighted bound on the test images")
    strategy: str = option("none", "none, mirrored or multi_worker")
    mixed_precision: bool = option(False, "compute in bfloat16, keep weights in float32")
    seed: int = option(0, "of weights, data order and noise")
    run_dir: str = option("runs/vae", "checkpoint and TensorBoard logs; an interrupted run resumes")
    export_dir: str = option("saved_models", "where vae/<version>/ and its pictures go")


TINY = Config(network="dense", latent_dim=2, epochs=1, bound_samples=4, batch_size=500)

NETWORKS = {
    "convolutional": (networks.convolutional_encoder, networks.convolutional_decoder),
    "dense": (networks.dense_encoder, networks.dense_decoder),
    "residual": (networks.residual_encoder, networks.residual_decoder),
}


def build(config):
    """The model of a configuration, not yet compiled."""
    info = data.info(config.dataset, data_dir=config.data_dir or None)
    checks.image_shape(info.image_shape)
    likelihoods = {
        "discretized_logistic": lambda: heads.DiscretizedLogistic(info.num_levels),
        "bernoulli": heads.Bernoulli,
        "continuous_bernoulli": heads.ContinuousBernoulli,
        "normal": heads.Normal,
    }
    priors = {
        "standard_normal": lambda: heads.StandardNormal(config.latent_dim),
        "mixture": lambda: heads.MixtureOfNormalsPrior(config.latent_dim, 32),
        "vamp": lambda: heads.VampPrior(info.image_shape, 32),
        "autoregressive": lambda: heads.AutoregressiveFlowPrior(config.latent_dim),
        "coupling": lambda: heads.CouplingFlowPrior(config.latent_dim),
    }
    encoder, decoder = recipe.choose("network", config.network, NETWORKS)
    return kgen.VAE.for_images(
        info.image_shape,
        latent_dim=config.latent_dim,
        encoder=encoder,
        decoder=decoder,
        likelihood=recipe.choose("likelihood", config.likelihood, likelihoods)(),
        prior=recipe.choose("prior", config.prior, priors)(),
        beta=config.beta,
        free_bits=config.free_bits,
        kl_warmup_epochs=config.kl_warmup_epochs,
        num_importance_samples=config.num_importance_samples,
        seed=config.seed,
    )


def main(config):
    """Train, evaluate, draw, export. Returns the metrics that it writes."""
    # First: a strategy of several workers must exist before TensorFlow does anything else.
    strategy = recipe.strategy(config.strategy)
    recipe.set_up(config)
    recipe.check_folders(config, "vae")
    checks.positive_integer("bound_samples", config.bound_samples)
    binarize = None if config.binarize == "none" else config.binarize
    load = dict(batch_size=config.batch_size, seed=config.seed, data_dir=config.data_dir or None)
    train = data.load(config.dataset, config.train_split, shuffle=True, binarize=binarize, **load)
    # A figure is measured on one draw, whatever epoch it is.
    test_binarize = "fixed" if binarize == "dynamic" else binarize
    test = data.load(config.dataset, config.test_split, binarize=test_binarize, **load)
    test_images = np.concatenate(list(test.take(8)))[:512]

    with strategy.scope():
        model = build(config)
        model.compile(kgen.optimizers.Adam(config.learning_rate))
    recipe.check_folders(config, "vae", model=model)
    backup = callbacks.BackupAndRestore(
        f"{config.run_dir}/backup",
        fingerprint=recipe.fingerprint(config, but=("bound_samples",)),
    )
    pictures = {
        "samples": lambda model: plots.sample_grid(model, seed=config.seed),
        "reconstructions": lambda model: plots.reconstruction_grid(model, test_images[:16]),
        "traversal": lambda model: plots.latent_traversal(model, image=test_images[0]),
    }
    if config.latent_dim == 2:
        pictures["manifold"] = plots.latent_manifold
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
        bound = evaluation.importance_weighted_bound(
            model, test, num_samples=config.bound_samples, seed=config.seed
        )
        metrics = {
            "test_elbo": evaluation.evidence_lower_bound(model, test, num_samples=10),
            "test_kl": recipe.mean_term(model, test, "kl"),
            "test_importance_weighted_bound": bound,
            "active_units": evaluation.active_units(model, test),
        }
    if not strategy.extended.should_checkpoint:
        return metrics
    on_levels = config.likelihood == "discretized_logistic" or (
        config.likelihood == "bernoulli" and binarize
    )
    for metric in metrics.values() if not on_levels else ():
        metric.pop("bits_per_dim", None)  # A density, or no likelihood of grey values: no code.
    recipe.publish(
        model,
        "vae",
        config,
        metrics=metrics,
        pictures=pictures,
        seconds=seconds,
        protocol=f"{config.dataset}, binarize={config.binarize}, {config.likelihood}",
    )
    backup.clear()
    return metrics


if __name__ == "__main__":
    recipe.run(main, Config)
