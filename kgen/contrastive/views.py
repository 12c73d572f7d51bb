"""What the models of this family share: parts, verbs, endpoints, and the pairs of views."""

import warnings

import keras
import tensorflow as tf

from kgen import checks
from kgen.contrastive.replicas import global_count


class Representation:
    """Mixin for models with an `encoder`, whose vectors are what is learned.

    A model may have a `projector` behind it, in whose vectors the loss compares images, and which
    is not part of the representation.
    """

    uses_labels = False
    num_views = 1

    def _set_encoder(self, encoder):
        """Keep the encoder, checked."""
        self.encoder = checks.vector_network("encoder", encoder)
        if None in encoder.input_shape[1:]:
            raise ValueError(
                f"encoder '{encoder.name}' takes images of any size, {encoder.input_shape[1:]}. "
                "Build it for one: input_shape=(height, width, channels)."
            )
        self.image_shape = checks.image_shape(encoder.input_shape[1:])

    def features(self, images, training=False):
        """The encoder's vectors as they are: what a linear probe reads, or what is fine-tuned.

        Args:
            images: float32 `(batch, height, width, channels)` in [0, 1].
            training: bool, for the encoder.

        Returns:
            float32 `(batch, embedding_dim)`.
        """
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
        """`embed` (the default), and `project` where the model has it."""
        images = tf.TensorSpec((None, *self.image_shape), tf.float32, name="images")
        endpoints = {"embed": (lambda images: {"embeddings": self.embed(images)}, [images])}
        if hasattr(self, "project"):
            endpoints["project"] = (
                lambda images: {"projections": self.project(images)},
                [images],
            )
        return endpoints


class Projected(Representation):
    """Mixin for models that compare images in the vectors of a `projector` behind the encoder."""

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
        return normalized(self.projector(self.encoder(images, training=False), training=False))


class TwoViews(Projected):
    """Mixin for models with an `encoder` and a `projector`, trained on two views of each image.

    Such a model is fitted on pairs `(first, second)` as `x`, for example from
    `kgen.data.two_views`: a data set of `((first, second),)` or `((first, second), labels)`. Labels
    are not used. Both views go through the networks as one batch, as in SimCLR, so that batch
    normalization sees both; where a paper normalizes each view by itself, its model departs there.
    """

    num_views = 2

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


def normalized(values):
    """Vectors of length 1, float32; a vector of zeros stays one."""
    return tf.math.l2_normalize(tf.cast(values, tf.float32), axis=-1)
