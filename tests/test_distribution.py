"""Replicas and workers take the step that one device takes on the same global batch."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import FEATURES, SMALL
from replicas import two_replicas

import kgen

SHAPE = (5, 6, 1)
WORKER = pathlib.Path(__file__).parent / "workers" / "multi_worker.py"
# What the project promises after three steps of SGD; sums in another order differ by 1e-7.
TOLERANCE = 1e-5


def images(count, seed=0):
    return np.random.RandomState(seed).uniform(size=(count, *SHAPE)).astype("float32")


def sgd(learning_rate=0.01):
    return keras.optimizers.SGD(learning_rate)


class TinyGAN(kgen.AdversarialModel):
    """The smallest two players without noise."""

    terms = ("error",)

    def __init__(self, generator, discriminator, **kwargs):
        super().__init__(**kwargs)
        self.generator = generator
        self.discriminator = discriminator

    def discriminator_objective(self, x, y=None, training=False):
        real, fake = self.discriminator(x), self.discriminator(self.generator(x))
        return dict(loss=(tf.nn.softplus(-real) + tf.nn.softplus(fake))[:, 0])

    def generator_objective(self, x, y=None, training=False):
        made = self.generator(x)
        error = tf.reduce_mean((made - x) ** 2, axis=(1, 2, 3))
        return dict(loss=error + tf.nn.softplus(-self.discriminator(made))[:, 0], error=error)


def build_autoencoder():
    keras.utils.set_random_seed(0)
    # The penalty is one that each replica computes: it may count once only.
    encoder = keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Flatten(),
            keras.layers.Dense(2, kernel_regularizer=keras.regularizers.L2(0.1)),
        ]
    )
    model = kgen.Autoencoder(encoder, SMALL["decoder"](2, SHAPE))
    model.compile(sgd())
    return model


def build_gan(**kwargs):
    keras.utils.set_random_seed(0)
    flat = [keras.Input(SHAPE), keras.layers.Flatten()]
    generator = keras.Sequential([*flat, keras.layers.Dense(30), keras.layers.Reshape(SHAPE)])
    model = TinyGAN(generator, keras.Sequential([*flat, keras.layers.Dense(1)]), **kwargs)
    model.compile(generator_optimizer=sgd(), discriminator_optimizer=sgd())
    return model


def build_vqvae():
    keras.utils.set_random_seed(0)
    model = kgen.VQVAE.for_images(SHAPE, num_codes=4, code_dim=2, **FEATURES)
    # At the usual decay three steps hardly move the codebook.
    model.quantizer.decay = 0.5
    # Its squared errors are in units of the likelihood's scale, 0.1: a hundred times larger.
    model.compile(sgd(1e-4))
    return model


# A data set has weights behind its targets only, which two of the models do not use.
@pytest.mark.filterwarnings("ignore:.* learns without labels")
# Batches of 7, 7 and 1, so 4 + 3 images a replica and at the end 1 + 0. oneDNN's fused convolutions
# fail on no images ("input depth must be evenly divisible"), so the convolutional one gets 2 + 1.
@pytest.mark.parametrize(
    ("build", "count"), [(build_autoencoder, 15), (build_gan, 15), (build_vqvae, 17)]
)
def test_two_replicas_take_the_step_of_one_device(build, count):
    weight = np.linspace(0.5, 2.0, count).astype("float32")
    everything = (images(count), np.zeros(count, "float32"), weight)
    data = tf.data.Dataset.from_tensor_slices(everything).batch(7)
    alone = build()
    before = [variable.numpy() for variable in alone.trainable_variables]
    with two_replicas().scope():
        together = build()
    histories = [model.fit(data, verbose=0).history for model in (alone, together)]
    assert int(together.optimizer.iterations.numpy()) == 3
    moved = [np.abs(a - b).max() for a, b in zip(before, alone.trainable_variables, strict=True)]
    assert min(moved) > 10 * TOLERANCE
    assert_same_weights(alone.variables, [variable.numpy() for variable in together.variables])
    assert_same_results(*histories)
    evaluated = [m.evaluate(data, verbose=0, return_dict=True) for m in (alone, together)]
    assert_same_results(*evaluated)


def assert_same_weights(expected, received):
    for variable, value in zip(expected, received, strict=True):
        difference = np.abs(variable.numpy() - value).max()
        assert difference <= TOLERANCE, variable.path


def assert_same_results(alone, together):
    assert alone.keys() == together.keys()
    for name, value in alone.items():
        # Means of float32 in another order.
        np.testing.assert_allclose(together[name], value, rtol=1e-5, err_msg=name)


def test_slices_of_a_replica():
    """Each replica cuts its own share: two discriminator steps, and both replicas agree."""
    with two_replicas().scope():
        model = build_gan(discriminator_steps=2)
    model.fit(images(8), batch_size=8, verbose=0)
    assert int(model.discriminator_optimizer.iterations.numpy()) == 2
    assert int(model.generator_optimizer.iterations.numpy()) == 1
    for variable in model.trainable_variables:
        first, second = two_replicas().experimental_local_results(variable.value)
        np.testing.assert_array_equal(first, second, err_msg=variable.path)


def test_replicas_draw_different_noise():
    with two_replicas().scope():
        model = kgen.VAE.for_images(SHAPE, latent_dim=2, **SMALL)
        model.compile(sgd())
    drawn = []

    @tf.function
    def draw():
        return model.noise_seed(True), model.noise_seed(False)

    for seeds in two_replicas().run(draw):
        drawn += [tuple(seed.numpy()) for seed in two_replicas().experimental_local_results(seeds)]
    assert len(set(drawn)) == 4


def test_xla_on_replicas_of_the_cpu_is_refused():
    with two_replicas().scope():
        model = kgen.Autoencoder.for_images(SHAPE, latent_dim=2, **SMALL)
        with pytest.raises(
            ValueError, match="jit_compile=True does not work with several replicas"
        ):
            model.compile(sgd(), jit_compile=True)
        model.compile(sgd(), jit_compile="auto")
        assert not model.jit_compile


def test_several_steps_an_execution_on_replicas_are_refused():
    with two_replicas().scope():
        model = kgen.Autoencoder.for_images(SHAPE, latent_dim=2, **SMALL)
        model.compile(sgd(), steps_per_execution=2)
    with pytest.raises(ValueError, match="steps_per_execution > 1 does not work with several"):
        model.fit(images(8), verbose=0)


def worker_data():
    """Three global batches of 7: 4 images for one worker and 3 for the other."""
    return tf.data.Dataset.from_tensor_slices(images(21)).batch(7)


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def start_worker(index, addresses, target):
    config = dict(cluster=dict(worker=addresses), task=dict(type="worker", index=index))
    return subprocess.Popen(
        [sys.executable, str(WORKER), str(target)],
        env={**os.environ, "TF_CONFIG": json.dumps(config)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_two_workers_take_the_step_of_one_device(tmp_path):
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    targets = [tmp_path / "0.npz", tmp_path / "1.npz"]
    workers = [start_worker(i, addresses, target) for i, target in enumerate(targets)]
    try:
        for worker in workers:
            output, _ = worker.communicate(timeout=120)
            assert worker.returncode == 0, output[-4000:]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()

    alone = build_autoencoder()
    loss = alone.fit(worker_data(), verbose=0).history["loss"]
    evaluated_loss = alone.evaluate(worker_data(), verbose=0, return_dict=True)["loss"]
    for target in targets:
        saved = np.load(target)
        assert_same_weights(
            alone.variables, [saved[f"weight_{i}"] for i in range(len(alone.variables))]
        )
        np.testing.assert_allclose(np.ravel(saved["loss"]), loss, rtol=1e-5)
        np.testing.assert_allclose(np.ravel(saved["evaluated_loss"]), evaluated_loss, rtol=1e-5)
