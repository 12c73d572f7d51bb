"""SimCLR."""

import keras

from kgen import checks
from kgen.contrastive.parts.views import TwoViews
from kgen.losses import contrastive as losses
from kgen.replicas import first_row, gather
from kgen.training import ObjectiveModel
from kgen.training.hyperparameters import Hyperparameter


@keras.saving.register_keras_serializable(package="kgen")
class SimCLR(TwoViews, ObjectiveModel):
    """SimCLR (Chen et al. 2020): an image's other view among all views of the batch.

        h = encoder(view),    z = projector(h)
        loss = NT-Xent(z_1, z_2): see `kgen.losses.contrastive.nt_xent`

    The negatives are the other images of the whole batch, on all replicas. What is learned is h;
    the projector is thrown away.

    Args:
        encoder: keras.Model from images to vectors, such as one of `keras.applications` with
            `pooling="avg"`, behind the scaling of pixels that its weights need.
        projector: keras.Model from these vectors to vectors, such as
            `kgen.networks.projection_head`.
        temperature: float > 0.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: for networks that do not give vectors or do not fit, or a temperature <= 0.

    Reference: Chen, Kornblith, Norouzi & Hinton 2020, "A Simple Framework for Contrastive Learning
    of Visual Representations", eq. 1 and algorithm 1.
    """

    temperature = Hyperparameter(checks.positive_number)

    def __init__(self, encoder, projector, *, temperature=0.5, **kwargs):
        super().__init__(**kwargs)
        self._set_parts(encoder, projector)
        self.temperature = temperature

    def objective(self, x, y=None, training=False):
        """NT-Xent in nats, the mean over both views of an image."""
        first, second = self._projections(x, training)
        candidates = gather(first), gather(second)
        loss = losses.nt_xent(
            first,
            second,
            temperature=self.temperature,
            candidates=candidates,
            offset=first_row(first),
        )
        return {"loss": loss}
