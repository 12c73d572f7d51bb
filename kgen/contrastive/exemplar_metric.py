"""Exemplars by metric learning."""

import keras
import tensorflow as tf

from kgen.contrastive import losses
from kgen.contrastive.replicas import first_row, gather
from kgen.contrastive.views import TwoViews, normalized
from kgen.networks import contrastive_encoder, projection_head
from kgen.training import ObjectiveModel


@keras.saving.register_keras_serializable(package="kgen")
class ExemplarMetric(TwoViews, ObjectiveModel):
    """Exemplars without a class for each: views of one image are near, of others far.

        z = normalized projector(encoder(view)),    loss_i = metric(all z, all images' numbers)_i

    Where `ExemplarNetwork` keeps a weight vector an image, this compares the views of a batch, over
    all replicas, by any loss of labelled embeddings: the number of the image is the label.

    Args:
        encoder: keras.Model from images to vectors.
        projector: keras.Model from these vectors to vectors.
        metric: function `(embeddings, labels)` that gives one loss an example, such as
            `semi_hard_triplet`, `all_pairs_margin_contrastive` or `labelled_nt_xent` of
            `kgen.contrastive.losses`. One's own is registered with
            `keras.saving.register_keras_serializable` to be saved.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: for networks that do not give vectors or do not fit, or a metric that is no
            function.

    Reference: Dosovitskiy et al. 2014, "Discriminative Unsupervised Feature Learning with
    Convolutional Neural Networks", for the exemplars; Doersch & Zisserman 2017, "Multi-task
    Self-Supervised Visual Learning", section 3, for the metric.
    """

    def __init__(self, encoder, projector, *, metric=losses.semi_hard_triplet, **kwargs):
        super().__init__(**kwargs)
        self._set_parts(encoder, projector)
        if not callable(metric):
            raise ValueError(
                f"metric must be a function (embeddings, labels), received {metric!r}. "
                "kgen.contrastive.losses has three."
            )
        self.metric = metric
        self.build()

    @classmethod
    def for_images(
        cls, image_shape, *, embedding_dim=128, projection_dim=64, stem_strides=1, **kwargs
    ):
        """An exemplar metric with a small convolutional encoder.

        Args:
            image_shape: `(height, width, channels)`.
            embedding_dim: int, size of the encoder's vectors.
            projection_dim: int, size of the projector's.
            stem_strides: int, of the encoder; see `kgen.networks.contrastive_encoder`.
            **kwargs: `metric`, `seed`, `name`, `dtype`.
        """
        encoder = contrastive_encoder(image_shape, embedding_dim, stem_strides=stem_strides)
        projector = projection_head(embedding_dim, (embedding_dim,), projection_dim)
        return cls(encoder, projector, **kwargs)

    def objective(self, x, y=None, training=False):
        """The metric's loss, the mean over both views of an image."""
        first, second = (normalized(views) for views in self._projections(x, training))
        count, begin = tf.shape(first)[0], first_row(first)
        embeddings = tf.concat([gather(first), gather(second)], axis=0)
        num_images = tf.shape(embeddings)[0] // 2
        numbers = tf.range(num_images)
        values = self.metric(embeddings, tf.concat([numbers, numbers], axis=0))
        of_first, of_second = tf.split(values, 2)
        own = slice(begin, begin + count)
        return {"loss": 0.5 * (of_first[own] + of_second[own])}
