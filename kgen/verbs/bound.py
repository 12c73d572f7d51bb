"""The bounds on log p(x) of models with latent variables, and their objective."""

import keras
import tensorflow as tf

from kgen import checks, heads, specs
from kgen.losses import variational as losses
from kgen.quantities import Quantity
from kgen.seeds import as_seed, sample_rows
from kgen.training.hyperparameters import Hyperparameter
from kgen.verbs.conditioning import inputs
from kgen.verbs.scoring import Scoring


class EvidenceBound(Scoring):
    """Promise: `elbo`, `importance_weighted_bound`: bounds on log p(x), in nats per example.

    For models of `p(x) = E_{p(z)} p(x|z)` with an encoder for q(z|x).

    Such a model has an `encoder` from examples to the posterior's parameters, `posterior`, `prior`
    and `latent_dim`, and defines

        _log_likelihood(images, latents, *given, training=False)
            log p(x|z): float32 `(batch,)`, nats, from as many images as latents

    With a `condition` y the encoder takes `[x, *y]`: log p(x|y) = log E_{p(z)} p(x|z, y).
    """

    terms = ("loss", "elbo", "reconstruction", "kl")
    score_samples = 16
    score_meaning = Quantity("a lower bound on the log-likelihood of an example", unit="nats")
    beta = Hyperparameter(checks.at_least, 0.0, default=1.0)
    free_bits = Hyperparameter(checks.at_least, 0.0, default=0.0)
    kl_warmup_epochs, num_importance_samples = 0, 1

    def _set_bound(
        self, posterior, prior, *, beta, free_bits, kl_warmup_epochs, num_importance_samples
    ):
        """Check and keep what the bound is made of, and what follows from it."""
        self.posterior = checks.head("posterior", posterior, heads.DiagonalNormal())
        self.beta = beta
        self.free_bits = free_bits
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
        checks.conditioned("encoder", self.encoder, self.condition_inputs)
        self.image_shape = checks.example_shape("encoder", self.encoder)
        self.data_spec = self._with_condition(self._example_spec())
        self.latent_dim = self.posterior.event_size(self.encoder.output_shape[-1])
        self.prior = checks.prior(
            prior or self.posterior.default_prior(self.latent_dim),
            self.latent_dim,
            self.image_shape,
        )
        if self.condition is not None and isinstance(self.prior, heads.VampPrior):
            raise ValueError(
                "A VampPrior's pseudo-inputs have no condition: use another prior, such as "
                "kgen.heads.MixtureOfNormalsPrior, with condition=."
            )
        if kl_warmup_epochs:
            # Only `fit` knows epochs and lowers it: `train_on_batch` trains with beta.
            full = keras.initializers.Constant(beta)
            self.kl_weight = self.add_weight(name="kl_weight", initializer=full, trainable=False)

    def _encoded(self, x, given, training=False):
        """The posterior's parameters."""
        return self.encoder(inputs(self.likelihood.filled(x), given), training=training)

    def _example_spec(self):
        return self.likelihood.spec(self.image_shape)

    # Objective.

    def objective(self, x, y=None, training=False):
        """The terms `loss`, `elbo`, `reconstruction`, `kl`, each float32 `(batch,)` in nats."""
        seed, given = self.noise_seed(training), self._given_y(y)
        if self.num_importance_samples > 1:
            return self._importance_weighted_objective(x, given, seed, training)
        posterior = self.posterior(self._encoded(x, given, training))
        latents = posterior.sample(seed=seed)
        reconstruction = -self._log_likelihood(x, latents, *given, training=training)
        kl_by_dim = losses.kl_by_dim(posterior, self.prior_distribution(), latents)
        kl = tf.reduce_sum(kl_by_dim, axis=-1)
        # Without free bits an estimate of the KL may be negative.
        bound = tf.where(self.free_bits > 0.0, tf.maximum(kl_by_dim, self.free_bits), kl_by_dim)
        bounded = tf.reduce_sum(bound, axis=-1)
        loss = reconstruction + self._current_beta(training) * bounded
        return dict(loss=loss, elbo=-reconstruction - kl, reconstruction=reconstruction, kl=kl)

    def _importance_weighted_objective(self, x, given, seed, training):
        num_samples = self.num_importance_samples
        log_likelihood, log_ratio = self._log_weights(x, given, num_samples, seed, training)
        reconstruction = -tf.reduce_mean(log_likelihood, axis=0)
        kl = -tf.reduce_mean(log_ratio, axis=0)
        loss = -losses.log_mean_exp(log_likelihood + log_ratio)
        return dict(loss=loss, elbo=-reconstruction - kl, reconstruction=reconstruction, kl=kl)

    def _log_weights(self, x, given, num_samples, seed, training=False):
        """log p(x|z) and log p(z) - log q(z|x) of samples of q, each `(num_samples, batch)`."""
        posterior = self.posterior(self._encoded(x, given, training))
        latents = posterior.sample(num_samples, seed=seed)
        flat = tf.reshape(latents, (-1, self.latent_dim))
        repeated, *given = (
            tf.reshape(tf.repeat(rows[None], num_samples, axis=0), (-1, *rows.shape[1:]))
            for rows in (x, *given)
        )
        log_likelihood = self._log_likelihood(repeated, flat, *given, training=training)
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

    def hyperparameter_changes(self, name, before, now):
        """A new beta counts at once, also while its warm-up is under way."""
        if name in ("beta", "free_bits") and self.num_importance_samples > 1:
            raise ValueError(
                f"The importance-weighted bound has no separate KL, which {name} could weigh: it "
                f"stays {before} with num_importance_samples={self.num_importance_samples}."
            )
        if name == "beta" and self.kl_warmup_epochs:
            self.kl_weight.assign(self.kl_weight * (now / before) if before else now)

    def prior_distribution(self):
        """p(z), a distribution of event shape `(latent_dim,)`."""
        return self.prior.distribution(
            lambda images: self.posterior(self.encoder(images, training=False))
        )

    # Verbs.

    def elbo(self, x, *, condition=None, seed=None):
        """One-sample estimate of the evidence lower bound: float32 `(batch,)`, nats."""
        return self.importance_weighted_bound(x, condition=condition, num_samples=1, seed=seed)

    def importance_weighted_bound(self, x, *, condition=None, num_samples=50, seed=None):
        """L_K = log 1/K sum_k p(x, z_k) / q(z_k|x) <= log p(x), in expectation.

        Args:
            x: float32 images `(batch, height, width, channels)` in [0, 1].
            condition: one row per image where the model has a condition, else None.
            num_samples: int >= 1, K. Memory grows with `batch * num_samples`: for many, see
                `kgen.evaluation.likelihood`.
            seed: int, or None for a fresh one.

        Returns:
            float32 `(batch,)`, nats.

        Reference: Burda et al. 2016, "Importance Weighted Autoencoders", eq. 8.
        """
        checks.positive_integer("num_samples", num_samples)
        if tf.executing_eagerly():
            specs.x_and_y(self.data_spec)[0].check(x)
        x = tf.convert_to_tensor(x, tf.float32)
        given = self._given(condition, x)
        log_likelihood, log_ratio = self._log_weights(x, given, num_samples, as_seed(seed))
        return losses.log_mean_exp(log_likelihood + log_ratio)

    def _score(self, x, *rows):
        """`importance_weighted_bound` of `score_samples` samples, all rows with the same noise."""
        x, given = self.checked_examples(x), self._given_rows(rows)
        params = self._encoded(x, given)
        seed = as_seed(0)

        def of_row(params):
            posterior = self.posterior(params[None])
            latents = posterior.sample(self.score_samples, seed=seed)
            return latents[:, 0], posterior.log_prob(latents)[:, 0]

        form = tf.TensorSpec((self.score_samples, self.latent_dim), tf.float32)
        log_q = tf.TensorSpec((self.score_samples,), tf.float32)
        latents, log_q = tf.map_fn(of_row, params, fn_output_signature=(form, log_q))
        repeated, *given = (tf.repeat(part, self.score_samples, axis=0) for part in (x, *given))
        flat = tf.reshape(latents, (-1, self.latent_dim))
        log_likelihood = self._log_likelihood(repeated, flat, *given, training=False)
        log_ratio = self.prior_distribution().log_prob(latents) - log_q
        log_weights = tf.reshape(log_likelihood, tf.shape(log_ratio)) + log_ratio
        return losses.log_mean_exp(tf.transpose(log_weights))

    def encode(self, images, *, condition=None):
        """The posterior's mean (its median where the mean is not known): `(batch, latent_dim)`."""
        images = self.checked_examples(images)
        posterior = self.posterior(self._encoded(images, self._given(condition, images)))
        return heads.location(posterior)

    def sample_latents(self, seeds):
        """One latent of p(z) per row of `seeds`, int32 `(num_samples, 2)`."""
        return sample_rows(self.prior_distribution(), seeds)
