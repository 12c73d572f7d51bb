"""MADE on binary images from data to a served model, with images completed from their upper half.

    python recipes/made.py
    python recipes/made.py --num_masks=16 --order_agnostic --learning_rate=5e-3 --epochs=200

Reference: Germain et al. 2015, "MADE: Masked Autoencoder for Distribution Estimation".
"""

import dataclasses
import functools

import kgen
from kgen import checks, experiment, heads, networks, plots
from kgen.experiment import option


@dataclasses.dataclass(frozen=True)
class Config(experiment.Flags):
    """The flags beside those of every recipe, and defaults of these."""

    binarize: str = option(
        "threshold",
        "threshold, fixed (one draw per pixel), dynamic (an epoch), or none: all levels",
    )
    hidden_units: int = option(500, "units of each hidden layer")
    hidden_layers: int = option(1, "number of hidden layers")
    num_masks: int = option(4, "masks that share the weights; the density is their mean")
    order_agnostic: bool = option(False, "an order of the pixels for each mask but the first")
    batch_size: int = 100
    epochs: int = 150
    learning_rate: float = option(3e-3, "Adam's")
    mixed_precision: bool = option(False, "no effect on the network, which stays in float32")
    run_dir: str = "runs/made"


TINY = Config(hidden_units=16, num_masks=2, order_agnostic=True, epochs=1, batch_size=500)


def build(config):
    """The model of a configuration, not yet compiled."""
    info = experiment.info(config)
    checks.image_shape(info.image_shape)
    likelihood = heads.Bernoulli()
    if config.binarize == "none":
        likelihood = heads.Categorical(experiment.num_levels(config))
    return kgen.MADE.for_images(
        info.image_shape,
        network=functools.partial(
            networks.made_network,
            hidden_units=(config.hidden_units,) * config.hidden_layers,
            num_masks=config.num_masks,
            order_agnostic=config.order_agnostic,
        ),
        likelihood=likelihood,
        seed=config.seed,
    )


def main(config):
    """Train, evaluate, draw, export. Returns the metrics that it writes."""
    strategy = experiment.start(config, "made")
    train = experiment.load(config, config.train_split, shuffle=True, binarize=config.binarize)
    test = experiment.load(config, config.test_split, binarize=config.binarize)
    with strategy.scope():
        model = build(config)
        # A constant rate: each mask is trained in its turn until the end.
        model.compile(kgen.optimizers.Adam(config.learning_rate))
    images = next(iter(test))
    pictures = {
        "samples": lambda model: plots.sample_grid(model, seed=config.seed),
        "completions": lambda model: plots.completion_grid(model, images[:8], seed=config.seed),
    }
    seconds = {}
    with experiment.timer(seconds, "training"):
        experiment.train(model, train, config, pictures=pictures, validation_data=test)
    with experiment.timer(seconds, "evaluation"):
        metrics = {"test_negative_log_likelihood": experiment.negative_log_likelihood(model, test)}
    protocol = f"{experiment.data_name(config)}, binarize={config.binarize}"
    experiment.publish(model, "made", config, metrics, pictures, seconds, protocol=protocol)
    return metrics


if __name__ == "__main__":
    experiment.run(main, Config)
