"""Barlow Twins."""

import keras
import tensorflow as tf

from kgen import checks
from kgen.contrastive.parts.views import TwoViews
from kgen.losses import contrastive as losses
from kgen.networks import projection_head
from kgen.replicas import gather
from kgen.training import ObjectiveModel
from kgen.training.hyperparameters import Hyperparameter


@keras.saving.register_keras_serializable(package="kgen")
class BarlowTwins(TwoViews, ObjectiveModel):
    """Barlow Twins (Zbontar et al. 2021): features that agree between views and differ in content.

        C = cross-correlation, over the batch, of the features of the two views
        loss = sum_i (1 - C_ii)^2 + weight sum_{i != j} C_ij^2

    C is that of the whole batch, on all replicas.

    Args:
        encoder: keras.Model from images to vectors.
        projector: keras.Model from these vectors to vectors; it may be wide.
        weight: float >= 0, of the off-diagonal; 5e-3 for 8192 features in the paper.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: for networks that do not give vectors or do not fit.

    Batch normalization sees both views at once, where the paper normalizes each by itself: one pass
    over both costs less.

    Reference: Zbontar, Jing, Misra, LeCun & Deny 2021, "Barlow Twins: Self-Supervised Learning via
    Redundancy Reduction", eq. 1 and 2.
    """

    weight = Hyperparameter(checks.at_least, 0.0)

    default_projection_dim = 256

    def __init__(self, encoder, projector, *, weight=5e-3, **kwargs):
        super().__init__(**kwargs)
        self._set_parts(encoder, projector)
        self.weight = weight

    @staticmethod
    def default_projector(embedding_dim, projection_dim):
        """One hidden layer, and an output without bias, which the loss would not see."""
        return projection_head(embedding_dim, (projection_dim,), projection_dim, use_bias=False)

    def objective(self, x, y=None, training=False):
        """The loss of the batch, the same for each of its images."""
        first, second = self._projections(x, training)
        loss = losses.barlow_twins(gather(first), gather(second), weight=self.weight)
        return {"loss": tf.fill(tf.shape(first)[:1], loss)}
