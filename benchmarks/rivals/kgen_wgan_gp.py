"""The WGAN-GP in kgen: `kgen.WGANGP` and its `fit`."""

import kgen
from benchmarks.rivals.keras_vae import in_memory_batches
from benchmarks.rivals.kgen_vae import in_all_ways


def contenders(case, images, batch_size):
    """Yields kgen with its defaults and with `steps_per_execution=10`."""
    yield from in_all_ways(model, case, in_memory_batches(images, batch_size))


def model(case, image_shape, **how):
    """The compiled model of a case."""
    generator, critic = case.kgen_networks
    wgan_gp = kgen.WGANGP.for_images(
        image_shape,
        case.latent_dim,
        generator=generator,
        discriminator=critic,
        discriminator_steps=1,
        # The others average no weights.
        ema_decay=None,
    )
    rate = dict(learning_rate=2e-4, beta_1=0.0, beta_2=0.9)
    wgan_gp.compile(kgen.optimizers.Adam(**rate), kgen.optimizers.Adam(**rate), **how)
    return wgan_gp
