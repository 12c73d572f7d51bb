"""A VAE as a detector of anomalies: one class is held out of its training.

    python recipes/anomaly_detection.py
    python recipes/anomaly_detection.py --dataset=fashion_mnist --held_out=7 --epochs=10

Reference: An & Cho 2015, "Variational Autoencoder based Anomaly Detection using Reconstruction
Probability"; here the score is the bound on the likelihood.
"""

import dataclasses

import numpy as np
from sklearn import metrics as figures

import kgen
from kgen import data, experiment, heads, plots
from kgen.experiment import option


@dataclasses.dataclass(frozen=True)
class Config(experiment.Flags):
    """The flags beside those of every recipe, and defaults of these."""

    dataset: str = option("digits", "any TFDS data set of labelled images; digits needs no network")
    held_out: int = option(
        -1, "the class that training never sees, and the test finds; -1: the last"
    )
    latent_dim: int = option(16, "size of the latent vector")
    epochs: int = 100
    learning_rate: float = option(1e-3, "Adam's")
    run_dir: str = "runs/anomaly_detection"


TINY = Config(latent_dim=2, epochs=1, batch_size=500)


def build(config):
    """The model of a configuration, not yet compiled."""
    info = experiment.info(config)
    held_out_class(config)
    return kgen.VAE.for_images(
        info.image_shape,
        latent_dim=config.latent_dim,
        likelihood=heads.DiscretizedLogistic(info.num_levels),
        seed=config.seed,
    )


def held_out_class(config):
    """The number of the class that is held out."""
    num_classes = experiment.info(config).num_classes or 0
    if not -1 <= config.held_out < num_classes or num_classes < 2:
        raise ValueError(
            f"--held_out={config.held_out}: {config.dataset} has {num_classes} classes, from 0."
        )
    return config.held_out % num_classes


def main(config):
    """Train on the other classes, find the held-out one, draw, export. Returns the metrics."""
    strategy = experiment.start(config, "anomaly_detection")
    with strategy.scope():
        model = build(config)
        model.compile(kgen.optimizers.Adam(config.learning_rate))
    images, labels = experiment.arrays(config, config.train_split)
    held_out = held_out_class(config)
    normal = images[labels != held_out]
    train = data.from_arrays(normal, batch_size=config.batch_size, shuffle=True, seed=config.seed)
    test, test_labels = experiment.arrays(config, config.test_split)
    is_anomaly = test_labels == held_out
    pictures = {
        "samples": lambda model: plots.sample_grid(model, seed=config.seed),
        "extremes": lambda model: extremes(model, test),
    }
    seconds = {}
    with experiment.timer(seconds, "training"):
        experiment.train(model, train, config, pictures=pictures)
    with experiment.timer(seconds, "evaluation"):
        found = detection(is_anomaly, -model.score(test).numpy())
        nearest = detection(is_anomaly, nearest_distances(test, normal))
    metrics = {**found, **{f"pixel_neighbour_{name}": value for name, value in nearest.items()}}
    protocol = (
        f"{experiment.data_name(config)}, {is_anomaly.sum()} of {len(test)} test images are of "
        f"class {held_out}, which training never saw"
    )
    experiment.publish(
        model, "anomaly_detection", config, metrics, pictures, seconds, protocol=protocol
    )
    return metrics


def detection(is_anomaly, abnormality):
    """ROC AUC and average precision of a number that is higher for anomalies."""
    share = float(is_anomaly.mean())
    return dict(
        roc_auc=dict(
            value=float(figures.roc_auc_score(is_anomaly, abnormality)),
            protocol="area under the ROC curve; 0.5 is chance",
        ),
        average_precision=dict(
            value=float(figures.average_precision_score(is_anomaly, abnormality)),
            protocol=f"average precision; {share:.3f}, the share of anomalies, is chance",
        ),
    )


def nearest_distances(images, train):
    """The distance of each image to the nearest training image, pixel by pixel."""
    rows, others = (np.reshape(part, (len(part), -1)) for part in (images, train))
    chunks = np.array_split(rows, max(1, len(rows) // 256))
    return np.concatenate([figures.pairwise_distances(part, others).min(1) for part in chunks])


def extremes(model, images, count=16):
    """The test images of the highest scores above those of the lowest."""
    order = np.argsort(-model.score(images).numpy())
    return plots.image_grid(images[np.r_[order[:count], order[-count:]]], columns=count)


if __name__ == "__main__":
    experiment.run(main, Config)
