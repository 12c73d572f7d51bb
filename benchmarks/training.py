"""Images a second in training, kgen beside bare Keras and PyTorch, in one process.

    python -m benchmarks.training
    python -m benchmarks.training --family=wgan_gp
    python -m benchmarks.training --quick --libraries=kgen,keras

Timed is what a user calls: `model.fit` with its callbacks, and PyTorch's loop.
"""

import dataclasses
import functools
import importlib.metadata
import os
import platform
import statistics

import keras
import numpy as np
import tensorflow as tf

from benchmarks import interleaved
from kgen import networks, recipe
from kgen.recipe import option

BARE_GOAL, TORCH_GOAL = 0.97, 1.0
# Above this distance of a ratio's quartiles, relative to its median, a rerun is advised.
WIDE_SPREAD = 0.15
# PyTorch's threads wait for one another at every operation: on a machine that others use it loses
# far more than TensorFlow does: ratios to it would flatter kgen many times over.
BUSY_LOAD = 0.3


@dataclasses.dataclass(frozen=True)
class Config:
    """The flags, with their defaults and help."""

    family: str = option("vae", "which models: vae or wgan_gp")
    libraries: str = option(
        "kgen,keras,torch", "which contenders; those not installed are left out"
    )
    batch_size: int = option(0, "images a step; 0: 128 of a VAE, 64 of a WGAN-GP")
    num_batches: int = option(100, "steps a round and contender")
    num_rounds: int = option(21, "rounds, after one of warm-up")
    threads: int = option(0, "PyTorch's threads; 0: one a core, as TensorFlow does by itself")
    quick: bool = option(False, "2 rounds of 3 steps: shows that all runs, measures nothing")
    output: str = option("runs/benchmarks/training/results.json", "where the figures go")


@dataclasses.dataclass(frozen=True)
class Case:
    """One model to train.

    Attributes:
        networks: "dense", "convolutional" or "dcgan".
        kgen_networks: functions that make the encoder and the decoder, or the generator and the
            discriminator, in Keras.
        with_xla: whether to train it through XLA as well; on CPUs that slows convolutions down.
        latent_dim: int.
        batch_size: int, images a step unless a flag says otherwise.
    """

    networks: str
    kgen_networks: tuple
    with_xla: bool
    latent_dim: int = 16
    batch_size: int = 128


VAE_CASES = {
    "dense VAE": Case("dense", (networks.dense_encoder, networks.dense_decoder), True),
    "convolutional VAE": Case(
        "convolutional", (networks.convolutional_encoder, networks.convolutional_decoder), False
    ),
}

_FILTERS = networks.doubling_filters(32, (28, 28, 1))
WGAN_GP_CASES = {
    "WGAN-GP": Case(
        "dcgan",
        (
            functools.partial(networks.dcgan_generator, filters=_FILTERS[::-1]),
            functools.partial(networks.dcgan_discriminator, filters=_FILTERS, normalization=None),
        ),
        with_xla=True,
        latent_dim=64,
        batch_size=64,
    )
}


def kgen_vae(case, images, config):
    """The contenders of kgen."""
    from benchmarks.rivals import kgen_vae

    yield from kgen_vae.contenders(case, images, config.batch_size)


def keras_vae(case, images, config):
    """The contenders of bare Keras."""
    from benchmarks.rivals import keras_vae

    yield from keras_vae.contenders(case, images, config.batch_size)


def torch_vae(case, images, config):
    """The contenders of PyTorch, if it is installed."""
    if set_up_torch(config):
        from benchmarks.rivals import torch_vae

        yield from torch_vae.contenders(case, images, config.batch_size)


def kgen_wgan_gp(case, images, config):
    """The contenders of kgen."""
    from benchmarks.rivals import kgen_wgan_gp

    yield from kgen_wgan_gp.contenders(case, images, config.batch_size)


def keras_wgan_gp(case, images, config):
    """The contender of bare Keras."""
    from benchmarks.rivals import keras_wgan_gp

    yield from keras_wgan_gp.contenders(case, images, config.batch_size)


def torch_wgan_gp(case, images, config):
    """The contenders of PyTorch, if it is installed."""
    if set_up_torch(config):
        from benchmarks.rivals import torch_wgan_gp

        yield from torch_wgan_gp.contenders(case, images, config.batch_size)


def set_up_torch(config):
    """Give PyTorch its threads. Whether it is installed."""
    try:
        import torch
    except ModuleNotFoundError:
        print("PyTorch is left out: it is not installed (pip install kgen[bench]).")
        return False
    torch.set_num_threads(config.threads or os.cpu_count())
    return True


FAMILIES = {
    "vae": (VAE_CASES, dict(kgen=kgen_vae, keras=keras_vae, torch=torch_vae)),
    "wgan_gp": (
        WGAN_GP_CASES,
        dict(kgen=kgen_wgan_gp, keras=keras_wgan_gp, torch=torch_wgan_gp),
    ),
}


def synthetic_images(num_images, seed=0):
    """Binary images with structure, so that the latents stay in use: float32 `(n, 28, 28, 1)`."""
    generator = np.random.default_rng(seed)
    codes, patterns = generator.normal(size=(num_images, 8)), generator.normal(size=(8, 784))
    return (codes @ patterns > 0).astype(np.float32).reshape(-1, 28, 28, 1)


def measure(case, libraries, config):
    """The speeds and the ratios of one case.

    Args:
        case: the model.
        libraries: list of functions that yield `(name, train)`.
        config: the configuration; without a batch size, the case's.

    Returns:
        dict with `images_per_second` (name -> one figure a round) and `ratios` (list of dicts).
    """
    keras.utils.set_random_seed(0)
    config = dataclasses.replace(config, batch_size=config.batch_size or case.batch_size)
    images = synthetic_images(config.num_batches * config.batch_size)
    contenders = dict(pair for library in libraries for pair in library(case, images, config))
    seconds = interleaved.seconds_by_round(contenders, config.num_rounds)
    speeds = {name: [len(images) / s for s in values] for name, values in seconds.items()}
    ratios = list(_ratios(speeds))
    return dict(images_per_second=speeds, ratios=ratios)


def _ratios(speeds):
    pairs = [("kgen", "bare Keras", BARE_GOAL), ("kgen, XLA", "bare Keras, XLA", BARE_GOAL)]
    torch_names = [name for name in speeds if "torch" in name.lower()]
    kgen_names = [name for name in speeds if name.startswith("kgen")]
    if torch_names and kgen_names:
        best = interleaved.fastest(speeds, torch_names)
        pairs += [(interleaved.fastest(speeds, kgen_names), best, TORCH_GOAL)]
        pairs += [("kgen", best, None)]
    for name, reference, goal in pairs:
        if name in speeds and reference in speeds:
            yield dict(
                of=name, to=reference, goal=goal, **interleaved.ratio(speeds, name, reference)
            )


def verdict(row):
    """Whether a ratio meets its goal, and whether its quartiles let one say so."""
    if row["goal"] is None:
        return "no goal"
    if row["upper_quartile"] - row["lower_quartile"] > WIDE_SPREAD * row["median"]:
        return f"goal {row['goal']}: no verdict, the quartiles are too far apart: run again"
    words = "met" if row["median"] >= row["goal"] else "MISSED"
    if row["lower_quartile"] < row["goal"] <= row["upper_quartile"]:
        words += ", but the goal lies between the quartiles"
    return f"goal {row['goal']}: {words}"


def print_table(name, result):
    """Print one case: speeds, then ratios with their goals."""
    print(f"\n{name}: images a second, median (smallest - largest)")
    for contender, values in result["images_per_second"].items():
        middle = statistics.median(values)
        print(f"  {contender:28} {middle:9,.0f}  ({min(values):,.0f} - {max(values):,.0f})")
    print("  ratio, median of the rounds (quartiles)")
    for row in result["ratios"]:
        spread = f"({row['lower_quartile']:.3f} - {row['upper_quartile']:.3f})"
        label = f"{row['of']} / {row['to']}"
        print(f"  {label:44} {row['median']:.3f}  {spread}  {verdict(row)}")


def machine():
    """What the figures depend on: processor count, load before the run, versions."""
    versions = {}
    for package in ("tensorflow", "keras", "tensorflow-probability", "torch"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return dict(
        num_cores=os.cpu_count(),
        load_before=os.getloadavg()[0],
        python=platform.python_version(),
        versions=versions,
    )


def main(config):
    """Measure all cases of a family, print their tables and write the figures. Returns them."""
    if config.quick:
        config = dataclasses.replace(config, num_batches=3, num_rounds=2)
    if tf.config.get_visible_devices("GPU"):
        tf.config.set_visible_devices([], "GPU")
    cases, known = recipe.choose("family", config.family, FAMILIES)
    libraries = [recipe.choose("libraries", name, known) for name in config.libraries.split(",")]
    before = machine()
    if config.quick:
        print("--quick: the figures below measure nothing.")
    elif before["load_before"] > BUSY_LOAD:
        print(
            f"The machine is busy (load {before['load_before']:.2f}), which slows PyTorch down "
            "many times more than Keras. Do not report these figures: run again when it is quiet."
        )
    results = {}
    for name, case in cases.items():
        results[name] = measure(case, libraries, config)
        print_table(name, results[name])
    content = dict(results=results, config=dataclasses.asdict(config), machine=before)
    recipe.write_json(config.output, content)
    print(f"\nThe figures of all rounds are in {config.output}.")
    return content


if __name__ == "__main__":
    recipe.run(main, Config)
