"""A VQ-VAE with an autoregressive prior of its codes, from data to a served model.

    python recipes/vqvae.py
    python recipes/vqvae.py --dataset=emoji --num_halvings=2 --num_codes=256 --beta=300

Reference: van den Oord et al. 2017, "Neural Discrete Representation Learning".
"""

import dataclasses
import functools
import pathlib
import sys

import keras
import numpy as np

import kgen
from kgen import callbacks, evaluation, experiment, networks, plots
from kgen.experiment import option


@dataclasses.dataclass(frozen=True)
class Config(experiment.Flags):
    """The flags beside those of every recipe, and defaults of these."""

    num_codes: int = option(32, "entries of the codebook")
    code_dim: int = option(16, "size of an entry")
    num_halvings: int = option(1, "how often the image's sides are halved to those of its code map")
    width: int = option(64, "channels of the encoder and the decoder")
    beta: float = option(50.0, "weight of the commitment term; larger for larger images")
    epochs: int = 100
    learning_rate: float = option(
        1e-3, "Adam's at the start of each stage; it falls along a cosine"
    )
    prior_filters: int = option(32, "channels of a stack of the prior, a Gated PixelCNN")
    prior_layers: int = option(3, "gated layers of the prior")
    prior_epochs: int = option(30, "epochs of the prior, after those of the VQ-VAE")
    num_samples: int = option(
        10_000, "samples to measure, at most as many as test images", may_change=True
    )
    classifier_dir: str = option("runs/classifiers", "where the features' classifier is kept")
    run_dir: str = "runs/vqvae"


TINY = Config(
    num_codes=8,
    width=8,
    prior_filters=4,
    prior_layers=2,
    epochs=1,
    prior_epochs=1,
    batch_size=500,
    num_samples=200,
)


def build(config):
    """The model of a configuration, its prior included, not yet compiled."""
    filters = (config.width,) * config.num_halvings
    prior = functools.partial(
        kgen.GatedPixelCNN.for_codes,
        network=functools.partial(
            networks.gated_pixelcnn, filters=config.prior_filters, num_layers=config.prior_layers
        ),
        seed=config.seed,
    )
    return kgen.VQVAE.for_images(
        experiment.info(config).image_shape,
        num_codes=config.num_codes,
        code_dim=config.code_dim,
        encoder=functools.partial(networks.convolutional_feature_encoder, filters=filters),
        decoder=functools.partial(networks.convolutional_feature_decoder, filters=filters),
        beta=config.beta,
        prior=prior,
        seed=config.seed,
    )


def fit_prior(model, train, test, config, samples):
    """The second stage, which resumes as the first one does.

    Returns:
        `(nats, backup)`: -log p of the code map of a test image, and the callback to clear.
    """
    backup = experiment.backup(config, "prior_backup")
    steps = config.prior_epochs * int(train.cardinality())
    rate = keras.optimizers.schedules.CosineDecay(config.learning_rate, steps)
    folder, every = pathlib.Path(config.run_dir) / "prior", max(1, config.prior_epochs // 5)
    history = model.fit_prior(
        train,
        optimizer=kgen.optimizers.Adam(rate),
        batch_size=config.batch_size,
        epochs=config.prior_epochs,
        validation_data=test,
        verbose=1 if sys.stdout.isatty() else 2,
        callbacks=[
            keras.callbacks.TensorBoard(folder),
            # The callbacks see the prior; what is drawn with it are images.
            callbacks.PictureLogger(folder, {"samples": lambda _: samples(model)}, every=every),
            backup,
        ],
    )
    return float(np.mean(history.history["val_loss"][-1])), backup


def code_metrics(model, test, nats):
    """What the two stages reach on test images, each for itself."""
    perplexity = experiment.mean_term(model, test, "perplexity")
    perplexity["protocol"] = f"of the {model.quantizer.num_codes} codes, mean over the test batches"
    uniform = np.prod(model.code_shape) * np.log(model.quantizer.num_codes)
    return {
        "test_reconstruction": experiment.mean_term(model, test, "reconstruction"),
        "test_perplexity": perplexity,
        "test_code_negative_log_likelihood": dict(
            value=nats,
            protocol=f"-log p of a test image's {model.code_shape[0]} x {model.code_shape[1]} "
            f"codes, mean, nats; of the uniform prior {uniform:.1f}",
        ),
    }


def main(config):
    """Train both stages, evaluate, draw, export. Returns the metrics that it writes."""
    strategy = experiment.start(config, "vqvae")
    train = experiment.load(config, config.train_split, shuffle=True)
    test = experiment.load(config, config.test_split)
    with strategy.scope():
        model = build(config)
        model.compile(kgen.optimizers.Adam(experiment.cosine_decay(config, train)))
    seconds = {}
    if experiment.is_chief(model):
        with experiment.timer(seconds, "classifier"):
            features = experiment.classifier_features(config)
    images = next(iter(test))[:16]
    pictures = {"reconstructions": lambda model: plots.reconstruction_grid(model, images)}
    samples = functools.partial(plots.sample_grid, seed=config.seed)
    with experiment.timer(seconds, "training"):
        experiment.train(model, train, config, pictures=pictures, validation_data=test)
    with experiment.timer(seconds, "training_of_prior"):
        nats, backup = fit_prior(model, train, test, config, samples)
    metrics = code_metrics(model, test, nats)
    if not experiment.is_chief(model):
        return metrics
    with experiment.timer(seconds, "evaluation"):
        reconstructed = np.concatenate([model.reconstruct(batch) for batch in test])
        metrics["frechet_distance_of_reconstructions"] = evaluation.frechet_distance(
            test, reconstructed, features.extractor
        )
        metrics |= evaluation.sample_quality(
            model,
            test,
            features.extractor,
            classifier=features.classifier,
            num_samples=config.num_samples,
            train=experiment.load(config, config.train_split),
            seed=config.seed,
        )
    pictures["samples"] = samples
    protocol = f"{experiment.data_name(config)}, test images"
    experiment.publish(model, "vqvae", config, metrics, pictures, seconds, protocol=protocol)
    backup.clear()
    return metrics


if __name__ == "__main__":
    experiment.run(main, Config)
