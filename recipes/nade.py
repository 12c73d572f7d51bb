"""NADE on binary images from data to a served model, with images completed from their upper half.

    python recipes/nade.py

Reference: Larochelle & Murray 2011, "The Neural Autoregressive Distribution Estimator".
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
    hidden_units: int = option(500, "units of the hidden layer that all conditionals share")
    batch_size: int = 100
    epochs: int = 50
    learning_rate: float = option(3e-3, "Adam's at the start; it falls to 0 along a cosine")
    mixed_precision: bool = option(False, "no effect on the network, which stays in float32")
    run_dir: str = "runs/nade"


TINY = Config(hidden_units=16, epochs=1, batch_size=500)


def build(config):
    """The model of a configuration, not yet compiled."""
    info = experiment.info(config)
    checks.image_shape(info.image_shape)
    likelihood = heads.Bernoulli()
    if config.binarize == "none":
        likelihood = heads.Categorical(experiment.num_levels(config))
    return kgen.NADE.for_images(
        info.image_shape,
        network=functools.partial(networks.nade_network, hidden_units=config.hidden_units),
        likelihood=likelihood,
        seed=config.seed,
    )


def main(config):
    """Train, evaluate, draw, export. Returns the metrics that it writes."""
    strategy = experiment.start(config, "nade")
    train = experiment.load(config, config.train_split, shuffle=True, binarize=config.binarize)
    test = experiment.load(config, config.test_split, binarize=config.binarize)
    with strategy.scope():
        model = build(config)
        model.compile(kgen.optimizers.Adam(experiment.cosine_decay(config, train)))
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
    experiment.publish(model, "nade", config, metrics, pictures, seconds, protocol=protocol)
    return metrics


if __name__ == "__main__":
    experiment.run(main, Config)
