"""kgen itself: its models, their `fit` and `sample`, in the ways that a user can choose."""

import contextlib
import functools

import keras
import tensorflow as tf

import kgen
from benchmarks.cases import Contender
from kgen import data, heads, networks
from kgen.autoregressive.parts.naive import naive_fill

TEMPERATURE = 0.5
_FILTERS = networks.doubling_filters(32, (28, 28, 1))
# Encoder and decoder, generator and discriminator, the one of a PixelCNN, encoder and projector.
NETWORKS = {
    "dense": (networks.dense_encoder, networks.dense_decoder),
    "convolutional": (networks.convolutional_encoder, networks.convolutional_decoder),
    "dcgan": (
        functools.partial(networks.dcgan_generator, filters=_FILTERS[::-1]),
        functools.partial(networks.dcgan_discriminator, filters=_FILTERS, normalization=None),
    ),
    "pixelcnn": (functools.partial(networks.pixelcnn, filters=64, num_blocks=7),),
    "contrastive": (
        functools.partial(networks.contrastive_encoder, output_dim=128, stem_strides=2),
        functools.partial(networks.projection_head, 128, (128,), 64),
    ),
}


def model(case, shape, **how):
    """The model of a case; `how` are further arguments of `compile`."""
    first, *others = NETWORKS[case.networks]
    match case.family:
        case "vae":
            parts = dict(encoder=first, decoder=others[0])
            built = kgen.VAE.for_images(shape, latent_dim=case.latent_dim, **parts)
        case "wgan_gp":
            # The others average no weights.
            parts = dict(generator=first, discriminator=others[0], ema_decay=None)
            built = kgen.WGANGP.for_images(
                shape, latent_dim=case.latent_dim, **parts, discriminator_steps=1
            )
        case "pixelcnn":
            likelihood = heads.Categorical(case.num_levels)
            built = kgen.PixelCNN(first(shape, case.num_levels), likelihood=likelihood)
        case "simclr":
            built = kgen.SimCLR(first(shape), others[0](), temperature=TEMPERATURE)
    built.compile(**optimizers(case), **how)
    return built


def optimizers(case):
    """The arguments of `compile`."""
    if case.family != "wgan_gp":
        return dict(optimizer=kgen.optimizers.Adam(1e-3))
    rate = dict(learning_rate=2e-4, beta_1=0.0, beta_2=0.9)
    players = ("generator_optimizer", "discriminator_optimizer")
    return {player: kgen.optimizers.Adam(**rate) for player in players}


def batches(case, images, batch_size):
    """What a case is trained on: images, or `((first, second),)`, two views made as it goes on."""
    found = in_memory_batches(images, batch_size)
    if case.family == "simclr":
        return data.two_views(found, data.grey_augmentation(images.shape[1:], flip=True))
    return found


def in_memory_batches(images, batch_size):
    """Batches cut beforehand and never shuffled: the input is to cost next to nothing."""
    cut = images.reshape(-1, batch_size, *images.shape[1:])
    options = tf.data.Options()
    # Else an epoch's end can wait for the tuner's next look, up to as long as the epoch took.
    options.autotune.enabled = False
    return tf.data.Dataset.from_tensor_slices(cut).prefetch(2).with_options(options)


def xla_ways(with_xla):
    """Whether to compile through XLA, by the suffix of a contender's name.

    Without suffix as kgen's "auto" has it: on a GPU, not on a CPU. The other way is always tried on
    a GPU.
    """
    by_default = bool(tf.config.list_logical_devices("GPU"))
    other = {", without XLA": False} if by_default else {", XLA": True}
    return {"": by_default} | (other if with_xla or by_default else {})


def trainer(make_model, case, images, batches, how):
    built = make_model(case, images.shape[1:], **how)
    return lambda: built.fit(batches, shuffle=False, verbose=0)


def contenders(case, images, batch_size):
    """Yields kgen with its defaults and with 10 steps a call, and both with XLA, or without."""
    found = batches(case, images, batch_size)
    for suffix, jit_compile in xla_ways(case.with_xla).items():
        how = dict(jit_compile=jit_compile) if suffix else {}
        for steps, name in ((1, f"kgen{suffix}"), (10, f"kgen{suffix}, 10 steps a call")):
            settings = how | (dict(steps_per_execution=steps) if steps > 1 else {})
            yield Contender(name, functools.partial(trainer, model, case, images, found, settings))


def cached_samplers(pixelcnn, num_images):
    """What a user calls, without XLA, as it is served, and with it: name -> function."""
    return {
        name: lambda jit=jit: pixelcnn.sample(num_images, seed=0, jit_compile=jit).numpy()
        for name, jit in {"kgen, cached": False, "kgen, cached, XLA": True}.items()
    }


def naive_samplers(pixelcnn, uniforms):
    """A pass over the whole image for each pixel, without XLA and with it: name -> function."""
    fill = functools.partial(naive_fill, pixelcnn.network, likelihood=pixelcnn.likelihood)
    found = {}
    for name, jit_compile in {"kgen, naive": False, "kgen, naive, XLA": True}.items():
        compiled = tf.function(fill, autograph=False, jit_compile=jit_compile)
        found[name] = lambda compiled=compiled: compiled(
            tf.zeros(uniforms.shape),
            tf.zeros(uniforms.shape[:3], tf.bool),
            tf.constant(uniforms),
            tf.ones(len(uniforms)),
        ).numpy()
    return found


def half_type():
    return "float16" if tf.config.get_visible_devices("GPU") else "bfloat16"


@contextlib.contextmanager
def precision(mixed):
    """Networks that Keras builds within compute in 16 bits, if `mixed`."""
    before = keras.config.dtype_policy()
    if mixed:
        keras.config.set_dtype_policy(f"mixed_{half_type()}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
