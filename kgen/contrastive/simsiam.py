"""SimSiam."""

import keras
import tensorflow as tf

from kgen import checks
from kgen.contrastive.parts.views import TwoViews
from kgen.losses import contrastive as losses
from kgen.networks import prediction_head, projection_head
from kgen.training import ObjectiveModel


@keras.saving.register_keras_serializable(package="kgen")
class SimSiam(TwoViews, ObjectiveModel):
    """SimSiam (Chen & He 2021): each view predicts the other one's projection, held constant.

        z = projector(encoder(view)),    p = predictor(z)
        loss = -cos(p_1, stop(z_2)) / 2 - cos(p_2, stop(z_1)) / 2

    Nothing but the stopped gradient keeps all embeddings from becoming one.

    Args:
        encoder: keras.Model from images to vectors.
        projector: keras.Model from these vectors to vectors.
        predictor: keras.Model from the projector's vectors to vectors of the same size.
        stop_gradient: bool; False shows the collapse.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: for networks that do not give vectors or do not fit.

    Batch normalization sees both views at once, where the paper normalizes each by itself: one pass
    over both costs less.

    Reference: Chen & He 2021, "Exploring Simple Siamese Representation Learning", eq. 1-4.
    """

    default_projection_dim = 128

    def __init__(self, encoder, projector, predictor, *, stop_gradient=True, **kwargs):
        super().__init__(**kwargs)
        self._set_parts(encoder, projector)
        self.predictor = checks.predictor(predictor, projector)
        self.stop_gradient = stop_gradient

    @staticmethod
    def default_projector(embedding_dim, projection_dim):
        """One hidden layer, and batch normalization of the output too."""
        return projection_head(
            embedding_dim, (projection_dim,), projection_dim, normalize_output=True
        )

    @classmethod
    def _make_parts(cls, image_shape, embedding_dim, projection_dim, encoder, projector):
        # The predictor's hidden layer has a quarter of the size, as in the paper.
        parts = super()._make_parts(image_shape, embedding_dim, projection_dim, encoder, projector)
        return *parts, prediction_head(projection_dim, max(1, projection_dim // 4))

    def objective(self, x, y=None, training=False):
        """The negative cosine, in [-1, 1], the mean over both directions."""
        first, second = self._projections(x, training)
        both = self.predictor(tf.concat([first, second], axis=0), training=training)
        predicted_second, predicted_first = tf.split(both, 2, axis=0)
        if self.stop_gradient:
            first, second = tf.stop_gradient(first), tf.stop_gradient(second)
        loss = losses.simsiam(predicted_second, second) + losses.simsiam(predicted_first, first)
        return {"loss": 0.5 * loss}
