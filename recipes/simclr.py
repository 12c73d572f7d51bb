"""SimCLR from images to a served representation, probed with few labels.

    python recipes/simclr.py
    python recipes/simclr.py --dataset=fashion_mnist --flip --stem_strides=2 --epochs=10

Reference: Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual
Representations".
"""

import dataclasses

import kgen
from kgen import data, networks, recipe
from kgen.recipe import option


@dataclasses.dataclass(frozen=True)
class Config:
    """The flags, with their defaults and help."""

    dataset: str = option("digits", "any TFDS data set of labelled images; digits needs no network")
    train_split: str = option("train", "split to train on, such as train[:90%]")
    test_split: str = option("test", "split to measure on, such as train[90%:]")
    data_dir: str = option("", "folder of prepared data sets; TFDS' own by default")
    flip: bool = option(False, "mirror views left and right: for clothes, not for digits")
    embedding_dim: int = option(128, "size of the representation")
    stem_strides: int = option(1, "of the encoder; 2 is three times faster on images of 28 pixels")
    projection_dim: int = option(64, "size of the vectors that are compared")
    temperature: float = option(0.2, "of NT-Xent")
    batch_size: int = option(256, "images a step, over all replicas")
    epochs: int = option(60, "passes over the training images")
    learning_rate: float = option(2e-3, "Adam's at the start; it falls to 0 along a cosine")
    supervised_steps: int = option(500, "steps of the supervised networks to compare with")
    index_size: int = option(10_000, "training images that the served neighbours are found among")
    strategy: str = option("none", "none, mirrored or multi_worker")
    mixed_precision: bool = option(False, "compute in bfloat16, keep weights in float32")
    seed: int = option(0, "of weights, data order, views and noise")
    run_dir: str = option(
        "runs/simclr", "checkpoint and TensorBoard logs; an interrupted run resumes"
    )
    export_dir: str = option("saved_models", "where simclr/<version>/ and its pictures go")


TINY = Config(batch_size=500, epochs=1, supervised_steps=2, embedding_dim=32, projection_dim=16)


def build(config, num_images):
    """The model of a configuration, not yet compiled."""
    info = data.info(config.dataset, data_dir=config.data_dir or None)
    encoder = networks.contrastive_encoder(
        info.image_shape, config.embedding_dim, stem_strides=config.stem_strides
    )
    projector = networks.projection_head(
        config.embedding_dim, (config.embedding_dim,), config.projection_dim
    )
    return kgen.SimCLR(encoder, projector, temperature=config.temperature, seed=config.seed)


def main(config):
    """Train, probe, draw, export. Returns the metrics that it writes."""
    return recipe.representation(config, "simclr", build)


if __name__ == "__main__":
    recipe.run(main, Config)
