"""The generative adversarial network, with the regularizers that need no class of their own."""

import functools

import keras
import tensorflow as tf

from kgen import checks
from kgen.adversarial.parts.generation import TwoNetworks
from kgen.adversarial.parts.look_ahead import look_ahead
from kgen.adversarial.parts.players import (
    check_players,
    per_standardized_unit,
    warn_of_batch_normalization,
    warn_of_second_derivatives,
)
from kgen.losses import adversarial as losses
from kgen.losses.reconstruction import per_example
from kgen.training import AdversarialModel
from kgen.training.game import without_updates
from kgen.training.hyperparameters import Hyperparameter
from kgen.verbs.conditioning import inputs


@keras.saving.register_keras_serializable(package="kgen")
class GAN(TwoNetworks, AdversarialModel):
    """Generative adversarial network (Goodfellow et al. 2014).

        discriminator:   discriminator_loss(D(x), D(G(z))) + penalty_weight * penalty
        generator:       generator_loss(D(G(z))),                            z ~ N(0, I)
        both:            + consensus_weight * consensus
                         consensus = 1/2 |(d L_D / d w_D, d L_G / d w_G)|^2

    `penalty` and `consensus` are reported where they are in the game. The loss pair says which game
    it is: non-saturating by default, `minimax_*`, `least_squares_*`, `hinge_*`, `wasserstein_*`
    from `kgen.losses.adversarial`. Logits are D before any sigmoid.

    Args:
        generator: keras.Model from latents `(batch, latent_dim)` to images `(batch, *image_shape)`
            in [0, 1], or to points `(batch, dim)`.
        discriminator: keras.Model from those to logits `(batch, 1)`.
        generator_loss: function of the fake logits, one value per example.
        discriminator_loss: function of the real and the fake logits.
        penalty: None, or a function such as `kgen.losses.penalties.r1_penalty`, one value per
            example.
            It wants a discriminator without batch normalization, which is warned of and which
            `for_images` has by default.
        penalty_weight: float >= 0.
        consensus_weight: float >= 0, gamma of Mescheder et al. 2017; 0 leaves it out.
        unrolled_steps: int >= 0: the generator plays against the discriminator as it will be after
            so many steps of its own optimizer on the same batch, and differentiates through them
            (Metz et al. 2017, eq. 7 and 10). The equations descend the gradient; the steps are
            Adam's, from its moments of now, where the optimizer is Adam, as in the authors' code,
            else SGD's. Others are refused in the first step. Not with `consensus_weight`.
        ema_decay: float in [0, 1] or None, of the averaged weights that sample.
        condition: spec of what both networks take behind their input, `kgen.specs.Labels`,
            `kgen.specs.Attributes` or a tuple of them; None for nothing.
        **kwargs: `discriminator_steps`, `seed`, `name`, `dtype`.

    Raises:
        ValueError: if the networks do not fit, or for an argument out of range.

    The consensus term is that of the batch, the same for all its examples. On several replicas it
    is the mean of the replicas' own, which is not the term of the whole batch. Evaluation reports
    it, and losses without it: the game's.

    Reference: Goodfellow et al. 2014, "Generative Adversarial Nets", eq. 1 and Algorithm 1.
    """

    penalty_weight = Hyperparameter(checks.at_least, 0.0)
    consensus_weight = Hyperparameter(checks.at_least, 0.0, absent=0.0)

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
        condition=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._set_condition(condition)
        self.terms = (
            *type(self).terms,
            *(["penalty"] if penalty is not None else []),
            *(["consensus"] if consensus_weight else []),
        )
        self.discriminator = discriminator
        latent_dim, image_shape = check_players(
            generator, discriminator, given=self.condition_inputs
        )
        self._set_generator(generator, latent_dim, image_shape, ema_decay)
        if penalty is not None:
            warn_of_batch_normalization(discriminator)
        if penalty is not None or consensus_weight or unrolled_steps:
            warn_of_second_derivatives(discriminator)
        if consensus_weight:
            warn_of_second_derivatives(generator)
        self.generator_loss = generator_loss
        self.discriminator_loss = discriminator_loss
        self.penalty = penalty
        self.penalty_weight = penalty_weight
        self.consensus_weight = consensus_weight
        self.unrolled_steps = checks.integer_at_least("unrolled_steps", unrolled_steps, 0)
        if unrolled_steps and consensus_weight:
            raise ValueError(
                "The consensus term is of a generator that plays against the discriminator as it "
                "is: use unrolled_steps=0 or consensus_weight=0. Received "
                f"unrolled_steps={unrolled_steps}, consensus_weight={consensus_weight}."
            )

    def discriminator_objective(self, x, y=None, training=False):
        """`loss` and the `terms`, each float32 `(batch,)`."""
        latents, given = self.latents(tf.shape(x)[0], self.noise_seed(training)), self._given_y(y)
        fake = self._generate(latents, given, training)
        real_logits = self.discriminator(inputs(x, given), training=training)
        fake_logits = self.discriminator(inputs(fake, given), training=training)
        terms = dict(
            loss=self.discriminator_loss(real_logits, fake_logits),
            real_logits=per_example(real_logits),
            fake_logits=per_example(fake_logits),
        )
        if self.penalty is not None:
            terms["penalty"] = self._penalty(self._critic(given, training), x, fake, training)
            terms["loss"] += self.penalty_weight * terms["penalty"]
        return self._with_consensus(terms, x, latents, given, training)

    def generator_objective(self, x, y=None, training=False):
        """`loss` `(batch,)`, and `consensus`, a scalar, where it is in the game."""
        latents, given = self.latents(tf.shape(x)[0], self.noise_seed(training)), self._given_y(y)
        fake = self.generator(inputs(latents, given), training=training)
        if self.unrolled_steps and training:
            return dict(loss=self.generator_loss(self._unrolled_logits(x, fake, given)))
        terms = dict(loss=self.generator_loss(self._critic(given, training)(fake)))
        return self._with_consensus(terms, x, latents, given, training)

    def _generate(self, latents, given, training):
        """The generator as the discriminator's step sees it: nothing of it moves."""
        return without_updates(self.generator, inputs(latents, given), training)

    def _critic(self, given, training):
        return lambda x: without_updates(self.discriminator, inputs(x, given), training)

    def _penalty(self, critic, x, fake, training):
        penalty = per_standardized_unit(self.penalty, self.discriminator)
        return penalty(critic, x, fake, seed=self.noise_seed(training, salt=1))

    def _with_consensus(self, terms, x, latents, given, training):
        if "consensus" not in self.terms:
            return terms
        consensus = self._consensus(x, latents, given, training)
        loss = terms["loss"] + (self.consensus_weight * consensus if training else 0.0)
        return {**terms, "loss": loss, "consensus": consensus}

    def _consensus(self, x, latents, given=(), training=False):
        critic = self._critic(given, training)
        discriminator = [v.value for v in self.player_variables("discriminator")]
        generator = [v.value for v in self.player_variables("generator")]
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(discriminator + generator)
            fake_logits = critic(self._generate(latents, given, training))
            real_logits = critic(x)
            discriminator_loss = tf.reduce_mean(self.discriminator_loss(real_logits, fake_logits))
            generator_loss = tf.reduce_mean(self.generator_loss(fake_logits))
        field = tape.gradient(discriminator_loss, discriminator)
        field += tape.gradient(generator_loss, generator)
        squares = tf.add_n([tf.reduce_sum(tf.square(part)) for part in field if part is not None])
        return 0.5 * squares

    def _unrolled_logits(self, x, fake, given=()):
        """The fake images' logits by a discriminator that is `unrolled_steps` steps ahead."""
        state = [tf.convert_to_tensor(v) for v in self.discriminator.non_trainable_variables]

        def logits(weights, images):
            batch = inputs(images, given)
            return self.discriminator.stateless_call(weights, state, batch, training=True)[0]

        def gradients_at(weights):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(weights)
                loss = self.discriminator_loss(logits(weights, x), logits(weights, fake))
                if self.penalty is not None:
                    critic = functools.partial(logits, weights)
                    loss += self.penalty_weight * self._penalty(critic, x, fake, training=True)
                loss = tf.reduce_mean(loss)
            return tape.gradient(loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)

        optimizer, variables = self.discriminator_optimizer, self.player_variables("discriminator")
        return logits(look_ahead(optimizer, variables, gradients_at, self.unrolled_steps), fake)
