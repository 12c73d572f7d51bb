"""A PixelRNN from data to a served model: exact likelihood, completed images.

    python recipes/pixel_rnn.py
    python recipes/pixel_rnn.py --kind=diagonal

Reference:
    van den Oord et al. 2016, "Pixel Recurrent Neural Networks".
"""

import dataclasses
import functools

import kgen
from kgen import experiment, heads, networks, plots
from kgen.experiment import option


@dataclasses.dataclass(frozen=True)
class Config(experiment.Flags):
    """The flags beside those of every recipe, and defaults of these."""

    binarize: str = option("none", "none, threshold, fixed, or dynamic (drawn anew each epoch)")
    kind: str = option("row", "row (Row LSTM) or diagonal (Diagonal BiLSTM, slower)")
    hidden_units: int = option(32, "features of an LSTM")
    num_layers: int = option(4, "LSTM layers")
    epochs: int = 40
    learning_rate: float = option(2e-3, "Adam's at the start; it falls to 0 along a cosine")
    run_dir: str = "runs/pixel_rnn"


TINY = Config(hidden_units=2, num_layers=1, epochs=1, batch_size=500)


def build(config):
    """The model of a configuration, not yet compiled."""
    info = experiment.info(config)
    return kgen.PixelRNN.for_images(
        info.image_shape,
        likelihood=heads.Categorical(experiment.num_levels(config)),
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
    strategy = experiment.start(config, "pixel_rnn")
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
    experiment.publish(model, "pixel_rnn", config, metrics, pictures, seconds, protocol=protocol)
    return metrics


if __name__ == "__main__":
    experiment.run(main, Config)
