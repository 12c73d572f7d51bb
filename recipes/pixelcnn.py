"""A PixelCNN from data to a served model: exact likelihood, completed images.

    python recipes/pixelcnn.py
    python recipes/pixelcnn.py --dataset=fashion_mnist --num_blocks=7 --epochs=3

Reference:
    van den Oord et al. 2016, "Pixel Recurrent Neural Networks".
"""

import dataclasses
import functools

import kgen
from kgen import data, heads, networks, recipe
from kgen.recipe import option


@dataclasses.dataclass(frozen=True)
class Config:
    """The flags, with their defaults and help."""

    dataset: str = option("digits", "any TFDS data set of images; digits needs no network")
    train_split: str = option("train", "split to train on, such as train[:90%]")
    test_split: str = option("test", "split to measure on, such as train[90%:]")
    data_dir: str = option("", "folder of prepared data sets; TFDS' own by default")
    binarize: str = option(
        "none", "none, threshold, fixed (one draw a pixel) or dynamic (an epoch)"
    )
    filters: int = option(64, "channels of the residual stream")
    num_blocks: int = option(5, "residual blocks")
    batch_size: int = option(64, "images a step, over all replicas")
    epochs: int = option(30, "passes over the training images")
    learning_rate: float = option(2e-3, "Adam's at the start; it falls to 0 along a cosine")
    strategy: str = option("none", "none, mirrored or multi_worker")
    mixed_precision: bool = option(False, "compute in bfloat16, keep weights in float32")
    seed: int = option(0, "of weights, data order and noise")
    run_dir: str = option(
        "runs/pixelcnn", "checkpoint and TensorBoard logs; an interrupted run resumes"
    )
    export_dir: str = option("saved_models", "where pixelcnn/<version>/ and its pictures go")


TINY = Config(filters=4, num_blocks=1, epochs=1, batch_size=500)


def build(config):
    """The model of a configuration, not yet compiled."""
    info = data.info(config.dataset, data_dir=config.data_dir or None)
    num_levels = info.num_levels if config.binarize == "none" else 2
    return kgen.PixelCNN.for_images(
        info.image_shape,
        likelihood=heads.Categorical(num_levels),
        network=functools.partial(
            networks.pixelcnn, filters=config.filters, num_blocks=config.num_blocks
        ),
        seed=config.seed,
    )


def main(config):
    """Train, evaluate, draw, export. Returns the metrics that it writes."""
    return recipe.pixel_model(config, "pixelcnn", build)


if __name__ == "__main__":
    recipe.run(main, Config)
