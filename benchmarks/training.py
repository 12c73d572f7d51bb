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

from benchmarks import (
    arithmetic,
    interleaved,
    libraries,
    machine,
    memory,
    precision,
    probes,
    results,
    training_table,
    verdicts,
)
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
    memory_runs: int = option(
        2, "processes in which the memory of each contender with a goal is measured; others: one"
    )
    mixed_precision: bool = option(False, "compute in float16 on a GPU, in bfloat16 on a CPU")
    threads: int = option(
        0, "PyTorch's threads, which leaves no verdict; 0: one a core, as TensorFlow has"
    )
    device: str = option("auto", "auto: a GPU where there is one; cpu")
    quick: bool = option(False, "2 rounds of 3 steps: shows that all runs, measures nothing")
    output: str = option("", f"where the figures go: {results.COMMITTED}, or if quick elsewhere")


# What may differ from its default in a run that is committed.
FREE = ("family", "mixed_precision", "device")
# Steps a round and rounds: some ten minutes each on two cores.
SIZES = {"vae": (100, 21), "wgan_gp": (40, 13), "pixelcnn": (10, 9), "simclr": (40, 7)}


def measure(family, name, case, config, missing=None):
    """The speeds, the ratios, the arithmetic and the memory of one case.

    What fails is left out with its reason, and loses nothing of what was measured.

    Args:
        family: a name of `FAMILIES`.
        name: the case's in it.
        case: the model.
        config: the configuration, its sizes known and its libraries at hand.
        missing: dict of libraries that cannot take part to the reason.

    Returns:
        dict with `images_per_second` (contender -> one figure a round), `marks` (contender -> what
        a reader must know), `ratios` (list of dicts), `gigaflops_a_step` and `gigaflops` (contender
        -> rate), `megabytes` (contender -> dict of the peaks of its steps and of its processes, one
        a process), `memory_ratios`, `left_out` (name -> reason), `cores_of_others` (before and
        after) and `hindrance` (why there is no verdict, or ""). Without contenders,
        `left_out` only.
    """
    case = dataclasses.replace(case, mixed_precision=config.mixed_precision)
    config = dataclasses.replace(config, batch_size=config.batch_size or case.batch_size)
    left_out = dict(missing or {})
    images = synthetic_images(config.num_batches * config.batch_size, case.num_levels)
    others = [] if config.quick else [machine.cores_of_others()]
    speeds, contenders = _speeds(family, case, images, config, left_out)
    others += [] if config.quick else [machine.cores_of_others()]
    if not speeds:
        return dict(left_out=left_out)
    absent = [
        libraries.spelled(key) if key in missing_forms(left_out) else key
        for key in left_out
        if key in missing_forms(left_out) or _is_a_form(contenders.get(key))
    ]
    found = dict(
        images_per_second=speeds,
        marks={key: mark(contenders[key]) for key in speeds},
        ratios=list(verdicts.ratios(speeds, contenders, case.torch_goal, absent)),
        cores_of_others=others,
        hindrance=hindrance(config, others),
    )
    found.update(_arithmetic(family, case, images, speeds, config, left_out))
    if config.memory_runs and memory.is_known():
        fastest = verdicts.fastest_kgen(speeds, contenders)
        judged = verdicts.with_memory_goal(speeds, contenders, fastest)
        runs = {key: config.memory_runs if key in judged else 1 for key in speeds}
        found["megabytes"] = megabytes(family, name, contenders, runs, config, left_out)
        steps = {key: value["step"] for key, value in found["megabytes"].items()}
        found["memory_ratios"] = list(verdicts.memory_ratios(steps, contenders, fastest))
    return dict(found, left_out=left_out)


def hindrance(config, cores_of_others):
    """Why a run allows no verdict; "" if it does."""
    if config.quick:
        return "--quick measures nothing"
    if config.threads:
        return "--threads is set"
    if any(map(machine.is_busy, cores_of_others)):
        return "the machine was busy"
    return ""


def mark(contender):
    """What a reader of the table must know of a contender; "" for most."""
    if not contender.same_work:
        return "another, easier task: no goal"
    return "its own way" if contender.own_way else ""


def missing_forms(left_out):
    """The libraries with forms of PyTorch that are left out as a whole."""
    return [key for key in ("torch", "lightly") if key in left_out]


def _is_a_form(contender):
    return contender and contender.library in ("torch", "lightly") and contender.same_work


def _leave_out(left_out, name, error):
    """Say and keep why something is left out."""
    said = (str(error).strip() or type(error).__name__).splitlines()
    # What a probe's process said last is the reason.
    left_out[name] = " ".join(dict.fromkeys((said[0], said[-1])))
    print(f"{name} is left out: {left_out[name]}", flush=True)


def _speeds(family, case, images, config, left_out):
    """Images a second, a figure a round, of what can be timed; all contenders by name."""
    keras.utils.set_random_seed(0)
    trainers, contenders = {}, {}
    with precision.of_keras(config.mixed_precision):
        for library in config.libraries.split(","):
            try:
                found = libraries.contenders(library, family, case, images, config.batch_size)
            except Exception as error:
                _leave_out(left_out, library, error)
                continue
            contenders.update(found)
            for name, make in found.items():
                try:
                    trainers[name] = make()
                except Exception as error:
                    _leave_out(left_out, name, error)
        seconds = interleaved.seconds_by_round(
            trainers,
            config.num_rounds,
            lambda *failure: _leave_out(left_out, *failure),
            pause=0.0 if config.quick else 0.2,
        )
    speeds = {name: [len(images) / s for s in values] for name, values in seconds.items()}
    return speeds, contenders


def _arithmetic(family, case, images, speeds, config, left_out):
    """`gigaflops_a_step`, and what each contender makes of it a second."""
    try:
        operations = arithmetic.of_step(family, case, images, config.batch_size)
    except Exception as error:
        _leave_out(left_out, "the arithmetic of a step", error)
        return {}
    an_image = 1e-9 * operations / config.batch_size
    return dict(
        gigaflops_a_step=1e-9 * operations,
        gigaflops={name: an_image * statistics.median(s) for name, s in speeds.items()},
    )


def peak_of(config, left_out):
    """The machine's measured peak in the type of the run, in gigaflops; None if unknown."""
    how = dict(dtype=precision.half_type()) if config.mixed_precision else {}
    try:
        found = probes.call("peak", quick=config.quick, **how)
        return found["gigaflops"] if "gigaflops" in found else None
    except Exception as error:
        _leave_out(left_out, "the machine's peak", error)
        return None


def megabytes(family, case, contenders, runs, config, left_out):
    """Peak memory of a training step, and of its process, in MB; `runs` counts processes."""
    found = {}
    for name, num_processes in runs.items():
        arguments = dict(
            library=contenders[name].library,
            family=family,
            case=case,
            contender=name,
            batch_size=config.batch_size,
            threads=config.threads,
            mixed_precision=config.mixed_precision,
        )
        try:
            peaks = [probes.call("step_memory", **arguments) for _ in range(num_processes)]
            for peak in peaks:
                if "left_out" in peak:
                    raise RuntimeError(peak["left_out"])
        except Exception as error:
            _leave_out(left_out, f"the memory of {name}", error)
            continue
        found[name] = {key: [peak[key] for peak in peaks] for key in ("step", "process")}
    return found


def of_family(family, config):
    """The configuration with the sizes of a family, and the libraries that take part in it.

    Returns:
        the configuration, and a dict of the libraries that cannot take part to the reason.
    """
    num_batches, num_rounds = (3, 2) if config.quick else SIZES[family]
    asked = config.libraries.split(",")
    missing = {key: "not asked for" for key in libraries.of_family(family, ("torch", "lightly"))}
    for library in libraries.of_family(family, asked):
        missing.pop(library, None)
        reason = libraries.why_missing(library, config.threads)
        if reason:
            print(f"{libraries.spelled(library)} is left out: {reason}")
            missing[library] = reason
    found = [key for key in libraries.of_family(family, asked) if key not in missing]
    chosen = dataclasses.replace(
        config,
        family=family,
        libraries=",".join(found),
        num_batches=config.num_batches or num_batches,
        num_rounds=config.num_rounds or num_rounds,
        memory_runs=min(config.memory_runs, 1) if config.quick else config.memory_runs,
    )
    if len({key in libraries.OF_TENSORFLOW for key in found}) > 1:
        machine.refuse_unlike_devices()
    return chosen, missing


def main(config):
    """Measure the cases, print their tables and write the figures. Returns them by family."""
    families = [config.family] if config.family else list(FAMILIES)
    for family in families:
        recipe.choose("family", family, FAMILIES)
    results.check(config, batch_size=0, num_batches=0, num_rounds=0, memory_runs=0, threads=0)
    if config.num_rounds == 1:
        raise ValueError("--num_rounds=1 has no spread: use 2 at least, or 0 for the family's.")
    asked = config.libraries.split(",")
    for library in asked:
        recipe.choose("libraries", library, libraries.REQUIREMENTS)
    if not any(libraries.of_family(family, asked) for family in families):
        raise ValueError(f"--libraries={config.libraries} has no contender in {families}.")
    before = machine.start(config.quick, config.device)
    contents = {}
    for family in families:
        chosen, missing = of_family(family, config)
        found, left_out = {}, {}
        peak = peak_of(chosen, left_out) if chosen.libraries else None
        contents[family] = dict(
            results=found,
            left_out=missing | left_out,
            config=dataclasses.asdict(chosen),
            machine=before,
            peak_gigaflops=peak,
        )
        part = results.part(family, before, mixed_precision=config.mixed_precision)
        for name, case in FAMILIES[family].items() if chosen.libraries else ():
            result = measure(family, name, case, chosen, missing)
            if "ratios" not in result:
                print(f"\n{name}: no contender is left.")
                contents[family]["left_out"].update(result["left_out"])
                continue
            if peak:
                rates = result.get("gigaflops", {})
                result["share_of_peak"] = {key: rate / peak for key, rate in rates.items()}
            found[name] = result
            # What comes next may fail, the table included.
            unfinished = results.path(config, finished=False)
            results.update(unfinished, "training", part, contents[family])
            training_table.print_case(name, result)
        if found:
            spoiled = any(result["hindrance"] for result in found.values())
            output = results.path(config, FREE, spoiled=spoiled)
            results.update(output, "training", part, contents[family])
            print(f"  The figures of all rounds are in {output}.", flush=True)
    return contents


if __name__ == "__main__":
    recipe.run(main, Config)
