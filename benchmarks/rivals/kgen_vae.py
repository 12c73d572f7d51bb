"""The VAE in kgen: `kgen.VAE` and its `fit`."""

import functools

import keras

import kgen
from benchmarks.rivals.keras_vae import in_memory_batches


def ways(with_xla):
    """Arguments of `compile` by name: the defaults and `steps_per_execution=10`, and with XLA."""
    several = dict(steps_per_execution=10)
    plain = {
        "kgen": dict(jit_compile=False),
        "kgen, 10 steps a call": dict(jit_compile=False, **several),
    }
    xla = {
        "kgen, XLA": dict(jit_compile=True),
        "kgen, XLA, 10 steps a call": dict(jit_compile=True, **several),
    }
    return {**plain, **xla} if with_xla else plain


def contenders(case, images, batch_size):
    """Yields kgen in all ways."""
    for name, how in ways(case.with_xla).items():
        yield name, functools.partial(_trainer, case, images, batch_size, how)


def _trainer(case, images, batch_size, how):
    encoder, decoder = case.kgen_networks
    model = kgen.VAE.for_images(images.shape[1:], case.latent_dim, encoder=encoder, decoder=decoder)
    model.compile(keras.optimizers.Adam(1e-3), **how)
    batches = in_memory_batches(images, batch_size)
    return lambda: model.fit(batches, verbose=0)
