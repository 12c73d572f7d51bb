"""Seconds to draw images from a PixelCNN: the cached sampler of kgen beside naive sampling.

    python -m benchmarks.sampling
    python -m benchmarks.sampling --levels=2
    python -m benchmarks.sampling --quick

All contenders have the same weights and the same noise, so they draw the same images: that is
looked at before anything is timed. Beside them, smaller: TensorFlow Probability's PixelCNN.
"""

import dataclasses
import math
import statistics

import keras
import numpy as np

import kgen
from benchmarks import interleaved, libraries, machine, probes, results
from benchmarks.rivals import kgen_pixelcnn
from kgen import heads, recipe
from kgen.heads.sampling import seed_rows
from kgen.recipe import option

GOALS = {"kgen, cached": 30.0, "kgen, cached, XLA": 100.0}
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


def contenders(model, config):
    """The fast and the slow ones: two dicts of name to a function that draws `num_images`."""
    # What `model.sample` draws from, so that all draw the same images.
    uniforms = model._noise(seed_rows(0, config.num_images)).numpy()
    fast = dict(kgen_pixelcnn.cached_samplers(model, config.num_images))
    slow = dict(kgen_pixelcnn.naive_sampler(model, uniforms))
    if libraries.is_at_hand("torch", config.threads):
        from benchmarks.rivals import torch_pixelcnn

        sizes = dict(filters=config.filters, num_blocks=config.num_blocks)
        slow.update(torch_pixelcnn.samplers(model.network, uniforms, **sizes))
    return fast, slow


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


def compare(seconds):
    """How many times faster each fast contender is than each slow one, round by round.

    Args:
        seconds: dict of name to lists of seconds, one list a round, one entry a turn.

    Yields:
        dict with the two names, the `goal`, and `by_round`: the ratio of the medians of a round.
    """
    middle = {name: [statistics.median(turns) for turns in s] for name, s in seconds.items()}
    for name, goal in GOALS.items():
        for slow in middle:
            if slow not in GOALS:
                by_round = [s / f for s, f in zip(middle[slow], middle[name], strict=True)]
                yield dict(of=slow, to=name, goal=goal, by_round=by_round)


def verdict(row):
    """Whether a ratio meets its goal: in all rounds, in none, or, without an answer, in some."""
    met, total = sum(ratio >= row["goal"] for ratio in row["by_round"]), len(row["by_round"])
    if met in (0, total):
        return f"goal {row['goal']:.0f}: {'met' if met else 'MISSED'} in all rounds"
    return f"goal {row['goal']:.0f}: no verdict, met in {met} of {total} rounds: run again"


def measure(model, config):
    """The seconds of all contenders at one size, and their ratios."""
    fast, slow = contenders(model, config)
    differing = differing_pixels({**fast, **slow}, config.levels)
    total = config.num_images * math.prod(model.image_shape)
    print(f"\nPixels that differ from those of naive sampling in kgen, of {total:,}:")
    for name, count in differing.items():
        print(f"  {name:24} {count:6,}")
    seconds = interleaved.seconds_between(fast, slow, config.num_rounds, config.num_turns)
    ratios = list(compare(seconds))
    return dict(differing_pixels=differing, seconds=seconds, ratios=ratios)


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
            for name, draw in kgen_pixelcnn.naive_sampler(model, uniforms):
                slow[name, side] = draw
    for draw in slow.values():
        draw()
    for draw in fast.values():
        # One compiles; TensorFlow warns of retracing where few calls lie between two that do.
        for _ in range(config.num_turns):
            draw()
    seconds = interleaved.seconds_between(fast, slow, config.num_rounds, config.num_turns)
    rows = []
    for (name, side), turns in sorted(seconds.items()):
        middle = _median(turns)
        row = dict(name=name, side=side, seconds=turns, microseconds_a_pixel=1e6 * middle / side**2)
        if rows and rows[-1]["name"] == name:
            growth = math.log(middle / _median(rows[-1]["seconds"]))
            row["power_of_pixels"] = growth / (2.0 * math.log(side / rows[-1]["side"]))
        rows.append(row)
    return rows


def float_operations(model, num_images):
    """Additions and multiplications of a cached draw: each kernel once for each pixel."""
    kernels = [v for v in model.network.trainable_variables if len(v.shape) == 4]
    pixels = num_images * math.prod(model.image_shape[:2])
    return 2 * pixels * sum(math.prod(v.shape) for v in kernels)


def beside_the_arithmetic(operations, seconds, config):
    """How many times longer the cached draws take than their arithmetic at the machine's peak.

    Args:
        operations: of a draw.
        seconds: dict of name to lists of seconds, one list a round.
        config: the configuration.

    Returns:
        dict with the `operations`, the machine's `peak`, the `seconds_at_peak` and `ratios` (name
        -> one figure a round).
    """
    peak = probes.call("peak", quick=config.quick)
    at_peak = 1e-9 * operations / peak["gigaflops"]
    ratios = {
        name: [statistics.median(turns) / at_peak for turns in seconds[name]] for name in GOALS
    }
    return dict(operations=operations, peak=peak, seconds_at_peak=at_peak, ratios=ratios)


def arithmetic_verdict(ratios):
    """Whether a draw is near enough to its arithmetic: in all rounds, in none, or in some."""
    met, total = sum(ratio <= ARITHMETIC_GOAL for ratio in ratios), len(ratios)
    if met in (0, total):
        words = "met" if met else "MISSED"
        return f"goal at most {ARITHMETIC_GOAL:.0f}: {words} in all rounds"
    return f"goal at most {ARITHMETIC_GOAL:.0f}: no verdict, met in {met} of {total} rounds"


def memory(models):
    """Bytes of the cache, for each image that is drawn at a time, and of the weights, by side."""
    return [
        dict(
            side=side,
            cache_bytes_an_image=4 * model.sampler.cache_size(),
            weights_bytes=4 * model.count_params(),
        )
        for side, model in models.items()
    ]


def _median(rounds):
    return statistics.median(second for turns in rounds for second in turns)


def _seconds(rounds):
    """The median of all turns and their range, as text."""
    values = [second for turns in rounds for second in turns]
    return f"{_median(rounds):9.4f}  ({min(values):.4f} - {max(values):.4f})"


def print_tables(found, config):
    """Print seconds and ratios with their goals, then the growth with the size, then memory."""
    print(
        f"\n{config.num_images} images of {config.side} x {config.side}: seconds a draw, ", end=""
    )
    print("median (smallest - largest)")
    for name, rounds in found["seconds"].items():
        print(f"  {name:24} {_seconds(rounds)}")
    print("  ratio of times, median of the rounds (smallest - largest)")
    for row in found["ratios"]:
        ratios, label = row["by_round"], f"{row['of']} / {row['to']}"
        spread = f"({min(ratios):.1f} - {max(ratios):.1f})"
        print(f"  {label:44} {statistics.median(ratios):6.1f}  {spread}  {verdict(row)}")
    print("\nSize of the image: seconds a draw, microseconds a pixel, time ~ pixels to the power")
    for row in found["growth"]:
        power = f"{row['power_of_pixels']:.2f}" if "power_of_pixels" in row else ""
        label = f"{row['name']}, {row['side']} x {row['side']}"
        pixel = row["microseconds_a_pixel"]
        print(f"  {label:30} {_seconds(row['seconds']):34} {pixel:9,.1f}  {power}")
    arithmetic = found["arithmetic"]
    print(
        f"\nArithmetic: {1e-9 * arithmetic['operations']:.3f} GFLOP a draw, "
        f"{arithmetic['seconds_at_peak']:.4f} s at the machine's peak of "
        f"{arithmetic['peak']['gigaflops']:,.0f} GFLOP/s (copying at "
        f"{arithmetic['peak']['gigabytes_a_second']:.1f} GB/s)"
    )
    for name, ratios in arithmetic["ratios"].items():
        spread = f"({min(ratios):.1f} - {max(ratios):.1f})"
        label = f"{name} / arithmetic at the peak"
        print(f"  {label:44} {statistics.median(ratios):6.1f}  {spread}  ", end="")
        print(arithmetic_verdict(ratios))
    print("\nMemory: of the cache for each image that is drawn at a time, and of the weights")
    for row in found["memory"]:
        cache, weights = row["cache_bytes_an_image"], row["weights_bytes"]
        print(f"  {row['side']:3} x {row['side']:3} {cache:12,} bytes {weights:12,} bytes")


def beside_tfp(config):
    """Seconds beside TensorFlow Probability's PixelCNN, printed; None where it is left out."""
    if not config.tfp_side:
        return None
    found = probes.call(
        "tfp_sampling",
        side=config.tfp_side,
        num_images=config.num_images,
        filters=config.filters,
        num_rounds=config.num_rounds,
    )
    if "missing" in found:
        print(f"\nTensorFlow Probability's PixelCNN is left out: {found['missing']}")
        return None
    print(
        f"\nTensorFlow Probability's PixelCNN beside kgen's PixelCNN++, {config.num_images} images "
        f"of {config.tfp_side} x {config.tfp_side}: seconds a draw, weights"
    )
    for name, seconds in found["seconds"].items():
        print(f"  {name:24} {_seconds([seconds])} {found['weights'][name]:12,}")
    naive, cached = found["seconds"].values()
    found["by_round"] = [slow / fast for slow, fast in zip(naive, cached, strict=True)]
    ratios = found["by_round"]
    spread = f"({min(ratios):.1f} - {max(ratios):.1f})"
    print(f"  {'TFP, naive / kgen, cached':44} {statistics.median(ratios):6.1f}  {spread}  no goal")
    return found


def main(config):
    """Check, measure, print the tables and write the figures. Returns them."""
    if config.quick:
        config = dataclasses.replace(config, **QUICK)
    before = machine.start(config.quick, config.device)
    keras.utils.set_random_seed(0)
    sides = (config.side // 2, config.side, 2 * config.side)
    models = {side: build(config, side) for side in sides}
    model = models[config.side]
    found = measure(model, config)
    operations = float_operations(model, config.num_images)
    found.update(
        growth=measure_growth(models, config),
        memory=memory(models),
        arithmetic=beside_the_arithmetic(operations, found["seconds"], config),
    )
    print_tables(found, config)
    found["tfp"] = beside_tfp(config)
    content = dict(results=found, config=dataclasses.asdict(config), machine=before)
    path = results.path(config)
    results.update(path, "sampling", f"{config.levels} levels", content)
    print(f"\nThe figures of all rounds are in {path}.")
    return content


if __name__ == "__main__":
    recipe.run(main, Config)
