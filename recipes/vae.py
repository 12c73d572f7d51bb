"""A variational autoencoder from data to a served model.

    python recipes/vae.py
    python recipes/vae.py --dataset=fashion_mnist --epochs=20
    python recipes/vae.py --network=tanh --latent_dim=50 --num_importance_samples=5 ...  # IWAE

Reference: Kingma & Welling 2014, "Auto-Encoding Variational Bayes".
"""

import dataclasses
import functools

import kgen
from kgen import checks, evaluation, experiment, heads, networks, plots
from kgen.experiment import option


@dataclasses.dataclass(frozen=True)
class Config(experiment.Flags):
    """The flags beside those of every recipe, and defaults of these."""

    binarize: str = option("none", "none, threshold, fixed, or dynamic (drawn anew each epoch)")
    network: str = option(
        "convolutional",
        "convolutional, dense, residual, or tanh: two layers of 200 units each way (Burda et al.)",
    )
    latent_dim: int = option(16, "size of the latent vector; 2 also draws the latent manifold")
    likelihood: str = option(
        "discretized_logistic",
        "discretized_logistic (exact levels), bernoulli, continuous_bernoulli or normal",
    )
    prior: str = option(
        "standard_normal", "standard_normal, mixture, vamp, autoregressive, coupling"
    )
    beta: float = option(1.0, "weight of the KL")
    free_bits: float = option(0.0, "nats per latent dimension below which the KL costs a constant")
    kl_warmup_epochs: int = option(0, "epochs over which the weight of the KL grows from 0")
    num_importance_samples: int = option(1, "above 1: the importance-weighted bound (IWAE)")
    batch_size: int = 128
    epochs: int = 100
    learning_rate: float = option(1e-3, "Adam's")
    cosine_decay: bool = option(False, "let the learning rate fall to 0 along a cosine")
    bound_samples: int = option(
        100, "samples of the importance-weighted bound on the test images", may_change=True
    )
    run_dir: str = "runs/vae"


TINY = Config(network="dense", latent_dim=2, epochs=1, bound_samples=4, batch_size=500)

_BURDA = dict(hidden_units=(200, 200), activation="tanh")
NETWORKS = {
    "convolutional": (networks.convolutional_encoder, networks.convolutional_decoder),
    "dense": (networks.dense_encoder, networks.dense_decoder),
    "residual": (networks.residual_encoder, networks.residual_decoder),
    "tanh": (
        functools.partial(networks.dense_encoder, **_BURDA),
        functools.partial(networks.dense_decoder, **_BURDA),
    ),
}


def build(config):
    """The model of a configuration, not yet compiled."""
    info = experiment.info(config)
    checks.image_shape(info.image_shape)
    likelihoods = {
        "discretized_logistic": lambda: heads.DiscretizedLogistic(experiment.num_levels(config)),
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
    encoder, decoder = experiment.choose("network", config.network, NETWORKS)
    return kgen.VAE.for_images(
        info.image_shape,
        latent_dim=config.latent_dim,
        encoder=encoder,
        decoder=decoder,
        likelihood=experiment.choose("likelihood", config.likelihood, likelihoods)(),
        prior=experiment.choose("prior", config.prior, priors)(),
        beta=config.beta,
        free_bits=config.free_bits,
        kl_warmup_epochs=config.kl_warmup_epochs,
        num_importance_samples=config.num_importance_samples,
        seed=config.seed,
    )


def main(config):
    """Train, evaluate, draw, export. Returns the metrics that it writes."""
    strategy = experiment.start(config, "vae")
    checks.positive_integer("bound_samples", config.bound_samples)
    train = experiment.load(config, config.train_split, shuffle=True, binarize=config.binarize)
    test = experiment.load(config, config.test_split, binarize=config.binarize)
    with strategy.scope():
        model = build(config)
        rate = config.learning_rate
        if config.cosine_decay:
            rate = experiment.cosine_decay(config, train)
        model.compile(kgen.optimizers.Adam(rate))
    images = next(iter(test))
    pictures = {
        "samples": lambda model: plots.sample_grid(model, seed=config.seed),
        "reconstructions": lambda model: plots.reconstruction_grid(model, images[:16]),
        "traversal": lambda model: plots.latent_traversal(model, image=images[0]),
    }
    if config.latent_dim == 2:
        pictures["manifold"] = plots.latent_manifold
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
    on_levels = config.likelihood == "discretized_logistic" or (
        config.likelihood == "bernoulli" and config.binarize != "none"
    )
    for metric in metrics.values() if not on_levels else ():
        metric.pop("bits_per_dim", None)  # A density, or no likelihood of grey values: no code.
    protocol = f"{experiment.data_name(config)}, binarize={config.binarize}, {config.likelihood}"
    experiment.publish(model, "vae", config, metrics, pictures, seconds, protocol=protocol)
    return metrics


if __name__ == "__main__":
    experiment.run(main, Config)
