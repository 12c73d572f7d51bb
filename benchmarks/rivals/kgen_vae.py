"""The VAE in kgen: `kgen.VAE` and its `fit`."""

import keras

import kgen
from benchmarks.rivals.keras_vae import in_memory_batches


def contenders(case, images, batch_size):
    """Yields kgen, and kgen compiled by XLA where the case asks for it."""
    encoder, decoder = case.kgen_networks
    for name, jit_compile in [("kgen", False), ("kgen, XLA", True)][: 1 + case.with_xla]:
        model = kgen.VAE.for_images(
            images.shape[1:], case.latent_dim, encoder=encoder, decoder=decoder
        )
        model.compile(keras.optimizers.Adam(1e-3), jit_compile=jit_compile)
        batches = in_memory_batches(images, batch_size)
        yield name, lambda model=model, batches=batches: model.fit(batches, verbose=0)
