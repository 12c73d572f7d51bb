"""The vector-quantized variational autoencoder."""

import keras
import tensorflow as tf

from kgen import checks, heads, specs
from kgen.autoencoding.parts.code_prior import CodePrior
from kgen.layers import VectorQuantizer
from kgen.losses import variational as losses
from kgen.networks import (
    convolutional_feature_decoder,
    convolutional_feature_encoder,
    dense_decoder,
    dense_encoder,
    reshaped,
    standardized,
)
from kgen.quantities import QUANTITIES, Quantity
from kgen.training import ObjectiveModel
from kgen.training.hyperparameters import Hyperparameter
from kgen.verbs import Decoding, Reconstruction, Scoring


@keras.saving.register_keras_serializable(package="kgen")
class VQVAE(CodePrior, Reconstruction, Decoding, Scoring, ObjectiveModel):
    """Vector-quantized VAE with a codebook that follows by moving averages.

        loss = -log p(x | z_q) + beta mean_positions ||z_e(x) - sg[e]||^2

    The KL to a uniform prior is the constant `H W log K`. `perplexity` is exp of the entropy of the
    codes' use in the batch, from 1 to K.

    A second stage makes it a model to draw from: a prior learns the codes of the trained model,
    which is left as it is.

        vqvae = kgen.VQVAE.for_images((28, 28, 1))
        vqvae.compile()
        vqvae.fit(images, epochs=20)
        vqvae.fit_prior(images, prior=kgen.GatedPixelCNN.for_codes, epochs=50)
        vqvae.sample(16, seed=0)

    Args:
        encoder: keras.Model from images `(batch, height, width, channels)` to vectors `(batch,
            rows, columns, code_dim)`.
        decoder: keras.Model from there to the likelihood's parameters `(batch, height, width,
            likelihood.params_size(image_shape))`.
        quantizer: `kgen.layers.VectorQuantizer(num_codes, code_dim)`.
        likelihood: head that makes p(x|z); `kgen.heads.Normal(scale=0.1)` by default.
        beta: float >= 0, weight of the commitment term. The likelihood is a sum over all pixels, in
            nats: the larger the image, the larger beta has to be for the encoder to stay at its
            codes. 0.25 is the paper's, for a mean of squares; 50 to 300 did better on small images.
        prior: kgen model of the code maps, or a function `(code_shape, num_codes) -> model` that
            makes it, such as `kgen.GatedPixelCNN.for_codes`; None for a model without `sample`,
            until `fit_prior` gets one.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: if the networks, the quantizer, the likelihood and the prior do not fit.

    Reference: van den Oord et al. 2017, "Neural Discrete Representation Learning", eq. 3 and
    section 3.3, with the codebook's update of appendix A.1.
    """

    beta = Hyperparameter(checks.at_least, 0.0)

    terms = ("loss", "reconstruction", "commitment", "perplexity")
    latent_name = "codes"
    score_meaning = QUANTITIES["reconstruction"]

    def __init__(
        self, encoder, decoder, quantizer, *, likelihood=None, beta=0.25, prior=None, **kwargs
    ):
        super().__init__(**kwargs)
        self.encoder = checks.network("encoder", encoder)
        self.decoder = checks.network("decoder", decoder)
        self.quantizer = quantizer
        self.likelihood = checks.head("likelihood", likelihood, heads.Normal(scale=0.1))
        self.beta = beta
        self.image_shape = checks.example_shape("encoder", encoder)
        self.data_spec = self.likelihood.spec(self.image_shape)
        self.code_shape = tuple(encoder.output_shape[1:-1])
        code_dim = (*self.code_shape, quantizer.code_dim)
        checks.output_shape("encoder", encoder, code_dim, "the quantizer's code_dim comes last")
        checks.likelihood_network("decoder", decoder, self.image_shape, self.likelihood)
        self._set_prior(prior)

    @classmethod
    def for_images(
        cls,
        image_shape,
        *,
        num_codes=128,
        code_dim=16,
        encoder=convolutional_feature_encoder,
        decoder=convolutional_feature_decoder,
        likelihood=None,
        **kwargs,
    ):
        """A VQ-VAE with networks made for an image shape.

        Args:
            image_shape: `(height, width, channels)`.
            num_codes: int, K.
            code_dim: int, size of a code.
            encoder: function `(image_shape, code_dim) -> keras.Model` from `kgen.networks`; the
                default halves the sides twice, rounding up.
            decoder: function `(code_dim, output_shape) -> keras.Model`, which mirrors it.
            likelihood: as for the class.
            **kwargs: the class's other arguments, such as `prior`.
        """
        checks.network_functions(encoder=encoder, decoder=decoder)
        likelihood = checks.head("likelihood", likelihood, heads.Normal(scale=0.1))
        image_shape = checks.image_shape(image_shape)
        params_shape = (*image_shape[:-1], likelihood.params_size(image_shape))
        networks = encoder(image_shape, code_dim), decoder(code_dim, params_shape)
        quantizer = VectorQuantizer(num_codes, code_dim)
        return cls(*networks, quantizer, likelihood=likelihood, **kwargs)

    @classmethod
    def for_vectors(
        cls,
        dim,
        *,
        num_codes=128,
        code_dim=16,
        num_positions=4,
        encoder=dense_encoder,
        decoder=dense_decoder,
        likelihood=None,
        **kwargs,
    ):
        """A VQ-VAE of vectors `(dim,)` of any range, or of the rows of a table.

        Encoder and likelihood standardize: see `kgen.VAE.for_vectors`.

        Args:
            dim: int >= 1.
            num_codes: int, K.
            code_dim: int, size of a code.
            num_positions: int >= 1, codes per example.
            encoder: function `(shape, output_dim) -> keras.Model` from `kgen.networks`; the
                vectors that it gives are cut into `num_positions`.
            decoder: function `(latent_dim, output_shape) -> keras.Model`, which takes them joined.
            likelihood: head of vectors; `kgen.heads.Normal(scale=0.1)` by default, in units of the
                standard deviations.
            **kwargs: the class's other arguments.
        """
        likelihood = heads.on_any_scale(likelihood or heads.Normal(scale=0.1), dim)
        checks.positive_integer("num_positions", num_positions)
        codes = (num_positions, checks.positive_integer("code_dim", code_dim))
        size = num_positions * code_dim
        front = likelihood.input_layers()
        networks = (
            reshaped(standardized(encoder, dim, size, front=front), output_shape=codes),
            reshaped(decoder(size, (likelihood.params_size((dim,)),)), input_shape=codes),
        )
        quantizer = VectorQuantizer(num_codes, code_dim)
        return cls(*networks, quantizer, likelihood=likelihood, **kwargs)

    @property
    def latent_spec(self):
        """The spec of an image's codes: int32 `(rows, columns)`."""
        last = self.quantizer.num_codes - 1
        entry = Quantity("an entry of the codebook", minimum=0, maximum=last)
        return specs.Values(self.code_shape, "int32", entry)

    def objective(self, x, y=None, training=False):
        """The terms, each float32 `(batch,)`; `perplexity` is the batch's, a scalar."""
        latents = self.encoder(self.likelihood.filled(x), training=training)
        quantized, indices = self.quantizer(latents, training=training)
        likelihood = self.likelihood(self.decoder(quantized, training=training))
        reconstruction = -likelihood.log_prob(x)
        # Against the codes as they were: a training call has moved the codebook since.
        commitment = losses.commitment(tf.cast(latents, tf.float32), quantized)
        return dict(
            loss=reconstruction + self.beta * commitment,
            reconstruction=reconstruction,
            commitment=commitment,
            perplexity=self._perplexity(indices),
        )

    def _perplexity(self, indices):
        use = tf.reduce_sum(
            tf.one_hot(tf.reshape(indices, (-1,)), self.quantizer.num_codes), axis=0
        )
        if self.distribute_strategy.num_replicas_in_sync > 1:
            use = tf.distribute.get_replica_context().all_reduce("SUM", use)
        use /= tf.reduce_sum(use)
        return tf.exp(-tf.reduce_sum(tf.math.xlogy(use, use)))

    def _score(self, x):
        quantized = self.quantizer.lookup(self.encode(x))
        return self.likelihood(self.decoder(quantized, training=False)).log_prob(x)

    def encode(self, images):
        """The codes' indices: int32 `(batch, rows, columns)` from 0 to `num_codes - 1`."""
        images = self.likelihood.filled(self.checked_examples(images))
        latents = tf.cast(self.encoder(images, training=False), tf.float32)
        return self.quantizer.nearest(latents)

    def decode(self, indices):
        """The likelihood's mean for codes `(batch, rows, columns)`: float32 images in [0, 1]."""
        params = self.decoder(self.quantizer.lookup(indices), training=False)
        return self._typical(self.likelihood(params))
