"""The PixelCNN in bare Keras: a `keras.Model` with a `train_step` written by hand."""

import keras
import tensorflow as tf

import kgen
from benchmarks.rivals.keras_vae import bare_keras, in_memory_batches


class PixelCNN(keras.Model):
    """The loss of `kgen.PixelCNN` with a categorical likelihood, and one running mean.

    Args:
        network: keras.Model from images with one channel to the logits of the levels.
    """

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.loss_mean = keras.metrics.Mean(name="loss")

    @property
    def metrics(self):
        """The running mean, which Keras resets each epoch."""
        return [self.loss_mean]

    def train_step(self, images):
        """One step of gradient descent on -log p(x)."""
        num_levels = self.network.output_shape[-1]
        levels = tf.cast(tf.round(images[..., 0] * (num_levels - 1)), tf.int32)
        with tf.GradientTape() as tape:
            logits = tf.cast(self.network(images, training=True), tf.float32)
            cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(levels, logits)
            loss = tf.reduce_mean(tf.reduce_sum(cross_entropy, axis=(1, 2)))
            scaled_loss = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled_loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        self.loss_mean.update_state(loss)
        return {"loss": self.loss_mean.result()}


def contenders(case, images, batch_size):
    """Yields bare Keras, and with XLA, or on a GPU without, where the case asks for it."""
    yield from bare_keras(model, case, batches(images, batch_size))


def model(case, image_shape, jit_compile=False):
    """The compiled model of a case."""
    (make_network,) = case.kgen_networks
    pixelcnn = PixelCNN(make_network(image_shape, case.num_levels))
    pixelcnn.compile(kgen.optimizers.Adam(1e-3), jit_compile=jit_compile)
    return pixelcnn


def batches(images, batch_size):
    """What the model is trained on."""
    return in_memory_batches(images, batch_size)
