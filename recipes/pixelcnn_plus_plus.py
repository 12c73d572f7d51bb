"""A PixelCNN++ from data to a served model.

    python recipes/pixelcnn_plus_plus.py
    python recipes/pixelcnn_plus_plus.py --dataset=fashion_mnist --epochs=3 --dropout=0

Reference:
    Salimans et al. 2017, "PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture
    Likelihood and Other Modifications".
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
    filters: int = option(32, "channels of a stream")
    num_blocks: int = option(1, "residual blocks a scale, on the way down")
    num_scales: int = option(0, "scales of the U-net; 0: as many as the images allow, at most 3")
    num_components: int = option(10, "logistics a pixel")
    dropout: float = option(0.5, "inside the blocks; large data sets need less")
    learning_rate: float = option(2e-3, "Adam's at the start; it falls to 0 along a cosine")
    run_dir: str = "runs/pixelcnn_plus_plus"


TINY = Config(filters=4, num_scales=1, num_components=2, epochs=1, batch_size=500)


def build(config):
    """The model of a configuration, not yet compiled."""
    info = experiment.info(config)
    num_levels = experiment.num_levels(config)
    return kgen.PixelCNNPlusPlus.for_images(
        info.image_shape,
        likelihood=heads.DiscretizedLogisticMixture(num_levels, config.num_components),
        network=functools.partial(
            networks.pixelcnn_plus_plus,
            filters=config.filters,
            num_blocks=config.num_blocks,
            num_scales=config.num_scales or None,
            dropout=config.dropout,
        ),
        seed=config.seed,
    )


def main(config):
    """Train, evaluate, draw, export. Returns the metrics that it writes."""
    strategy = experiment.start(config, "pixelcnn_plus_plus")
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
    experiment.publish(
        model, "pixelcnn_plus_plus", config, metrics, pictures, seconds, protocol=protocol
    )
    return metrics


if __name__ == "__main__":
    experiment.run(main, Config)
