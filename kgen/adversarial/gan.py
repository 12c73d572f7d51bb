"""The generative adversarial network, with the regularizers that need no class of their own."""

import functools

import keras
import tensorflow as tf

from kgen import checks
from kgen.adversarial import losses
from kgen.adversarial.generation import LatentGeneration, without_updates
from kgen.adversarial.players import check_players
from kgen.networks import dcgan_discriminator, dcgan_generator
from kgen.training import AdversarialModel


@keras.saving.register_keras_serializable(package="kgen")
class GAN(LatentGeneration, AdversarialModel):
    """Generative adversarial network (Goodfellow et al. 2014).

        discriminator:   discriminator_loss(D(x), D(G(z))) + penalty_weight * penalty
        generator:       generator_loss(D(G(z))),                            z ~ N(0, I)
        both:            + consensus_weight / 2 * |(d L_D / d w_D, d L_G / d w_G)|^2

    The loss pair says which game it is: non-saturating by default, `minimax_*`, `least_squares_*`,
    `hinge_*`, `wasserstein_*` from `kgen.adversarial`. Logits are D before any sigmoid.

    Args:
        generator: keras.Model from latents `(batch, latent_dim)` to images `(batch, *image_shape)`
            in [0, 1], or to points `(batch, dim)`.
        discriminator: keras.Model from those to logits `(batch, 1)`.
        generator_loss: function of the fake logits, one value an example.
        discriminator_loss: function of the real and the fake logits.
        penalty: None, or a function such as `kgen.adversarial.r1_penalty`.
        penalty_weight: float >= 0.
        consensus_weight: float >= 0, gamma of Mescheder et al. 2017; 0 leaves it out.
        unrolled_steps: int >= 0: the generator plays against the discriminator as it will be after
            so many steps of gradient descent at its optimizer's learning rate, and differentiates
            through them (Metz et al. 2017, eq. 7 and 10). Not with `consensus_weight`.
        ema_decay: float in [0, 1] or None, of the averaged weights that sample.
        **kwargs: `discriminator_steps`, `seed`, `name`, `dtype`.

    Raises:
        ValueError: if the networks do not fit, or for an argument out of range.

    The consensus term is that of the batch, the same for all its examples. On several replicas it
    is the mean of the replicas' own, which is not the term of the whole batch.

    Reference: Goodfellow et al. 2014, "Generative Adversarial Nets", eq. 1 and Algorithm 1.
    """

    terms = ("real_logits", "fake_logits")

    def __init__(
        self,
        generator,
        discriminator,
        *,
        generator_loss=losses.non_saturating_generator_loss,
        discriminator_loss=losses.non_saturating_discriminator_loss,
        penalty=None,
        penalty_weight=10.0,
        consensus_weight=0.0,
        unrolled_steps=0,
        ema_decay=0.999,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.generator = generator
        self.discriminator = discriminator
        self.latent_dim, self.image_shape = check_players(generator, discriminator)
        self.generator_loss = generator_loss
        self.discriminator_loss = discriminator_loss
        self.penalty = penalty
        self.penalty_weight = checks.at_least("penalty_weight", penalty_weight, 0.0)
        self.consensus_weight = checks.at_least("consensus_weight", consensus_weight, 0.0)
        self.unrolled_steps = checks.integer_at_least("unrolled_steps", unrolled_steps, 0)
        if unrolled_steps and consensus_weight:
            raise ValueError(
                "The consensus term is of a generator that plays against the discriminator as it "
                "is: use unrolled_steps=0 or consensus_weight=0. Received "
                f"unrolled_steps={unrolled_steps}, consensus_weight={consensus_weight}."
            )
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
        """A GAN with networks made for an image shape: DCGAN's (Radford et al. 2016) by default.

        Args:
            image_shape: `(height, width, channels)`, any of each; `(dim,)` with dense networks.
            latent_dim: int >= 1.
            generator: function `(latent_dim, image_shape) -> keras.Model` from `kgen.networks`.
            discriminator: function `image_shape -> keras.Model` from `kgen.networks`.
            **kwargs: the class's other arguments.
        """
        return cls(generator(latent_dim, image_shape), discriminator(image_shape), **kwargs)

    def discriminator_objective(self, x, y=None, training=False):
        """`loss`, `real_logits`, `fake_logits`, each float32 `(batch,)`."""
        latents = self.latents(tf.shape(x)[0], self.noise_seed(training))
        fake = self._generate(latents, training)
        real_logits = self.discriminator(x, training=training)
        fake_logits = self.discriminator(fake, training=training)
        loss = self.discriminator_loss(real_logits, fake_logits)
        loss += self._penalty(self._critic(training), x, fake, training)
        if self.consensus_weight and training:
            loss += self._consensus(x, latents)
        return dict(
            loss=loss,
            real_logits=losses.per_example(real_logits),
            fake_logits=losses.per_example(fake_logits),
        )

    def generator_objective(self, x, y=None, training=False):
        """`loss`, float32 `(batch,)`."""
        latents = self.latents(tf.shape(x)[0], self.noise_seed(training))
        fake = self.generator(latents, training=training)
        if self.unrolled_steps and training:
            return dict(loss=self.generator_loss(self._unrolled_logits(x, fake)))
        loss = self.generator_loss(self._critic(training)(fake))
        if self.consensus_weight and training:
            loss += self._consensus(x, latents)
        return dict(loss=loss)

    def _generate(self, latents, training):
        """The generator as the discriminator's step sees it: nothing of it moves."""
        return without_updates(self.generator, latents, training)

    def _critic(self, training):
        return lambda images: without_updates(self.discriminator, images, training)

    def _penalty(self, critic, x, fake, training):
        if self.penalty is None:
            return 0.0
        seed = self.noise_seed(training, salt=1)
        return self.penalty_weight * self.penalty(critic, x, fake, seed=seed)

    def _consensus(self, x, latents):
        discriminator = [v.value for v in self.discriminator_variables]
        generator = [v.value for v in self.generator_variables]
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(discriminator + generator)
            fake_logits = self._critic(True)(self._generate(latents, True))
            real_logits = self._critic(True)(x)
            discriminator_loss = tf.reduce_mean(self.discriminator_loss(real_logits, fake_logits))
            generator_loss = tf.reduce_mean(self.generator_loss(fake_logits))
        field = tape.gradient(discriminator_loss, discriminator)
        field += tape.gradient(generator_loss, generator)
        squares = tf.add_n([tf.reduce_sum(tf.square(part)) for part in field if part is not None])
        return 0.5 * self.consensus_weight * squares

    def _unrolled_logits(self, x, fake):
        """The fake images' logits by a discriminator that is `unrolled_steps` steps ahead."""
        rate = tf.cast(self.discriminator_optimizer.learning_rate, tf.float32)
        state = [tf.convert_to_tensor(v) for v in self.discriminator.non_trainable_variables]
        weights = [tf.convert_to_tensor(v) for v in self.discriminator_variables]

        def logits(weights, images):
            return self.discriminator.stateless_call(weights, state, images, training=True)[0]

        for _ in range(self.unrolled_steps):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(weights)
                loss = self.discriminator_loss(logits(weights, x), logits(weights, fake))
                loss += self._penalty(functools.partial(logits, weights), x, fake, training=True)
                loss = tf.reduce_mean(loss)
            gradients = tape.gradient(
                loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO
            )
            weights = [w - rate * gradient for w, gradient in zip(weights, gradients, strict=True)]
        return logits(weights, fake)

    def call(self, inputs, training=False):
        """The discriminator's logits: what `predict` gives."""
        return self.discriminate(inputs)

    def discriminate(self, images):
        """The discriminator's logits of images: float32 `(batch,)`, higher for what looks real."""
        return losses.per_example(self.discriminator(images, training=False))
