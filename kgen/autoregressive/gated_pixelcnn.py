"""Gated PixelCNN."""

import keras

from kgen import checks, heads
from kgen.autoregressive.parts.convolutional import ConvolutionalPixels, num_passes
from kgen.autoregressive.parts.pixels import check_likelihood
from kgen.networks import gated_pixelcnn
from kgen.training import ObjectiveModel


@keras.saving.register_keras_serializable(package="kgen")
class GatedPixelCNN(ConvolutionalPixels, ObjectiveModel):
    """Gated PixelCNN (van den Oord et al. 2016): two stacks without a blind spot, and gates.

        log p(x | y) = sum_i log p(x_i | x_1 .. x_{i-1}, y)      pixels in raster order
        loss         = -log p(x | y)                             nats per image

    A vertical stack sees all rows above, a horizontal one those and the row to the left. The
    condition y shifts every gate.

    Args:
        network: functional keras.Model from images, or from the list of them and conditions, to
            the likelihood's parameters; see `kgen.networks.gated_pixelcnn`.
        likelihood: head on levels; `kgen.heads.Categorical(256)` by default.
        condition: spec of what the network takes behind the images, or a tuple; None for nothing.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: if the network sees a pixel that is yet to come, or does not fit the likelihood.

    Reference:
        van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders", eq. 1-4.
    """

    @classmethod
    def for_images(
        cls, image_shape, *, likelihood=None, condition=None, network=gated_pixelcnn, **kwargs
    ):
        """A Gated PixelCNN with the paper's network.

        Args:
            image_shape: `(height, width, channels)`.
            likelihood: head on levels; `kgen.heads.Categorical(256)` by default.
            condition: what images are drawn given: `kgen.specs.Labels(10)`,
                `kgen.specs.Attributes(3)` or a tuple of them; None for nothing.
            network: function `(image_shape, params_size, condition=, channel_groups=) ->
                keras.Model`; for another size
                `functools.partial(kgen.networks.gated_pixelcnn, filters=32)`.
            **kwargs: `seed`, `name`, `dtype`.
        """
        checks.network_functions(network=network)
        likelihood = check_likelihood(likelihood or heads.Categorical(256))
        made = network(
            image_shape,
            likelihood.params_size(image_shape),
            condition=condition,
            channel_groups=num_passes(likelihood, image_shape),
        )
        return cls(made, likelihood=likelihood, condition=condition, **kwargs)

    @classmethod
    def for_codes(
        cls,
        code_shape,
        num_codes,
        *,
        embedding_dim=16,
        condition=None,
        network=gated_pixelcnn,
        **kwargs,
    ):
        """A Gated PixelCNN of maps of codes, such as a VQ-VAE's, whose prior it can be.

            vqvae.fit_prior(images, prior=kgen.GatedPixelCNN.for_codes, epochs=30)

        A map is an image of one channel on the levels k / (num_codes - 1). Codes have no order: the
        network reads a learned vector for each, and gives each its own logit.

        Args:
            code_shape: `(rows, columns)`.
            num_codes: int >= 2.
            embedding_dim: int >= 1, size of these vectors.
            condition: as for `for_images`.
            network: function `(map_shape, num_codes, condition=, embedding_dim=) -> keras.Model`.
            **kwargs: `seed`, `name`, `dtype`.
        """
        likelihood = heads.Categorical(num_codes)
        map_shape = (*code_shape, 1)
        made = network(map_shape, num_codes, condition=condition, embedding_dim=embedding_dim)
        return cls(made, likelihood=likelihood, condition=condition, **kwargs)
