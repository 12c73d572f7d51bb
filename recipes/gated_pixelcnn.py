"""A Gated PixelCNN of labelled images, from data to a served model.

    python recipes/gated_pixelcnn.py
    python recipes/gated_pixelcnn.py --dataset=fashion_mnist --epochs=3

Reference:
    van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders".
"""

import dataclasses
import functools

import kgen
from kgen import experiment, heads, networks, plots, specs
from kgen.experiment import option


@dataclasses.dataclass(frozen=True)
class Config(experiment.Flags):
    """The flags beside those of every recipe, and defaults of these."""

    binarize: str = option("none", "none, threshold, fixed, or dynamic (drawn anew each epoch)")
    filters: int = option(32, "channels of a stack")
    num_layers: int = option(6, "gated layers")
    labels: bool = option(True, "generate from the data's labels")
    learning_rate: float = option(2e-3, "Adam's at the start; it falls to 0 along a cosine")
    run_dir: str = "runs/gated_pixelcnn"


TINY = Config(filters=4, num_layers=2, epochs=1, batch_size=500)


def build(config):
    """The model of a configuration, not yet compiled."""
    info = experiment.info(config)
    return kgen.GatedPixelCNN.for_images(
        info.image_shape,
        likelihood=heads.Categorical(experiment.num_levels(config)),
        condition=specs.Labels(info.num_classes) if config.labels else None,
        network=functools.partial(
            networks.gated_pixelcnn, filters=config.filters, num_layers=config.num_layers
        ),
        seed=config.seed,
    )


def main(config):
    """Train, evaluate, draw, export. Returns the metrics that it writes."""
    strategy = experiment.start(config, "gated_pixelcnn")
    load = dict(binarize=config.binarize, labels=config.labels)
    train = experiment.load(config, config.train_split, shuffle=True, **load)
    test = experiment.load(config, config.test_split, **load)
    with strategy.scope():
        model = build(config)
        model.compile(kgen.optimizers.Adam(experiment.cosine_decay(config, train)))
    images, labels = next(iter(test)) if config.labels else (next(iter(test)), None)
    pictures = {
        "samples": lambda model: plots.sample_grid(model, seed=config.seed),
        "completions": lambda model: plots.completion_grid(
            model, images[:8], condition=labels[:8] if config.labels else None, seed=config.seed
        ),
    }
    seconds = {}
    with experiment.timer(seconds, "training"):
        experiment.train(model, train, config, pictures=pictures, validation_data=test)
    with experiment.timer(seconds, "evaluation"):
        metrics = {"test_negative_log_likelihood": experiment.negative_log_likelihood(model, test)}
    protocol = f"{experiment.data_name(config)}, binarize={config.binarize}"
    experiment.publish(
        model, "gated_pixelcnn", config, metrics, pictures, seconds, protocol=protocol
    )
    return metrics


if __name__ == "__main__":
    experiment.run(main, Config)
