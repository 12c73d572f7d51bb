"""Exemplars by metric learning."""

import keras
import tensorflow as tf

from kgen.contrastive.parts.views import TwoViews
from kgen.losses import contrastive as losses
from kgen.replicas import first_row, gather
from kgen.training import ObjectiveModel
from kgen.verbs.representation import normalized


@keras.saving.register_keras_serializable(package="kgen")
class ExemplarMetric(TwoViews, ObjectiveModel):
    """Exemplars without a class for each: views of one image are near, of others far.

        z = normalized projector(encoder(view)),    loss_i = metric(all z, all images' numbers)_i

    Where `ExemplarNetwork` keeps a weight vector per image, this compares the views of a batch,
    over all replicas, by any loss of labelled embeddings: the number of the image is the label.

    Args:
        encoder: keras.Model from images to vectors.
        projector: keras.Model from these vectors to vectors.
        metric: function `(embeddings, labels)` that gives one loss per example, such as
            `semi_hard_triplet`, `all_pairs_margin_contrastive` or `labelled_nt_xent` of
            `kgen.losses.contrastive`. One's own is registered with
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
                "kgen.losses.contrastive has three."
            )
        self.metric = metric

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
