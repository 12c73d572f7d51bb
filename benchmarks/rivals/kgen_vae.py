"""The VAE in kgen: `kgen.VAE` and its `fit`."""

import functools

import kgen
from benchmarks.rivals import Contender
from benchmarks.rivals.keras_vae import in_memory_batches, shape_of_images, xla_ways


def ways(with_xla):
    """Arguments of `compile` by name: the defaults and `steps_per_execution=10`, and with XLA.

    On a GPU, where XLA is kgen's default, without XLA.
    """
    found = {}
    for suffix, jit_compile in xla_ways(with_xla).items():
        how = dict(jit_compile=jit_compile) if suffix else {}
        found[f"kgen{suffix}"] = how
        found[f"kgen{suffix}, 10 steps a call"] = dict(how, steps_per_execution=10)
    return found


def in_all_ways(make_model, case, batches):
    """Yields kgen in the ways of `ways`.

    Args:
        make_model: `model` of a file of this kind.
        case: the model to train.
        batches: tf.data.Dataset of images, or of pairs of views.
    """
    image_shape = shape_of_images(batches)
    for name, how in ways(case.with_xla).items():
        make = functools.partial(_trainer, make_model, case, image_shape, batches, how)
        yield Contender(name, make)


def contenders(case, images, batch_size):
    """Yields kgen in all ways."""
    yield from in_all_ways(model, case, in_memory_batches(images, batch_size))


def model(case, image_shape, **how):
    """The compiled model of a case."""
    encoder, decoder = case.kgen_networks
    vae = kgen.VAE.for_images(image_shape, case.latent_dim, encoder=encoder, decoder=decoder)
    vae.compile(kgen.optimizers.Adam(1e-3), **how)
    return vae


def _trainer(make_model, case, image_shape, batches, how):
    model = make_model(case, image_shape, **how)
    return lambda: model.fit(batches, verbose=0)
