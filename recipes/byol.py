"""BYOL and its relatives, which need no negatives, from images to a served representation.

    python recipes/byol.py
    python recipes/byol.py --method=simsiam
    python recipes/byol.py --dataset=fashion_mnist --flip --stem_strides=2 --epochs=10

Reference: Grill et al. 2020, "Bootstrap Your Own Latent"; Chen & He 2021, "Exploring Simple Siamese
Representation Learning"; Zbontar et al. 2021, "Barlow Twins"; Bardes et al. 2022, "VICReg".
"""

import dataclasses

import kgen
from kgen import data, recipe
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
    method: str = option("byol", "byol, simsiam, barlow_twins or vicreg")
    stem_strides: int = option(1, "of the encoder; 2 is three times faster on images of 28 pixels")
    projection_dim: int = option(128, "size of the vectors that are compared")
    stop_gradient: bool = option(True, "of simsiam; without it the representation collapses")
    batch_size: int = option(256, "images a step, over all replicas")
    epochs: int = option(60, "passes over the training images")
    learning_rate: float = option(2e-3, "Adam's at the start; it falls to 0 along a cosine")
    supervised_steps: int = option(500, "steps of the supervised networks to compare with")
    index_size: int = option(10_000, "training images that the served neighbours are found among")
    strategy: str = option("none", "none, mirrored or multi_worker")
    mixed_precision: bool = option(False, "compute in bfloat16, keep weights in float32")
    seed: int = option(0, "of weights, data order, views and noise")
    run_dir: str = option(
        "runs/byol", "checkpoint and TensorBoard logs; an interrupted run resumes"
    )
    export_dir: str = option("saved_models", "where byol/<version>/ and its pictures go")


TINY = Config(batch_size=500, epochs=1, supervised_steps=2, embedding_dim=32, projection_dim=16)


def build(config, num_images):
    """The model of a configuration, not yet compiled."""
    info = data.info(config.dataset, data_dir=config.data_dir or None)
    methods = {
        "byol": kgen.BYOL,
        "simsiam": kgen.SimSiam,
        "barlow_twins": kgen.BarlowTwins,
        "vicreg": kgen.VICReg,
    }
    simsiam = {"stop_gradient": config.stop_gradient} if config.method == "simsiam" else {}
    return recipe.choose("method", config.method, methods).for_images(
        info.image_shape,
        embedding_dim=config.embedding_dim,
        projection_dim=config.projection_dim,
        stem_strides=config.stem_strides,
        seed=config.seed,
        **simsiam,
    )


def main(config):
    """Train, probe, draw, export. Returns the metrics that it writes."""
    return recipe.representation(config, "byol", build)


if __name__ == "__main__":
    recipe.run(main, Config)
