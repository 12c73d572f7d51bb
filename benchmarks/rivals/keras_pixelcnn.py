"""The PixelCNN in bare Keras: a `keras.Model` with a `train_step` written by hand."""

import keras
import tensorflow as tf

from benchmarks.rivals.keras_vae import in_memory_batches


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
            logits = self.network(images, training=True)
            cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(levels, logits)
            loss = tf.reduce_mean(tf.reduce_sum(cross_entropy, axis=(1, 2)))
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        self.loss_mean.update_state(loss)
        return {"loss": self.loss_mean.result()}


def contenders(case, images, batch_size):
    """Yields bare Keras."""
    yield "bare Keras", lambda: _trainer(case, images, batch_size)


def _trainer(case, images, batch_size):
    (make_network,) = case.kgen_networks
    model = PixelCNN(make_network(images.shape[1:], case.num_levels))
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    batches = in_memory_batches(images, batch_size)
    return lambda: model.fit(batches, shuffle=False, verbose=0)
