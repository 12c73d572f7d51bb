"""SimCLR in kgen: `kgen.SimCLR`, `kgen.data.two_views` and `fit`."""

import functools

import keras

import kgen
from benchmarks.rivals.keras_simclr import TEMPERATURE, views
from benchmarks.rivals.kgen_vae import ways


def contenders(case, images, batch_size):
    """Yields kgen with its defaults and with `steps_per_execution=10`."""
    for name, how in ways(case.with_xla).items():
        yield name, functools.partial(_trainer, case, images, batch_size, how)


def _trainer(case, images, batch_size, how):
    make_encoder, make_projector = case.kgen_networks
    model = kgen.SimCLR(make_encoder(images.shape[1:]), make_projector(), temperature=TEMPERATURE)
    model.compile(keras.optimizers.Adam(1e-3), **how)
    pairs = views(images, batch_size)
    return lambda: model.fit(pairs, verbose=0)
