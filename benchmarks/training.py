"""Images a second in training, kgen beside bare Keras and its rivals, in one process.

    python -m benchmarks.training --family=wgan_gp

Timed is what a user calls: `model.fit` with its callbacks, and PyTorch's loop. The peak memory of a
training step is measured in a process for each contender.
"""

import dataclasses
import statistics

import keras

from benchmarks import arithmetic, cases, goals, harness
from benchmarks.cases import FAMILIES, LIBRARIES, trains
from benchmarks.harness import option
from benchmarks.rivals import kgen as ours


@dataclasses.dataclass(frozen=True)
class Config(harness.Config):
    family: str = option("", f"which models: {', '.join(FAMILIES)}; all, one by one, by default")
    libraries: str = option(",".join(LIBRARIES), "those not installed are left out")
    batch_size: int = option(0, "images a step; 0: that of the case")
    num_batches: int = option(0, "steps a round and contender; 0: that of the family")
    num_rounds: int = option(0, "rounds, after one of warm-up; 0: that of the family")
    memory_runs: int = option(2, "processes for the memory of each with a goal; others have one")
    mixed_precision: bool = option(False, "compute in float16 on a GPU, in bfloat16 on a CPU")


# What may differ from its default in a run that is committed.
FREE = ("family", "mixed_precision", "device")
# Steps a round and rounds: some ten minutes each on two cores.
SIZES = {"vae": (100, 21), "wgan_gp": (40, 13), "pixelcnn": (10, 9), "simclr": (40, 7)}


def measure(name, case, config, missing):
    """The speeds, the ratios, the arithmetic and the memory of one case.

    What fails is left out with its reason, and loses nothing of what was measured.
    """
    case = dataclasses.replace(case, mixed_precision=config.mixed_precision)
    batch_size = config.batch_size or case.batch_size
    images = cases.synthetic_images(config.num_batches * batch_size, case.num_levels)
    left_out, found = dict(missing), {}
    others = [] if config.quick else [harness.cores_of_others()]
    keras.utils.set_random_seed(0)

    def leave_out(what, error):
        left_out[what] = harness.first_and_last_line(error)
        print(f"{what} is left out: {left_out[what]}", flush=True)

    def attempt(what, function, *arguments):
        try:
            return function(*arguments)
        except Exception as error:
            leave_out(what, error)

    with ours.precision(config.mixed_precision):
        for library in config.libraries.split(","):
            found |= attempt(library, cases.contenders, library, case, images, batch_size) or {}
        trainers = {key: attempt(key, contender.make) for key, contender in found.items()}
        trainers = {key: train for key, train in trainers.items() if train}
        pause = 0.0 if config.quick else 0.2
        seconds = harness.seconds_by_round(trainers, config.num_rounds, leave_out, pause)
    others += [] if config.quick else [harness.cores_of_others()]
    speeds = {key: [len(images) / s for s in values] for key, values in seconds.items()}
    if not speeds:
        return dict(left_out=left_out)
    forms = {key for key, one in found.items() if goals.is_form_of_pytorch(one)}
    forms |= {"torch", "lightly"}
    absent = [key for key in left_out if key in forms]
    result = dict(
        images_per_second=speeds,
        marks={key: goals.mark(found[key]) for key in speeds},
        ratios=list(goals.ratios(speeds, found, case.torch_goal, absent)),
        cores_of_others=others,
        hindrance=harness.obstacle(config, *others),
        left_out=left_out,
    )
    step = case, images, batch_size
    gigaflops = attempt("the arithmetic of a step", arithmetic.gigaflops_of_step, *step)
    if gigaflops:
        medians = {key: statistics.median(values) for key, values in speeds.items()}
        rates = {key: gigaflops / batch_size * value for key, value in medians.items()}
        result |= dict(gigaflops_a_step=gigaflops, gigaflops=rates)
    if config.memory_runs:
        fastest = goals.fastest_kgen(speeds, found)
        megabytes = {}
        for key in speeds:
            judged = key in ("kgen", fastest) or goals.is_eager_pytorch(found[key])
            of = config.memory_runs if judged else 1, found[key], name, case, batch_size
            megabytes[key] = attempt(f"the memory of {key}", _peaks, *of)
        megabytes = {key: peaks for key, peaks in megabytes.items() if peaks}
        rows = list(goals.memory_ratios(megabytes, found, fastest))
        result |= dict(megabytes=megabytes, memory_ratios=rows)
    return result


def _peaks(runs, contender, name, case, batch_size):
    """Peak memory of a training step, and of its process, in MB; a figure per process."""
    how = dict(library=contender.library, family=case.family, case=name, contender=contender.name)
    how |= dict(batch_size=batch_size, mixed_precision=case.mixed_precision)
    peaks = [harness.probe("step_memory", **how) for _ in range(runs)]
    if "left_out" in peaks[0]:
        raise RuntimeError(peaks[0]["left_out"])
    return {key: [peak[key] for peak in peaks] for key in ("step", "process")}


def of_family(family, config):
    """The configuration with the sizes of a family and its libraries; those missing, and why."""
    num_batches, num_rounds = (3, 2) if config.quick else SIZES[family]
    asked = [key for key in config.libraries.split(",") if trains(key, family)]
    missing = {key: "not asked for" for key in ("torch", "lightly") if trains(key, family)}
    for library in asked:
        missing[library] = cases.why_missing(library, family)
        if missing[library]:
            print(f"{library} is left out: {missing[library]}")
    missing = {key: reason for key, reason in missing.items() if reason}
    found = [key for key in asked if key not in missing]
    if len({key in cases.OF_TENSORFLOW for key in found}) > 1:
        harness.refuse_unlike_devices()
    chosen = dataclasses.replace(
        config,
        family=family,
        libraries=",".join(found),
        num_batches=config.num_batches or num_batches,
        num_rounds=config.num_rounds or num_rounds,
        memory_runs=min(config.memory_runs, 1) if config.quick else config.memory_runs,
    )
    return chosen, missing


def main(config):
    """Measure the cases, print their tables and write the figures. Returns them by family."""
    families = [config.family] if config.family else list(FAMILIES)
    harness.choose("family", families[0], FAMILIES)
    harness.check(config, batch_size=0, num_batches=0, num_rounds=0, memory_runs=0)
    if config.num_rounds == 1:
        raise ValueError("--num_rounds=1 has no spread: use 2 at least, or 0 for the family's.")
    asked = config.libraries.split(",")
    for library in asked:
        harness.choose("libraries", library, LIBRARIES)
    if not any(trains(library, family) for family in families for library in asked):
        raise ValueError(f"--libraries={config.libraries} has no contender in {families}.")
    before = harness.start(config)
    contents = {}
    for family in families:
        chosen, missing = of_family(family, config)
        # In the type of the run.
        how = dict(dtype=ours.half_type()) if config.mixed_precision else {}
        peak = harness.probe_or_missing("peak", quick=config.quick, **how)
        unknown = {"the machine's peak": peak["missing"]} if "missing" in peak else {}
        found, left_out, peak = {}, missing | unknown, peak.get("gigaflops")
        settings = dict(config=dataclasses.asdict(chosen), machine=before, peak_gigaflops=peak)
        contents[family] = content = dict(results=found, left_out=left_out, **settings)
        part = harness.part(family, before, mixed_precision=config.mixed_precision)
        for name, case in FAMILIES[family].items() if chosen.libraries else ():
            result = measure(name, case, chosen, missing)
            if "ratios" not in result:
                print(f"\n{name}: no contender is left.")
                left_out.update(result["left_out"])
                continue
            rates = result.get("gigaflops", {}) if peak else {}
            result["share_of_peak"] = {key: rate / peak for key, rate in rates.items()}
            found[name] = result
            # What comes next may fail, the table included.
            harness.update(harness.path(config, finished=False), "training", part, content)
            goals.print_case(name, result)
        if found:
            spoiled = any(result["hindrance"] for result in found.values())
            harness.finish(config, "training", part, content, FREE, spoiled=spoiled)
    return contents


if __name__ == "__main__":
    harness.run(main, Config)
