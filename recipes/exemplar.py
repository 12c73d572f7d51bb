"""Exemplars from images to a served representation, probed with few labels.

    python recipes/exemplar.py
    python recipes/exemplar.py --method=metric
    python recipes/exemplar.py --dataset=fashion_mnist --train_split="train[:20%]" --flip

Reference: Dosovitskiy et al. 2014, "Discriminative Unsupervised Feature Learning with Convolutional
Neural Networks"; for `memory_bank` Wu et al. 2018, "Unsupervised Feature Learning via
Non-Parametric Instance Discrimination".
"""

import dataclasses
import functools

import numpy as np

import kgen
from kgen import callbacks, data, experiment, networks, plots
from kgen.experiment import option


@dataclasses.dataclass(frozen=True)
class Config(experiment.Flags):
    """The flags beside those of every recipe, and defaults of these."""

    dataset: str = option("digits", "any TFDS data set of labelled images; digits needs no network")
    flip: bool = option(False, "mirror views left and right: for clothes, not for digits")
    embedding_dim: int = option(128, "size of the representation")
    method: str = option(
        "network", "network (one class per image), metric (triplets), memory_bank (NPID)"
    )
    stem_strides: int = option(1, "of the encoder; 2 is three times faster on images of 28 pixels")
    projection_dim: int = option(64, "size of the vectors that are compared")
    batch_size: int = 256
    epochs: int = 60
    learning_rate: float = option(2e-3, "Adam's at the start; it falls to 0 along a cosine")
    supervised_steps: int = option(
        500, "steps of the supervised encoders; 0: none", may_change=True
    )
    index_size: int = option(10_000, "training images to serve neighbours from", may_change=True)
    run_dir: str = "runs/exemplar"


TINY = Config(batch_size=128, epochs=1, supervised_steps=0, embedding_dim=32, projection_dim=16)


def build(config, num_images):
    """The model of a configuration and the number of its training images, not yet compiled."""
    projection = dict(projection_dim=config.projection_dim)
    instances = dict(num_instances=num_images)
    methods = {
        "network": functools.partial(kgen.ExemplarNetwork.for_images, **instances),
        "metric": functools.partial(kgen.ExemplarMetric.for_images, **projection),
        "memory_bank": functools.partial(kgen.NPID.for_images, **projection, **instances),
    }
    return experiment.choose("method", config.method, methods)(
        experiment.info(config).image_shape,
        embedding_dim=config.embedding_dim,
        encoder=functools.partial(networks.contrastive_encoder, stem_strides=config.stem_strides),
        seed=config.seed,
    )


def main(config):
    """Train, probe, draw, export. Returns the metrics that it writes."""
    strategy = experiment.start(config, "exemplar")
    train = experiment.arrays(config, config.train_split)
    test = experiment.arrays(config, config.test_split)
    images, labels = train
    augmentation = experiment.augmentation(images.shape[1:], flip=config.flip)
    structure = images if config.method == "metric" else (images, np.arange(len(images)))
    batches = data.from_arrays(
        structure, batch_size=config.batch_size, shuffle=True, seed=config.seed, drop_remainder=True
    )
    make_views = data.two_views if config.method == "metric" else data.one_view
    views = make_views(batches, augmentation, seed=config.seed)
    with strategy.scope():
        model = build(config, len(images))
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
        metrics |= experiment.supervised(
            lambda: build(config, len(images)), train, test, augmentation, config
        )
    experiment.print_probes(metrics)
    # Not during the training: t-SNE takes seconds, where principal components are there at once.
    pictures["embedding"] = lambda model: experiment.tsne_scatter(model, *shown, seed=config.seed)
    pictures["views"] = lambda _: experiment.view_grid(images, augmentation, seed=config.seed)
    index = experiment.neighbour_index(model, images, labels, config)
    experiment.publish(
        model,
        "exemplar",
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
