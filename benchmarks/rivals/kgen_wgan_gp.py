"""The WGAN-GP in kgen: `kgen.WGANGP` and its `fit`."""

import keras

import kgen
from benchmarks.rivals.keras_vae import in_memory_batches


def contenders(case, images, batch_size):
    """Yields kgen with its defaults, through XLA, and with `steps_per_execution=10`."""
    generator, critic = case.kgen_networks
    ways = {
        "kgen": dict(jit_compile=False),
        "kgen, XLA": dict(jit_compile=True),
        "kgen, 10 steps a call": dict(jit_compile=False, steps_per_execution=10),
    }
    for name, how in ways.items():
        if how["jit_compile"] and not case.with_xla:
            continue
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
        yield name, lambda model=model, batches=batches: model.fit(batches, verbose=0)
