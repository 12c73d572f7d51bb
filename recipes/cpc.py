"""Contrastive predictive coding from images to a served representation, probed with few labels.

    python recipes/cpc.py
    python recipes/cpc.py --dataset=fashion_mnist --flip --patch_size=8 --epochs=5

Reference: van den Oord, Li & Vinyals 2018, "Representation Learning with Contrastive Predictive
Coding".
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
    patch_size: int = option(4, "side of the patches, pixels")
    stride: int = option(0, "pixels from one patch to the next; half a patch by default")
    num_steps: int = option(2, "rows ahead that are predicted")
    temperature: float = option(1.0, "of InfoNCE")
    batch_size: int = option(64, "images a step, over all replicas")
    epochs: int = option(60, "passes over the training images")
    learning_rate: float = option(1e-3, "Adam's at the start; it falls to 0 along a cosine")
    supervised_steps: int = option(500, "steps of the supervised networks to compare with")
    index_size: int = option(10_000, "training images that the served neighbours are found among")
    strategy: str = option("none", "none, mirrored or multi_worker")
    mixed_precision: bool = option(False, "compute in bfloat16, keep weights in float32")
    seed: int = option(0, "of weights, data order, views and noise")
    run_dir: str = option("runs/cpc", "checkpoint and TensorBoard logs; an interrupted run resumes")
    export_dir: str = option("saved_models", "where cpc/<version>/ and its pictures go")


TINY = Config(batch_size=500, epochs=1, supervised_steps=2, embedding_dim=32)


def build(config, num_images):
    """The model of a configuration, not yet compiled."""
    info = data.info(config.dataset, data_dir=config.data_dir or None)
    return kgen.CPC.for_images(
        info.image_shape,
        patch_size=config.patch_size,
        stride=config.stride or None,
        embedding_dim=config.embedding_dim,
        num_steps=config.num_steps,
        temperature=config.temperature,
        seed=config.seed,
    )


def main(config):
    """Train, probe, draw, export. Returns the metrics that it writes."""
    return recipe.representation(config, "cpc", build, views="one")


if __name__ == "__main__":
    recipe.run(main, Config)
