"""The Wasserstein GAN with clipped weights."""

import keras
import tensorflow as tf

from kgen.adversarial.parts.clipping import WeightClipping, constrain_weights
from kgen.adversarial.parts.generation import TwoNetworks
from kgen.adversarial.parts.players import check_players
from kgen.losses import adversarial as losses
from kgen.training import AdversarialModel
from kgen.training.game import without_updates
from kgen.verbs.conditioning import inputs


@keras.saving.register_keras_serializable(package="kgen")
class WGAN(TwoNetworks, AdversarialModel):
    """Wasserstein GAN (Arjovsky et al. 2017).

        critic:      D(G(z)) - D(x),   every weight clipped to [-clip_limit, clip_limit]
        generator:   -D(G(z)),         z ~ N(0, I)

    `wasserstein` is D(x) - D(G(z)), which grows with the distance of the two distributions. The
    paper trains both players by RMSprop with learning rate 5e-5: momentum was seen to harm.

    Args:
        generator: keras.Model from latents `(batch, latent_dim)` to images in [0, 1] or points.
        discriminator: the critic, keras.Model from those to `(batch, 1)`.
        clip_limit: float > 0, c.
        discriminator_steps: int >= 1, critic steps for one of the generator; a batch is cut in so
            many slices.
        ema_decay: float in [0, 1] or None, of the averaged weights that sample.
        condition: spec of what both networks take behind their input, `kgen.specs.Labels`,
            `kgen.specs.Attributes` or a tuple of them; None for nothing.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: if the networks do not fit, or for an argument out of range.

    Reference: Arjovsky et al. 2017, "Wasserstein Generative Adversarial Networks", Algorithm 1.
    """

    terms = ("wasserstein",)

    def __init__(
        self,
        generator,
        discriminator,
        *,
        clip_limit=0.01,
        discriminator_steps=5,
        ema_decay=0.999,
        condition=None,
        **kwargs,
    ):
        super().__init__(discriminator_steps=discriminator_steps, **kwargs)
        self._set_condition(condition)
        self.discriminator = discriminator
        latent_dim, image_shape = check_players(
            generator, discriminator, given=self.condition_inputs
        )
        self._set_generator(generator, latent_dim, image_shape, ema_decay)
        self.clip_limit = clip_limit
        constrain_weights(discriminator, WeightClipping(clip_limit))

    def discriminator_objective(self, x, y=None, training=False):
        """`loss` and `wasserstein`, each float32 `(batch,)`."""
        latents, given = self.latents(tf.shape(x)[0], self.noise_seed(training)), self._given_y(y)
        fake = without_updates(self.generator, inputs(latents, given), training)
        real_logits = self.discriminator(inputs(x, given), training=training)
        fake_logits = self.discriminator(inputs(fake, given), training=training)
        loss = losses.wasserstein_discriminator_loss(real_logits, fake_logits)
        return dict(loss=loss, wasserstein=-loss)

    def generator_objective(self, x, y=None, training=False):
        """`loss`, float32 `(batch,)`."""
        latents, given = self.latents(tf.shape(x)[0], self.noise_seed(training)), self._given_y(y)
        fake = self.generator(inputs(latents, given), training=training)
        fake_logits = without_updates(self.discriminator, inputs(fake, given), training)
        return dict(loss=losses.wasserstein_generator_loss(fake_logits))
