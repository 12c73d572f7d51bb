"""The variational autoencoder, with its beta, free-bits and importance-weighted forms."""

import keras
import tensorflow as tf

from kgen import checks, heads
from kgen.networks import (
    convolutional_decoder,
    convolutional_encoder,
    dense_decoder,
    dense_encoder,
    make_conditioned,
    standardized,
)
from kgen.training import ObjectiveModel
from kgen.verbs import EvidenceBound, Interpolation, Reconstruction, Sampling
from kgen.verbs.conditioning import inputs


@keras.saving.register_keras_serializable(package="kgen")
class VAE(EvidenceBound, Sampling, Reconstruction, Interpolation, ObjectiveModel):
    """Variational autoencoder (Kingma & Welling 2014).

        -log p(x) <= E_{q(z|x)}[-log p(x|z)] + KL(q(z|x) || p(z))        the negative ELBO
        loss      =  reconstruction + beta * sum_j max(KL_j, free_bits)

    With `num_importance_samples=K > 1` the loss is the negative importance-weighted bound
    `-log 1/K sum_k p(x, z_k) / q(z_k|x)` (Burda et al. 2016, eq. 8). All terms are in nats per
    image. The KL is in closed form where TFP has one and a one-sample estimate where it has none.
    What does not depend on the decoder's form is in `EvidenceBound`: `objective`, `elbo`,
    `importance_weighted_bound`, `encode`.

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
        free_bits: float >= 0, nats per latent dimension below which the KL costs a constant; nats
            in all where the posterior or the prior is no product over dimensions.
        kl_warmup_epochs: int >= 0; the weight of the KL grows linearly from 0 to `beta` over them.
            `fit` counts them from its `initial_epoch`.
        num_importance_samples: int >= 1, K above.
        condition: spec of what encoder and decoder take behind their input, `kgen.specs.Labels`,
            `kgen.specs.Attributes` or a tuple of them; None for nothing. This is the conditional
            VAE (Sohn et al. 2015, eq. 4) with p(z) independent of the condition, a bound on
            log p(x|y).
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: if the networks and heads do not fit, or for an argument out of range.

    The free bits bound the KL of each image and dimension. Kingma et al. 2016, eq. 15, bound its
    mean over the batch, which replicas that see parts of a batch could not compute alike.

    Reference: Kingma & Welling 2014, "Auto-Encoding Variational Bayes", eq. 3 and 8.
    """

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
        condition=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._set_condition(condition)
        self.encoder = checks.vector_network("encoder", encoder)
        self.decoder = checks.network("decoder", decoder)
        self.likelihood = checks.head("likelihood", likelihood, heads.Bernoulli())
        self._set_bound(
            posterior,
            prior,
            beta=beta,
            free_bits=free_bits,
            kl_warmup_epochs=kl_warmup_epochs,
            num_importance_samples=num_importance_samples,
        )
        checks.conditioned("decoder", decoder, self.condition_inputs)
        checks.decoder(decoder, self.latent_dim, self.image_shape, self.likelihood)

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
        latent_dim=16,
        encoder=convolutional_encoder,
        decoder=convolutional_decoder,
        posterior=None,
        likelihood=None,
        condition=None,
        embedding_dim=16,
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
            condition: as for the class. Encoder and decoder see an embedding of it beside their
                input; see `kgen.networks.conditioned`.
            embedding_dim: int >= 1, size of these embeddings.
            **kwargs: the class's other arguments.
        """
        checks.network_functions(encoder=encoder, decoder=decoder)
        posterior, likelihood = (
            checks.head("posterior", posterior, heads.DiagonalNormal()),
            checks.head("likelihood", likelihood, heads.Bernoulli()),
        )
        image_shape = checks.image_shape(image_shape)
        latent_dim = checks.positive_integer("latent_dim", latent_dim)
        params_shape = (*image_shape[:-1], likelihood.params_size(image_shape))
        params_size = posterior.params_size((latent_dim,))
        how = dict(condition=condition, embedding_dim=embedding_dim)
        return cls(
            make_conditioned(encoder, image_shape, params_size, **how),
            make_conditioned(decoder, latent_dim, params_shape, **how),
            posterior=posterior,
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
        posterior=None,
        likelihood=None,
        condition=None,
        embedding_dim=16,
        **kwargs,
    ):
        """A VAE of vectors `(dim,)` of any range, or of the rows of a table.

        The encoder and the likelihood standardize: see `kgen.heads.Standardized`. Samples are drawn
        from p(x|z), where images are its mean.

            kgen.VAE.for_vectors(30)
            kgen.VAE.for_vectors(3, likelihood=kgen.heads.Columns([("age", kgen.heads.Normal()),
                ("sex", kgen.heads.Categorical(2)), ("smokes", kgen.heads.Bernoulli())]))

        Args:
            dim: int >= 1.
            latent_dim: int >= 1.
            encoder: function `(shape, output_dim) -> keras.Model` from `kgen.networks`.
            decoder: function `(latent_dim, output_shape) -> keras.Model` from `kgen.networks`.
            posterior: as for the class.
            likelihood: head of vectors, `kgen.heads.Normal()` by default; `StudentT()`,
                `Bernoulli()` for [0, 1], or `Columns` for a table.
            condition: as for the class.
            embedding_dim: as for `for_images`.
            **kwargs: the class's other arguments.
        """
        posterior = posterior or heads.DiagonalNormal()
        likelihood = heads.on_any_scale(likelihood, dim)
        latent_dim = checks.positive_integer("latent_dim", latent_dim)
        how = dict(condition=condition, embedding_dim=embedding_dim)
        params_size = posterior.params_size((latent_dim,))
        front = likelihood.input_layers()
        return cls(
            standardized(encoder, dim, params_size, front=front, **how),
            make_conditioned(decoder, latent_dim, (likelihood.params_size((dim,)),), **how),
            posterior=posterior,
            likelihood=likelihood,
            condition=condition,
            **kwargs,
        )

    def _log_likelihood(self, images, latents, *given, training=False):
        params = self.decoder(inputs(latents, given), training=training)
        return self.likelihood(params).log_prob(images)

    def _sample_rows(self, seeds, *given):
        params = self.decoder(inputs(self.sample_latents(seeds), given), training=False)
        return self._drawn(params, seeds)

    def decode(self, latents, *, condition=None):
        """The likelihood's mean, of codes of a table the likeliest: float32 `(batch, *shape)`,
        images in [0, 1]."""
        latents = tf.convert_to_tensor(latents)
        batch = inputs(latents, self._given(condition, latents))
        return self._typical(self.likelihood(self.decoder(batch, training=False)))
