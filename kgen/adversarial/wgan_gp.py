"""The Wasserstein GAN with gradient penalty."""

import functools

import keras
import tensorflow as tf

from kgen import checks
from kgen.adversarial.parts.generation import TwoNetworks
from kgen.adversarial.parts.players import (
    batch_normalization,
    check_players,
    per_standardized_unit,
    warn_of_second_derivatives,
)
from kgen.losses import adversarial as losses
from kgen.losses.penalties import gradient_penalty
from kgen.networks import dcgan_discriminator
from kgen.training import AdversarialModel
from kgen.training.game import without_updates
from kgen.training.hyperparameters import Hyperparameter
from kgen.verbs.conditioning import inputs


@keras.saving.register_keras_serializable(package="kgen")
class WGANGP(TwoNetworks, AdversarialModel):
    """Wasserstein GAN with gradient penalty (Gulrajani et al. 2017).

        critic:      D(G(z)) - D(x) + penalty_weight (|grad D(x^)| - 1)^2
                     x^ = eps x + (1 - eps) G(z),   eps ~ U(0, 1) a row
        generator:   -D(G(z)),                      z ~ N(0, I)

    `wasserstein` is D(x) - D(G(z)), the estimate of the distance up to the penalty's slack. The
    paper's optimizer is Adam with learning rate 1e-4, beta_1 = 0, beta_2 = 0.9.

    Args:
        generator: keras.Model from latents `(batch, latent_dim)` to images in [0, 1] or points.
        discriminator: the critic, keras.Model from those to `(batch, 1)`, without batch
            normalization: the penalty is on the slope for one image. `kgen.layers` has a layer
            normalization; Keras' own makes the gradient of the penalty wrong and is warned of.
        penalty: `gradient_penalty` (two-sided) or another of `kgen.losses.penalties`.
        penalty_weight: float >= 0, lambda.
        discriminator_steps: int >= 1, critic steps for one of the generator; a batch is cut in so
            many slices.
        ema_decay: float in [0, 1] or None, of the averaged weights that sample.
        condition: spec of what both networks take behind their input, `kgen.specs.Labels`,
            `kgen.specs.Attributes` or a tuple of them; None for nothing.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: if the networks do not fit, if the critic has batch normalization, or for an
            argument out of range.

    Reference:
        Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", eq. 3 and Algorithm 1.
    """

    penalty_weight = Hyperparameter(checks.at_least, 0.0)

    terms = ("wasserstein", "gradient_penalty")
    default_discriminator = functools.partial(dcgan_discriminator, normalization="layer")

    def __init__(
        self,
        generator,
        discriminator,
        *,
        penalty=gradient_penalty,
        penalty_weight=10.0,
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
        _check_no_batch_normalization(discriminator)
        warn_of_second_derivatives(discriminator)
        self.penalty = penalty
        self.penalty_weight = penalty_weight

    def discriminator_objective(self, x, y=None, training=False):
        """`loss`, `wasserstein`, `gradient_penalty`, each float32 `(batch,)`."""
        latents, given = self.latents(tf.shape(x)[0], self.noise_seed(training)), self._given_y(y)
        fake = without_updates(self.generator, inputs(latents, given), training)
        real_logits = self.discriminator(inputs(x, given), training=training)
        fake_logits = self.discriminator(inputs(fake, given), training=training)
        distance = losses.wasserstein_discriminator_loss(real_logits, fake_logits)
        penalty = per_standardized_unit(self.penalty, self.discriminator)(
            lambda images: without_updates(self.discriminator, inputs(images, given), training),
            x,
            fake,
            seed=self.noise_seed(training, salt=1),
        )
        return dict(
            loss=distance + self.penalty_weight * penalty,
            wasserstein=-distance,
            gradient_penalty=penalty,
        )

    def generator_objective(self, x, y=None, training=False):
        """`loss`, float32 `(batch,)`."""
        latents, given = self.latents(tf.shape(x)[0], self.noise_seed(training)), self._given_y(y)
        fake = self.generator(inputs(latents, given), training=training)
        fake_logits = without_updates(self.discriminator, inputs(fake, given), training)
        return dict(loss=losses.wasserstein_generator_loss(fake_logits))


def _check_no_batch_normalization(critic):
    layer = batch_normalization(critic)
    if layer is not None:
        raise ValueError(
            f"The critic '{critic.name}' has batch normalization ('{layer.name}'), which makes "
            "its value for an image depend on the batch; the gradient penalty is on the slope "
            "for one image. Use layer normalization (kgen.layers.LayerNormalization) or none."
        )
