"""Which GANs train with which architectures: a figure of the WGAN-GP paper, small.

    python recipes/gan_ablation.py
    python recipes/gan_ablation.py --dataset=fashion_mnist --generator_steps=5000
    python recipes/gan_ablation.py --methods=wgan,wgan_gp --settings=tanh

Every method trains every architecture for as many generator steps as the others. The picture has a
row per architecture and a column per method; the best model of all is saved and published.

Reference:
    Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", figure 2, with three of its
    seven architectures.
"""

import dataclasses
import functools
import typing

import keras
import numpy as np

import kgen
from kgen import evaluation, experiment, losses, networks, plots
from kgen.experiment import option


@dataclasses.dataclass(frozen=True)
class Config(experiment.RunFlags):
    """The flags beside those of every recipe, and defaults of these."""

    dataset: str = option("digits", "any TFDS data set of labelled images; digits needs no network")
    levels: int = option(0, "to how many values pixels are rounded; 0: as the data set has them")
    train_split: str = option("train", "split to train on, such as train[:90%]")
    test_split: str = option("test", "split to measure on, such as train[90%:]")
    methods: str = option("dcgan,lsgan,wgan,wgan_gp", "the columns of the table", may_change=True)
    settings: str = option(
        "baseline,plain_generator,tanh", "the rows of the table", may_change=True
    )
    generator_steps: int = option(1000, "updates of each generator")
    learning_rate_factor: float = option(
        4.0, "what the methods' learning rates are multiplied with: the runs are short"
    )
    width: int = option(32, "channels at half the image's size; doubled at each halving")
    latent_dim: int = option(64, "size of the latent vector")
    batch_size: int = option(64, "images per step of either player, over all replicas")
    num_samples: int = option(
        10_000, "samples to measure, at most as many as test images", may_change=True
    )
    classifier_dir: str = option("runs/classifiers", "where the features' classifier is kept")
    strategy: str = option("none", "none, mirrored or multi_worker")
    mixed_precision: bool = option(False, "compute in bfloat16, keep weights in float32")
    run_dir: str = "runs/gan_ablation"


TINY = Config(
    methods="dcgan,lsgan",
    settings="plain_generator",
    generator_steps=3,
    width=4,
    latent_dim=4,
    num_samples=150,
)


class Method(typing.NamedTuple):
    """A column: a loss, and what its paper or the WGAN-GP authors' code trains it with."""

    title: str
    make: typing.Callable
    optimizer: typing.Callable
    learning_rate: float
    discriminator_steps: int
    normalization: str


METHODS = {
    "dcgan": Method(
        title="DCGAN",
        make=kgen.GAN.for_images,
        optimizer=functools.partial(kgen.optimizers.Adam, beta_1=0.5),
        learning_rate=2e-4,
        discriminator_steps=1,
        normalization="batch",
    ),
    "lsgan": Method(
        title="LSGAN",
        make=functools.partial(
            kgen.GAN.for_images,
            generator_loss=losses.adversarial.least_squares_generator_loss,
            discriminator_loss=losses.adversarial.least_squares_discriminator_loss,
        ),
        optimizer=keras.optimizers.RMSprop,
        learning_rate=1e-4,
        discriminator_steps=1,
        normalization="batch",
    ),
    "wgan": Method(
        title="WGAN (clipping)",
        make=kgen.WGAN.for_images,
        optimizer=keras.optimizers.RMSprop,
        learning_rate=5e-5,
        discriminator_steps=5,
        normalization="batch",
    ),
    "wgan_gp": Method(
        title="WGAN-GP",
        make=kgen.WGANGP.for_images,
        optimizer=functools.partial(kgen.optimizers.Adam, beta_1=0.0, beta_2=0.9),
        learning_rate=1e-4,
        discriminator_steps=5,
        # Its penalty is on one image, which batch normalization would mix with others.
        normalization="layer",
    ),
}


def baseline(filters):
    """DCGAN's: the arguments of the generator and those of the discriminator."""
    return dict(filters=filters[::-1]), dict(filters=filters)


def plain_generator(filters):
    """A generator without normalization and of a constant number of filters."""
    return dict(filters=filters[:1] * len(filters), normalization=None), dict(filters=filters)


def tanh(filters):
    """tanh in place of every activation of both networks."""
    generator, discriminator = baseline(filters)
    return dict(generator, activation="tanh"), dict(discriminator, activation="tanh")


SETTINGS = {
    "baseline": ("baseline", baseline),
    "plain_generator": ("G: no batch norm., constant filters", plain_generator),
    "tanh": ("tanh everywhere", tanh),
}


class StopAtStep(keras.callbacks.Callback):
    """Ends training once the generator has had so many updates, within an epoch as well."""

    def __init__(self, generator_steps):
        super().__init__()
        self.generator_steps = generator_steps

    def on_train_batch_end(self, batch, logs=None):
        """Looks at the number of updates, which a resumed run continues."""
        if int(self.model.optimizer.iterations) >= self.generator_steps:
            self.model.stop_training = True


def build(config, method, setting):
    """The model of a cell of the table, compiled."""
    method = experiment.choose("methods", method, METHODS)
    _, arguments = experiment.choose("settings", setting, SETTINGS)
    shape = experiment.info(config).image_shape
    generator, discriminator = arguments(networks.doubling_filters(config.width, shape))
    discriminator["normalization"] = method.normalization
    model = method.make(
        shape,
        latent_dim=config.latent_dim,
        generator=functools.partial(networks.dcgan_generator, **generator),
        discriminator=functools.partial(networks.dcgan_discriminator, **discriminator),
        discriminator_steps=method.discriminator_steps,
        # As in the paper: averaged weights would hide what training is like.
        ema_decay=None,
        seed=config.seed,
    )
    model.compile(method.optimizer(config.learning_rate_factor * method.learning_rate))
    return model


def train(model, backup, config):
    """Train a cell for `generator_steps` updates of its generator."""
    # A batch is cut into one slice per discriminator step.
    sliced = dataclasses.replace(config, batch_size=config.batch_size * model.discriminator_steps)
    batches = experiment.load(sliced, config.train_split, shuffle=True, drop_remainder=True)
    model.fit(
        batches,
        epochs=-(-config.generator_steps // int(batches.cardinality())),
        verbose=0,
        callbacks=[StopAtStep(config.generator_steps), backup],
    )


def table(grids, titles, row_names):
    """A picture of pictures, one per cell, each with its title.

    Args:
        grids: list of rows, each a list of uint8 `(height, width, channels)`, or None.
        titles: list of rows, each a list of str.
        row_names: list of str.

    Returns:
        uint8 array, RGB.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    num_rows, num_columns = len(grids), len(grids[0])
    figure = Figure(figsize=(2.8 * num_columns, 3.1 * num_rows), dpi=100, layout="constrained")
    axes = figure.subplots(num_rows, num_columns, squeeze=False)
    for row in range(num_rows):
        axes[row, 0].set_ylabel(row_names[row])
        for column in range(num_columns):
            cell, grid = axes[row, column], grids[row][column]
            cell.set(title=titles[row][column], xticks=[], yticks=[])
            if grid is not None:
                cell.imshow(grid.squeeze(), cmap="gray", vmin=0, vmax=255)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def main(config):
    """Train all cells, measure, draw, export the best. Returns the metrics that it writes."""
    strategy = experiment.start(config, "gan_ablation")
    methods, settings = config.methods.split(","), config.settings.split(",")
    for name, names, known in (("methods", methods, METHODS), ("settings", settings, SETTINGS)):
        for value in names:
            experiment.choose(name, value, known)
    features = experiment.classifier_features(config)
    real, real_train = (
        experiment.load(config, split) for split in (config.test_split, config.train_split)
    )
    seconds, metrics, backups, grids, diverged, best = {}, {}, [], {}, [], None
    for setting in settings:
        for method in methods:
            cell = f"{method}_{setting}"
            with strategy.scope():
                model = build(config, method, setting)
            backups.append(experiment.backup(config, cell))
            try:
                with experiment.timer(seconds, f"training_{cell}"):
                    train(model, backups[-1], config)
            except FloatingPointError as error:
                print(f"{cell}: {error}", flush=True)
                diverged.append(cell)
                continue
            quality = evaluation.sample_quality(
                model,
                real,
                features.extractor,
                num_samples=config.num_samples,
                train=real_train,
                seed=config.seed,
            )
            # The floor is the same in all cells.
            floor = quality["frechet_distance_of_real_images"]
            distance = quality["frechet_distance"]
            distance["protocol"] += f", after {config.generator_steps} generator steps"
            metrics[f"frechet_distance_{cell}"] = distance
            grids[cell] = plots.sample_grid(model, num_samples=36, seed=config.seed)
            spread = distance["standard_deviation"]
            print(f"{cell}: Frechet distance {distance['value']:.1f} +- {spread:.1f}", flush=True)
            if best is None or distance["value"] < best[1]["value"]:
                best = cell, distance, model
    if not experiment.is_chief(model):
        return {}
    if best is None:
        raise FloatingPointError(f"All cells diverged: {', '.join(diverged)}. Lower the rates.")
    cell, distance, model = best
    metrics["frechet_distance"] = dict(
        distance, cell=cell, protocol=f"{distance['protocol']}; the smallest of the cells: {cell}"
    )
    metrics["frechet_distance_of_real_images"] = floor
    protocol = f"cells, of {len(backups)}, whose loss was infinite or not a number"
    metrics["num_diverged"] = dict(value=len(diverged), cells=diverged, protocol=protocol)

    def title(cell, method):
        value = metrics.get(f"frechet_distance_{cell}")
        return f"{METHODS[method].title}: {value['value']:.1f}" if value else "diverged"

    rows = [[(f"{method}_{setting}", method) for method in methods] for setting in settings]
    pictures = {
        "samples": lambda model: plots.sample_grid(model, seed=config.seed),
        "table": lambda model: table(
            [[grids.get(cell) for cell, _ in row] for row in rows],
            [[title(*cell) for cell in row] for row in rows],
            [SETTINGS[setting][0] for setting in settings],
        ),
    }
    protocol = f"{experiment.data_name(config)}, test images"
    experiment.publish(model, "gan_ablation", config, metrics, pictures, seconds, protocol=protocol)
    for backup in backups:
        backup.clear()
    return metrics


if __name__ == "__main__":
    experiment.run(main, Config)
