"""BYOL."""

import keras
import tensorflow as tf

from kgen import checks
from kgen.averages import AveragedWeights
from kgen.contrastive.parts.views import TwoViews
from kgen.losses import contrastive as losses
from kgen.networks import prediction_head
from kgen.training import ObjectiveModel
from kgen.training.hyperparameters import Hyperparameter


@keras.saving.register_keras_serializable(package="kgen")
class BYOL(TwoViews, ObjectiveModel):
    """BYOL (Grill et al. 2020): predict what an average of oneself makes of the other view.

        p = predictor(projector(encoder(view)))
        t = projector'(encoder'(view)),    w' <- ema_decay w' + (1 - ema_decay) w
        loss = 2 - 2 cos(p_1, t_2) + 2 - 2 cos(p_2, t_1)

    Args:
        encoder: keras.Model from images to vectors.
        projector: keras.Model from these vectors to vectors.
        predictor: keras.Model from the projector's vectors to vectors of the same size.
        ema_decay: float in [0, 1], of the targets' averaged weights; constant, where the paper
            lets it grow to 1.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: for networks that do not give vectors or do not fit, or an ema_decay
            outside [0, 1].

    Batch normalization sees both views at once, where the paper normalizes each by itself: one pass
    over both costs less.

    Reference: Grill et al. 2020, "Bootstrap Your Own Latent: A New Approach to Self-Supervised
    Learning", eq. 1 and 2.
    """

    ema_decay = Hyperparameter(checks.probability)

    def __init__(self, encoder, projector, predictor, *, ema_decay=0.99, **kwargs):
        super().__init__(**kwargs)
        self._set_parts(encoder, projector)
        self.predictor = checks.predictor(predictor, projector)
        self.ema_decay = ema_decay
        self._target_encoder = AveragedWeights(self, encoder, "target_encoder")
        self._target_projector = AveragedWeights(self, projector, "target_projector")

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The inverse of `get_config`; files of kgen 0.1 call `ema_decay` `momentum`."""
        config = dict(config)
        if "momentum" in config:
            config["ema_decay"] = config.pop("momentum")
        return super().from_config(config, custom_objects=custom_objects)

    @classmethod
    def _make_parts(cls, image_shape, embedding_dim, projection_dim, encoder, projector):
        parts = super()._make_parts(image_shape, embedding_dim, projection_dim, encoder, projector)
        return *parts, prediction_head(projection_dim, embedding_dim)

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
        self._target_encoder.move(self.ema_decay)
        self._target_projector.move(self.ema_decay)
