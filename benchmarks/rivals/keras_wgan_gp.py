"""The WGAN-GP in bare Keras: a `keras.Model` with a `train_step` written by hand."""

import keras
import tensorflow as tf

import kgen
from benchmarks.rivals.keras_vae import bare_keras, in_memory_batches

PENALTY_WEIGHT = 10.0


class WGANGP(keras.Model):
    """The losses of `kgen.WGANGP` with one critic step for one of the generator.

    Args:
        generator: keras.Model from latents to images in [0, 1].
        critic: keras.Model from images to `(batch, 1)`.
    """

    def __init__(self, generator, critic):
        super().__init__()
        self.generator = generator
        self.critic = critic
        self.seed_generator = keras.random.SeedGenerator(0)
        self.critic_mean = keras.metrics.Mean(name="critic_loss")
        self.generator_mean = keras.metrics.Mean(name="generator_loss")

    def compile(self, generator_optimizer, critic_optimizer, **kwargs):
        """Choose the optimizers."""
        super().compile(**kwargs)
        if self.dtype_policy.name == "mixed_float16":
            generator_optimizer, critic_optimizer = (
                keras.mixed_precision.LossScaleOptimizer(optimizer)
                for optimizer in (generator_optimizer, critic_optimizer)
            )
        self.generator_optimizer = generator_optimizer
        self.critic_optimizer = critic_optimizer

    @property
    def metrics(self):
        """The running means, which Keras resets each epoch."""
        return [self.critic_mean, self.generator_mean]

    def latents(self, batch_size):
        """Standard normal, float32 `(batch_size, latent_dim)`."""
        shape = (batch_size, self.generator.input_shape[1])
        return keras.random.normal(shape, seed=self.seed_generator)

    def fake(self, batch_size):
        """Images, float32."""
        return tf.cast(self.generator(self.latents(batch_size), training=True), tf.float32)

    def values(self, images):
        """The critic's values, float32 `(batch, 1)`."""
        return tf.cast(self.critic(images, training=True), tf.float32)

    def penalty(self, images, fake):
        """`(|grad D(x^)| - 1)^2` by row."""
        shape = (tf.shape(images)[0], 1, 1, 1)
        mixing = keras.random.uniform(shape, seed=self.seed_generator)
        between = mixing * images + (1.0 - mixing) * fake
        with tf.GradientTape() as tape:
            tape.watch(between)
            values = self.values(between)
        slope = tape.gradient(values, between)
        return tf.square(tf.sqrt(tf.reduce_sum(tf.square(slope), axis=(1, 2, 3))) - 1.0)

    def train_step(self, images):
        """One step of the critic, then one of the generator."""
        batch_size = tf.shape(images)[0]
        fake = self.fake(batch_size)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([weight.value for weight in self.critic.trainable_weights])
            distance = self.values(fake) - self.values(images)
            penalty = self.penalty(images, fake)
            critic_loss = tf.reduce_mean(distance) + PENALTY_WEIGHT * tf.reduce_mean(penalty)
            scaled_loss = self.critic_optimizer.scale_loss(critic_loss)
        weights = self.critic.trainable_weights
        self.critic_optimizer.apply(tape.gradient(scaled_loss, weights), weights)
        weights = self.generator.trainable_weights
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([weight.value for weight in weights])
            generator_loss = -tf.reduce_mean(self.values(self.fake(batch_size)))
            scaled_loss = self.generator_optimizer.scale_loss(generator_loss)
        self.generator_optimizer.apply(tape.gradient(scaled_loss, weights), weights)
        self.critic_mean.update_state(critic_loss)
        self.generator_mean.update_state(generator_loss)
        return {metric.name: metric.result() for metric in self.metrics}


def contenders(case, images, batch_size):
    """Yields bare Keras, and with XLA, or on a GPU without, where the case asks for it."""
    yield from bare_keras(model, case, batches(images, batch_size))


def model(case, image_shape, jit_compile=False):
    """The compiled model of a case."""
    make_generator, make_critic = case.kgen_networks
    wgan_gp = WGANGP(make_generator(case.latent_dim, image_shape), make_critic(image_shape))
    rate = dict(learning_rate=2e-4, beta_1=0.0, beta_2=0.9)
    optimizers = [kgen.optimizers.Adam(**rate) for _ in range(2)]
    wgan_gp.compile(*optimizers, jit_compile=jit_compile)
    return wgan_gp


def batches(images, batch_size):
    """What the model is trained on."""
    return in_memory_batches(images, batch_size)
