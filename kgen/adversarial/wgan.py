"""The Wasserstein GAN with clipped weights."""

import keras
import tensorflow as tf

from kgen.adversarial import losses
from kgen.adversarial.generation import LatentGeneration, without_updates
from kgen.adversarial.penalties import WeightClipping, constrain_weights
from kgen.adversarial.players import check_players
from kgen.networks import dcgan_discriminator, dcgan_generator
from kgen.training import AdversarialModel


@keras.saving.register_keras_serializable(package="kgen")
class WGAN(LatentGeneration, AdversarialModel):
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
        **kwargs,
    ):
        super().__init__(discriminator_steps=discriminator_steps, **kwargs)
        self.generator = generator
        self.discriminator = discriminator
        self.latent_dim, self.image_shape = check_players(generator, discriminator)
        self.clip_limit = clip_limit
        constrain_weights(discriminator, WeightClipping(clip_limit))
        self.ema_decay = ema_decay
        self._add_averages()
        self.build()

    @classmethod
    def for_images(
        cls,
        image_shape,
        latent_dim=64,
        *,
        generator=dcgan_generator,
        discriminator=dcgan_discriminator,
        **kwargs,
    ):
        """A WGAN with networks made for an image shape; see `GAN.for_images`."""
        return cls(generator(latent_dim, image_shape), discriminator(image_shape), **kwargs)

    def discriminator_objective(self, x, y=None, training=False):
        """`loss` and `wasserstein`, each float32 `(batch,)`."""
        latents = self.latents(tf.shape(x)[0], self.noise_seed(training))
        fake = without_updates(self.generator, latents, training)
        real_logits = self.discriminator(x, training=training)
        fake_logits = self.discriminator(fake, training=training)
        loss = losses.wasserstein_discriminator_loss(real_logits, fake_logits)
        return dict(loss=loss, wasserstein=-loss)

    def generator_objective(self, x, y=None, training=False):
        """`loss`, float32 `(batch,)`."""
        latents = self.latents(tf.shape(x)[0], self.noise_seed(training))
        fake = self.generator(latents, training=training)
        fake_logits = without_updates(self.discriminator, fake, training)
        return dict(loss=losses.wasserstein_generator_loss(fake_logits))

    def call(self, inputs, training=False):
        """The critic's values: what `predict` gives."""
        return self.discriminate(inputs)

    def discriminate(self, images):
        """The critic's values of images: float32 `(batch,)`, higher for what looks real."""
        return losses.per_example(self.discriminator(images, training=False))
