"""A PixelRNN from data to a served model: exact likelihood, completed images.

    python recipes/pixel_rnn.py
    python recipes/pixel_rnn.py --kind=diagonal

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
    kind: str = option("row", "row (Row LSTM) or diagonal (Diagonal BiLSTM, slower)")
    hidden_units: int = option(32, "features of an LSTM")
    num_layers: int = option(4, "LSTM layers")
    batch_size: int = option(64, "images a step, over all replicas")
    epochs: int = option(40, "passes over the training images")
    learning_rate: float = option(2e-3, "Adam's at the start; it falls to 0 along a cosine")
    strategy: str = option("none", "none, mirrored or multi_worker")
    mixed_precision: bool = option(False, "compute in bfloat16, keep weights in float32")
    seed: int = option(0, "of weights, data order and noise")
    run_dir: str = option(
        "runs/pixel_rnn", "checkpoint and TensorBoard logs; an interrupted run resumes"
    )
    export_dir: str = option("saved_models", "where pixel_rnn/<version>/ and its pictures go")


TINY = Config(hidden_units=2, num_layers=1, epochs=1, batch_size=500)


def build(config):
    """The model of a configuration, not yet compiled."""
    info = data.info(config.dataset, data_dir=config.data_dir or None)
    num_levels = info.num_levels if config.binarize == "none" else 2
    return kgen.PixelRNN.for_images(
        info.image_shape,
        likelihood=heads.Categorical(num_levels),
        network=functools.partial(
            networks.pixel_rnn,
            kind=config.kind,
            hidden_units=config.hidden_units,
            num_layers=config.num_layers,
        ),
        seed=config.seed,
    )


def main(config):
    """Train, evaluate, draw, export. Returns the metrics that it writes."""
    return recipe.pixel_model(config, "pixel_rnn", build)


if __name__ == "__main__":
    recipe.run(main, Config)
