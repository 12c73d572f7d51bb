"""Seconds to draw images from a PixelCNN: the cached sampler of kgen beside naive sampling.

    python -m benchmarks.sampling
    python -m benchmarks.sampling --levels=2
    python -m benchmarks.sampling --quick

All contenders have the same weights and the same noise, so they draw the same images: that is
looked at before anything is timed. One of them is the served model: the exported signature, run by
the loader of TF Serving. Beside them, smaller: TensorFlow Probability's PixelCNN.
"""

import contextlib
import dataclasses
import math
import statistics
import tempfile

import keras
import numpy as np

import kgen
from benchmarks import (
    interleaved,
    libraries,
    machine,
    probes,
    results,
    rounds,
    sampling_tables,
)
from benchmarks.rivals import kgen_pixelcnn
from kgen import heads, recipe, serving
from kgen.seeds import seed_rows
from kgen.layers import CausalConv2D
from kgen.recipe import option
from kgen.serving import c_api

GOALS = {"kgen, cached": 30.0, "kgen, served": 30.0, "kgen, cached, XLA": 100.0}
# How many times longer than the arithmetic alone at the machine's peak.
ARITHMETIC_GOAL = 3.0


@dataclasses.dataclass(frozen=True)
class Config:
    """The flags, with their defaults and help."""

    levels: int = option(256, "values of a pixel; 2: a Bernoulli likelihood, else a categorical")
    num_images: int = option(16, "images a draw")
    side: int = option(28, "pixels a side; time against size is measured from half to twice that")
    filters: int = option(64, "channels of the residual stream")
    num_blocks: int = option(7, "residual blocks")
    num_rounds: int = option(3, "rounds, one turn each for what is slow")
    num_turns: int = option(5, "turns of what is fast between two slow ones")
    threads: int = option(0, "PyTorch's threads; 0: one a core, as TensorFlow does by itself")
    tfp_side: int = option(16, "pixels a side beside TensorFlow Probability; 0 leaves it out")
    device: str = option("auto", "auto: a GPU where there is one; cpu")
    quick: bool = option(False, "small networks and images: shows that all runs, measures nothing")
    output: str = option("", f"where the figures go: {results.COMMITTED}, or if quick elsewhere")


# What may differ from its default in a run that is committed.
FREE = ("levels", "device")
QUICK = dict(num_images=2, side=8, filters=8, num_blocks=1, num_rounds=2, num_turns=2, tfp_side=4)


def build(config, side):
    """A PixelCNN for gray images, its weights and biases away from where they start."""
    likelihood = heads.Bernoulli() if config.levels == 2 else heads.Categorical(config.levels)
    model = kgen.PixelCNN.for_images(
        (side, side, 1),
        likelihood=likelihood,
        filters=config.filters,
        num_blocks=config.num_blocks,
    )
    draws = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign_add(draws.normal(size=variable.shape, scale=0.02))
    return model


def contenders(model, served, config):
    """The fast and the slow ones: two dicts of name to a function that draws `num_images`.

    Args:
        model: kgen.PixelCNN.
        served: function without arguments that draws from its export.
        config: the configuration.
    """
    # What `model.sample` draws from, so that all draw the same images.
    uniforms = model._noise(seed_rows(0, config.num_images)).numpy()
    fast = dict(kgen_pixelcnn.cached_samplers(model, config.num_images))
    fast["kgen, served"] = served
    slow = dict(kgen_pixelcnn.naive_samplers(model, uniforms))
    if libraries.is_at_hand("torch", config.threads):
        machine.refuse_unlike_devices()
        from benchmarks.rivals import torch_pixelcnn

        sizes = dict(filters=config.filters, num_blocks=config.num_blocks)
        module = torch_pixelcnn.PixelCNN(model.network.output_shape[-1], **sizes)
        torch_pixelcnn.copy_weights(model.network, module)
        slow.update(torch_pixelcnn.samplers(module, uniforms))
    return fast, slow


@contextlib.contextmanager
def served_sampler(version, num_images):
    """Yields a function that draws the images of seed 0 from the exported signature `sample`.

    It runs in this process, through the C API that loads what TF Serving loads: no request, no
    network, and nothing of Python's TensorFlow.

    Args:
        version: the folder that `serving.export` returned.
        num_images: int.
    """
    tensors = serving.read_signatures(version)["sample"]
    feeds = [
        (tensors.inputs["seed"].name, seed_rows(0, num_images).numpy()),
        (tensors.inputs["temperature"].name, np.ones(num_images, np.float32)),
    ]
    session = c_api.Session(c_api.load_library(), str(version))
    try:
        yield lambda: session.run(feeds, [tensors.outputs["images"].name])[0]
    finally:
        session.close()


def differing_pixels(draws, levels):
    """How many pixels of each contender's images are not those of naive sampling in kgen.

    This is each contender's first draw, which compiles: they are warm afterwards.

    Args:
        draws: dict of name to a function that returns images in [0, 1].
        levels: int, how many values a pixel can take.

    Returns:
        dict of name to int.
    """
    images = {name: np.rint(draw() * (levels - 1)) for name, draw in draws.items()}
    reference = images["kgen, naive"]
    return {name: int(np.sum(values != reference)) for name, values in images.items()}


def compare(seconds, differing, why_not=""):
    """How many times faster each fast contender is than each slow one, round by round.

    Args:
        seconds: dict of name to lists of seconds, one list a round, one entry a turn.
        differing: dict of name to the count of differing pixels; other images forbid a verdict.
        why_not: an obstacle, which forbids all verdicts.

    Yields:
        dict with the two names, the `goal`, `by_round`, the ratio of the medians of a round, and
        the `verdict`.
    """
    middle = {name: [statistics.median(turns) for turns in s] for name, s in seconds.items()}
    for name, goal in GOALS.items():
        for slow in middle:
            if slow not in GOALS:
                by_round = [s / f for s, f in zip(middle[slow], middle[name], strict=True)]
                others = differing[name] or differing[slow]
                obstacle = why_not or ("the images differ" if others else "")
                verdict = rounds.verdict(by_round, goal, why_not=obstacle)
                yield dict(of=slow, to=name, goal=goal, by_round=by_round, verdict=verdict)


def measure(model, version, config, before):
    """The seconds of all contenders at one size, their ratios, and what forbids a verdict."""
    with served_sampler(version, config.num_images) as served:
        fast, slow = contenders(model, served, config)
        differing = differing_pixels({**fast, **slow}, config.levels)
        sampling_tables.print_differing(differing, config)
        seconds = interleaved.seconds_between(fast, slow, config.num_rounds, config.num_turns)
    why_not = rounds.obstacle(before, config.quick)
    ratios = list(compare(seconds, differing, why_not))
    return dict(differing_pixels=differing, seconds=seconds, ratios=ratios, hindrance=why_not)


def measure_growth(models, config):
    """The seconds of kgen's contenders against the image's side, all sizes in the same rounds.

    Args:
        models: dict of side to model.
        config: the configuration.

    Returns:
        list of dicts, one for each contender and side, naive sampling left out at the largest.
    """
    fast, slow = {}, {}
    for side, model in models.items():
        for name, draw in kgen_pixelcnn.cached_samplers(model, config.num_images):
            fast[name, side] = draw
        if side < max(models):
            uniforms = model._noise(seed_rows(0, config.num_images)).numpy()
            naive = dict(kgen_pixelcnn.naive_samplers(model, uniforms))
            slow["kgen, naive", side] = naive["kgen, naive"]
    for draw in slow.values():
        draw()
    for draw in fast.values():
        # One compiles; TensorFlow warns of retracing where few calls lie between two that do.
        for _ in range(config.num_turns):
            draw()
    seconds = interleaved.seconds_between(fast, slow, config.num_rounds, config.num_turns)
    rows = []
    for (name, side), turns in sorted(seconds.items()):
        middle = sampling_tables.median(turns)
        row = dict(name=name, side=side, seconds=turns, microseconds_a_pixel=1e6 * middle / side**2)
        if rows and rows[-1]["name"] == name:
            growth = math.log(middle / sampling_tables.median(rows[-1]["seconds"]))
            row["power_of_pixels"] = growth / (2.0 * math.log(side / rows[-1]["side"]))
        rows.append(row)
    return rows


def float_operations(model, num_images):
    """Additions and multiplications of a cached draw: each kernel once for each pixel."""
    kernels = [v for v in model.network.trainable_variables if len(v.shape) == 4]
    pixels = num_images * math.prod(model.image_shape[:2])
    return 2 * pixels * sum(math.prod(v.shape) for v in kernels)


def products_of_a_pixel(model):
    """`[inputs, outputs]` of the matrices that one pixel is multiplied by, in order."""
    layers = [layer for layer in model.network.layers if isinstance(layer, CausalConv2D)]
    kernels = [layer.row_kernel.shape for layer in layers if layer.num_taps]
    return [[taps * inputs, outputs] for _, taps, inputs, outputs in kernels]


def beside_the_arithmetic(model, seconds, config, why_not=""):
    """How many times longer the cached draws take than their arithmetic at the machine's peak.

    Args:
        model: kgen.PixelCNN.
        seconds: dict of name to lists of seconds, one list a round.
        config: the configuration.
        why_not: an obstacle, which forbids all verdicts.

    Returns:
        dict with the `operations` of a draw, the machine's `peak` and `peak_bfloat16`, the
        `seconds_at_peak`, `ratios` and `verdicts` (name -> one figure a round, and a text), and
        `products`: what the matrix products of one pixel after the other take by themselves; or
        with `missing`, why there are none.
    """
    operations = float_operations(model, config.num_images)
    peak = call_probe("peak", quick=config.quick)
    if "missing" in peak:
        return peak
    at_peak = 1e-9 * operations / peak["gigaflops"]
    ratios = {
        name: [statistics.median(turns) / at_peak for turns in seconds[name]] for name in GOALS
    }
    verdicts = {
        name: rounds.verdict(each, ARITHMETIC_GOAL, at_most=True, why_not=why_not)
        for name, each in ratios.items()
    }
    return dict(
        operations=operations,
        peak=peak,
        peak_bfloat16=call_probe("peak", quick=config.quick, dtype="bfloat16"),
        seconds_at_peak=at_peak,
        ratios=ratios,
        verdicts=verdicts,
        products=call_probe(
            "products",
            shapes=products_of_a_pixel(model),
            rows=config.num_images,
            count=math.prod(model.image_shape[:2]),
            quick=config.quick,
        ),
    )


def call_probe(name, **arguments):
    """A probe's answer, or `missing`, why it has none: a failure must not lose other figures."""
    try:
        return probes.call(name, **arguments)
    except RuntimeError as error:
        return dict(missing=str(error).splitlines()[-1])


def memory(models, version, names, config):
    """What drawing takes: of the cache and of the weights by side, and of each contender.

    Args:
        models: dict of side to model.
        version: the folder of the export of `config.side`.
        names: the contenders.
        config: the configuration.

    Returns:
        dict with `cache` (a dict a side, in bytes) and `megabytes` (name -> peaks of a warm draw
        and of its process, or `missing`).
    """
    sizes = ("levels", "side", "num_images", "filters", "num_blocks", "threads")
    how = dict(version=str(version), **{key: getattr(config, key) for key in sizes})
    return dict(
        cache=[
            dict(
                side=side,
                cache_bytes_an_image=4 * model.sampler.cache_size(),
                weights_bytes=4 * model.count_params(),
            )
            for side, model in models.items()
        ],
        megabytes={name: call_probe("draw_memory", contender=name, **how) for name in names},
    )


def beside_tfp(config):
    """Seconds beside TensorFlow Probability's PixelCNN, and their ratio, which has no goal."""
    found = call_probe(
        "tfp_sampling",
        side=config.tfp_side,
        num_images=config.num_images,
        filters=config.filters,
        num_rounds=config.num_rounds,
        num_turns=config.num_turns,
    )
    if "missing" not in found:
        naive, cached = (
            [statistics.median(turns) for turns in each] for each in found["seconds"].values()
        )
        found["by_round"] = [slow / fast for slow, fast in zip(naive, cached, strict=True)]
    return found


def main(config):
    """Check, measure, print the tables and write the figures, part by part. Returns them."""
    asked = config
    if config.quick:
        config = dataclasses.replace(config, **QUICK)
    results.check(config, num_images=1, side=2, num_rounds=2, num_turns=1, threads=0, tfp_side=0)
    results.check(config, levels=2, filters=2, num_blocks=0)
    before = machine.start(config.quick, config.device)
    found = {}
    content = dict(results=found, config=dataclasses.asdict(config), machine=before)

    part = results.part(f"{config.levels} levels", before)

    def keep():
        # What comes next may fail, the table included.
        results.update(results.path(config, finished=False), "sampling", part, content)

    def add(name, figures, print_figures):
        found[name] = figures
        keep()
        print_figures(figures, config)

    keras.utils.set_random_seed(0)
    sides = (config.side // 2, config.side, 2 * config.side)
    models = {side: build(config, side) for side in sides}
    model = models[config.side]
    with tempfile.TemporaryDirectory() as folder:
        version = serving.export(
            model, folder, warmup_batch_sizes=(config.num_images,), check=False
        )
        found.update(measure(model, version, config, before))
        keep()
        sampling_tables.print_draws(found, config)
        arithmetic = beside_the_arithmetic(model, found["seconds"], config, found["hindrance"])
        add("arithmetic", arithmetic, sampling_tables.print_arithmetic)
        add("growth", measure_growth(models, config), sampling_tables.print_growth)
        taken = memory(models, version, found["seconds"], config)
        add("memory", taken, sampling_tables.print_memory)
    if config.tfp_side:
        add("tfp", beside_tfp(config), sampling_tables.print_tfp)
    found["hindrance"] = found["hindrance"] or rounds.obstacle(before, config.quick)
    path = results.path(asked, FREE, spoiled=bool(found["hindrance"]))
    results.update(path, "sampling", part, content)
    print(f"\nThe figures of all rounds are in {path}.")
    return content


if __name__ == "__main__":
    recipe.run(main, Config)
