"""The bidirectional GAN: an encoder learns to invert the generator."""

import keras
import tensorflow as tf

from kgen import checks
from kgen.adversarial.parts.generation import LatentGeneration
from kgen.losses import adversarial as losses
from kgen.losses.reconstruction import per_example
from kgen.networks import dcgan_discriminator, dcgan_generator
from kgen.networks.joint import joint_discriminator
from kgen.training import AdversarialModel
from kgen.training.game import without_updates
from kgen.verbs import Reconstruction


@keras.saving.register_keras_serializable(package="kgen")
class BiGAN(LatentGeneration, Reconstruction, AdversarialModel):
    """Bidirectional generative adversarial network (Donahue et al. 2017).

        discriminator:            pair_loss(D(x, E(x)), D(G(z), z)),      z ~ N(0, I)
        generator and encoder:    pair_loss(D(G(z), z), D(x, E(x)))

    Generator and encoder minimize the discriminator's loss with the two pairs exchanged. With the
    default `-log D(x, E(x)) - log(1 - D(G(z), z))` that is the paper's "inverse" objective, which
    is non-saturating for both; a loss must give the pairs exchanged a meaning, as the
    least-squares and the Wasserstein loss do. At the optimum E and G are each other's inverse.

    Args:
        encoder: keras.Model from images in [0, 1], or points, to `(batch, latent_dim)`.
        generator: keras.Model from latents to those.
        discriminator: keras.Model from `[images, latents]` to logits `(batch, 1)`, such as
            `kgen.networks.joint_discriminator` makes.
        pair_loss: function of the logits of the pairs `(x, E(x))` and `(G(z), z)`, one value per
            example; a `*_discriminator_loss` of `kgen.losses.adversarial`.
        ema_decay: float in [0, 1] or None, of the generator's averaged weights, which sample and
            reconstruct; the encoder's are not averaged.
        **kwargs: `discriminator_steps`, `seed`, `name`, `dtype`.

    Raises:
        ValueError: if the networks do not fit, or for an argument out of range.

    Reference: Donahue et al. 2017, "Adversarial Feature Learning", eq. 3 and section 3.
    """

    terms = ("real_logits", "fake_logits")

    def __init__(
        self,
        encoder,
        generator,
        discriminator,
        *,
        pair_loss=losses.non_saturating_discriminator_loss,
        ema_decay=0.999,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.discriminator = discriminator
        latent_dim, image_shape = _check_players(encoder, generator, discriminator)
        self._set_generator(generator, latent_dim, image_shape, ema_decay)
        self.pair_loss = pair_loss

    @classmethod
    def for_images(
        cls,
        image_shape,
        *,
        latent_dim=64,
        encoder=dcgan_discriminator,
        generator=dcgan_generator,
        feature_dim=256,
        features=dcgan_discriminator,
        **kwargs,
    ):
        """A BiGAN with networks made for an image shape.

        Args:
            image_shape: `(height, width, channels)`, any of each; `(dim,)` with dense networks.
            latent_dim: int >= 1.
            encoder: function `(image_shape, output_dim) -> keras.Model` from `kgen.networks`; by
                default of the discriminator's form, as in the paper.
            generator: function `(latent_dim, image_shape) -> keras.Model` likewise.
            feature_dim: int >= 1, size of what the discriminator sees of an image.
            features: function `(image_shape, output_dim) -> keras.Model` that makes it.
            **kwargs: the class's other arguments.
        """
        return cls(
            encoder(image_shape, latent_dim),
            generator(latent_dim, image_shape),
            joint_discriminator(features(image_shape, feature_dim), latent_dim),
            **kwargs,
        )

    @property
    def generator_variables(self):
        """The generator's and the encoder's weights: they are one player."""
        return self.generator.trainable_variables + self.encoder.trainable_variables

    def discriminator_objective(self, x, y=None, training=False):
        """`loss`, `real_logits`, `fake_logits`, each float32 `(batch,)`."""
        latents = self.latents(tf.shape(x)[0], self.noise_seed(training))
        fake = without_updates(self.generator, latents, training)
        codes = tf.cast(without_updates(self.encoder, x, training), tf.float32)
        real_logits = self.discriminator([x, codes], training=training)
        fake_logits = self.discriminator([fake, latents], training=training)
        return dict(
            loss=self.pair_loss(real_logits, fake_logits),
            real_logits=per_example(real_logits),
            fake_logits=per_example(fake_logits),
        )

    def generator_objective(self, x, y=None, training=False):
        """`loss` of generator and encoder, float32 `(batch,)`."""
        latents = self.latents(tf.shape(x)[0], self.noise_seed(training))
        fake = self.generator(latents, training=training)
        codes = tf.cast(self.encoder(x, training=training), tf.float32)
        real_logits = without_updates(self.discriminator, [x, codes], training)
        fake_logits = without_updates(self.discriminator, [fake, latents], training)
        return dict(loss=self.pair_loss(fake_logits, real_logits))

    def call(self, inputs, training=False):
        """The discriminator's logits of `(x, E(x))`: what `predict` gives."""
        return self.discriminate(inputs)

    def encode(self, images):
        """The latents that the encoder gives images: float32 `(batch, latent_dim)`."""
        images = self.checked_examples(images)
        return tf.cast(self.encoder(images, training=False), tf.float32)

    def discriminate(self, images, *, latents=None):
        """The logits of pairs: float32 `(batch,)`, higher for what looks like `(x, E(x))`.

        Args:
            images: float32 `(batch, *image_shape)`.
            latents: float32 `(batch, latent_dim)`; by default those that the encoder gives.
        """
        images = self.checked_examples(images)
        latents = self.encode(images) if latents is None else tf.cast(latents, tf.float32)
        return per_example(self.discriminator([images, latents], training=False))


def _check_players(encoder, generator, discriminator):
    """Raise ValueError unless the three fit one another; `(latent_dim, image_shape)`."""
    latent_dim = checks.vector_network("encoder", encoder).output_shape[-1]
    latents, images = (latent_dim,), tuple(encoder.input_shape[1:])
    received = tuple(checks.network("generator", generator).input_shape[1:])
    if received != latents:
        raise ValueError(
            f"generator '{generator.name}' takes latents of shape {received}, but encoder "
            f"'{encoder.name}' gives {latents}."
        )
    why = f"encoder '{encoder.name}' takes images of that shape"
    checks.output_shape("generator", generator, images, why)
    received = checks.network("discriminator", discriminator).input_shape
    if not isinstance(received, list) or received != [(None, *images), (None, *latents)]:
        raise ValueError(
            f"discriminator '{discriminator.name}' must take [images, latents] of shapes {images} "
            f"and {latents}, received inputs of shape {received}."
        )
    checks.output_shape("discriminator", discriminator, (1,), "one logit per pair")
    checks.warn_of_bounded_logits("discriminator", discriminator)
    checks.warn_of_images_beyond_unit_interval("generator", generator)
    return latent_dim, images
