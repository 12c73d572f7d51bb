"""The VAE in bare Keras: a `keras.Model` with a `train_step` written by hand."""

import keras
import tensorflow as tf


class VAE(keras.Model):
    """The loss of `kgen.VAE`, with the three running means that Keras' own example keeps.

    Args:
        encoder: keras.Model from images to the posterior's `(loc, raw_scale)`, side by side.
        decoder: keras.Model from latents to the logits of the pixels.
    """

    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.seed_generator = keras.random.SeedGenerator(0)
        self.loss_mean = keras.metrics.Mean(name="loss")
        self.reconstruction_mean = keras.metrics.Mean(name="reconstruction")
        self.kl_mean = keras.metrics.Mean(name="kl")

    @property
    def metrics(self):
        """The running means, which Keras resets each epoch."""
        return [self.loss_mean, self.reconstruction_mean, self.kl_mean]

    def train_step(self, images):
        """One step of gradient descent on the negative ELBO."""
        with tf.GradientTape() as tape:
            loc, raw_scale = tf.split(self.encoder(images, training=True), 2, axis=-1)
            scale = 1e-5 + tf.math.softplus(raw_scale)
            noise = keras.random.normal(tf.shape(loc), seed=self.seed_generator)
            logits = self.decoder(loc + scale * noise, training=True)
            cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=images, logits=logits)
            reconstruction = tf.reduce_sum(cross_entropy, axis=(1, 2, 3))
            kl = 0.5 * tf.square(loc) + 0.5 * tf.square(scale) - 0.5 - tf.math.log(scale)
            kl = tf.reduce_sum(kl, axis=-1)
            loss = tf.reduce_mean(reconstruction + kl)
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        self.loss_mean.update_state(loss)
        self.reconstruction_mean.update_state(reconstruction)
        self.kl_mean.update_state(kl)
        return {metric.name: metric.result() for metric in self.metrics}


def contenders(case, images, batch_size):
    """Yields bare Keras, and bare Keras compiled by XLA where the case asks for it."""
    yield "bare Keras", lambda: _trainer(case, images, batch_size, jit_compile=False)
    if case.with_xla:
        yield "bare Keras, XLA", lambda: _trainer(case, images, batch_size, jit_compile=True)


def _trainer(case, images, batch_size, jit_compile):
    make_encoder, make_decoder = case.kgen_networks
    encoder = make_encoder(images.shape[1:], 2 * case.latent_dim)
    model = VAE(encoder, make_decoder(case.latent_dim, images.shape[1:]))
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=jit_compile)
    batches = in_memory_batches(images, batch_size)
    return lambda: model.fit(batches, shuffle=False, verbose=0)


def in_memory_batches(images, batch_size):
    """Batches cut beforehand and never shuffled: the input is to cost next to nothing.

    Args:
        images: float32 `(num_batches * batch_size, height, width, channels)`.
        batch_size: int >= 1.

    Returns:
        tf.data.Dataset of float32 `(batch_size, height, width, channels)`.
    """
    batches = images.reshape(-1, batch_size, *images.shape[1:])
    options = tf.data.Options()
    # Else an epoch's end can wait for the tuner's next look, up to as long as the epoch took.
    options.autotune.enabled = False
    return tf.data.Dataset.from_tensor_slices(batches).prefetch(2).with_options(options)
