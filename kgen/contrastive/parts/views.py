"""What the models of this family share: parts, and the pairs of views."""

import warnings

import keras
import tensorflow as tf

from kgen import checks, specs
from kgen.networks import contrastive_encoder, projection_head
from kgen.replicas import global_count
from kgen.verbs import Projection, Representation
from kgen.verbs.representation import normalized


class Encoded(Representation):
    """Mixin for models of single images with an `encoder`, whose vectors are what is learned."""

    def _set_encoder(self, encoder):
        """Keep the encoder, checked."""
        self.encoder = checks.vector_network("encoder", encoder)
        if None in encoder.input_shape[1:]:
            raise ValueError(
                f"encoder '{encoder.name}' takes images of any size, {encoder.input_shape[1:]}. "
                "Build it for one: input_shape=(height, width, channels)."
            )
        self.image_shape = checks.image_shape(encoder.input_shape[1:])
        self.data_spec = specs.Images(self.image_shape)


class Projected(Projection, Encoded):
    """Mixin for models that compare images in the vectors of a `projector` behind the encoder.

    The projector is not part of the representation.

    Attributes:
        default_projector: function `(embedding_dim, projection_dim) -> keras.Model` that
            `for_images` calls.
        default_projection_dim: int, size of its vectors.
    """

    default_projection_dim = 64

    @staticmethod
    def default_projector(embedding_dim, projection_dim):
        """One hidden layer of the encoder's size."""
        return projection_head(embedding_dim, (embedding_dim,), projection_dim)

    @classmethod
    def for_images(
        cls,
        image_shape,
        *,
        embedding_dim=128,
        projection_dim=None,
        encoder=contrastive_encoder,
        projector=None,
        **kwargs,
    ):
        """A model with a small convolutional encoder and a projector of one hidden layer.

        Args:
            image_shape: `(height, width, channels)`.
            embedding_dim: int, size of the encoder's vectors.
            projection_dim: int, size of the projector's; by default `default_projection_dim`.
            encoder: function `(image_shape, embedding_dim) -> keras.Model` from `kgen.networks`.
            projector: function `(embedding_dim, projection_dim) -> keras.Model`; by default
                `default_projector`.
            **kwargs: the class's other arguments.
        """
        parts = cls._make_parts(
            image_shape,
            embedding_dim,
            projection_dim or cls.default_projection_dim,
            encoder,
            projector or cls.default_projector,
        )
        return cls(*parts, **kwargs)

    @classmethod
    def _make_parts(cls, image_shape, embedding_dim, projection_dim, encoder, projector):
        """The networks of the constructor, in its order."""
        return encoder(image_shape, embedding_dim), projector(embedding_dim, projection_dim)

    def _set_parts(self, encoder, projector):
        """Keep the two networks, checked."""
        self._set_encoder(encoder)
        self.projector = checks.vector_network("projector", projector)
        checks.takes_vectors("projector", projector, encoder)
        warn_of_local_statistics(encoder, projector)

    def project(self, images):
        """The projector's vectors, of length 1, in which the loss compares images.

        Args:
            images: as for `embed`.

        Returns:
            float32 `(batch, projection_dim)`.
        """
        images = self.checked_examples(images)
        return normalized(self.projector(self.encoder(images, training=False), training=False))


class TwoViews(Projected):
    """Mixin for models with an `encoder` and a `projector`, trained on two views of each image.

    Such a model is fitted on pairs `(first, second)` as `x`, for example from
    `kgen.data.views`: a data set of `((first, second),)` or `((first, second), labels)`. Labels
    are not used. Both views go through the networks as one batch, as in SimCLR, so that batch
    normalization sees both; where a paper normalizes each view by itself, its model departs there.
    """

    def _set_parts(self, encoder, projector):
        super()._set_parts(encoder, projector)
        self.data_spec = ((self.image_spec, self.image_spec),)

    def check_batch(self, x, y, *, size, count, training):
        """Refuse batches of one image: there is nothing to compare it with."""
        name = type(self).__name__
        if size < 2:
            raise ValueError(
                f"{name} compares the images of a batch with one another, received a batch of "
                f"{size}. Use a batch_size of at least 2; the larger, the better."
            )
        if count % size == 1:
            raise ValueError(
                f"The last batch has 1 of {count} images, but {name} compares the images of a "
                "batch with one another. Leave it out, or choose another batch_size."
            )

    def _both(self, x):
        """Both views as one batch, of which there are two images at least."""
        name = type(self).__name__
        if not isinstance(x, (tuple, list)) or len(x) != 2:
            raise ValueError(
                f"{name} trains on two views of each image, x = (first, second). A data set or "
                "generator gives ((first, second),): a bare pair is read as (x, y)."
            )
        first, second = x
        assertions = [
            tf.debugging.assert_equal(
                tf.shape(first), tf.shape(second), f"{name} needs two views of one shape."
            ),
            tf.debugging.assert_greater(
                global_count(first),
                1,
                f"{name} compares the images of a batch with one another, received a batch of one. "
                "Where that is the last of the data, leave it out: drop_remainder=True.",
            ),
        ]
        # Those that hold at once are None.
        with tf.control_dependencies([each for each in assertions if each is not None]):
            return tf.concat([first, second], axis=0)

    def _projections(self, x, training):
        """The projector's vectors of both views, from one pass over both."""
        both = self.encoder(self._both(x), training=training)
        return tf.split(self.projector(both, training=training), 2, axis=0)


def warn_of_local_statistics(*networks):
    """Under several replicas, say which batch normalizations see only their replica's images."""
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return
    local = [
        layer.name
        for network in networks
        for layer in network._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization) and not layer.synchronized
    ]
    if local:
        warnings.warn(
            f"{len(local)} layers of batch normalization, the first is '{local[0]}', see only the "
            "images of their replica: the loss is not that of one device with the whole batch. Use "
            "kgen.layers.BatchNormalization, or Keras' with synchronized=True.",
            stacklevel=4,
        )
