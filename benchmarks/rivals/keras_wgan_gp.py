"""The WGAN-GP in bare Keras: a `keras.Model` with a `train_step` written by hand."""

import keras
import tensorflow as tf

from benchmarks.rivals.keras_vae import in_memory_batches

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

    def penalty(self, images, fake):
        """`(|grad D(x^)| - 1)^2` by row."""
        shape = (tf.shape(images)[0], 1, 1, 1)
        mixing = keras.random.uniform(shape, seed=self.seed_generator)
        between = mixing * images + (1.0 - mixing) * fake
        with tf.GradientTape() as tape:
            tape.watch(between)
            values = self.critic(between, training=True)
        slope = tape.gradient(values, between)
        return tf.square(tf.sqrt(tf.reduce_sum(tf.square(slope), axis=(1, 2, 3))) - 1.0)

    def train_step(self, images):
        """One step of the critic, then one of the generator."""
        batch_size = tf.shape(images)[0]
        fake = self.generator(self.latents(batch_size), training=True)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([weight.value for weight in self.critic.trainable_weights])
            distance = self.critic(fake, training=True) - self.critic(images, training=True)
            penalty = self.penalty(images, fake)
            critic_loss = tf.reduce_mean(distance) + PENALTY_WEIGHT * tf.reduce_mean(penalty)
        weights = self.critic.trainable_weights
        self.critic_optimizer.apply(tape.gradient(critic_loss, weights), weights)
        weights = self.generator.trainable_weights
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([weight.value for weight in weights])
            fake = self.generator(self.latents(batch_size), training=True)
            generator_loss = -tf.reduce_mean(self.critic(fake, training=True))
        self.generator_optimizer.apply(tape.gradient(generator_loss, weights), weights)
        self.critic_mean.update_state(critic_loss)
        self.generator_mean.update_state(generator_loss)
        return {metric.name: metric.result() for metric in self.metrics}


def contenders(case, images, batch_size):
    """Yields bare Keras."""
    yield "bare Keras", lambda: _trainer(case, images, batch_size)


def _trainer(case, images, batch_size):
    make_generator, make_critic = case.kgen_networks
    shape = images.shape[1:]
    model = WGANGP(make_generator(case.latent_dim, shape), make_critic(shape))
    rate = dict(learning_rate=2e-4, beta_1=0.0, beta_2=0.9)
    model.compile(keras.optimizers.Adam(**rate), keras.optimizers.Adam(**rate), jit_compile=False)
    batches = in_memory_batches(images, batch_size)
    return lambda: model.fit(batches, shuffle=False, verbose=0)
