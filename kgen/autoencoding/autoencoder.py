"""The autoencoder, and with a corruption the denoising autoencoder."""

import keras
import tensorflow as tf

from kgen import checks, heads
from kgen.autoencoding.parts.corruptions import check_corruption
from kgen.networks import (
    convolutional_decoder,
    convolutional_encoder,
    dense_decoder,
    dense_encoder,
    standardized,
)
from kgen.quantities import QUANTITIES
from kgen.seeds import as_seed, fold_in
from kgen.training import ObjectiveModel
from kgen.verbs import Interpolation, Reconstruction, Scoring


@keras.saving.register_keras_serializable(package="kgen")
class Autoencoder(Reconstruction, Interpolation, Scoring, ObjectiveModel):
    """Autoencoder: minimize -log p(x | decoder(encoder(x~))), x~ ~ C(x~|x).

    Without a corruption x~ = x. With one it is the denoising autoencoder (Vincent et al. 2008), and
    with `walkback_steps > 1` it also learns to return from where its own chain would walk to:

        x_0 = x,   x~_t ~ C(. | x_t),   x_{t+1} ~ p(. | x~_t),   loss = mean_t -log p(x | x~_t)

    People who have pairs give them: `fit(noisy, clean)` trains towards the clean images,
    -log p(y | decoder(encoder(x~))).

    Args:
        encoder: keras.Model from images `(batch, height, width, channels)` to codes
            `(batch, latent_dim)`.
        decoder: keras.Model from codes to the likelihood's parameters `(batch, height, width,
            likelihood.params_size(image_shape))`.
        likelihood: head that makes p(x|z); `kgen.heads.Bernoulli()` by default. `Normal(scale=s)`
            gives the squared error.
        corruption: a corruption of `kgen.autoencoding`, such as `MaskingCorruption(0.3)`, or None.
        walkback_steps: int >= 1.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: if the networks and the likelihood do not fit.

    The chain has a fixed number of steps; Bengio et al. draw it from a geometric distribution.

    Reference: Bengio et al. 2013, "Generalized Denoising Auto-Encoders as Generative Models",
    algorithm 1.
    """

    terms = ("loss",)
    score_meaning = QUANTITIES["reconstruction"]

    def __init__(
        self, encoder, decoder, *, likelihood=None, corruption=None, walkback_steps=1, **kwargs
    ):
        super().__init__(**kwargs)
        self.encoder = checks.vector_network("encoder", encoder)
        self.decoder = checks.network("decoder", decoder)
        self.likelihood = checks.head("likelihood", likelihood, heads.Bernoulli())
        self.corruption = corruption
        self.walkback_steps = checks.positive_integer("walkback_steps", walkback_steps)
        if walkback_steps > 1 and corruption is None:
            raise ValueError("walkback_steps > 1 needs a corruption, received corruption=None.")
        self.image_shape = checks.example_shape("encoder", encoder)
        self.data_spec = self.likelihood.spec(self.image_shape)
        self.target_spec = self.data_spec
        check_corruption(corruption, self.data_spec)
        self.latent_dim = encoder.output_shape[-1]
        checks.decoder(decoder, self.latent_dim, self.image_shape, self.likelihood)

    @classmethod
    def for_images(
        cls,
        image_shape,
        *,
        latent_dim=16,
        encoder=convolutional_encoder,
        decoder=convolutional_decoder,
        likelihood=None,
        **kwargs,
    ):
        """An autoencoder with networks made for an image shape.

        Args:
            image_shape: `(height, width, channels)`, any of each.
            latent_dim: int >= 1.
            encoder: function `(image_shape, output_dim) -> keras.Model` from `kgen.networks`.
            decoder: function `(latent_dim, output_shape) -> keras.Model` from `kgen.networks`.
            likelihood: as for the class.
            **kwargs: the class's other arguments.
        """
        checks.network_functions(encoder=encoder, decoder=decoder)
        likelihood = checks.head("likelihood", likelihood, heads.Bernoulli())
        image_shape = checks.image_shape(image_shape)
        params_shape = (*image_shape[:-1], likelihood.params_size(image_shape))
        latent_dim = checks.positive_integer("latent_dim", latent_dim)
        networks = encoder(image_shape, latent_dim), decoder(latent_dim, params_shape)
        return cls(*networks, likelihood=likelihood, **kwargs)

    @classmethod
    def for_vectors(
        cls,
        dim,
        *,
        latent_dim=8,
        encoder=dense_encoder,
        decoder=dense_decoder,
        likelihood=None,
        **kwargs,
    ):
        """An autoencoder of vectors `(dim,)` of any range, or of the rows of a table.

        Encoder and likelihood standardize: see `kgen.VAE.for_vectors`. A corruption comes before
        that, on the data's own scale.

        Args:
            dim: int >= 1.
            likelihood: head of vectors; `kgen.heads.Normal(scale=1.0)` by default, the squared
                error in standard deviations. A learned scale would have codes that hold few columns
                exactly, for a density without bound, and no others.
            latent_dim, encoder, decoder: as for `for_images`.
            **kwargs: the class's other arguments.
        """
        likelihood = heads.on_any_scale(likelihood or heads.Normal(scale=1.0), dim)
        latent_dim = checks.positive_integer("latent_dim", latent_dim)
        networks = (
            standardized(encoder, dim, latent_dim, front=likelihood.input_layers()),
            decoder(latent_dim, (likelihood.params_size((dim,)),)),
        )
        return cls(*networks, likelihood=likelihood, **kwargs)

    def objective(self, x, y=None, training=False):
        """The term `loss`, the reconstruction's: float32 `(batch,)`, nats. It is that of y where y
        are images, of x otherwise."""
        has_target = y is not None and len(y.shape) == len(x.shape)
        target = tf.cast(y, tf.float32) if has_target else x
        seed = self.noise_seed(training)
        total, state = 0.0, x
        for step in range(self.walkback_steps):
            likelihood = self._denoise(state, fold_in(seed, 2 * step), training)
            total -= likelihood.log_prob(target)
            if step + 1 < self.walkback_steps:
                state = tf.stop_gradient(likelihood.sample(seed=fold_in(seed, 2 * step + 1)))
        return dict(loss=total / self.walkback_steps)

    def _denoise(self, images, seed, training=False):
        """p(x | x~) with x~ ~ C(. | images)."""
        images = self.likelihood.filled(images)
        if self.corruption is not None:
            images = self.corruption(images, seed)
        return self.likelihood(
            self.decoder(self.encoder(images, training=training), training=training)
        )

    def _score(self, x):
        return self.likelihood(self.decoder(self.encode(x), training=False)).log_prob(x)

    def encode(self, images):
        """The codes: float32 `(batch, latent_dim)`."""
        images = self.likelihood.filled(self.checked_examples(images))
        return tf.cast(self.encoder(images, training=False), tf.float32)

    def decode(self, latents):
        """The likelihood's mean: float32 `(batch, *shape)`, images in [0, 1]."""
        return self._typical(self.likelihood(self.decoder(latents, training=False)))

    def walkback(self, start, *, num_steps=10, seed=None):
        """Walk the chain x~_t ~ C(. | x_t), x_{t+1} ~ p(. | x~_t) from given images.

        Args:
            start: float32 examples `(batch, *shape)`, images in [0, 1].
            num_steps: int >= 1.
            seed: int, or None for a fresh one.

        Returns:
            float32 `(num_steps, batch, *shape)`: the means of p(. | x~_t).
        """
        checks.positive_integer("num_steps", num_steps)
        seed, state, means = as_seed(seed), tf.convert_to_tensor(start, tf.float32), []
        for step in range(num_steps):
            likelihood = self._denoise(state, fold_in(seed, 2 * step))
            state = likelihood.sample(seed=fold_in(seed, 2 * step + 1))
            means.append(self._typical(likelihood))
        return tf.stack(means)
