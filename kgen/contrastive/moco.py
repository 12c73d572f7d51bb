"""Momentum Contrast."""

import keras
import tensorflow as tf

from kgen import checks
from kgen.averages import AveragedWeights
from kgen.contrastive.parts.views import TwoViews
from kgen.losses import contrastive as losses
from kgen.replicas import gather
from kgen.training import ObjectiveModel
from kgen.training.hyperparameters import Hyperparameter
from kgen.verbs.representation import normalized


@keras.saving.register_keras_serializable(package="kgen")
class MoCo(TwoViews, ObjectiveModel):
    """Momentum Contrast (He et al. 2020): an image's other view among a queue of earlier ones.

        q = normalized projector(encoder(first view))
        k = the same of the second view, by averaged weights w'
        w' <- ema_decay w' + (1 - ema_decay) w
        loss = -log( exp(q . k / t) / (exp(q . k / t) + sum over the queue exp(q . n / t)) )

    After each step the keys of the batch, of all replicas, enter the queue and as many of the
    oldest leave it. There are as many negatives as the queue is long, whatever the batch.

    Args:
        encoder: keras.Model from images to vectors.
        projector: keras.Model from these vectors to vectors.
        queue_size: int, a multiple of the batch size, over all replicas.
        ema_decay: float in [0, 1], of the averaged weights; the paper's momentum.
        temperature: float > 0, t.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: for networks that do not give vectors or do not fit, an argument out of range,
            or in `fit` a first batch that does not divide the queue.

    The paper shuffles the batch among devices, lest a device's batch statistics betray the
    positive. Here statistics are those of the whole batch where the layers are synchronized, as in
    `kgen.networks.contrastive_encoder`.

    Reference: He, Fan, Wu, Xie & Girshick 2020, "Momentum Contrast for Unsupervised Visual
    Representation Learning", eq. 1 and 2, algorithm 1; the projector: Chen et al. 2020, "Improved
    Baselines with Momentum Contrastive Learning".
    """

    ema_decay = Hyperparameter(checks.probability)
    temperature = Hyperparameter(checks.positive_number)

    def __init__(
        self,
        encoder,
        projector,
        *,
        queue_size=4096,
        ema_decay=0.99,
        temperature=0.07,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._set_parts(encoder, projector)
        self.queue_size = checks.positive_integer("queue_size", queue_size)
        self.ema_decay = ema_decay
        self.temperature = temperature
        self._key_encoder = AveragedWeights(self, encoder, "key_encoder")
        self._key_projector = AveragedWeights(self, projector, "key_projector")
        dim = projector.output_shape[-1]
        self.queue = self.add_weight(
            name="queue",
            shape=(queue_size, dim),
            initializer="zeros",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
        )
        start = tf.random.stateless_normal((queue_size, dim), (self.seed, 0))
        self.queue.assign(tf.math.l2_normalize(start, axis=-1))

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The inverse of `get_config`; files of kgen 0.1 call `ema_decay` `momentum`."""
        config = dict(config)
        if "momentum" in config:
            config["ema_decay"] = config.pop("momentum")
        return super().from_config(config, custom_objects=custom_objects)

    def check_batch(self, x, y, *, size, count, training):
        """Refuse what `TwoViews` refuses, and a training batch that does not divide the queue."""
        super().check_batch(x, y, size=size, count=count, training=training)
        if training and self.queue_size % size:
            raise ValueError(
                f"A batch of {size} does not divide the queue of MoCo, queue_size="
                f"{self.queue_size}. Use a queue_size that is a multiple of the batch size."
            )

    def objective(self, x, y=None, training=False):
        """InfoNCE in nats; a training step also moves the queue."""
        first, second = tf.split(self._both(x), 2, axis=0)
        # First: the losses of layers that the networks keep are those of their last call.
        keys = self._key_projector(self._key_encoder(second, training=training), training=training)
        queries = self.projector(self.encoder(first, training=training), training=training)
        queries, keys = normalized(queries), tf.stop_gradient(normalized(keys))
        queue = tf.convert_to_tensor(self.queue)
        loss = losses.info_nce(queries, keys, queue, temperature=self.temperature)
        if training:
            # Here and not in `after_step`, which does not see the keys.
            with tf.control_dependencies([loss]):
                new = gather(keys)
                self.queue.assign(tf.concat([queue, new], axis=0)[-self.queue_size :])
        return {"loss": loss}

    def after_step(self):
        """Move the key networks' weights towards the query networks'."""
        self._key_encoder.move(self.ema_decay)
        self._key_projector.move(self.ema_decay)
