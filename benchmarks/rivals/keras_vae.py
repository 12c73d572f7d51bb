"""The VAE in bare Keras: a `keras.Model` with a `train_step` written by hand.

Its optimizer is kgen's, as are its layers: what is left is what kgen's own training step costs.
"""

import functools

import keras
import tensorflow as tf

import kgen
from benchmarks.rivals import Contender


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
            params = tf.cast(self.encoder(images, training=True), tf.float32)
            loc, raw_scale = tf.split(params, 2, axis=-1)
            scale = 1e-5 + tf.math.softplus(raw_scale)
            noise = keras.random.normal(tf.shape(loc), seed=self.seed_generator)
            logits = self.decoder(loc + scale * noise, training=True)
            logits = tf.cast(logits, tf.float32)
            cross_entropy = tf.math.softplus(logits) - images * logits
            reconstruction = tf.reduce_sum(cross_entropy, axis=(1, 2, 3))
            kl = 0.5 * tf.square(loc) + 0.5 * tf.square(scale) - 0.5 - tf.math.log(scale)
            kl = tf.reduce_sum(kl, axis=-1)
            loss = tf.reduce_mean(reconstruction + kl)
            scaled_loss = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled_loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        self.loss_mean.update_state(loss)
        self.reconstruction_mean.update_state(reconstruction)
        self.kl_mean.update_state(kl)
        return {metric.name: metric.result() for metric in self.metrics}


def contenders(case, images, batch_size):
    """Yields bare Keras, and with XLA, or on a GPU without, where the case asks for it."""
    yield from bare_keras(model, case, in_memory_batches(images, batch_size))


def model(case, image_shape, jit_compile=False):
    """The compiled model of a case."""
    make_encoder, make_decoder = case.kgen_networks
    encoder = make_encoder(image_shape, 2 * case.latent_dim)
    vae = VAE(encoder, make_decoder(case.latent_dim, image_shape))
    vae.compile(kgen.optimizers.Adam(1e-3), jit_compile=jit_compile)
    return vae


def batches(images, batch_size):
    """What the model is trained on."""
    return in_memory_batches(images, batch_size)


def xla_ways(with_xla):
    """Whether to compile through XLA, by the suffix of a contender's name.

    Without suffix as kgen's "auto" has it: on a GPU, not on a CPU. The other way is always tried on
    a GPU.
    """
    by_default = bool(tf.config.list_logical_devices("GPU"))
    other = {", without XLA": False} if by_default else {", XLA": True}
    return {"": by_default} | (other if with_xla or by_default else {})


def bare_keras(make_model, case, batches):
    """Yields bare Keras in the ways of `xla_ways`.

    Args:
        make_model: `model` of a file of this kind.
        case: the model to train.
        batches: tf.data.Dataset of images, or of pairs of views.
    """
    image_shape = shape_of_images(batches)
    for suffix, jit_compile in xla_ways(case.with_xla).items():
        yield Contender(
            f"bare Keras{suffix}",
            functools.partial(_trainer, make_model, case, image_shape, batches, jit_compile),
        )


def shape_of_images(batches):
    """`(height, width, channels)` of a data set of images, or of pairs of views."""
    return tuple(tf.nest.flatten(batches.element_spec)[0].shape[1:])


def _trainer(make_model, case, image_shape, batches, jit_compile):
    model = make_model(case, image_shape, jit_compile)
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
