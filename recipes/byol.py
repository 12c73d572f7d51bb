"""BYOL and its relatives, which need no negatives, from images to a served representation.

    python recipes/byol.py
    python recipes/byol.py --method=simsiam
    python recipes/byol.py --dataset=fashion_mnist --flip --stem_strides=2 --epochs=10

Reference: Grill et al. 2020, "Bootstrap Your Own Latent"; Chen & He 2021, "Exploring Simple Siamese
Representation Learning"; Zbontar et al. 2021, "Barlow Twins"; Bardes et al. 2022, "VICReg".
"""

import dataclasses
import functools

import kgen
from kgen import callbacks, data, experiment, networks, plots
from kgen.experiment import option


@dataclasses.dataclass(frozen=True)
class Config(experiment.Flags):
    """The flags beside those of every recipe, and defaults of these."""

    dataset: str = option("digits", "any TFDS data set of labelled images; digits needs no network")
    flip: bool = option(False, "mirror views left and right: for clothes, not for digits")
    embedding_dim: int = option(128, "size of the representation")
    method: str = option("byol", "byol, simsiam, barlow_twins or vicreg")
    stem_strides: int = option(1, "of the encoder; 2 is three times faster on images of 28 pixels")
    projection_dim: int = option(128, "size of the vectors that are compared")
    stop_gradient: bool = option(True, "of simsiam; without it the representation collapses")
    batch_size: int = 256
    epochs: int = 60
    learning_rate: float = option(2e-3, "Adam's at the start; it falls to 0 along a cosine")
    supervised_steps: int = option(
        500, "steps of the supervised encoders; 0: none", may_change=True
    )
    index_size: int = option(10_000, "training images to serve neighbours from", may_change=True)
    run_dir: str = "runs/byol"


TINY = Config(batch_size=128, epochs=1, supervised_steps=0, embedding_dim=32, projection_dim=64)


def build(config):
    """The model of a configuration, not yet compiled."""
    info = experiment.info(config)
    methods = {
        "byol": kgen.BYOL,
        "simsiam": kgen.SimSiam,
        "barlow_twins": kgen.BarlowTwins,
        "vicreg": kgen.VICReg,
    }
    simsiam = {"stop_gradient": config.stop_gradient} if config.method == "simsiam" else {}
    return experiment.choose("method", config.method, methods).for_images(
        info.image_shape,
        embedding_dim=config.embedding_dim,
        projection_dim=config.projection_dim,
        encoder=functools.partial(networks.contrastive_encoder, stem_strides=config.stem_strides),
        seed=config.seed,
        **simsiam,
    )


def main(config):
    """Train, probe, draw, export. Returns the metrics that it writes."""
    strategy = experiment.start(config, "byol")
    train = experiment.arrays(config, config.train_split)
    test = experiment.arrays(config, config.test_split)
    images, labels = train
    augmentation = experiment.augmentation(images.shape[1:], flip=config.flip)
    batches = data.from_arrays(
        images, batch_size=config.batch_size, shuffle=True, seed=config.seed, drop_remainder=True
    )
    views = data.two_views(batches, augmentation, seed=config.seed)
    with strategy.scope():
        model = build(config)
        model.compile(kgen.optimizers.Adam(experiment.cosine_decay(config, views)))
    shown = test[0][:1000], test[1][:1000]
    pictures = {"embedding": lambda model: plots.latent_scatter(model, *shown)}
    seconds = {}
    with experiment.timer(seconds, "random_initialization"):
        metrics = experiment.probes("random_initialization", model, train, test, seed=config.seed)
    extra = [
        experiment.online_probe(images, labels, config),
        callbacks.ProjectorLogger(config.run_dir, *shown),
    ]
    with experiment.timer(seconds, "training"):
        experiment.train(model, views, config, pictures=pictures, extra_callbacks=extra)
    with experiment.timer(seconds, "evaluation"):
        metrics |= experiment.probes("self_supervised", model, train, test, seed=config.seed)
        metrics |= experiment.geometry(model, test[0], augmentation, seed=config.seed)
    with experiment.timer(seconds, "supervised"):
        metrics |= experiment.supervised(lambda: build(config), train, test, augmentation, config)
    experiment.print_probes(metrics)
    # Not during the training: t-SNE takes seconds, where principal components are there at once.
    pictures["embedding"] = lambda model: experiment.tsne_scatter(model, *shown, seed=config.seed)
    pictures["views"] = lambda _: experiment.view_grid(images, augmentation, seed=config.seed)
    index = experiment.neighbour_index(model, images, labels, config)
    experiment.publish(
        model,
        "byol",
        config,
        metrics,
        pictures,
        seconds,
        protocol=experiment.data_name(config),
        served=index,
    )
    return metrics


if __name__ == "__main__":
    experiment.run(main, Config)
