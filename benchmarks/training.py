"""Images a second in training, kgen beside bare Keras and its rivals, in one process.

    python -m benchmarks.training
    python -m benchmarks.training --family=wgan_gp
    python -m benchmarks.training --quick --libraries=kgen,keras

Timed is what a user calls: `model.fit` with its callbacks, and PyTorch's loop. The peak memory of a
training step is measured in a process for each contender.
"""

import dataclasses
import statistics

import keras

from benchmarks import interleaved, libraries, machine, memory, probes, results, verdicts
from benchmarks.cases import FAMILIES, synthetic_images
from kgen import recipe
from kgen.recipe import option


@dataclasses.dataclass(frozen=True)
class Config:
    """The flags, with their defaults and help."""

    family: str = option("", f"which models: {', '.join(FAMILIES)}; all, one by one, by default")
    libraries: str = option(
        ",".join(libraries.REQUIREMENTS), "which contenders; those not installed are left out"
    )
    batch_size: int = option(0, "images a step; 0: that of the case")
    num_batches: int = option(0, "steps a round and contender; 0: that of the family")
    num_rounds: int = option(0, "rounds, after one of warm-up; 0: that of the family")
    memory_runs: int = option(1, "processes in which each contender's memory is measured")
    threads: int = option(0, "PyTorch's threads; 0: one a core, as TensorFlow does by itself")
    device: str = option("auto", "auto: a GPU where there is one; cpu")
    quick: bool = option(False, "2 rounds of 3 steps: shows that all runs, measures nothing")
    output: str = option("", f"where the figures go: {results.COMMITTED}, or if quick elsewhere")


# Steps a round and rounds: some ten minutes each on two cores.
SIZES = {"vae": (100, 21), "wgan_gp": (40, 13), "pixelcnn": (10, 9), "simclr": (40, 9)}


def measure(family, name, case, config):
    """The speeds, the ratios and the memory of one case.

    Args:
        family: a name of `FAMILIES`.
        name: the case's in it.
        case: the model.
        config: the configuration, its sizes known and its libraries at hand.

    Returns:
        dict with `images_per_second` (contender -> one figure a round), `ratios` (list of dicts),
        `megabytes` (contender -> dict of the peaks of its steps and of its processes, one a
        process) and `memory_ratios`; None if no contender is left.
    """
    config = dataclasses.replace(config, batch_size=config.batch_size or case.batch_size)
    speeds, library_of = _speeds(family, case, config)
    if not speeds:
        return None
    found = dict(
        images_per_second=speeds,
        ratios=list(verdicts.ratios(speeds, library_of, case.torch_goal)),
    )
    if config.memory_runs and memory.is_known():
        found["megabytes"] = megabytes(family, name, library_of, config)
        steps = {key: value["step"] for key, value in found["megabytes"].items()}
        found["memory_ratios"] = list(verdicts.memory_ratios(steps, library_of))
    return found


def _speeds(family, case, config):
    """Images a second, a figure a round, and the library, of each contender."""
    keras.utils.set_random_seed(0)
    images = synthetic_images(config.num_batches * config.batch_size, case.num_levels)
    trainers, library_of = {}, {}
    for library in config.libraries.split(","):
        makes = libraries.contenders(library, family, case, images, config.batch_size)
        for contender, make in makes.items():
            train = make()
            if train is not None:
                trainers[contender], library_of[contender] = train, library
    seconds = interleaved.seconds_by_round(trainers, config.num_rounds)
    return {name: [len(images) / s for s in values] for name, values in seconds.items()}, library_of


def megabytes(family, case, library_of, config):
    """Peak memory of a training step of each contender, and of its process, in MB."""
    found = {}
    for contender, library in library_of.items():
        peaks = [
            probes.call(
                "step_memory",
                library=library,
                family=family,
                case=case,
                contender=contender,
                batch_size=config.batch_size,
                threads=config.threads,
            )
            for _ in range(config.memory_runs)
        ]
        if None not in peaks:
            found[contender] = {key: [peak[key] for peak in peaks] for key in ("step", "process")}
    return found


def print_table(name, result):
    """Print one case: speeds, ratios with their goals, then memory."""
    print(f"\n{name}: images a second, median (smallest - largest)")
    for contender, values in result["images_per_second"].items():
        middle = statistics.median(values)
        print(f"  {contender:28} {middle:9,.0f}  ({min(values):,.0f} - {max(values):,.0f})")
    print("  ratio, median of the rounds (quartiles)")
    for row in result["ratios"]:
        spread = f"({row['lower_quartile']:.3f} - {row['upper_quartile']:.3f})"
        label = f"{row['of']} / {row['to']}"
        print(f"  {label:44} {row['median']:.3f}  {spread}  {verdicts.verdict(row)}")
    if "megabytes" in result:
        print("  peak memory, MB: allocated by the model and its steps; of the whole process")
        for contender, peaks in result["megabytes"].items():
            step, process = (statistics.median(peaks[key]) for key in ("step", "process"))
            print(f"  {contender:28} {step:9,.0f}  {process:9,.0f}")
        for row in result["memory_ratios"]:
            label = f"memory of {row['of']} / {row['to']}"
            spread = f"({row['smallest']:.3f} - {row['largest']:.3f})"
            print(f"  {label:44} {spread}  {verdicts.memory_verdict(row)}")


def of_family(family, config):
    """The configuration with the sizes of a family and the libraries that take part in it."""
    num_batches, num_rounds = (3, 2) if config.quick else SIZES[family]
    asked = config.libraries.split(",")
    for library in asked:
        recipe.choose("libraries", library, libraries.REQUIREMENTS)
    found = [
        library
        for library in libraries.of_family(family, asked)
        if libraries.is_at_hand(library, config.threads)
    ]
    return dataclasses.replace(
        config,
        family=family,
        libraries=",".join(found),
        num_batches=config.num_batches or num_batches,
        num_rounds=config.num_rounds or num_rounds,
    )


def main(config):
    """Measure the cases, print their tables and write the figures. Returns them by family."""
    families = [config.family] if config.family else list(FAMILIES)
    for family in families:
        recipe.choose("family", family, FAMILIES)
    before = machine.start(config.quick, config.device)
    contents = {}
    for family in families:
        chosen = of_family(family, config)
        found = {}
        for name, case in FAMILIES[family].items() if chosen.libraries else ():
            found[name] = measure(family, name, case, chosen)
            if found[name] is None:
                print(f"\n{name}: no contender is left.")
                del found[name]
            else:
                print_table(name, found[name])
        contents[family] = dict(results=found, config=dataclasses.asdict(chosen), machine=before)
        if found:
            results.update(results.path(config), "training", family, contents[family])
    print(f"\nThe figures of all rounds are in {results.path(config)}.")
    return contents


if __name__ == "__main__":
    recipe.run(main, Config)
