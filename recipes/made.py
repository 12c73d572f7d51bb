"""MADE on binary images from data to a served model, with images completed from their upper half.

    python recipes/made.py
    python recipes/made.py --num_masks=16 --order_agnostic --learning_rate=5e-3 --epochs=200

Reference: Germain et al. 2015, "MADE: Masked Autoencoder for Distribution Estimation".
"""

import dataclasses
import functools

import kgen
from kgen import checks, data, heads, networks, recipe
from kgen.recipe import option


@dataclasses.dataclass(frozen=True)
class Config:
    """The flags, with their defaults and help."""

    dataset: str = option("digits", "any TFDS data set of images; digits needs no network")
    train_split: str = option("train", "split to train on, such as train[:80%]")
    test_split: str = option("test", "split to measure on, such as train[80%:]")
    data_dir: str = option("", "folder of prepared data sets; TFDS' own by default")
    binarize: str = option(
        "threshold", "threshold, fixed (one draw a pixel), dynamic (an epoch), or none: all levels"
    )
    hidden_units: int = option(500, "units of each hidden layer")
    hidden_layers: int = option(1, "number of hidden layers")
    num_masks: int = option(4, "masks that share the weights; the density is their mean")
    order_agnostic: bool = option(False, "an order of the pixels for each mask but the first")
    batch_size: int = option(100, "images a step, over all replicas")
    epochs: int = option(150, "passes over the training images")
    learning_rate: float = option(3e-3, "Adam's")
    strategy: str = option("none", "none, mirrored or multi_worker")
    mixed_precision: bool = option(False, "no effect on the network, which stays in float32")
    seed: int = option(0, "of weights, masks, data order and noise")
    run_dir: str = option("runs/made", "checkpoint and TensorBoard logs; a killed run resumes")
    export_dir: str = option("saved_models", "where made/<version>/ and its pictures go")


TINY = Config(hidden_units=16, num_masks=2, order_agnostic=True, epochs=1, batch_size=500)


def build(config):
    """The model of a configuration, not yet compiled."""
    info = data.info(config.dataset, data_dir=config.data_dir or None)
    checks.image_shape(info.image_shape)
    on_levels = config.binarize == "none"
    return kgen.MADE.for_images(
        info.image_shape,
        network=functools.partial(
            networks.made_network,
            hidden_units=(config.hidden_units,) * config.hidden_layers,
            num_masks=config.num_masks,
            order_agnostic=config.order_agnostic,
        ),
        likelihood=heads.Categorical(info.num_levels) if on_levels else heads.Bernoulli(),
        seed=config.seed,
    )


def main(config):
    """Train, evaluate, draw, export. Returns the metrics that it writes."""
    # A constant rate: each mask is trained in its turn until the end.
    return recipe.pixel_model(
        config,
        "made",
        build,
        optimizer=lambda steps: kgen.optimizers.Adam(config.learning_rate),
    )


if __name__ == "__main__":
    recipe.run(main, Config)
