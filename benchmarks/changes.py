"""Milliseconds of a training step before and after each change that a profile led to, by turns.

    python -m benchmarks.changes                              # some five minutes on two cores
    python -m benchmarks.changes --change="1 x 1 products"
    python -m benchmarks.changes --quick

The form before is put back while the model is built and traced; both forms then take turns in one
process. A ratio above 1 says how many times faster the change made the step.
"""

import contextlib
import dataclasses
import importlib
import statistics
from unittest import mock

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from benchmarks import interleaved, machine, results, rounds
from benchmarks.cases import FAMILIES, synthetic_images
from kgen import optimizers, recipe
from kgen.heads import likelihoods
from kgen.layers import causal_conv
from kgen.networks import contrastive
from kgen.recipe import option


@dataclasses.dataclass(frozen=True)
class Change:
    """What was changed, in which model.

    Attributes:
        family: a name of `FAMILIES`.
        case: a name in it.
        num_batches: int, steps a turn.
        put_back: tuple of the module or class, the attribute's name, and its value before.
        after: arguments of `compile` of the form after.
    """

    family: str
    case: str
    num_batches: int
    put_back: tuple | None = None
    after: dict = dataclasses.field(default_factory=dict)


_WINDOW = causal_conv._WindowConv2D
_convolve = _WINDOW._convolve


def _explicit_padding(self, inputs, kernel, top, left, right):
    if not (top or left or right):
        return _convolve(self, inputs, kernel, top, left, right)
    padding = [[0, 0], [top, 0], [left, right], [0, 0]]
    return self._add_bias(tf.nn.conv2d(inputs, kernel, self.strides, padding))


def _without_products(self, inputs, kernel, top, left, right):
    if top or left or right:
        inputs = tf.pad(inputs, [[0, 0], [top, 0], [left, right], [0, 0]])
    return self._add_bias(tf.nn.conv2d(inputs, kernel, self.strides, "VALID"))


def _bias_add(self, outputs):
    return tf.nn.bias_add(outputs, self._cast(self.bias))


def _keras_normalization(**kwargs):
    return keras.layers.BatchNormalization(momentum=0.9, **kwargs)


_ADAM = (optimizers, "Adam", keras.optimizers.Adam)
CHANGES = {
    "kgen's Adam, dense VAE": Change("vae", "dense VAE", 100, _ADAM),
    "kgen's Adam, convolutional VAE": Change("vae", "convolutional VAE", 50, _ADAM),
    "one softplus, dense VAE": Change(
        "vae", "dense VAE", 100, (likelihoods, "BernoulliOfLogits", tfd.Bernoulli)
    ),
    "padded beforehand": Change(
        "pixelcnn", "PixelCNN", 8, (_WINDOW, "_convolve", _explicit_padding)
    ),
    "bias by +": Change("pixelcnn", "PixelCNN", 8, (_WINDOW, "_add_bias", _bias_add)),
    "1 x 1 products": Change("pixelcnn", "PixelCNN", 8, (_WINDOW, "_convolve", _without_products)),
    "fused batch normalization": Change(
        "simclr", "SimCLR", 10, (contrastive, "BatchNormalization", _keras_normalization)
    ),
    "XLA, tried": Change("wgan_gp", "WGAN-GP", 10, after=dict(jit_compile=True)),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """The flags, with their defaults and help."""

    change: str = option("", f"which one: {'; '.join(CHANGES)}; all by default")
    num_rounds: int = option(9, "rounds, after one of warm-up; at least 2")
    device: str = option("auto", "auto: a GPU where there is one; cpu")
    quick: bool = option(False, "2 rounds of 2 steps: shows that all runs, measures nothing")
    output: str = option("", f"where the figures go: {results.COMMITTED}, or if quick elsewhere")


# What may differ from its default in a run that is committed.
FREE = ("change", "device")


def measure(change, config):
    """Milliseconds of a step in each form, a figure a round, and their ratio with quartiles."""
    case = FAMILIES[change.family][change.case]
    ours, bare = (
        importlib.import_module(f"benchmarks.rivals.{library}_{change.family}")
        for library in ("kgen", "keras")
    )
    batch_size, num_batches = (4, 2) if config.quick else (case.batch_size, change.num_batches)
    images = synthetic_images(num_batches * batch_size, case.num_levels)
    batches = bare.batches(images, batch_size)
    models = {}
    for form in ("before", "after"):
        keras.utils.set_random_seed(0)
        with contextlib.ExitStack() as stack:
            if form == "before" and change.put_back:
                stack.enter_context(mock.patch.object(*change.put_back))
            how = change.after if form == "after" else {}
            models[form] = ours.model(case, images.shape[1:], **how)
            models[form].fit(batches, verbose=0)
    seconds = interleaved.seconds_by_round(
        {form: lambda model=model: model.fit(batches, verbose=0) for form, model in models.items()},
        config.num_rounds,
        pause=0.0 if config.quick else 0.2,
    )
    steps = {form: [1e3 * s / num_batches for s in each] for form, each in seconds.items()}
    return dict(milliseconds_a_step=steps, ratio=interleaved.ratio(steps, "before", "after"))


def print_head():
    """What the columns are."""
    print("\nMilliseconds of a step before and after, and their ratio by round (quartiles)")


def print_change(name, found):
    """One line of the table."""
    medians = [statistics.median(values) for values in found["milliseconds_a_step"].values()]
    ratio = found["ratio"]
    print(f"  {name:32} {medians[0]:8.2f} {medians[1]:8.2f}", end="")
    print(f"   {ratio['median']:.3f}  ", end="")
    print(f"({ratio['lower_quartile']:.3f} - {ratio['upper_quartile']:.3f})", flush=True)


def main(config):
    """Measure, print and write the figures. Returns them by change."""
    names = [config.change] if config.change else list(CHANGES)
    for name in names:
        recipe.choose("change", name, CHANGES)
    results.check(config, num_rounds=2)
    before = machine.start(config.quick, config.device)
    asked = config
    if config.quick:
        config = dataclasses.replace(config, num_rounds=2)
    print_head()
    for name in names:
        found = measure(CHANGES[name], config)
        print_change(name, found)
        hindrance = rounds.obstacle(before, config.quick)
        path = results.path(asked, FREE, spoiled=bool(hindrance))
        settings = dataclasses.asdict(config) | dict(num_batches=CHANGES[name].num_batches)
        content = dict(results=found, config=settings, machine=before, hindrance=hindrance)
        results.update(path, "changes", results.part(name, before), content)
    print(f"The figures of all rounds are in {path}.")


if __name__ == "__main__":
    recipe.run(main, Config)
