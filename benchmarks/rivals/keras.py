"""Bare Keras: a `keras.Model` with a `train_step` written by hand, on kgen's networks and views.

Its optimizer is kgen's, as are its layers: what is left is what kgen's own training step costs.
"""

import functools

import keras
import tensorflow as tf

from benchmarks.cases import Contender
from benchmarks.rivals.kgen import NETWORKS, TEMPERATURE, batches, optimizers, trainer, xla_ways

PENALTY_WEIGHT = 10.0


class Bare(keras.Model):
    """A step of gradient descent on the first of some terms, and a running mean of each."""

    names = ("loss",)

    def __init__(self, *networks):
        super().__init__()
        self.networks = list(networks)
        self.seed_generator = keras.random.SeedGenerator(0)
        self.means = [keras.metrics.Mean(name=name) for name in self.names]

    @property
    def metrics(self):
        return self.means

    def call_network(self, number, inputs):
        return tf.cast(self.networks[number](inputs, training=True), tf.float32)

    def train_step(self, batch):
        with tf.GradientTape() as tape:
            terms = self.terms(batch)
            scaled_loss = self.optimizer.scale_loss(terms[0])
        gradients = tape.gradient(scaled_loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        return self.logs(terms)

    def logs(self, terms):
        for mean, term in zip(self.means, terms, strict=True):
            mean.update_state(term)
        return {mean.name: mean.result() for mean in self.means}


class VAE(Bare):
    """The loss of `kgen.VAE`, with the three running means that Keras' own example keeps."""

    names = ("loss", "reconstruction", "kl")

    def terms(self, images):
        loc, raw_scale = tf.split(self.call_network(0, images), 2, axis=-1)
        scale = 1e-5 + tf.math.softplus(raw_scale)
        noise = keras.random.normal(tf.shape(loc), seed=self.seed_generator)
        logits = self.call_network(1, loc + scale * noise)
        cross_entropy = tf.math.softplus(logits) - images * logits
        reconstruction = tf.reduce_sum(cross_entropy, axis=(1, 2, 3))
        kl = 0.5 * tf.square(loc) + 0.5 * tf.square(scale) - 0.5 - tf.math.log(scale)
        kl = tf.reduce_sum(kl, axis=-1)
        return tf.reduce_mean(reconstruction + kl), reconstruction, kl


class PixelCNN(Bare):
    """The loss of `kgen.PixelCNN` with a categorical likelihood."""

    def terms(self, images):
        logits = self.call_network(0, images)
        levels = tf.cast(tf.round(images[..., 0] * (logits.shape[-1] - 1)), tf.int32)
        cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(levels, logits)
        return (tf.reduce_mean(tf.reduce_sum(cross_entropy, axis=(1, 2))),)


class SimCLR(Bare):
    """The loss of `kgen.SimCLR`."""

    def terms(self, batch):
        ((first, second),) = batch
        size = tf.shape(first)[0]
        # The row of an image's other view.
        others = (tf.range(2 * size) + size) % (2 * size)
        features = self.networks[0](tf.concat([first, second], axis=0), training=True)
        vectors = tf.math.l2_normalize(self.call_network(1, features), axis=-1)
        logits = tf.matmul(vectors, vectors, transpose_b=True) / TEMPERATURE
        logits = tf.linalg.set_diag(logits, tf.fill((2 * size,), -1e9))
        return (tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(others, logits)),)


class WGANGP(Bare):
    """The losses of `kgen.WGANGP` with one critic step for one of the generator."""

    names = ("critic_loss", "generator_loss")

    def compile(self, generator_optimizer, discriminator_optimizer, **kwargs):
        super().compile(**kwargs)
        both = [generator_optimizer, discriminator_optimizer]
        if self.dtype_policy.name == "mixed_float16":
            both = [keras.mixed_precision.LossScaleOptimizer(one) for one in both]
        self.generator_optimizer, self.critic_optimizer = both

    def fake(self, batch_size):
        shape = (batch_size, self.networks[0].input_shape[1])
        return self.call_network(0, keras.random.normal(shape, seed=self.seed_generator))

    def penalty(self, images, fake):
        """`(|grad D(x^)| - 1)^2` by row."""
        shape = (tf.shape(images)[0], 1, 1, 1)
        mixing = keras.random.uniform(shape, seed=self.seed_generator)
        between = mixing * images + (1.0 - mixing) * fake
        with tf.GradientTape() as tape:
            tape.watch(between)
            values = self.call_network(1, between)
        slope = tape.gradient(values, between)
        return tf.square(tf.sqrt(tf.reduce_sum(tf.square(slope), axis=(1, 2, 3))) - 1.0)

    def minimize(self, optimizer, network, loss):
        """One step of one player alone; returns its loss."""
        weights = network.trainable_weights
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([weight.value for weight in weights])
            value = loss()
            scaled_loss = optimizer.scale_loss(value)
        optimizer.apply(tape.gradient(scaled_loss, weights), weights)
        return value

    def train_step(self, images):
        generator, critic = self.networks
        batch_size = tf.shape(images)[0]
        fake = self.fake(batch_size)

        def critic_loss():
            distance = self.call_network(1, fake) - self.call_network(1, images)
            penalty = tf.reduce_mean(self.penalty(images, fake))
            return tf.reduce_mean(distance) + PENALTY_WEIGHT * penalty

        def generator_loss():
            return -tf.reduce_mean(self.call_network(1, self.fake(batch_size)))

        first = self.minimize(self.critic_optimizer, critic, critic_loss)
        second = self.minimize(self.generator_optimizer, generator, generator_loss)
        return self.logs([first, second])


def model(case, shape, **how):
    bare, *arguments = dict(
        vae=(VAE, (shape, 2 * case.latent_dim), (case.latent_dim, shape)),
        wgan_gp=(WGANGP, (case.latent_dim, shape), (shape,)),
        pixelcnn=(PixelCNN, (shape, case.num_levels)),
        simclr=(SimCLR, (shape,), ()),
    )[case.family]
    pairs = zip(NETWORKS[case.networks], arguments, strict=True)
    built = bare(*[make(*found) for make, found in pairs])
    built.compile(**optimizers(case), **how)
    return built


def contenders(case, images, batch_size):
    """Yields bare Keras, and with XLA, or on a GPU without, where the case asks for it."""
    found = batches(case, images, batch_size)
    for suffix, jit_compile in xla_ways(case.with_xla).items():
        how = model, case, images, found, dict(jit_compile=jit_compile)
        yield Contender(f"bare Keras{suffix}", functools.partial(trainer, *how))
