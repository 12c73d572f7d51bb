"""The variational autoencoder, with its beta, free-bits and importance-weighted forms."""

import keras
import tensorflow as tf

from kgen import checks, heads
from kgen.autoencoding import losses
from kgen.autoencoding.latent import LatentSampling, mean_image
from kgen.heads.sampling import as_seed
from kgen.networks import convolutional_decoder, convolutional_encoder
from kgen.training import ObjectiveModel


@keras.saving.register_keras_serializable(package="kgen")
class VAE(LatentSampling, ObjectiveModel):
    """Variational autoencoder (Kingma & Welling 2014).

        -log p(x) <= E_{q(z|x)}[-log p(x|z)] + KL(q(z|x) || p(z))        the negative ELBO
        loss      =  reconstruction + beta * sum_j max(KL_j, free_bits)

    With `num_importance_samples=K > 1` the loss is the negative importance-weighted bound
    `-log 1/K sum_k p(x, z_k) / q(z_k|x)` (Burda et al. 2016, eq. 8). All terms are in nats an
    image. The KL is in closed form where TFP has one and a one-sample estimate where it has none.

    Args:
        encoder: keras.Model from images `(batch, height, width, channels)` to the posterior's
            parameters `(batch, posterior.params_size((latent_dim,)))`.
        decoder: keras.Model from latents `(batch, latent_dim)` to the likelihood's parameters
            `(batch, height, width, likelihood.params_size(image_shape))`.
        posterior: head that makes q(z|x); `kgen.heads.DiagonalNormal()` by default.
        likelihood: head that makes p(x|z); `kgen.heads.Bernoulli()` by default.
        prior: p(z); by default `posterior.default_prior(latent_dim)`, a standard normal for
            posteriors over all of R^latent_dim.
        beta: float >= 0, weight of the KL (Higgins et al. 2017, eq. 4).
        free_bits: float >= 0, nats a latent dimension below which the KL costs a constant; nats in
            all where the posterior or the prior is no product over dimensions.
        kl_warmup_epochs: int >= 0; the weight of the KL grows linearly from 0 to `beta` over them.
            `fit` counts them from its `initial_epoch`.
        num_importance_samples: int >= 1, K above.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: if the networks and heads do not fit, or for an argument out of range.

    The free bits bound the KL of each image and dimension. Kingma et al. 2016, eq. 15, bound its
    mean over the batch, which replicas that see parts of a batch could not compute alike.

    Reference: Kingma & Welling 2014, "Auto-Encoding Variational Bayes", eq. 3 and 8.
    """

    terms = ("loss", "elbo", "reconstruction", "kl")

    def __init__(
        self,
        encoder,
        decoder,
        *,
        posterior=None,
        likelihood=None,
        prior=None,
        beta=1.0,
        free_bits=0.0,
        kl_warmup_epochs=0,
        num_importance_samples=1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.encoder = checks.vector_network("encoder", encoder)
        self.decoder = checks.network("decoder", decoder)
        self.posterior = posterior or heads.DiagonalNormal()
        self.likelihood = likelihood or heads.Bernoulli()
        self.beta = checks.at_least("beta", beta, 0.0)
        self.free_bits = checks.at_least("free_bits", free_bits, 0.0)
        self.kl_warmup_epochs = checks.at_least("kl_warmup_epochs", kl_warmup_epochs, 0)
        self.num_importance_samples = checks.positive_integer(
            "num_importance_samples", num_importance_samples
        )
        if num_importance_samples > 1 and (beta != 1.0 or free_bits or kl_warmup_epochs):
            raise ValueError(
                "The importance-weighted bound has no separate KL: num_importance_samples > 1 "
                f"needs beta=1, free_bits=0, kl_warmup_epochs=0. Received beta={beta}, "
                f"free_bits={free_bits}, kl_warmup_epochs={kl_warmup_epochs}."
            )
        self.image_shape = checks.image_shape(encoder.input_shape[1:])
        self.latent_dim = self.posterior.event_size(encoder.output_shape[-1])
        self.prior = checks.prior(
            prior or self.posterior.default_prior(self.latent_dim),
            self.latent_dim,
            self.image_shape,
        )
        checks.decoder(decoder, self.latent_dim, self.image_shape, self.likelihood)
        if kl_warmup_epochs:
            # Only `fit` knows epochs and lowers it: `train_on_batch` trains with beta.
            full = keras.initializers.Constant(beta)
            self.kl_weight = self.add_weight(name="kl_weight", initializer=full, trainable=False)
        self.build()

    @classmethod
    def for_images(
        cls,
        image_shape,
        latent_dim=16,
        *,
        encoder=convolutional_encoder,
        decoder=convolutional_decoder,
        posterior=None,
        likelihood=None,
        **kwargs,
    ):
        """A VAE with networks made for an image shape.

        Args:
            image_shape: `(height, width, channels)`, any of each.
            latent_dim: int >= 1.
            encoder: function `(image_shape, output_dim) -> keras.Model` from `kgen.networks`.
            decoder: function `(latent_dim, output_shape) -> keras.Model` from `kgen.networks`.
            posterior: as for the class.
            likelihood: as for the class.
            **kwargs: the class's other arguments.
        """
        posterior, likelihood = posterior or heads.DiagonalNormal(), likelihood or heads.Bernoulli()
        image_shape = checks.image_shape(image_shape)
        latent_dim = checks.positive_integer("latent_dim", latent_dim)
        params_shape = (*image_shape[:-1], likelihood.params_size(image_shape))
        return cls(
            encoder(image_shape, posterior.params_size((latent_dim,))),
            decoder(latent_dim, params_shape),
            posterior=posterior,
            likelihood=likelihood,
            **kwargs,
        )

    # Objective.

    def objective(self, x, y=None, training=False):
        """The terms `loss`, `elbo`, `reconstruction`, `kl`, each float32 `(batch,)` in nats."""
        seed = self.noise_seed(training)
        if self.num_importance_samples > 1:
            return self._importance_weighted_objective(x, seed, training)
        posterior = self.posterior(self.encoder(x, training=training))
        latents = posterior.sample(seed=seed)
        likelihood = self.likelihood(self.decoder(latents, training=training))
        reconstruction = -likelihood.log_prob(x)
        kl_by_dim = losses.kl_by_dim(posterior, self.prior_distribution(), latents)
        kl = tf.reduce_sum(kl_by_dim, axis=-1)
        bounded = kl
        if self.free_bits:
            bounded = tf.reduce_sum(tf.maximum(kl_by_dim, self.free_bits), axis=-1)
        loss = reconstruction + self._current_beta(training) * bounded
        return dict(loss=loss, elbo=-reconstruction - kl, reconstruction=reconstruction, kl=kl)

    def _importance_weighted_objective(self, x, seed, training):
        parts = self._log_weights(x, self.num_importance_samples, seed, training)
        log_likelihood, log_ratio = parts
        reconstruction = -tf.reduce_mean(log_likelihood, axis=0)
        kl = -tf.reduce_mean(log_ratio, axis=0)
        loss = -losses.log_mean_exp(log_likelihood + log_ratio)
        return dict(loss=loss, elbo=-reconstruction - kl, reconstruction=reconstruction, kl=kl)

    def _log_weights(self, x, num_samples, seed, training=False):
        """log p(x|z) and log p(z) - log q(z|x) of samples of q, each `(num_samples, batch)`."""
        posterior = self.posterior(self.encoder(x, training=training))
        latents = posterior.sample(num_samples, seed=seed)
        flat = tf.reshape(latents, (-1, self.latent_dim))
        likelihood = self.likelihood(self.decoder(flat, training=training))
        repeated = tf.repeat(x[None], num_samples, axis=0)
        log_likelihood = likelihood.log_prob(tf.reshape(repeated, (-1, *self.image_shape)))
        log_ratio = self.prior_distribution().log_prob(latents) - posterior.log_prob(latents)
        return tf.reshape(log_likelihood, tf.shape(log_ratio)), log_ratio

    def _current_beta(self, training):
        if training and self.kl_warmup_epochs:
            return self.kl_weight
        return self.beta

    def before_epoch(self, epoch):
        """Set the KL's weight for the epoch: `beta * min(1, epoch / kl_warmup_epochs)`."""
        if self.kl_warmup_epochs:
            self.kl_weight.assign(self.beta * min(1.0, epoch / self.kl_warmup_epochs))

    def prior_distribution(self):
        """p(z), a distribution of event shape `(latent_dim,)`."""
        return self.prior.distribution(
            lambda images: self.posterior(self.encoder(images, training=False))
        )

    # Verbs.

    def elbo(self, x, seed=None):
        """One-sample estimate of the evidence lower bound: float32 `(batch,)`, nats."""
        return self.importance_weighted_bound(x, num_samples=1, seed=seed)

    def importance_weighted_bound(self, x, num_samples=50, seed=None):
        """L_K = log 1/K sum_k p(x, z_k) / q(z_k|x) <= log p(x), in expectation.

        Args:
            x: float32 images `(batch, height, width, channels)` in [0, 1].
            num_samples: int >= 1, K. Memory grows with `batch * num_samples`: for many, see
                `kgen.evaluation.likelihood`.
            seed: int, or None for a fresh one.

        Returns:
            float32 `(batch,)`, nats.

        Reference: Burda et al. 2016, "Importance Weighted Autoencoders", eq. 8.
        """
        checks.positive_integer("num_samples", num_samples)
        if tf.executing_eagerly():
            checks.images(x, self.image_shape)
        x = tf.convert_to_tensor(x, tf.float32)
        log_likelihood, log_ratio = self._log_weights(x, num_samples, as_seed(seed))
        return losses.log_mean_exp(log_likelihood + log_ratio)

    def encode(self, images):
        """The posterior's mean (its median where the mean is not known): `(batch, latent_dim)`."""
        posterior = self.posterior(self.encoder(images, training=False))
        return heads.location(posterior)

    def decode(self, latents):
        """The likelihood's mean: float32 images `(batch, height, width, channels)` in [0, 1]."""
        return mean_image(self.likelihood(self.decoder(latents, training=False)))

    def sample_latents(self, seeds):
        """One latent of p(z) a row of `seeds`, int32 `(num_samples, 2)`."""
        return heads.sample_rows(self.prior_distribution(), seeds)
