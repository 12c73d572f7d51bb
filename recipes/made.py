"""MADE on binary images from data to a served model, with images completed from their upper half.

    python recipes/made.py
    python recipes/made.py --num_masks=16 --order_agnostic --learning_rate=5e-3 --epochs=200

Reference: Germain et al. 2015, "MADE: Masked Autoencoder for Distribution Estimation".
"""

import dataclasses

import keras
import numpy as np

import kgen
from kgen import callbacks, checks, data, evaluation, heads, plots, recipe
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
        hidden_units=(config.hidden_units,) * config.hidden_layers,
        num_masks=config.num_masks,
        order_agnostic=config.order_agnostic,
        likelihood=heads.Categorical(info.num_levels) if on_levels else heads.Bernoulli(),
        seed=config.seed,
    )


def completion_grid(model, images, *, num_completions=3, seed=0):
    """A column an image: the image, its upper half, and completions of that half."""
    known = np.zeros(images.shape[:-1], bool)
    known[:, : images.shape[1] // 2] = True
    rows = [images, np.where(known[..., None], images, 0.5).astype("float32")]
    for index in range(num_completions):
        rows.append(np.asarray(model.complete(images, known, seed=seed + index)))
    return plots.image_grid(np.concatenate(rows), columns=len(images))


def main(config):
    """Train, evaluate, draw, export. Returns the metrics that it writes."""
    # First: a strategy of several workers must exist before TensorFlow does anything else.
    strategy = recipe.strategy(config.strategy)
    recipe.set_up(config)
    recipe.check_folders(config, "made")
    binarize = None if config.binarize == "none" else config.binarize
    load = dict(batch_size=config.batch_size, seed=config.seed, data_dir=config.data_dir or None)
    train = data.load(config.dataset, config.train_split, shuffle=True, binarize=binarize, **load)
    # A figure is measured on one draw, whatever epoch it is.
    test_binarize = "fixed" if binarize == "dynamic" else binarize
    test = data.load(config.dataset, config.test_split, binarize=test_binarize, **load)
    test_images = np.concatenate(list(test.take(1)))[:12]

    with strategy.scope():
        model = build(config)
        model.compile(keras.optimizers.Adam(config.learning_rate))
    recipe.check_folders(config, "made", model=model)
    backup = callbacks.BackupAndRestore(
        f"{config.run_dir}/backup", fingerprint=recipe.fingerprint(config)
    )
    pictures = {
        "samples": lambda model: plots.sample_grid(model, seed=config.seed),
        "completions": lambda model: completion_grid(model, test_images, seed=config.seed),
    }
    seconds = {}
    with recipe.timer(seconds, "training"):
        model.fit(
            train,
            validation_data=test,
            epochs=config.epochs,
            verbose=recipe.verbosity(),
            callbacks=[
                keras.callbacks.TensorBoard(config.run_dir),
                callbacks.PictureLogger(config.run_dir, pictures, every=max(1, config.epochs // 5)),
                backup,  # Last: once an epoch is backed up, it is not run again.
            ],
        )
    with recipe.timer(seconds, "evaluation"):
        metric = recipe.mean_term(model, test, "loss")
        bits = evaluation.bits_per_dim(-metric["value"], model.image_shape)
        metrics = {
            "test_negative_log_likelihood": dict(
                value=metric["value"],
                bits_per_dim=float(bits),
                protocol=f"exact -log p, {metric['protocol']}",
            )
        }
    if not strategy.extended.should_checkpoint:
        return metrics
    recipe.publish(
        model,
        "made",
        config,
        metrics=metrics,
        pictures=pictures,
        seconds=seconds,
        protocol=f"{config.dataset}, binarize={config.binarize}",
    )
    backup.clear()
    return metrics


if __name__ == "__main__":
    recipe.run(main, Config)
