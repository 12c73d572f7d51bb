"""Mode collapse: four GANs with equal networks on mixtures whose modes can be counted.

    python recipes/mode_collapse.py
    python recipes/mode_collapse.py --datasets=gaussian_ring --steps=1170

Published is the last model of the first data set, the WGAN-GP by default: a generator of points.

References:
    Goodfellow et al. 2014, "Generative Adversarial Nets": minimax and non_saturating.
    Metz et al. 2017, "Unrolled Generative Adversarial Networks".
    Gulrajani et al. 2017, "Improved Training of Wasserstein GANs": wgan_gp.
    Srivastava et al. 2017, "VEEGAN: Reducing Mode Collapse in GANs using Implicit Variational
    Learning": the figures.
"""

import dataclasses
import functools
import math

import keras
import numpy as np

import kgen
from kgen import data, evaluation, experiment, losses, networks, plots
from kgen.data import builders
from kgen.experiment import option
from kgen.files import replace_atomically


@dataclasses.dataclass(frozen=True)
class Config(experiment.RunFlags):
    """The flags beside those of every recipe, and defaults of these."""

    datasets: str = option("gaussian_ring,gaussian_grid", "one of these, or both", may_change=True)
    models: str = option(
        "minimax,non_saturating,unrolled,wgan_gp",
        "some of these; the last one is published",
        may_change=True,
    )
    latent_dim: int = option(2, "size of the latent vector")
    hidden_units: int = option(128, "size of the three hidden layers of every network")
    batch_size: int = option(256, "points of each player's step")
    steps: int = option(7_800, "generator steps of each model, rounded up to whole epochs")
    learning_rate: float = option(
        2e-3, "Adam's, of both players; falls to 0 along half a cosine; its betas are 0.5 and 0.9"
    )
    unrolled_steps: int = option(5, "steps that the unrolled GAN looks ahead")
    critic_steps: int = option(5, "WGAN-GP's critic steps for one of the generator")
    penalty_weight: float = option(0.1, "WGAN-GP's weight of the gradient penalty")
    num_moments: int = option(5, "how often each model is measured and drawn")
    num_samples: int = option(5_000, "points to measure and draw")
    jit_compile: bool = option(True, "compile with XLA, which is faster for networks so small")
    run_dir: str = option("runs/mode_collapse", "backups and drawn points; a killed run resumes")


TINY = Config(
    datasets="gaussian_ring",
    models="unrolled,wgan_gp",
    hidden_units=8,
    batch_size=2_000,
    steps=2,
    unrolled_steps=1,
    num_moments=2,
    num_samples=100,
    jit_compile=False,
)

DATASETS = {"gaussian_ring": builders.GaussianRing, "gaussian_grid": builders.GaussianGrid}
MODELS = ("minimax", "non_saturating", "unrolled", "wgan_gp")


def build(name, config):
    """The model of a name, not yet compiled. All four start with the same weights."""
    keras.utils.set_random_seed(config.seed)
    # ReLU in the discriminator too: its kinks are sharper than those of a leaky ReLU.
    network = dict(hidden_units=3 * (config.hidden_units,), activation="relu")
    common = dict(
        image_shape=(2,),
        latent_dim=config.latent_dim,
        generator=functools.partial(networks.dense_generator, **network),
        discriminator=functools.partial(networks.dense_discriminator, **network),
        seed=config.seed,
    )
    if name == "wgan_gp":
        return kgen.WGANGP.for_images(
            penalty_weight=config.penalty_weight, discriminator_steps=config.critic_steps, **common
        )
    differences = {
        "minimax": dict(
            generator_loss=losses.adversarial.minimax_generator_loss,
            discriminator_loss=losses.adversarial.minimax_discriminator_loss,
        ),
        "non_saturating": {},
        "unrolled": dict(unrolled_steps=config.unrolled_steps),
    }
    return kgen.GAN.for_images(**differences[name], **common)


def optimizer(num_steps, config):
    """One player's Adam, whose learning rate reaches 0 at its last step."""
    rate = keras.optimizers.schedules.CosineDecay(config.learning_rate, num_steps)
    return kgen.optimizers.Adam(rate, beta_1=0.5, beta_2=0.9)


def train(model, dataset, config, backup):
    """Train a model. Returns a dict from generator steps, evenly apart, to the points drawn then.

    The points lie beside the backup, since a resumed run has the later weights only.
    """
    critic_steps = model.discriminator_steps
    batches = data.load(
        dataset,
        "train",
        batch_size=config.batch_size * critic_steps,
        shuffle=True,
        seed=config.seed,
        drop_remainder=True,
    )
    num_epochs = max(config.num_moments, math.ceil(config.steps / len(batches)))
    num_steps = num_epochs * len(batches)
    model.compile(
        generator_optimizer=optimizer(num_steps, config),
        discriminator_optimizer=optimizer(num_steps * critic_steps, config),
        jit_compile=config.jit_compile,
        steps_per_execution=len(batches),
    )
    if not backup.path.exists():
        for path in backup.backup_dir.glob("points_*.npy"):
            path.unlink()
    moments = {}
    for moment in range(1, config.num_moments + 1):
        epochs = math.ceil(num_epochs * moment / config.num_moments)
        model.fit(batches, epochs=epochs, verbose=0, callbacks=[backup])
        path = backup.backup_dir / f"points_{moment}.npy"
        if not path.exists():
            with replace_atomically(path) as stream:
                np.save(stream, model.sample(config.num_samples, seed=config.seed).numpy())
        moments[epochs * len(batches)] = np.load(path)
    return moments


def measure(moments, dataset):
    """Modes covered and share of high quality at the last moment, with those of all moments."""
    results = {
        step: evaluation.mode_coverage(points, dataset.means(), scale=dataset.scale)
        for step, points in moments.items()
    }
    last = results[max(results)]
    for name, metric in last.items():
        metric["by_step"] = {step: result[name]["value"] for step, result in results.items()}
    return last


def main(config):
    """Train, evaluate, draw, export. Returns the metrics that it writes."""
    experiment.check_folders(config, "mode_collapse")
    names = config.models.split(",")
    for name in names:
        experiment.choose("models", name, dict.fromkeys(MODELS))
    metrics, pictures, seconds, backups = {}, {}, {}, []
    published = None
    for dataset_name in config.datasets.split(","):
        builder = experiment.choose("datasets", dataset_name, DATASETS)
        dataset = builder(data_dir=config.data_dir or None)
        limit = 1.25 * dataset.means().max()
        real = next(iter(data.load(dataset, "test", batch_size=config.num_samples))).numpy()
        panels = []
        for name in names:
            model = build(name, config)
            backups.append(experiment.backup(config, f"{dataset_name}/{name}"))
            with experiment.timer(seconds, f"{dataset_name}_{name}"):
                moments = train(model, dataset, config, backups[-1])
            measured = measure(moments, dataset)
            modes, quality = (metric["by_step"] for metric in measured.values())
            for key, metric in measured.items():
                metrics[f"{dataset_name}_{name}_{key}"] = metric
            for step, points in moments.items():
                title = f"{name} {step:,}: {modes[step]}/{len(dataset.means())}"
                print(f"{dataset_name}: {title} modes, {quality[step]:.1%} near one", flush=True)
                panels.append((title, points))
            panels.append(("data", real))
            if published is None and name == names[-1]:
                published = model
                samples = [(title, points), ("data", real)]
                pictures["samples"] = functools.partial(densities, samples, limit=limit, side=400)
        pictures[dataset_name] = functools.partial(
            densities, panels, limit=limit, columns=config.num_moments + 1
        )
    experiment.publish(
        published, "mode_collapse", config, metrics, pictures, seconds, protocol=config.datasets
    )
    for backup in backups:
        backup.clear()
    return metrics


def densities(panels, model, **arguments):
    """What `experiment.publish` calls with the model; the points have been drawn before."""
    return plots.point_densities(panels, **arguments)


if __name__ == "__main__":
    experiment.run(main, Config)
