"""Exemplar networks."""

import keras
import tensorflow as tf

from kgen import checks, specs
from kgen.contrastive.parts.views import Encoded
from kgen.networks import contrastive_encoder
from kgen.training import ObjectiveModel


@keras.saving.register_keras_serializable(package="kgen")
class ExemplarNetwork(Encoded, ObjectiveModel):
    """Exemplar networks (Dosovitskiy et al. 2014): each image is a class of its own.

        logits = W encoder(view) + b,    loss = -log softmax(logits)[index of the image]

    The classes' examples are views of one image: fit it on `(views, indices)`, for example
    `kgen.data.one_view(kgen.data.from_arrays((images, numpy.arange(len(images)))), augmentation)`.
    The weights grow with the images; the paper stops at 32,000.

    Args:
        encoder: keras.Model from images to vectors.
        num_instances: int, how many images there are.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: for an encoder that does not give vectors, or fewer than 2 images.

    Reference: Dosovitskiy, Springenberg, Riedmiller & Brox 2014, "Discriminative Unsupervised
    Feature Learning with Convolutional Neural Networks", eq. 1-4.
    """

    terms = ("loss", "accuracy")

    def __init__(self, encoder, num_instances, **kwargs):
        super().__init__(**kwargs)
        self._set_encoder(encoder)
        self.num_instances = checks.integer_at_least("num_instances", num_instances, 2)
        numbers = specs.Labels(num_instances, meaning="number of each image")
        self.data_spec = (self.image_spec, numbers)
        self._classes = keras.layers.Dense(num_instances, name="instances", dtype=self.dtype_policy)
        self._classes.build(encoder.output_shape)

    @classmethod
    def for_images(
        cls, image_shape, *, num_instances, embedding_dim=128, encoder=contrastive_encoder, **kwargs
    ):
        """An exemplar network with a small convolutional encoder.

        Args:
            image_shape: `(height, width, channels)`.
            num_instances: int, how many images there are.
            embedding_dim: int, size of the encoder's vectors.
            encoder: function `(image_shape, embedding_dim) -> keras.Model` from `kgen.networks`.
            **kwargs: `seed`, `name`, `dtype`.
        """
        checks.network_functions(encoder=encoder)
        return cls(encoder(image_shape, embedding_dim), num_instances, **kwargs)

    def objective(self, x, y=None, training=False):
        """Cross entropy in nats, and whether the image was recognized (0 or 1)."""
        y = checks.label_tensor(y, self.num_instances)
        logits = tf.cast(self._classes(self.encoder(x, training=training)), tf.float32)
        right = tf.argmax(logits, axis=-1, output_type=y.dtype) == y
        return {
            "loss": tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits),
            "accuracy": tf.cast(right, tf.float32),
        }
