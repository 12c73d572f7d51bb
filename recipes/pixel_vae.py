"""A PixelVAE from data to a served model: a VAE that decodes pixel by pixel.

    python recipes/pixel_vae.py
    python recipes/pixel_vae.py --dataset=fashion_mnist --filters=64 --epochs=10

Reference:
    Gulrajani et al. 2017, "PixelVAE: A Latent Variable Model for Natural Images".
"""

import dataclasses

import keras
import numpy as np

import kgen
from kgen import callbacks, checks, data, evaluation, heads, plots, recipe
from kgen.recipe import option


@dataclasses.dataclass(frozen=True)
class Config:
    """The flags, with their defaults and help."""

    dataset: str = option("digits", "any TFDS data set of images; digits needs no network")
    data_dir: str = option("", "folder of prepared data sets; TFDS' own by default")
    latent_dim: int = option(16, "size of the latent vector")
    filters: int = option(32, "channels of the causal network, and of the decoder's maps")
    num_layers: int = option(2, "causal layers: the more, the less is left for the latents")
    free_bits: float = option(0.5, "nats a latent dimension below which the KL costs a constant")
    kl_warmup_epochs: int = option(10, "epochs over which the weight of the KL grows from 0")
    batch_size: int = option(64, "images a step, over all replicas")
    epochs: int = option(60, "passes over the training images")
    learning_rate: float = option(2e-3, "Adam's at the start; it falls to 0 along a cosine")
    bound_samples: int = option(100, "samples of the importance-weighted bound on the test images")
    strategy: str = option("none", "none, mirrored or multi_worker")
    mixed_precision: bool = option(False, "compute in bfloat16, keep weights in float32")
    seed: int = option(0, "of weights, data order and noise")
    run_dir: str = option(
        "runs/pixel_vae", "checkpoint and TensorBoard logs; an interrupted run resumes"
    )
    export_dir: str = option("saved_models", "where pixel_vae/<version>/ and its pictures go")


TINY = Config(latent_dim=2, filters=4, epochs=1, batch_size=500, bound_samples=4)


def build(config):
    """The model of a configuration, not yet compiled."""
    info = data.info(config.dataset, data_dir=config.data_dir or None)
    return kgen.PixelVAE.for_images(
        info.image_shape,
        latent_dim=config.latent_dim,
        likelihood=heads.Categorical(info.num_levels),
        filters=config.filters,
        num_layers=config.num_layers,
        free_bits=config.free_bits,
        kl_warmup_epochs=config.kl_warmup_epochs,
        seed=config.seed,
    )


def reconstructions(model, images, *, num_draws=4, seed=0):
    """A row an image: the image, and draws given its latent vector, which show what that holds."""
    drawn = np.asarray(model.reconstruct(np.repeat(images, num_draws, axis=0), seed=seed))
    drawn = drawn.reshape(len(images), num_draws, *images.shape[1:])
    rows = np.concatenate([images[:, None], drawn], axis=1)
    return plots.image_grid(rows.reshape(-1, *images.shape[1:]), columns=num_draws + 1)


def interpolations(model, start, end, *, num_steps=8, seed=0):
    """Paths between the latent vectors of two images, one a row, with equal noise along a path."""
    path = np.asarray(model.interpolate(start, end=end, num_steps=num_steps, seed=seed))
    return plots.image_grid(path.reshape(-1, *path.shape[2:]), columns=num_steps)


def main(config):
    """Train, evaluate, draw, export. Returns the metrics that it writes."""
    # First: a strategy of several workers must exist before TensorFlow does anything else.
    strategy = recipe.strategy(config.strategy)
    recipe.set_up(config)
    recipe.check_folders(config, "pixel_vae")
    checks.positive_integer("bound_samples", config.bound_samples)
    load = dict(batch_size=config.batch_size, seed=config.seed, data_dir=config.data_dir or None)
    train = data.load(config.dataset, "train", shuffle=True, **load)
    test = data.load(config.dataset, "test", **load)
    images = np.asarray(next(iter(test)))[:16]

    steps = config.epochs * int(train.cardinality())
    with strategy.scope():
        model = build(config)
        decay = keras.optimizers.schedules.CosineDecay(config.learning_rate, steps)
        model.compile(kgen.optimizers.Adam(decay))
    recipe.check_folders(config, "pixel_vae", model=model)
    backup = callbacks.BackupAndRestore(
        f"{config.run_dir}/backup",
        fingerprint=recipe.fingerprint(config, but=("bound_samples",)),
    )
    pictures = {
        "samples": lambda model: plots.sample_grid(model, seed=config.seed),
        "reconstructions": lambda model: reconstructions(model, images[:8], seed=config.seed),
        "interpolations": lambda model: interpolations(
            model, images[:8], images[-8:], seed=config.seed
        ),
    }
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
            "test_elbo": evaluation.evidence_lower_bound(model, test, num_samples=10),
            "test_kl": recipe.mean_term(model, test, "kl"),
            "test_importance_weighted_bound": evaluation.importance_weighted_bound(
                model, test, num_samples=config.bound_samples, seed=config.seed
            ),
            "active_units": evaluation.active_units(model, test),
        }
    if not strategy.extended.should_checkpoint:
        return metrics
    recipe.publish(
        model,
        "pixel_vae",
        config,
        metrics=metrics,
        pictures=pictures,
        seconds=seconds,
        protocol=f"{config.dataset}, test images, {model.num_levels} levels",
    )
    backup.clear()
    return metrics


if __name__ == "__main__":
    recipe.run(main, Config)
