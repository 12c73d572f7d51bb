"""Bare Keras trains what kgen trains, as kgen trains it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks.cases import FAMILIES, synthetic_images
from benchmarks.rivals import keras as bare
from benchmarks.rivals import kgen as ours
from kgen.losses import penalties

CASES = {name: case for cases in FAMILIES.values() for name, case in cases.items()}
PARTS = dict(
    vae=("encoder", "decoder"),
    wgan_gp=("generator", "discriminator"),
    pixelcnn=("network",),
    simclr=("encoder", "projector"),
)


def optimizers(model):
    """Of each optimizer that has taken a step, its module and its settings."""
    found = {id(value): value for value in vars(model).values()}.values()
    found = [value for value in found if isinstance(value, keras.optimizers.Optimizer)]
    found = [value for value in found if int(value.iterations.numpy())]
    settings = ("learning_rate", "beta_1", "beta_2", "epsilon")
    return sorted(
        (type(one).__module__, *(float(one.get_config()[key]) for key in settings)) for one in found
    )


def losses(model, batch, monkeypatch):
    """The losses of kgen's model of a batch; bare Keras then draws the same noise."""
    objectives = [getattr(model, "objective", None)]
    noise = {}
    if hasattr(model, "generator"):
        objectives = [model.discriminator_objective, model.generator_objective]
        noise["normal"] = model.latents(len(batch), model.noise_seed(True))
        ones, zeros = (tf.fill((len(batch), 1, 1, 1), value) for value in (1.0, 0.0))
        noise["uniform"] = penalties._between(ones, zeros, model.noise_seed(True, salt=1))
    elif hasattr(model, "posterior"):
        posterior = model.posterior(model.encoder(batch))
        latents = posterior.sample(seed=model.noise_seed(True))
        noise["normal"] = (latents - posterior.mean()) / posterior.stddev()
    for name, values in noise.items():
        monkeypatch.setattr(keras.random, name, lambda *args, v=values, **kwargs: v)
    return [tf.reduce_mean(objective(batch, training=True)["loss"]) for objective in objectives]


@pytest.mark.parametrize("name", CASES)
def test_bare_keras_has_the_losses_the_optimizers_and_the_weights_of_kgen(name, monkeypatch):
    case = CASES[name]
    models = [rival.model(case, (28, 28, 1), run_eagerly=True) for rival in (ours, bare)]
    draws = np.random.default_rng(0)
    for part, network in zip(PARTS[case.family], models[1].networks, strict=True):
        for variable, other in zip(
            getattr(models[0], part).trainable_variables, network.trainable_variables, strict=True
        ):
            # Away from where they start, such as at a slope of the critic of 0.
            variable.assign_add(draws.normal(size=variable.shape, scale=0.03))
            other.assign(variable)
    batches = ours.batches(case, synthetic_images(4, case.num_levels), 4)
    batch = next(iter(batches))
    expected = losses(models[0], batch[0] if case.family == "simclr" else batch, monkeypatch)
    # Updates that change nothing, so that all losses are those of the same weights.
    nothing = {key: keras.optimizers.SGD(0.0) for key in ours.optimizers(case)}
    models[1].compile(**nothing, run_eagerly=True)
    logs = models[1].train_step(batch)
    found = [logs["critic_loss"], logs["generator_loss"]] if len(expected) > 1 else [logs["loss"]]
    # The same operations; only the sums are taken in another order.
    np.testing.assert_allclose(found, expected, rtol=1e-4)

    models[1].compile(**ours.optimizers(case), run_eagerly=True)
    still = []
    for model in models:
        before = [variable.numpy() for variable in model.trainable_variables]
        model.fit(batches, verbose=0, shuffle=False)
        pairs = zip(model.trainable_variables, before, strict=True)
        still.append([v.shape for v, value in pairs if np.array_equal(v.numpy(), value)])
    # The bias of a Wasserstein critic's output cancels out of its loss.
    assert still == [[(1,)] if case.family == "wgan_gp" else []] * 2
    assert optimizers(models[0]) == optimizers(models[1])
    assert {one[0] for one in optimizers(models[1])} == {"kgen.optimizers"}


def test_arithmetic_of_a_graph_is_what_the_profiler_counts():
    from benchmarks import arithmetic

    kernel, matrix = tf.Variable(tf.ones((5, 5, 3, 7))), tf.Variable(tf.ones((7 * 16, 2)))

    @tf.function
    def forward(images):
        maps = tf.nn.conv2d(images, kernel, strides=2, padding="SAME")
        return tf.reshape(maps, (6, 7 * 16)) @ matrix

    @tf.function
    def step(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            loss = tf.reduce_sum(forward.python_function(images) ** 2)
        return tape.gradient(loss, [images, kernel, matrix])

    spec = tf.TensorSpec((6, 8, 8, 3))
    once = arithmetic.of_graph(forward.get_concrete_function(spec).graph)
    assert once == 2 * 6 * (16 * 7 * 75 + 7 * 16 * 2)
    # Backwards each product is two more, of the same size.
    assert arithmetic.of_graph(step.get_concrete_function(spec).graph) == 3 * once
