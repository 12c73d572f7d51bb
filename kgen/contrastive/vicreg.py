"""VICReg."""

import keras

from kgen import checks
from kgen.contrastive.parts.views import TwoViews
from kgen.losses import contrastive as losses
from kgen.networks import projection_head
from kgen.replicas import gather
from kgen.training import ObjectiveModel
from kgen.training.hyperparameters import Hyperparameter


@keras.saving.register_keras_serializable(package="kgen")
class VICReg(TwoViews, ObjectiveModel):
    """VICReg (Bardes et al. 2022): variance, invariance, covariance.

        loss = i inv(z_1, z_2) + v (var(z_1) + var(z_2)) + c (cov(z_1) + cov(z_2))

    with inv, var and cov of `kgen.losses.contrastive`; var and cov are those of the whole batch, on
    all replicas.

    Args:
        encoder: keras.Model from images to vectors.
        projector: keras.Model from these vectors to vectors; it may be wide.
        invariance_weight: float >= 0, i.
        variance_weight: float >= 0, v.
        covariance_weight: float >= 0, c.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: for networks that do not give vectors or do not fit, or a weight below 0.

    Batch normalization sees both views at once, where the paper normalizes each by itself: one pass
    over both costs less.

    The variance term is the sum over both views, `v(Z) + v(Z')`, as in eq. 6 and in solo-learn. The
    authors' code and lightly take half of it: their weights (25, 25, 1) are (25, 12.5, 1) here. All
    of them sum the covariance terms of both views and divide each, and the invariance, by `dim`.

    Reference: Bardes, Ponce & LeCun 2022, "VICReg: Variance-Invariance-Covariance Regularization
    for Self-Supervised Learning", eq. 1-6.
    """

    invariance_weight = Hyperparameter(checks.at_least, 0.0)
    variance_weight = Hyperparameter(checks.at_least, 0.0)
    covariance_weight = Hyperparameter(checks.at_least, 0.0)

    terms = ("loss", "invariance", "variance", "covariance")

    default_projection_dim = 256

    def __init__(
        self,
        encoder,
        projector,
        *,
        invariance_weight=25.0,
        variance_weight=25.0,
        covariance_weight=1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._set_parts(encoder, projector)
        self.invariance_weight = invariance_weight
        self.variance_weight = variance_weight
        self.covariance_weight = covariance_weight

    @staticmethod
    def default_projector(embedding_dim, projection_dim):
        """One hidden layer, and an output without bias, which the loss would not see."""
        return projection_head(embedding_dim, (projection_dim,), projection_dim, use_bias=False)

    def objective(self, x, y=None, training=False):
        """The three terms without their weights, and their weighted sum."""
        first, second = self._projections(x, training)
        invariance = losses.vicreg_invariance(first, second)
        all_first, all_second = gather(first), gather(second)
        variance = losses.vicreg_variance(all_first) + losses.vicreg_variance(all_second)
        covariance = losses.vicreg_covariance(all_first) + losses.vicreg_covariance(all_second)
        loss = (
            self.invariance_weight * invariance
            + self.variance_weight * variance
            + self.covariance_weight * covariance
        )
        return {
            "loss": loss,
            "invariance": invariance,
            "variance": variance,
            "covariance": covariance,
        }
