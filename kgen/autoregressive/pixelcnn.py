"""PixelCNN."""

import keras

from kgen import checks, heads
from kgen.autoregressive.parts.convolutional import ConvolutionalPixels, num_passes
from kgen.autoregressive.parts.pixels import check_likelihood
from kgen.networks import pixelcnn
from kgen.training import ObjectiveModel


@keras.saving.register_keras_serializable(package="kgen")
class PixelCNN(ConvolutionalPixels, ObjectiveModel):
    """PixelCNN (van den Oord et al. 2016): exact likelihood by masked convolutions.

        log p(x) = sum_i log p(x_i | x_1 .. x_{i-1})        pixels in raster order, channels R, G, B
        loss     = -log p(x)                                nats per image

    All conditionals come from one pass of a causal network. To draw an image they are needed one
    after the other: the cached sampler computes one column of each layer per pixel.

    The stack of square masked convolutions never sees some pixels above and to the right: its blind
    spot. `GatedPixelCNN` has none.

    Args:
        network: functional keras.Model from images to the likelihood's parameters; see
            `kgen.networks.pixelcnn`.
        likelihood: head on levels; `kgen.heads.Categorical(256)` by default.
        condition: spec of what the network takes behind the images, or a tuple; None for nothing.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: if the network sees a pixel that is yet to come, or does not fit the likelihood.

    Reference:
        van den Oord, Kalchbrenner & Kavukcuoglu 2016, "Pixel Recurrent Neural Networks", eq. 1-2
        and section 3.5.
    """

    @classmethod
    def for_images(
        cls, image_shape, *, likelihood=None, condition=None, network=pixelcnn, **kwargs
    ):
        """A PixelCNN with the paper's network.

        Args:
            image_shape: `(height, width, channels)`.
            likelihood: head on levels; `kgen.heads.Categorical(256)` by default.
            condition: what images are drawn given: `kgen.specs.Labels(10)`,
                `kgen.specs.Attributes(3)` or a tuple of them; None for nothing.
            network: function `(image_shape, params_size, channel_groups=, condition=) ->
                keras.Model`; for another size
                `functools.partial(kgen.networks.pixelcnn, filters=32)`.
            **kwargs: `seed`, `name`, `dtype`.
        """
        checks.network_functions(network=network)
        likelihood = check_likelihood(likelihood or heads.Categorical(256))
        made = network(
            image_shape,
            likelihood.params_size(image_shape),
            channel_groups=num_passes(likelihood, image_shape),
            condition=condition,
        )
        return cls(made, likelihood=likelihood, condition=condition, **kwargs)
