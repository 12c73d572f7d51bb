"""The WGAN-GP in kgen: `kgen.WGANGP` and its `fit`."""

import functools

import keras

import kgen
from benchmarks.rivals.keras_vae import in_memory_batches
from benchmarks.rivals.kgen_vae import ways


def contenders(case, images, batch_size):
    """Yields kgen with its defaults, through XLA, and with `steps_per_execution=10`."""
    for name, how in ways(case.with_xla).items():
        # Five times slower than TensorFlow's own kernels, however many steps a call takes.
        if name != "kgen, XLA, 10 steps a call":
            yield name, functools.partial(_trainer, case, images, batch_size, how)


def _trainer(case, images, batch_size, how):
    generator, critic = case.kgen_networks
    model = kgen.WGANGP.for_images(
        images.shape[1:],
        case.latent_dim,
        generator=generator,
        discriminator=critic,
        discriminator_steps=1,
    )
    rate = dict(learning_rate=2e-4, beta_1=0.0, beta_2=0.9)
    model.compile(keras.optimizers.Adam(**rate), keras.optimizers.Adam(**rate), **how)
    batches = in_memory_batches(images, batch_size)
    return lambda: model.fit(batches, verbose=0)
