"""The VAE in kgen: `kgen.VAE` and its `fit`."""

import keras

import kgen
from benchmarks.rivals.keras_vae import in_memory_batches


def contenders(case, images, batch_size):
    """Yields kgen with its defaults and with `steps_per_execution=10`, without and through XLA."""
    encoder, decoder = case.kgen_networks
    ways = {
        "kgen": dict(jit_compile=False),
        "kgen, XLA": dict(jit_compile=True),
        "kgen, 10 steps a call": dict(jit_compile=False, steps_per_execution=10),
        "kgen, XLA, 10 steps a call": dict(jit_compile=True, steps_per_execution=10),
    }
    for name, how in ways.items():
        if how["jit_compile"] and not case.with_xla:
            continue
        model = kgen.VAE.for_images(
            images.shape[1:], case.latent_dim, encoder=encoder, decoder=decoder
        )
        model.compile(keras.optimizers.Adam(1e-3), **how)
        batches = in_memory_batches(images, batch_size)
        yield name, lambda model=model, batches=batches: model.fit(batches, verbose=0)
