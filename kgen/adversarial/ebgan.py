"""The energy-based GAN: an autoencoder's reconstruction error is the energy."""

import keras
import tensorflow as tf

from kgen import checks
from kgen.adversarial.parts.generation import LatentGeneration
from kgen.adversarial.parts.players import check_players
from kgen.losses.adversarial import pull_away_term
from kgen.losses.reconstruction import squared_error
from kgen.networks import convolutional_decoder, convolutional_encoder, dcgan_generator
from kgen.training import AdversarialModel
from kgen.training.game import without_updates
from kgen.training.hyperparameters import Hyperparameter


@keras.saving.register_keras_serializable(package="kgen")
class EBGAN(LatentGeneration, AdversarialModel):
    """Energy-based GAN with the pull-away term (Zhao et al. 2017).

        E(v) = mean (v - decoder(encoder(v)))^2
        discriminator:   E(x) + max(0, margin - E(G(z)))
        generator:       E(G(z)) + pull_away_weight * f_PT(encoder(G(z))),      z ~ N(0, I)

    f_PT is the mean squared cosine between the codes of two generated images (`pull_away_term`): it
    keeps the generator from making one image only.

    Args:
        generator: keras.Model from latents `(batch, latent_dim)` to images in [0, 1] or points.
        encoder: keras.Model from those to codes `(batch, ...)`.
        decoder: keras.Model from codes to what the encoder takes.
        margin: float > 0, m, in the unit of the energy, the mean square of pixels in [0, 1]. At
            equilibrium generated images have at most this energy. A constant image needs at most
            1/4, the largest variance of such pixels. The paper's margins are for its energies of
            other scale.
        pull_away_weight: float >= 0; 0 is the paper's EBGAN, above 0 its EBGAN-PT.
        ema_decay: float in [0, 1] or None, of the averaged weights that sample.
        **kwargs: `discriminator_steps`, `seed`, `name`, `dtype`.

    Raises:
        ValueError: if the networks do not fit, or for an argument out of range.

    Reference:
        Zhao et al. 2017, "Energy-based Generative Adversarial Network", eq. 1 and 2, sections 2.3
        (the autoencoder) and 2.4 (the pull-away term).
    """

    margin = Hyperparameter(checks.positive_number)
    pull_away_weight = Hyperparameter(checks.at_least, 0.0)

    terms = ("real_energy", "fake_energy", "pull_away")

    def __init__(
        self,
        generator,
        encoder,
        decoder,
        *,
        margin=0.25,
        pull_away_weight=0.1,
        ema_decay=0.999,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.encoder = checks.network("encoder", encoder)
        self.decoder = checks.network("decoder", decoder)
        latent_dim, image_shape = check_players(generator, encoder, None)
        self._set_generator(generator, latent_dim, image_shape, ema_decay)
        checks.output_shape("encoder", encoder, decoder.input_shape[1:], "the decoder takes these")
        why = "it reconstructs what the encoder takes"
        checks.output_shape("decoder", decoder, self.image_shape, why)
        self.margin = margin
        self.pull_away_weight = pull_away_weight

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
        """An EBGAN with networks made for an image shape.

        Args:
            image_shape: `(height, width, channels)`, any of each.
            latent_dim: int >= 1, also the size of the encoder's codes.
            generator: function `(latent_dim, image_shape) -> keras.Model` from `kgen.networks`.
            encoder: function `(image_shape, output_dim) -> keras.Model`.
            decoder: function `(latent_dim, output_shape) -> keras.Model`.
            **kwargs: the class's other arguments.
        """
        return cls(
            generator(latent_dim, image_shape),
            encoder(image_shape, latent_dim),
            decoder(latent_dim, image_shape),
            **kwargs,
        )

    @property
    def discriminator_variables(self):
        """The weights that a discriminator step moves: the autoencoder's."""
        return [*self.encoder.trainable_variables, *self.decoder.trainable_variables]

    def discriminator_objective(self, x, y=None, training=False):
        """`loss`, `real_energy`, `fake_energy`, each float32 `(batch,)`."""
        latents = self.latents(tf.shape(x)[0], self.noise_seed(training))
        fake = without_updates(self.generator, latents, training)
        real_energy = self._energy(x, training)
        fake_energy = self._energy(fake, training)
        return dict(
            loss=real_energy + tf.nn.relu(self.margin - fake_energy),
            real_energy=real_energy,
            fake_energy=fake_energy,
        )

    def generator_objective(self, x, y=None, training=False):
        """`loss`, `pull_away`, each float32 `(batch,)`."""
        latents = self.latents(tf.shape(x)[0], self.noise_seed(training))
        fake = self.generator(latents, training=training)
        codes = without_updates(self.encoder, fake, training)
        energy = squared_error(fake, without_updates(self.decoder, codes, training))
        pull_away = pull_away_term(codes)
        return dict(loss=energy + self.pull_away_weight * pull_away, pull_away=pull_away)

    def _energy(self, images, training):
        codes = self.encoder(images, training=training)
        return squared_error(images, self.decoder(codes, training=training))

    def discriminate(self, images):
        """Minus the energies of images: float32 `(batch,)`, <= 0, higher for what looks real."""
        return -self._energy(self.checked_examples(images), training=False)
