"""BYOL."""

import keras
import tensorflow as tf

from kgen import checks
from kgen.averages import AveragedWeights
from kgen.contrastive import losses
from kgen.contrastive.views import TwoViews
from kgen.networks import contrastive_encoder, prediction_head, projection_head
from kgen.training import ObjectiveModel


@keras.saving.register_keras_serializable(package="kgen")
class BYOL(TwoViews, ObjectiveModel):
    """BYOL (Grill et al. 2020): predict what an average of oneself makes of the other view.

        p = predictor(projector(encoder(view)))
        t = projector'(encoder'(view)),    w' <- momentum w' + (1 - momentum) w
        loss = 2 - 2 cos(p_1, t_2) + 2 - 2 cos(p_2, t_1)

    Args:
        encoder: keras.Model from images to vectors.
        projector: keras.Model from these vectors to vectors.
        predictor: keras.Model from the projector's vectors to vectors of the same size.
        momentum: float in [0, 1]; constant, where the paper lets it grow to 1.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: for networks that do not give vectors or do not fit, or a momentum outside
            [0, 1].

    Batch normalization sees both views at once, where the paper normalizes each by itself: one pass
    over both costs less.

    Reference: Grill et al. 2020, "Bootstrap Your Own Latent: A New Approach to Self-Supervised
    Learning", eq. 1 and 2.
    """

    def __init__(self, encoder, projector, predictor, *, momentum=0.99, **kwargs):
        super().__init__(**kwargs)
        self._set_parts(encoder, projector)
        self.predictor = checks.predictor(predictor, projector)
        self.momentum = checks.probability("momentum", momentum)
        self._target_encoder = AveragedWeights(self, encoder, "target_encoder")
        self._target_projector = AveragedWeights(self, projector, "target_projector")
        self.build()

    @classmethod
    def for_images(
        cls, image_shape, *, embedding_dim=128, projection_dim=64, stem_strides=1, **kwargs
    ):
        """A BYOL with a small convolutional encoder.

        Args:
            image_shape: `(height, width, channels)`.
            embedding_dim: int, size of the encoder's vectors.
            projection_dim: int, size of the projector's.
            stem_strides: int, of the encoder; see `kgen.networks.contrastive_encoder`.
            **kwargs: `momentum`, `seed`, `name`, `dtype`.
        """
        encoder = contrastive_encoder(image_shape, embedding_dim, stem_strides=stem_strides)
        projector = projection_head(embedding_dim, (embedding_dim,), projection_dim)
        predictor = prediction_head(projection_dim, embedding_dim)
        return cls(encoder, projector, predictor, **kwargs)

    def objective(self, x, y=None, training=False):
        """The squared distance of the normalized vectors, the sum over both directions."""
        both = self._both(x)
        # First: the losses of layers that the networks keep are those of their last call.
        encoded = self._target_encoder(both, training=training)
        targets = tf.stop_gradient(self._target_projector(encoded, training=training))
        online = self.projector(self.encoder(both, training=training), training=training)
        predictions = self.predictor(online, training=training)
        of_first, of_second = tf.split(predictions, 2, axis=0)
        first, second = tf.split(targets, 2, axis=0)
        return {"loss": losses.byol(of_first, second) + losses.byol(of_second, first)}

    def after_step(self):
        """Move the target networks' weights towards the online networks'."""
        self._target_encoder.move(self.momentum)
        self._target_projector.move(self.momentum)
