"""The PixelCNN in kgen: `kgen.PixelCNN`, its `fit` and its `sample`, beside naive sampling."""

import functools

import tensorflow as tf

import kgen
from benchmarks.rivals.keras_vae import in_memory_batches
from benchmarks.rivals.kgen_vae import in_all_ways
from kgen import heads
from kgen.autoregressive.parts.naive import naive_fill


def contenders(case, images, batch_size):
    """Yields kgen with its defaults and with `steps_per_execution=10`."""
    yield from in_all_ways(model, case, in_memory_batches(images, batch_size))


def model(case, image_shape, **how):
    """The compiled model of a case."""
    (make_network,) = case.kgen_networks
    pixelcnn = kgen.PixelCNN(
        make_network(image_shape, case.num_levels), likelihood=heads.Categorical(case.num_levels)
    )
    pixelcnn.compile(kgen.optimizers.Adam(1e-3), **how)
    return pixelcnn


def cached_samplers(model, num_images):
    """Yields `(name, draw)`: what a user calls, without XLA, as it is served, and with it."""
    for name, jit_compile in {"kgen, cached": False, "kgen, cached, XLA": True}.items():
        yield (
            name,
            lambda jit_compile=jit_compile: model.sample(
                num_images, seed=0, jit_compile=jit_compile
            ).numpy(),
        )


def naive_samplers(model, uniforms):
    """Yields `(name, draw)`: a pass over the whole image for each pixel, without XLA and with it.

    Args:
        model: kgen.PixelCNN.
        uniforms: float32 `(num_images, height, width, 1)`.
    """
    fill = functools.partial(naive_fill, model.network, likelihood=model.likelihood)
    images, known = tf.zeros(uniforms.shape), tf.zeros(uniforms.shape[:3], tf.bool)
    temperature = tf.ones(len(uniforms))
    for name, jit_compile in {"kgen, naive": False, "kgen, naive, XLA": True}.items():
        compiled = tf.function(fill, autograph=False, jit_compile=jit_compile)
        yield (
            name,
            lambda compiled=compiled: compiled(
                images, known, tf.constant(uniforms), temperature
            ).numpy(),
        )
