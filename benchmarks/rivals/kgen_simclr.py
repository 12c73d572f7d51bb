"""SimCLR in kgen: `kgen.SimCLR`, `kgen.data.two_views` and `fit`."""

import kgen
from benchmarks.rivals.keras_simclr import TEMPERATURE, batches
from benchmarks.rivals.kgen_vae import in_all_ways


def contenders(case, images, batch_size):
    """Yields kgen with its defaults and with `steps_per_execution=10`."""
    yield from in_all_ways(model, case, batches(images, batch_size))


def model(case, image_shape, **how):
    """The compiled model of a case."""
    make_encoder, make_projector = case.kgen_networks
    simclr = kgen.SimCLR(make_encoder(image_shape), make_projector(), temperature=TEMPERATURE)
    simclr.compile(kgen.optimizers.Adam(1e-3), **how)
    return simclr
