"""Images a second in training, kgen beside bare Keras and PyTorch, in one process.

    python -m benchmarks.training
    python -m benchmarks.training --family=wgan_gp
    python -m benchmarks.training --family=pixelcnn
    python -m benchmarks.training --quick --libraries=kgen,keras

Timed is what a user calls: `model.fit` with its callbacks, and PyTorch's loop.
"""

import dataclasses
import functools
import importlib
import statistics

import keras
import numpy as np

from benchmarks import interleaved, machine
from kgen import networks, recipe
from kgen.recipe import option

BARE_GOAL, TORCH_GOAL = 0.97, 1.0
# Above this distance of a ratio's quartiles, relative to its median, a rerun is advised.
WIDE_SPREAD = 0.15
LIBRARIES = ("kgen", "keras", "torch")


@dataclasses.dataclass(frozen=True)
class Config:
    """The flags, with their defaults and help."""

    family: str = option("vae", "which models: vae, wgan_gp or pixelcnn")
    libraries: str = option(
        "kgen,keras,torch", "which contenders; those not installed are left out"
    )
    batch_size: int = option(0, "images a step; 0: 128 of a VAE, 64 of the others")
    num_batches: int = option(100, "steps a round and contender")
    num_rounds: int = option(21, "rounds, after one of warm-up")
    threads: int = option(0, "PyTorch's threads; 0: one a core, as TensorFlow does by itself")
    quick: bool = option(False, "2 rounds of 3 steps: shows that all runs, measures nothing")
    output: str = option("runs/benchmarks/training/results.json", "where the figures go")


@dataclasses.dataclass(frozen=True)
class Case:
    """One model to train.

    Attributes:
        networks: "dense", "convolutional", "dcgan" or "pixelcnn".
        kgen_networks: functions that make the networks in Keras: the encoder and the decoder, the
            generator and the discriminator, or the one of a PixelCNN.
        with_xla: whether to train it through XLA as well; on CPUs that slows convolutions down.
        latent_dim: int.
        batch_size: int, images a step unless a flag says otherwise.
        num_levels: int, how many values a pixel can take.
    """

    networks: str
    kgen_networks: tuple
    with_xla: bool
    latent_dim: int = 16
    batch_size: int = 128
    num_levels: int = 2


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


PIXELCNN_CASES = {
    "PixelCNN": Case(
        "pixelcnn",
        (functools.partial(networks.pixelcnn, filters=64, num_blocks=7),),
        with_xla=False,
        batch_size=64,
        num_levels=256,
    )
}

# How a library trains a family is the file `rivals/<library>_<family>.py`.
FAMILIES = {"vae": VAE_CASES, "wgan_gp": WGAN_GP_CASES, "pixelcnn": PIXELCNN_CASES}


def contenders(library, case, images, config):
    """Yields the contenders of one library, none if it is PyTorch and that is not installed."""
    if library == "torch" and not machine.set_up_torch(config.threads):
        return
    rival = importlib.import_module(f"benchmarks.rivals.{library}_{config.family}")
    yield from rival.contenders(case, images, config.batch_size)


def synthetic_images(num_images, num_levels=2, seed=0):
    """Images with structure, so that latents stay in use: float32 `(n, 28, 28, 1)` on levels."""
    generator = np.random.default_rng(seed)
    codes, patterns = generator.normal(size=(num_images, 8)), generator.normal(size=(8, 784))
    gray = 1.0 / (1.0 + np.exp(-codes @ patterns))
    levels = np.rint(gray * (num_levels - 1)) / (num_levels - 1)
    return levels.astype(np.float32).reshape(-1, 28, 28, 1)


def measure(case, libraries, config):
    """The speeds and the ratios of one case.

    Args:
        case: the model.
        libraries: names of `LIBRARIES`.
        config: the configuration; without a batch size, the case's.

    Returns:
        dict with `images_per_second` (name -> one figure a round) and `ratios` (list of dicts).
    """
    keras.utils.set_random_seed(0)
    config = dataclasses.replace(config, batch_size=config.batch_size or case.batch_size)
    images = synthetic_images(config.num_batches * config.batch_size, case.num_levels)
    trainers = {}
    for library in libraries:
        trainers.update(contenders(library, case, images, config))
    seconds = interleaved.seconds_by_round(trainers, config.num_rounds)
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


def main(config):
    """Measure all cases of a family, print their tables and write the figures. Returns them."""
    if config.quick:
        config = dataclasses.replace(config, num_batches=3, num_rounds=2)
    cases = recipe.choose("family", config.family, FAMILIES)
    libraries = config.libraries.split(",")
    for library in libraries:
        recipe.choose("libraries", library, dict.fromkeys(LIBRARIES))
    before = machine.start(config.quick)
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
