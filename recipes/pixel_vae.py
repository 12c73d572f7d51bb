"""A PixelVAE from data to a served model: a VAE that decodes pixel by pixel.

    python recipes/pixel_vae.py
    python recipes/pixel_vae.py --dataset=fashion_mnist --filters=64 --epochs=10

Reference:
    Gulrajani et al. 2017, "PixelVAE: A Latent Variable Model for Natural Images".
"""

import dataclasses
import functools

import numpy as np

import kgen
from kgen import checks, evaluation, experiment, heads, networks, plots
from kgen.experiment import option


@dataclasses.dataclass(frozen=True)
class Config(experiment.Flags):
    """The flags beside those of every recipe, and defaults of these."""

    latent_dim: int = option(16, "size of the latent vector")
    filters: int = option(32, "channels of the causal network, and of the decoder's maps")
    num_layers: int = option(2, "causal layers: the more, the less is left for the latents")
    free_bits: float = option(0.5, "nats per latent dimension below which the KL costs a constant")
    kl_warmup_epochs: int = option(10, "epochs over which the weight of the KL grows from 0")
    epochs: int = 60
    learning_rate: float = option(2e-3, "Adam's at the start; it falls to 0 along a cosine")
    bound_samples: int = option(
        100, "samples of the importance-weighted bound on the test images", may_change=True
    )
    run_dir: str = "runs/pixel_vae"


TINY = Config(latent_dim=2, filters=4, epochs=1, batch_size=500, bound_samples=4)


def build(config):
    """The model of a configuration, not yet compiled."""
    info = experiment.info(config)
    return kgen.PixelVAE.for_images(
        info.image_shape,
        latent_dim=config.latent_dim,
        likelihood=heads.Categorical(experiment.num_levels(config)),
        pixel_network=functools.partial(
            networks.gated_pixelcnn,
            filters=config.filters,
            num_layers=config.num_layers,
            head_filters=(32,),
        ),
        num_maps=config.filters,
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
    start, end = model.encode(start), model.encode(end)
    path = np.asarray(model.interpolate(start, end=end, num_steps=num_steps, seed=seed))
    return plots.image_grid(path.reshape(-1, *path.shape[2:]), columns=num_steps)


def main(config):
    """Train, evaluate, draw, export. Returns the metrics that it writes."""
    strategy = experiment.start(config, "pixel_vae")
    checks.positive_integer("bound_samples", config.bound_samples)
    train = experiment.load(config, config.train_split, shuffle=True)
    test = experiment.load(config, config.test_split)
    with strategy.scope():
        model = build(config)
        model.compile(kgen.optimizers.Adam(experiment.cosine_decay(config, train)))
    images = next(iter(test))[:16]
    pictures = {
        "samples": lambda model: plots.sample_grid(model, seed=config.seed),
        "reconstructions": lambda model: reconstructions(model, images[:8], seed=config.seed),
        "interpolations": lambda model: interpolations(
            model, images[:8], images[-8:], seed=config.seed
        ),
    }
    seconds = {}
    with experiment.timer(seconds, "training"):
        experiment.train(model, train, config, pictures=pictures, validation_data=test)
    with experiment.timer(seconds, "evaluation"):
        metrics = {
            "test_elbo": evaluation.evidence_lower_bound(model, test, num_samples=10),
            "test_kl": experiment.mean_term(model, test, "kl"),
            "test_importance_weighted_bound": evaluation.importance_weighted_bound(
                model, test, num_samples=config.bound_samples, seed=config.seed
            ),
            "active_units": evaluation.active_units(model, test),
        }
    protocol = f"{experiment.data_name(config)}, test images, {model.num_levels} levels"
    experiment.publish(model, "pixel_vae", config, metrics, pictures, seconds, protocol=protocol)
    return metrics


if __name__ == "__main__":
    experiment.run(main, Config)
