"""SimCLR in bare Keras: a `keras.Model` with a `train_step` written by hand, on kgen's views."""

import keras
import tensorflow as tf

import kgen
from benchmarks.rivals.keras_vae import bare_keras, in_memory_batches
from kgen import data

TEMPERATURE = 0.5


class SimCLR(keras.Model):
    """The loss of `kgen.SimCLR`, and one running mean.

    Args:
        encoder: keras.Model from images to vectors.
        projector: keras.Model from these to vectors.
    """

    def __init__(self, encoder, projector):
        super().__init__()
        self.encoder = encoder
        self.projector = projector
        self.loss_mean = keras.metrics.Mean(name="loss")

    @property
    def metrics(self):
        """The running mean, which Keras resets each epoch."""
        return [self.loss_mean]

    def train_step(self, batch):
        """One step of gradient descent on NT-Xent."""
        ((first, second),) = batch
        size = tf.shape(first)[0]
        # The row of an image's other view.
        others = (tf.range(2 * size) + size) % (2 * size)
        with tf.GradientTape() as tape:
            vectors = self.encoder(tf.concat([first, second], axis=0), training=True)
            vectors = tf.cast(self.projector(vectors, training=True), tf.float32)
            vectors = tf.math.l2_normalize(vectors, axis=-1)
            logits = tf.matmul(vectors, vectors, transpose_b=True) / TEMPERATURE
            logits = tf.linalg.set_diag(logits, tf.fill((2 * size,), -1e9))
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(others, logits)
            loss = tf.reduce_mean(loss)
            scaled_loss = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled_loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        self.loss_mean.update_state(loss)
        return {"loss": self.loss_mean.result()}


def batches(images, batch_size):
    """Two views of each image, made as training goes on: `((first, second),)`."""
    augmentation = data.grey_augmentation(images.shape[1:], flip=True)
    return data.two_views(in_memory_batches(images, batch_size), augmentation)


def contenders(case, images, batch_size):
    """Yields bare Keras, and with XLA, or on a GPU without, where the case asks for it."""
    yield from bare_keras(model, case, batches(images, batch_size))


def model(case, image_shape, jit_compile=False):
    """The compiled model of a case."""
    make_encoder, make_projector = case.kgen_networks
    simclr = SimCLR(make_encoder(image_shape), make_projector())
    simclr.compile(kgen.optimizers.Adam(1e-3), jit_compile=jit_compile)
    return simclr
