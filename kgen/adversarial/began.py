"""The boundary equilibrium GAN: an autoencoder discriminates, and a controller balances the two."""

import keras
import tensorflow as tf

from kgen import checks
from kgen.adversarial.parts.generation import LatentGeneration
from kgen.adversarial.parts.players import check_players
from kgen.losses.reconstruction import absolute_error
from kgen.networks import convolutional_decoder, convolutional_encoder, dcgan_generator
from kgen.training import AdversarialModel
from kgen.training.game import without_updates
from kgen.training.hyperparameters import Hyperparameter


@keras.saving.register_keras_serializable(package="kgen")
class BEGAN(LatentGeneration, AdversarialModel):
    """Boundary equilibrium GAN (Berthelot et al. 2017).

        L(v) = mean |v - D(v)|,   D an autoencoder
        discriminator:   L(x) - k L(G(z))
        generator:       L(G(z)),                                   z ~ N(0, I)
        k <- clip(k + proportional_gain (diversity_ratio L(x) - L(G(z))), 0, 1),   from k = 0

    where the L of the last line are means over the batch. `convergence` is the paper's measure
    M = L(x) + |diversity_ratio L(x) - L(G(z))|, which falls as training goes well: the mean over
    the batch stands inside the bars, so M depends a little on the batches' size. `fake_weight` is
    k. The paper's optimizer is Adam with learning rate 1e-4.

    Args:
        generator: keras.Model from latents `(batch, latent_dim)` to images in [0, 1] or points.
        discriminator: keras.Model from those to the same shape, best without batch normalization.
        diversity_ratio: float in [0, 1], gamma: the ratio E[L(G(z))] / E[L(x)] at equilibrium. Low
            values give sharper and more uniform images.
        proportional_gain: float >= 0, lambda_k. The default is the paper's, for long training: a
            run of a few thousand steps needs more, such as 0.05, or k stays near 0.
        ema_decay: float in [0, 1] or None, of the averaged weights that sample.
        **kwargs: `discriminator_steps`, `seed`, `name`, `dtype`.

    Raises:
        ValueError: if the networks do not fit, or for an argument out of range.

    Departures from the paper: its latents are uniform in [-1, 1]; its k moves by the error of the
    generator's own draw, here by that of the discriminator's draw, which saves a pass over x and
    differs in the noise alone.

    Reference:
        Berthelot et al. 2017, "BEGAN: Boundary Equilibrium Generative Adversarial Networks",
        sections 3.4 and 3.4.1.
    """

    diversity_ratio = Hyperparameter(checks.probability)
    proportional_gain = Hyperparameter(checks.at_least, 0.0)

    terms = ("real_error", "fake_error", "convergence", "fake_weight")

    def __init__(
        self,
        generator,
        discriminator,
        *,
        diversity_ratio=0.5,
        proportional_gain=0.001,
        ema_decay=0.999,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.discriminator = discriminator
        latent_dim, image_shape = check_players(generator, discriminator, None)
        self._set_generator(generator, latent_dim, image_shape, ema_decay)
        why = "it is an autoencoder and reconstructs its input"
        checks.output_shape("discriminator", discriminator, self.image_shape, why)
        self.diversity_ratio = diversity_ratio
        self.proportional_gain = proportional_gain
        # Without autocast: half precision has no room for a gain of 0.001.
        self.fake_weight = self.add_weight(
            name="fake_weight",
            shape=(),
            initializer="zeros",
            trainable=False,
            autocast=False,
            aggregation="mean",
        )

    @classmethod
    def for_images(
        cls,
        image_shape,
        *,
        latent_dim=64,
        generator=dcgan_generator,
        encoder=convolutional_encoder,
        decoder=convolutional_decoder,
        **kwargs,
    ):
        """A BEGAN with networks made for an image shape.

        Args:
            image_shape: `(height, width, channels)`, any of each.
            latent_dim: int >= 1, also the size of the autoencoder's code, as in the paper.
            generator: function `(latent_dim, image_shape) -> keras.Model` from `kgen.networks`.
            encoder: function `(image_shape, output_dim) -> keras.Model`, of the discriminator.
            decoder: function `(latent_dim, output_shape) -> keras.Model`, of the discriminator.
            **kwargs: the class's other arguments.
        """
        images = keras.Input(image_shape)
        codes = encoder(image_shape, latent_dim)(images)
        discriminator = keras.Model(
            images, decoder(latent_dim, image_shape)(codes), name="discriminator"
        )
        return cls(generator(latent_dim, image_shape), discriminator, **kwargs)

    def discriminator_objective(self, x, y=None, training=False):
        """`loss`, `real_error`, `fake_error`, `convergence`, each float32 `(batch,)`, and
        `fake_weight`, a scalar; with `training=True`, k moves."""
        latents = self.latents(tf.shape(x)[0], self.noise_seed(training))
        fake = without_updates(self.generator, latents, training)
        real_error = absolute_error(x, self.discriminator(x, training=training))
        fake_error = absolute_error(fake, self.discriminator(fake, training=training))
        fake_weight = tf.convert_to_tensor(self.fake_weight)
        imbalance = self._imbalance(real_error, fake_error)
        if training:
            moved = fake_weight + self.proportional_gain * imbalance
            self.fake_weight.assign(tf.clip_by_value(moved, 0.0, 1.0))
        return dict(
            loss=real_error - fake_weight * fake_error,
            real_error=real_error,
            fake_error=fake_error,
            convergence=real_error + tf.abs(imbalance),
            fake_weight=fake_weight,
        )

    def generator_objective(self, x, y=None, training=False):
        """`loss`, float32 `(batch,)`."""
        latents = self.latents(tf.shape(x)[0], self.noise_seed(training))
        fake = self.generator(latents, training=training)
        return dict(loss=absolute_error(fake, without_updates(self.discriminator, fake, training)))

    def _imbalance(self, real_error, fake_error):
        """`diversity_ratio L(x) - L(G(z))`, means over the batch of all replicas: a scalar."""
        difference = tf.stop_gradient(self.diversity_ratio * real_error - fake_error)
        total, count = tf.reduce_sum(difference), tf.cast(tf.size(difference), tf.float32)
        context = tf.distribute.get_replica_context()
        if context and context.num_replicas_in_sync > 1:
            total, count = context.all_reduce("SUM", [total, count])
        return total / tf.maximum(count, 1.0)

    def discriminate(self, images):
        """Minus L of images: float32 `(batch,)`, <= 0, higher for what looks real."""
        images = self.checked_examples(images)
        return -absolute_error(images, self.discriminator(images, training=False))
