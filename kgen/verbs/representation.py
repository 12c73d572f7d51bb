"""The verbs `features`, `embed` and `project`."""

import keras
import tensorflow as tf

from kgen import specs
from kgen.endpoints import Endpoint


class Representation:
    """Promise: `embed(images)` gives vectors of length 1, `features(images)` those of the encoder.

    A model has an `encoder`, and `image_shape`. Brings the endpoint `embed`, which takes one image
    per row, whatever the model trains on.
    """

    @property
    def image_spec(self):
        """The spec of one image that is embedded."""
        return specs.Images(self.image_shape)

    @property
    def predict_spec(self):
        """`predict` embeds single images."""
        return self.image_spec

    def features(self, images, *, training=False):
        """The encoder's vectors as they are: what a linear probe reads, or what is fine-tuned.

        Args:
            images: float32 `(batch, height, width, channels)` in [0, 1].
            training: bool, for the encoder.

        Returns:
            float32 `(batch, embedding_dim)`.
        """
        images = self.checked_examples(images)
        return tf.cast(self.encoder(images, training=training), tf.float32)

    def embed(self, images):
        """The encoder's vectors, of length 1.

        Args:
            images: as for `features`.

        Returns:
            float32 `(batch, embedding_dim)`.
        """
        return normalized(self.features(images))

    def call(self, inputs, training=False):
        """What `embed` gives: what `predict` gives."""
        return self.embed(inputs)

    def predict_step(self, data):
        """The embeddings of the images of `data`."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self.embed(x)

    def endpoints(self):
        """`embed`."""
        embed = Endpoint(
            lambda images: {"embeddings": self.embed(images)}, {"images": self.image_spec}
        )
        return {"embed": embed, **super().endpoints()}


class Projection(Representation):
    """Promise: `project(images)` gives the vectors in which the loss compares images.

    A model defines `project`. Brings its endpoint.
    """

    def endpoints(self):
        """`embed` and `project`."""
        project = Endpoint(
            lambda images: {"projections": self.project(images)}, {"images": self.image_spec}
        )
        return {**super().endpoints(), "project": project}


def normalized(values):
    """Vectors of length 1, float32; a vector of zeros stays one."""
    return tf.math.l2_normalize(tf.cast(values, tf.float32), axis=-1)
