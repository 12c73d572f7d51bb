"""The adversarial autoencoder: a discriminator shapes the codes' distribution."""

import keras
import tensorflow as tf

from kgen import checks, heads
from kgen.losses.adversarial import (
    non_saturating_discriminator_loss,
    non_saturating_generator_loss,
)
from kgen.networks import (
    convolutional_decoder,
    convolutional_encoder,
    dense_decoder,
    dense_discriminator,
    dense_encoder,
    make_conditioned,
    standardized,
)
from kgen.quantities import QUANTITIES
from kgen.seeds import sample_rows
from kgen.training import AdversarialModel
from kgen.training.hyperparameters import Hyperparameter
from kgen.verbs import Interpolation, Reconstruction, Sampling, Scoring
from kgen.verbs.conditioning import inputs


@keras.saving.register_keras_serializable(package="kgen")
class AdversarialAutoencoder(Sampling, Reconstruction, Interpolation, Scoring, AdversarialModel):
    """Adversarial autoencoder with a deterministic encoder.

        discriminator:   -log D(z) - log(1 - D(encoder(x))),   z ~ p(z)
        autoencoder:     -log p(x | encoder(x)) + adversarial_weight * (-log D(encoder(x)))

    Args:
        encoder: keras.Model from images `(batch, height, width, channels)` to codes
            `(batch, latent_dim)`.
        decoder: keras.Model from codes to the likelihood's parameters.
        discriminator: keras.Model from codes to logits `(batch, 1)`.
        likelihood: head that makes p(x|z); `kgen.heads.Bernoulli()` by default.
        prior: p(z), without trainable weights; `kgen.heads.StandardNormal(latent_dim)` by default.
        adversarial_weight: float >= 0, in nats.
        condition: spec of what the decoder takes behind the codes, `kgen.specs.Labels`,
            `kgen.specs.Attributes` or a tuple of them; None for nothing. The codes then keep what
            the condition does not say (section 5, figure 6).
        **kwargs: `discriminator_steps`, `seed`, `name`, `dtype`.

    Raises:
        ValueError: if the networks and heads do not fit.

    The autoencoder takes one step on the sum of its two losses, where the paper takes two steps in
    turn: one forward pass instead of two, and one optimizer.

    Reference: Makhzani et al. 2015, "Adversarial Autoencoders", section 2.
    """

    adversarial_weight = Hyperparameter(checks.at_least, 0.0)

    terms = ("reconstruction", "adversarial")
    score_meaning = QUANTITIES["reconstruction"]

    def __init__(
        self,
        encoder,
        decoder,
        discriminator,
        *,
        likelihood=None,
        prior=None,
        adversarial_weight=1.0,
        condition=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._set_condition(condition)
        self.encoder = checks.vector_network("encoder", encoder)
        self.decoder = checks.network("decoder", decoder)
        self.discriminator = checks.network("discriminator", discriminator)
        self.likelihood = checks.head("likelihood", likelihood, heads.Bernoulli())
        self.image_shape = checks.example_shape("encoder", encoder)
        self.data_spec = self._with_condition(self.likelihood.spec(self.image_shape))
        self.latent_dim = encoder.output_shape[-1]
        self.prior = checks.prior(
            prior or heads.StandardNormal(self.latent_dim), self.latent_dim, self.image_shape
        )
        if self.prior.trainable_variables or isinstance(prior, heads.VampPrior):
            raise ValueError(
                "An adversarial autoencoder neither trains its prior nor has posteriors to make it "
                "of: use one without trainable weights, or trainable=False. Received "
                f"{type(self.prior).__name__}."
            )
        self.adversarial_weight = adversarial_weight
        checks.conditioned("decoder", decoder, self.condition_inputs)
        checks.decoder(decoder, self.latent_dim, self.image_shape, self.likelihood)
        checks.output_shape("discriminator", discriminator, (1,), "it gives one logit")
        checks.warn_of_bounded_logits("discriminator", discriminator)

    @property
    def sample_spec(self):
        """The spec of what `sample` gives: means of images, else draws."""
        spec = super().sample_spec
        return spec.of_means() if self._is_pixels() else spec

    @classmethod
    def for_images(
        cls,
        image_shape,
        *,
        latent_dim=8,
        encoder=convolutional_encoder,
        decoder=convolutional_decoder,
        discriminator=dense_discriminator,
        likelihood=None,
        condition=None,
        embedding_dim=16,
        **kwargs,
    ):
        """An adversarial autoencoder with networks made for an image shape.

        Args:
            image_shape: `(height, width, channels)`, any of each.
            latent_dim: int >= 1.
            encoder: function `(image_shape, output_dim) -> keras.Model` from `kgen.networks`.
            decoder: function `(latent_dim, output_shape) -> keras.Model` from `kgen.networks`.
            discriminator: function `(latent_dim) -> keras.Model` to logits `(batch, 1)`.
            likelihood: as for the class.
            condition: as for the class.
            embedding_dim: int >= 1, size of the decoder's embedding of the condition.
            **kwargs: the class's other arguments.
        """
        checks.network_functions(encoder=encoder, decoder=decoder, discriminator=discriminator)
        likelihood = checks.head("likelihood", likelihood, heads.Bernoulli())
        image_shape = checks.image_shape(image_shape)
        latent_dim = checks.positive_integer("latent_dim", latent_dim)
        params_shape = (*image_shape[:-1], likelihood.params_size(image_shape))
        how = dict(condition=condition, embedding_dim=embedding_dim)
        return cls(
            encoder(image_shape, latent_dim),
            make_conditioned(decoder, latent_dim, params_shape, **how),
            discriminator(latent_dim),
            likelihood=likelihood,
            condition=condition,
            **kwargs,
        )

    @classmethod
    def for_vectors(
        cls,
        dim,
        *,
        latent_dim=8,
        encoder=dense_encoder,
        decoder=dense_decoder,
        discriminator=dense_discriminator,
        likelihood=None,
        condition=None,
        embedding_dim=16,
        **kwargs,
    ):
        """An adversarial autoencoder of vectors `(dim,)` of any range, or of the rows of a table.

        Encoder and likelihood standardize, and samples are drawn from p(x|z): see
        `kgen.VAE.for_vectors`.

        Args:
            dim: int >= 1.
            likelihood: head of vectors; `kgen.heads.Normal()` by default.
            latent_dim, encoder, decoder, discriminator, condition, embedding_dim: as for
                `for_images`.
            **kwargs: the class's other arguments.
        """
        likelihood = heads.on_any_scale(likelihood, dim)
        latent_dim = checks.positive_integer("latent_dim", latent_dim)
        how = dict(condition=condition, embedding_dim=embedding_dim)
        return cls(
            standardized(encoder, dim, latent_dim, front=likelihood.input_layers()),
            make_conditioned(decoder, latent_dim, (likelihood.params_size((dim,)),), **how),
            discriminator(latent_dim),
            likelihood=likelihood,
            condition=condition,
            **kwargs,
        )

    @property
    def generator_variables(self):
        """The encoder's and the decoder's weights."""
        return self.encoder.trainable_variables + self.decoder.trainable_variables

    def discriminator_objective(self, x, y=None, training=False):
        """The discriminator's `loss`, float32 `(batch,)`."""
        codes = self.encoder(self.likelihood.filled(x), training=training)
        prior = self.prior.distribution()
        latents = prior.sample(tf.shape(codes)[0], seed=self.noise_seed(training))
        real_logits = self.discriminator(latents, training=training)
        fake_logits = self.discriminator(codes, training=training)
        return dict(loss=non_saturating_discriminator_loss(real_logits, fake_logits))

    def generator_objective(self, x, y=None, training=False):
        """The autoencoder's `loss`, `reconstruction` and `adversarial`, float32 `(batch,)`."""
        codes = self.encoder(self.likelihood.filled(x), training=training)
        params = self.decoder(inputs(codes, self._given_y(y)), training=training)
        likelihood = self.likelihood(params)
        reconstruction = -likelihood.log_prob(x)
        adversarial = non_saturating_generator_loss(self.discriminator(codes, training=training))
        loss = reconstruction + self.adversarial_weight * adversarial
        return dict(loss=loss, reconstruction=reconstruction, adversarial=adversarial)

    def _score(self, x, *rows):
        codes = inputs(self.encode(x), self._given_rows(rows))
        return self.likelihood(self.decoder(codes, training=False)).log_prob(x)

    def encode(self, images, *, condition=None):
        """The codes: float32 `(batch, latent_dim)`; the condition does not reach them."""
        images = self.likelihood.filled(self.checked_examples(images))
        return tf.cast(self.encoder(images, training=False), tf.float32)

    def decode(self, latents, *, condition=None):
        """The likelihood's mean, of codes of a table the likeliest: float32 `(batch, *shape)`,
        images in [0, 1]."""
        latents = tf.convert_to_tensor(latents)
        batch = inputs(latents, self._given(condition, latents))
        return self._typical(self.likelihood(self.decoder(batch, training=False)))

    def _sample_rows(self, seeds, *given):
        params = self.decoder(inputs(self.sample_latents(seeds), given), training=False)
        return self._drawn(params, seeds)

    def sample_latents(self, seeds):
        """One latent of p(z) per row of `seeds`, int32 `(num_samples, 2)`."""
        return sample_rows(self.prior.distribution(), seeds)
