"""Seconds to draw images from a PixelCNN: the cached sampler of kgen beside naive sampling.

    python -m benchmarks.sampling --levels=2

All contenders have the same weights and the same noise, so they draw the same images: that is
looked at before anything is timed. One of them is the served model: the exported signature, run by
the loader of TF Serving. Beside them, smaller: TensorFlow Probability's PixelCNN.
"""

import dataclasses
import functools
import math
import statistics
import tempfile

import keras
import numpy as np

import kgen
from benchmarks import cases, harness
from benchmarks.harness import option, probe_or_missing
from benchmarks.rivals import kgen as kgen_rival
from kgen import heads, networks, serving
from kgen.layers import CausalConv2D
from kgen.seeds import seed_rows
from kgen.serving import c_api

GOALS = {"kgen, cached": 30.0, "kgen, served": 30.0, "kgen, cached, XLA": 100.0}
# How many times longer than the arithmetic alone at the machine's peak.
ARITHMETIC_GOAL = 3.0


@dataclasses.dataclass(frozen=True)
class Config(harness.Config):
    levels: int = option(256, "values of a pixel; 2: a Bernoulli likelihood, else a categorical")
    num_images: int = option(16, "images a draw")
    side: int = option(28, "pixels a side; time against size is measured from half to twice that")
    filters: int = option(64, "channels of the residual stream")
    num_blocks: int = option(7, "residual blocks")
    num_rounds: int = option(3, "rounds, one turn each for what is slow")
    num_turns: int = option(5, "turns of what is fast between two slow ones")
    tfp_side: int = option(16, "pixels a side beside TensorFlow Probability; 0 leaves it out")


# What may differ from its default in a run that is committed.
FREE = ("levels", "device")
QUICK = dict(num_images=2, side=8, filters=8, num_blocks=1, num_rounds=2, num_turns=2, tfp_side=4)


def build(config, side):
    """A PixelCNN for gray images, its weights and biases away from where they start."""
    likelihood = heads.Bernoulli() if config.levels == 2 else heads.Categorical(config.levels)
    network = functools.partial(
        networks.pixelcnn, filters=config.filters, num_blocks=config.num_blocks
    )
    model = kgen.PixelCNN.for_images((side, side, 1), likelihood=likelihood, network=network)
    draws = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign_add(draws.normal(size=variable.shape, scale=0.02))
    return model


def served_sampler(version, num_images):
    """A function that draws the images of seed 0 from the exported signature `sample`; its end.

    It runs in this process, through the C API that loads what TF Serving loads: no request, no
    network, and nothing of Python's TensorFlow.
    """
    tensors = serving.read_signatures(version)["sample"]
    given = dict(seed=seed_rows(0, num_images), temperature=np.ones(num_images, np.float32))
    feeds = [(tensors.inputs[name].name, np.asarray(value)) for name, value in given.items()]
    session = c_api.Session(c_api.load_library(), str(version))
    return lambda: session.run(feeds, [tensors.outputs["images"].name])[0], session.close


def contenders(model, served, config):
    """The fast and the slow ones: two dicts of name to a function that draws `num_images`."""
    fast = kgen_rival.cached_samplers(model, config.num_images) | {"kgen, served": served}
    # What `model.sample` draws from, so that all draw the same images.
    uniforms = model._noise(seed_rows(0, config.num_images)).numpy()
    slow = kgen_rival.naive_samplers(model, uniforms)
    reason = cases.why_missing("torch", "pixelcnn")
    if reason:
        print(f"PyTorch is left out: {reason}")
        return fast, slow
    harness.refuse_unlike_devices()
    rival = cases.rival("torch", "pixelcnn")
    sizes = dict(filters=config.filters, num_blocks=config.num_blocks)
    module = rival.network(model.network.output_shape[-1], **sizes)
    rival.copy_weights(model.network, module)
    return fast, slow | dict(rival.samplers(module, uniforms))


def compare(seconds, differing, why_not=""):
    """How many times faster each fast contender is than each slow one, by medians of a round."""
    for name, goal in GOALS.items():
        for slow in seconds:
            if slow not in GOALS:
                pairs = zip(_medians(seconds[slow]), _medians(seconds[name]), strict=True)
                by_round = [s / f for s, f in pairs]
                others = "the images differ" if differing[name] or differing[slow] else ""
                found = _verdict(by_round, goal, why_not=why_not or others)
                yield dict(of=slow, to=name, goal=goal, by_round=by_round, verdict=found)


def _medians(turns_by_round):
    return [statistics.median(turns) for turns in turns_by_round]


def _verdict(by_round, goal, at_most=False, why_not=""):
    # Three rounds have no quartiles to speak of.
    found = min(by_round), statistics.median(by_round), max(by_round)
    words = harness.verdict(found, goal, "rounds", at_most=at_most, why_not=why_not)
    return f"goal {'at most ' if at_most else ''}{goal:g}: {words}"


def measure_growth(models, config):
    """A dict per contender and side, all in the same rounds; naive sampling not at the largest."""
    fast, slow = {}, {}
    for side, model in models.items():
        draws = kgen_rival.cached_samplers(model, config.num_images)
        fast |= {(name, side): draw for name, draw in draws.items()}
        if side < max(models):
            uniforms = model._noise(seed_rows(0, config.num_images)).numpy()
            naive = kgen_rival.naive_samplers(model, uniforms)
            slow["kgen, naive", side] = naive["kgen, naive"]
    # One compiles; TensorFlow warns of retracing where few calls lie between two that do.
    for draw in [*slow.values(), *(d for d in fast.values() for _ in range(config.num_turns))]:
        draw()
    seconds = harness.seconds_between(fast, slow, config.num_rounds, config.num_turns)
    rows = []
    for (name, side), turns in sorted(seconds.items()):
        middle = statistics.median(sum(turns, []))
        row = dict(name=name, side=side, seconds=turns, microseconds_a_pixel=1e6 * middle / side**2)
        if rows and rows[-1]["name"] == name:
            growth = math.log(middle / statistics.median(sum(rows[-1]["seconds"], [])))
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

    Beside it `products`, what those of one pixel after the other take by themselves.
    """
    operations = float_operations(model, config.num_images)
    peak = probe_or_missing("peak", quick=config.quick)
    if "missing" in peak:
        return peak
    at_peak = 1e-9 * operations / peak["gigaflops"]
    ratios = {name: [s / at_peak for s in _medians(seconds[name])] for name in GOALS}
    how = dict(at_most=True, why_not=why_not)
    pixels = dict(rows=config.num_images, count=math.prod(model.image_shape[:2]))
    shapes = products_of_a_pixel(model)
    return dict(
        operations=operations,
        peak=peak,
        peak_bfloat16=probe_or_missing("peak", quick=config.quick, dtype="bfloat16"),
        seconds_at_peak=at_peak,
        ratios=ratios,
        verdicts={name: _verdict(each, ARITHMETIC_GOAL, **how) for name, each in ratios.items()},
        products=probe_or_missing("products", shapes=shapes, quick=config.quick, **pixels),
    )


def measure_memory(models, version, names, config):
    """What drawing takes: bytes of cache and weights by side, megabytes of each contender."""
    sizes = ("levels", "side", "num_images", "filters", "num_blocks")
    how = dict(version=str(version), **{key: getattr(config, key) for key in sizes})
    cache = []
    for side, model in models.items():
        sizes = dict(cache_bytes_an_image=4 * model.sampler.cache_size())
        cache.append(dict(side=side, **sizes, weights_bytes=4 * model.count_params()))
    draws = {name: probe_or_missing("draw_memory", contender=name, **how) for name in names}
    return dict(cache=cache, megabytes=draws)


def beside_tfp(config):
    """Seconds beside TensorFlow Probability's PixelCNN, and their ratio, which has no goal."""
    how = {key: getattr(config, key) for key in ("num_images", "filters", "num_rounds")}
    how |= dict(side=config.tfp_side, num_turns=config.num_turns)
    found = probe_or_missing("tfp_sampling", **how)
    if "missing" not in found:
        naive, cached = map(_medians, found["seconds"].values())
        found["by_round"] = [slow / fast for slow, fast in zip(naive, cached, strict=True)]
    return found


def main(config):
    """Check, measure, print the tables and write the figures, part by part. Returns them."""
    asked = config
    config = dataclasses.replace(config, **QUICK) if config.quick else config
    harness.check(config, num_images=1, side=2, num_rounds=2, num_turns=1, tfp_side=0)
    harness.check(config, levels=2, filters=2, num_blocks=0)
    before = harness.start(config)
    part = harness.part(f"{config.levels} levels", before)
    found = {}
    content = dict(results=found, config=dataclasses.asdict(config), machine=before)

    def add(**figures):
        found.update(figures)
        # What comes next may fail, the table included.
        harness.update(harness.path(config, finished=False), "sampling", part, content)
        PARTS[next(iter(figures))](found, config)

    keras.utils.set_random_seed(0)
    sides = (config.side // 2, config.side, 2 * config.side)
    models = {side: build(config, side) for side in sides}
    model = models[config.side]
    with tempfile.TemporaryDirectory() as folder:
        sizes = dict(warmup_batch_sizes=(config.num_images,), check=False)
        version = serving.export(model, folder, **sizes)
        served, close = served_sampler(version, config.num_images)
        fast, slow = contenders(model, served, config)
        # All are warm afterwards.
        levels = {k: np.rint(draw() * (config.levels - 1)) for k, draw in {**fast, **slow}.items()}
        differing = {k: int(np.sum(drawn != levels["kgen, naive"])) for k, drawn in levels.items()}
        add(differing_pixels=differing)
        seconds = harness.seconds_between(fast, slow, config.num_rounds, config.num_turns)
        close()
        why_not = harness.obstacle_after(config, before)
        ratios = list(compare(seconds, differing, why_not))
        add(seconds=seconds, ratios=ratios, hindrance=why_not)
        add(arithmetic=beside_the_arithmetic(model, seconds, config, why_not))
        add(growth=measure_growth(models, config))
        add(memory=measure_memory(models, version, seconds, config))
    if config.tfp_side:
        add(tfp=beside_tfp(config))
    found["hindrance"] = why_not or harness.obstacle_after(config, before)
    harness.finish(asked, "sampling", part, content, FREE, spoiled=bool(found["hindrance"]))
    return content


def _seconds(turns_by_round):
    return harness.spread(sum(turns_by_round, []), 4, 9)


def _print_differing(found, config):
    total = config.num_images * config.side**2
    print(f"\nPixels that differ from those of naive sampling in kgen, of {total:,}:")
    for name, count in found["differing_pixels"].items():
        print(f"  {name:24} {count:6,}")


def _print_draws(found, config):
    print(f"\n{config.num_images} images of {config.side} x {config.side}: ", end="")
    print("seconds a draw, median (smallest - largest)")
    for name, seconds in found["seconds"].items():
        print(f"  {name:24} {_seconds(seconds)}")
    print("  ratio of times, median of the rounds (smallest - largest)")
    for row in found["ratios"]:
        label = f"{row['of']} / {row['to']}"
        print(f"  {label:44} {harness.spread(row['by_round'])}  {row['verdict']}")


def _print_growth(found, config):
    print("\nSize of the image: seconds a draw, microseconds a pixel, time ~ pixels to the power")
    for row in found["growth"]:
        power = f"{row['power_of_pixels']:.2f}" if "power_of_pixels" in row else ""
        label = f"{row['name']}, {row['side']} x {row['side']}"
        pixel = row["microseconds_a_pixel"]
        print(f"  {label:30} {_seconds(row['seconds']):34} {pixel:9,.1f}  {power}".rstrip())


def _print_arithmetic(found, config):
    found = found["arithmetic"]
    if "missing" in found:
        print(f"\nThe machine's peak is not known: {found['missing']}")
        return
    peak, half = found["peak"], found["peak_bfloat16"]
    print(
        f"\nArithmetic: {1e-9 * found['operations']:.3f} GFLOP a draw, "
        f"{found['seconds_at_peak']:.4f} s at the machine's peak of "
        f"{peak['gigaflops']:,.0f} GFLOP/s (copying at {peak['gigabytes_a_second']:.1f} GB/s)"
    )
    print(f"  in bfloat16: {half.get('missing') or format(half['gigaflops'], ',.0f') + ' GFLOP/s'}")
    for name, ratios in found["ratios"].items():
        label = f"{name} / arithmetic at the peak"
        print(f"  {label:44} {harness.spread(ratios)}  {found['verdicts'][name]}")
    products = found["products"]
    if "missing" in products:
        print(f"  its products in order: {products['missing']}")
        return
    for key, label in {"seconds": "", "seconds_xla": ", XLA"}.items():
        seconds = products[key]
        share = 1e-9 * products["operations"] / seconds / peak["gigaflops"]
        print(f"  {'its products in order' + label:44} {seconds:.4f} s: {share:.1%} of the peak")


def _print_memory(found, config):
    print("\nMemory: of the cache for each image that is drawn at a time, and of the weights")
    for row in found["memory"]["cache"]:
        cache, weights = row["cache_bytes_an_image"], row["weights_bytes"]
        print(f"  {row['side']:3} x {row['side']:3} {cache:12,} bytes {weights:12,} bytes")
    print("  peak, MB: allocated by the model and its draws; of the whole process")
    for name, peaks in found["memory"]["megabytes"].items():
        text = peaks.get("missing") or f"{peaks['draw']:10,.0f} {peaks['process']:10,.0f}"
        print(f"  {name:24} {text}")


def _print_tfp(found, config):
    found = found["tfp"]
    if "missing" in found:
        print(f"\nTensorFlow Probability's PixelCNN is left out: {found['missing']}")
        return
    print(
        f"\nTensorFlow Probability's PixelCNN beside kgen's PixelCNN++, {config.num_images} images "
        f"of {config.tfp_side} x {config.tfp_side}: seconds a draw, weights"
    )
    for name, seconds in found["seconds"].items():
        print(f"  {name:24} {_seconds(seconds)} {found['weights'][name]:12,}")
    print(f"  {'TFP, naive / kgen, cached':44} {harness.spread(found['by_round'])}  no goal")


# What a run prints, from its results; the configuration needs `num_images`, `side` and `tfp_side`.
PARTS = dict(
    differing_pixels=_print_differing,
    seconds=_print_draws,
    arithmetic=_print_arithmetic,
    growth=_print_growth,
    memory=_print_memory,
    tfp=_print_tfp,
)


if __name__ == "__main__":
    harness.run(main, Config)
