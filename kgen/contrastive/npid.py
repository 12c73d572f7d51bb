"""Non-parametric instance discrimination."""

import keras
import tensorflow as tf

from kgen import checks, specs
from kgen.contrastive.parts.views import Projected
from kgen.losses import contrastive as losses
from kgen.replicas import gather
from kgen.training import ObjectiveModel
from kgen.training.hyperparameters import Hyperparameter
from kgen.verbs.representation import normalized


@keras.saving.register_keras_serializable(package="kgen")
class NPID(Projected, ObjectiveModel):
    """Instance discrimination (Wu et al. 2018): an image among all images, by a memory bank.

        v = normalized projector(encoder(view)),    m_i: the bank's vector of image i
        loss = -log( exp(v . m_i / t) / sum_j exp(v . m_j / t) )
        after the step   m_i <- normalized( bank_momentum m_i + (1 - bank_momentum) v )

    The sum runs over the whole bank, where the paper estimates it by noise contrast. Fit it on
    `(views, indices)`, as `ExemplarNetwork`.

    Args:
        encoder: keras.Model from images to vectors.
        projector: keras.Model from these vectors to vectors.
        num_instances: int, how many images there are: the length of the bank.
        bank_momentum: float in [0, 1].
        temperature: float > 0, t.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: for networks that do not give vectors or do not fit, or an argument out of
            range.

    Reference: Wu, Xiong, Yu & Lin 2018, "Unsupervised Feature Learning via Non-Parametric Instance
    Discrimination", eq. 2 and section 3.1.
    """

    bank_momentum = Hyperparameter(checks.probability)
    temperature = Hyperparameter(checks.positive_number)

    def __init__(
        self, encoder, projector, num_instances, *, bank_momentum=0.5, temperature=0.07, **kwargs
    ):
        super().__init__(**kwargs)
        self._set_parts(encoder, projector)
        self.num_instances = checks.integer_at_least("num_instances", num_instances, 2)
        numbers = specs.Labels(num_instances, meaning="number of each image")
        self.data_spec = (self.image_spec, numbers)
        self.bank_momentum = bank_momentum
        self.temperature = temperature
        self.bank = self.add_weight(
            name="bank",
            shape=(num_instances, projector.output_shape[-1]),
            initializer="zeros",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
        )
        self.bank.assign(normalized(tf.random.stateless_normal(self.bank.shape, (self.seed, 0))))

    def objective(self, x, y=None, training=False):
        """Cross entropy in nats; a training step also moves the bank's vectors of the batch."""
        y = checks.label_tensor(y, self.num_instances)
        vectors = normalized(self.projector(self.encoder(x, training=training), training=training))
        bank = tf.convert_to_tensor(self.bank)
        loss = losses.info_nce_among(vectors, bank, y, temperature=self.temperature)
        if training:
            # Here and not in `after_step`, which does not see the vectors.
            with tf.control_dependencies([loss]):
                self._move(bank, gather(tf.stop_gradient(vectors)), gather(y))
        return {"loss": loss}

    def _move(self, bank, vectors, indices):
        old = tf.gather(bank, indices)
        new = normalized(self.bank_momentum * old + (1.0 - self.bank_momentum) * vectors)
        # Of an image that is twice in a batch the later row stays, whatever the order of writing.
        rows = tf.range(tf.shape(indices)[0])
        latest = tf.math.unsorted_segment_max(rows, indices, self.num_instances)
        new = tf.gather(new, tf.gather(latest, indices))
        self.bank.assign(tf.tensor_scatter_nd_update(bank, indices[:, None], new))
