"""PixelVAE: a variational autoencoder that decodes pixel by pixel."""

import functools

import keras
import numpy as np
import tensorflow as tf

from kgen import checks, heads, specs
from kgen.autoregressive.parts.cached import CachedSampler
from kgen.autoregressive.parts.convolutional import num_passes
from kgen.autoregressive.parts.drawing import PixelDrawing
from kgen.autoregressive.parts.pixels import check_likelihood
from kgen.networks import convolutional_decoder, convolutional_encoder, gated_pixelcnn
from kgen.seeds import fold_in, seed_rows
from kgen.training import ObjectiveModel
from kgen.verbs import EvidenceBound, Interpolation, Reconstruction, Sampling

_PIXEL_NETWORK = functools.partial(gated_pixelcnn, filters=32, num_layers=2, head_filters=(32,))


@keras.saving.register_keras_serializable(package="kgen")
class PixelVAE(
    EvidenceBound, PixelDrawing, Sampling, Reconstruction, Interpolation, ObjectiveModel
):
    """PixelVAE (Gulrajani et al. 2017): a VAE whose decoder is autoregressive.

        p(x|z)    =  prod_i p(x_i | x_1 .. x_{i-1}, z)                   pixels in raster order
        -log p(x) <= E_{q(z|x)}[-log p(x|z)] + KL(q(z|x) || p(z))        the negative ELBO
        loss      =  reconstruction + beta * sum_j max(KL_j, free_bits)

    A decoder turns z into maps as large as the image; a causal network predicts each pixel from
    them and the pixels before. What a few causal layers can see, the texture, they model, and z is
    left with what they cannot. A causal network that sees everything leaves z nothing: then few
    layers, `kl_warmup_epochs` or `free_bits` help.

    An image is drawn, never a mean: `decode` and `reconstruct` take a seed and a temperature. There
    is no `complete`: it would need z given the known pixels alone, and the encoder knows only z
    given all of them.

    Args:
        encoder: keras.Model from images `(batch, height, width, channels)` to the posterior's
            parameters `(batch, posterior.params_size((latent_dim,)))`.
        decoder: keras.Model from latents `(batch, latent_dim)` to maps `(batch, height, width, n)`.
        pixel_network: functional keras.Model from the list of images and maps to the likelihood's
            parameters `(batch, height, width, likelihood.params_size(image_shape))`; see
            `kgen.networks.gated_pixelcnn`.
        posterior: head that makes q(z|x); `kgen.heads.DiagonalNormal()` by default.
        likelihood: head on levels; `kgen.heads.Categorical(256)` by default.
        prior: p(z); by default `posterior.default_prior(latent_dim)`.
        beta: float >= 0, weight of the KL.
        free_bits: as for `kgen.VAE`.
        kl_warmup_epochs: as for `kgen.VAE`.
        num_importance_samples: as for `kgen.VAE`.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: if the networks and heads do not fit, the causal network sees a pixel that is
            yet to come, or an argument is out of range.

    The paper appends the maps to the features of the causal network; here they are added to each of
    its gates through a 1 x 1 convolution (van den Oord et al. 2016, "Conditional Image Generation
    with PixelCNN Decoders", eq. 5).

    Reference:
        Gulrajani et al. 2017, "PixelVAE: A Latent Variable Model for Natural Images", section 3.
    """

    def __init__(
        self,
        encoder,
        decoder,
        pixel_network,
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
        self.pixel_network = checks.network("pixel_network", pixel_network)
        self.likelihood = check_likelihood(likelihood or heads.Categorical(256))
        self._set_bound(
            posterior,
            prior,
            beta=beta,
            free_bits=free_bits,
            kl_warmup_epochs=kl_warmup_epochs,
            num_importance_samples=num_importance_samples,
        )
        self._check_networks()
        self.sampler = CachedSampler(pixel_network, self.likelihood)

    def _check_networks(self):
        received = [tuple(spec.shape[1:]) for spec in self.pixel_network.inputs]
        if len(received) != 2 or received[0] != self.image_shape:
            raise ValueError(
                f"pixel_network '{self.pixel_network.name}' takes inputs of shapes {received}, "
                f"expected two: images of shape {self.image_shape}, as the encoder's, and maps."
            )
        if tuple(self.decoder.input_shape[1:]) != (self.latent_dim,):
            raise ValueError(
                f"decoder '{self.decoder.name}' takes inputs of shape "
                f"{tuple(self.decoder.input_shape[1:])}, but the encoder's output and the "
                f"posterior make latents of shape {(self.latent_dim,)}."
            )
        why = "these are the maps that pixel_network takes as its second input"
        checks.output_shape("decoder", self.decoder, received[1], why)
        checks.likelihood_network(
            "pixel_network", self.pixel_network, self.image_shape, self.likelihood
        )

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
        pixel_network=_PIXEL_NETWORK,
        num_maps=32,
        **kwargs,
    ):
        """A PixelVAE with networks made for an image shape.

        Args:
            image_shape: `(height, width, channels)`.
            latent_dim: int >= 1.
            encoder: function `(image_shape, output_dim) -> keras.Model` from `kgen.networks`.
            decoder: function `(latent_dim, output_shape) -> keras.Model` from `kgen.networks`; it
                gives `num_maps` maps.
            posterior: as for the class.
            likelihood: as for the class.
            pixel_network: function `(image_shape, params_size, num_maps=, channel_groups=) ->
                keras.Model`, by default a `kgen.networks.gated_pixelcnn` of 2 layers. The more
                layers, the more the pixels tell one another without z.
            num_maps: int >= 1, maps that a latent becomes.
            **kwargs: the class's other arguments.
        """
        checks.network_functions(encoder=encoder, decoder=decoder, pixel_network=pixel_network)
        posterior = checks.head("posterior", posterior, heads.DiagonalNormal())
        likelihood = check_likelihood(likelihood or heads.Categorical(256))
        image_shape = checks.image_shape(image_shape)
        latent_dim = checks.positive_integer("latent_dim", latent_dim)
        made = pixel_network(
            image_shape,
            likelihood.params_size(image_shape),
            num_maps=num_maps,
            channel_groups=num_passes(likelihood, image_shape),
        )
        return cls(
            encoder(image_shape, posterior.params_size((latent_dim,))),
            decoder(latent_dim, (*image_shape[:2], num_maps)),
            made,
            posterior=posterior,
            likelihood=likelihood,
            **kwargs,
        )

    # What the mixins ask for.

    def _example_spec(self):
        return specs.Images(self.image_shape, self.num_levels)

    def _log_likelihood(self, images, latents, *, training=False):
        images = tf.cast(images, tf.float32)
        maps = self.decoder(latents, training=training)
        params = self.pixel_network([images, maps], training=training)
        return self.likelihood(params).log_prob(images)

    def _fill(self, images, known, uniforms, temperature, latents):
        maps = self.decoder(latents, training=False)
        return self.sampler(images, known, uniforms, temperature, maps)

    @property
    def _condition_signature(self):
        return [tf.TensorSpec((None, self.latent_dim), tf.float32, name="latents")]

    # Verbs.

    def sample(self, num_samples, *, temperature=1.0, seed=None, jit_compile=False):
        """Draw latents from the prior and decode them.

        Args:
            num_samples: int >= 1.
            temperature: as for `decode`; the latents are drawn from p(z) as it is.
            seed: int, or None for a fresh one. Image i is a function of `(seed, i)` and its
                temperature, in Python and from the served model.
            jit_compile: as for `decode`.

        Returns:
            float32 `(num_samples, height, width, channels)` on the levels.
        """
        seeds = seed_rows(seed, num_samples)
        return self._decode(self.sample_latents(seeds), seeds, temperature, jit_compile)

    def decode(self, latents, *, temperature=1.0, seed=None, jit_compile=False):
        """Draw an image of p(x|z) for each latent, pixel by pixel.

        Args:
            latents: float32 `(batch, latent_dim)`.
            temperature: float > 0, or `(batch,)`, of the pixels. Logits are divided by it, scales
                multiplied; below 1 images are more alike and more likely.
            seed: int, or None for a fresh one. Image i is a function of its latent, its temperature
                and `(seed, i)`.
            jit_compile: bool. XLA draws several times faster, after compiling once for each number
                of images.

        Returns:
            float32 `(batch, height, width, channels)` on the levels.
        """
        latents = tf.convert_to_tensor(latents, tf.float32)
        if latents.shape.rank != 2 or latents.shape[1] != self.latent_dim:
            raise ValueError(
                f"Expected latents of shape (batch, {self.latent_dim}), received "
                f"{tuple(latents.shape)}."
            )
        return self._decode(latents, seed_rows(seed, len(latents)), temperature, jit_compile)

    def reconstruct(self, images, *, temperature=1.0, seed=None, jit_compile=False):
        """`decode(encode(images), ...)`: float32, the shape of `images`, on the levels."""
        options = dict(temperature=temperature, seed=seed, jit_compile=jit_compile)
        return self.decode(self.encode(images), **options)

    def interpolate(
        self, start, *, end, num_steps=8, temperature=1.0, seed=None, jit_compile=False
    ):
        """Decode the straight lines between two batches of latents.

        Along a line the noise of the pixels stays: what changes is what z says.

        Args:
            start: float32 `(batch, latent_dim)`, such as `encode` gives.
            end: the same shape.
            num_steps: int >= 2, both ends included: they are `decode(start, seed=seed)` and
                `decode(end, seed=seed)`.
            temperature: float > 0, or one per path `(batch,)`; see `decode`.
            seed: as for `decode`.
            jit_compile: as for `decode`.

        Returns:
            float32 `(batch, num_steps, height, width, channels)` on the levels.

        Raises:
            ValueError: for latents of another shape, or fewer than two steps.
        """
        start, end = self._checked_ends(start, end, num_steps)
        # All points in one batch: a pixel costs about the same for one image as for many.
        weight = tf.tile(tf.linspace(0.0, 1.0, num_steps), [len(start)])
        ends = (tf.repeat(each, num_steps, axis=0) for each in (start, end))
        latents = self._point_between(*ends, weight)
        seeds = tf.repeat(seed_rows(seed, len(start)), num_steps, axis=0)
        if len(np.shape(temperature)):
            temperature = np.repeat(temperature, num_steps)
        images = self._decode(latents, seeds, temperature, jit_compile)
        return tf.reshape(images, (-1, num_steps, *self.image_shape))

    def call(self, inputs, training=False):
        """Reconstructions, image i of a batch with the noise `(model.seed, i)`: for `predict`."""
        seeds = seed_rows(self.seed, tf.shape(inputs)[0])
        return self._serve_decoded(
            self.encode(inputs), seeds, tf.ones_like(seeds[:, 0], tf.float32)
        )

    def _decode(self, latents, seeds, temperature, jit_compile):
        nothing = self._nothing_known(len(latents))
        return self._generate(*nothing, _pixel_seeds(seeds), temperature, jit_compile, latents)

    def _serve_decoded(self, latents, seeds, temperature):
        nothing = self._nothing_known(tf.shape(seeds)[0])
        latents = tf.cast(latents, tf.float32)
        return self._serve(*nothing, _pixel_seeds(seeds), temperature, latents)

    # In endpoints, what draws takes `seed` and `temperature`.

    def _sample_inputs(self):
        return {"temperature": specs.Values()}

    def _decode_inputs(self):
        return {"seed": specs.Seeds(), "temperature": specs.Values()}

    _reconstruct_inputs = _decode_inputs

    def _sample_rows(self, seeds, temperature):
        return self._serve_decoded(self.sample_latents(seeds), seeds, temperature)

    _decode_rows = _serve_decoded

    def _reconstruct_rows(self, images, seeds, temperature):
        return self._serve_decoded(self.encode(images), seeds, temperature)


@tf.function(input_signature=[tf.TensorSpec((None, 2), tf.int32)], autograph=False)
def _pixel_seeds(seeds):
    """Seeds of the pixels' noise, which must not be that of the latents drawn from `seeds`."""
    return tf.map_fn(lambda seed: fold_in(seed, 1), seeds)
