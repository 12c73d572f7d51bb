"""PixelCNN++."""

import keras

from kgen import checks, heads
from kgen.autoregressive.parts.convolutional import ConvolutionalPixels
from kgen.autoregressive.parts.pixels import check_likelihood
from kgen.networks import pixelcnn_plus_plus
from kgen.training import ObjectiveModel


@keras.saving.register_keras_serializable(package="kgen")
class PixelCNNPlusPlus(ConvolutionalPixels, ObjectiveModel):
    """PixelCNN++ (Salimans et al. 2017): logistic mixtures over whole pixels, and a U-net.

        log p(x | y) = sum_i log p(x_i | x_1 .. x_{i-1}, y)      whole pixels in raster order
        loss         = -log p(x | y)                             nats per image

    p(x_i | .) is a mixture of discretized logistics whose channels are coupled, so that the network
    sees whole pixels and needs no order of the channels.

    Args:
        network: functional keras.Model from images, or from the list of them and conditions, to
            the likelihood's parameters; see `kgen.networks.pixelcnn_plus_plus`.
        likelihood: head on levels; `kgen.heads.DiscretizedLogisticMixture()` by default, 10
            logistics on 256 levels.
        condition: spec of what the network takes behind the images, or a tuple; None for nothing.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: if the network sees a pixel that is yet to come, or does not fit the likelihood.

    Reference:
        Salimans et al. 2017, "PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture
        Likelihood and Other Modifications", sections 2.1 to 2.5.
    """

    def __init__(self, network, *, likelihood=None, condition=None, **kwargs):
        likelihood = likelihood or heads.DiscretizedLogisticMixture()
        super().__init__(network, likelihood=likelihood, condition=condition, **kwargs)

    @classmethod
    def for_images(
        cls, image_shape, *, likelihood=None, condition=None, network=pixelcnn_plus_plus, **kwargs
    ):
        """A PixelCNN++ with the paper's network, smaller unless told otherwise.

        Args:
            image_shape: `(height, width, channels)`.
            likelihood: head on levels; `kgen.heads.DiscretizedLogisticMixture()` by default. One
                that does not couple the channels makes them independent, given earlier pixels.
            condition: what images are drawn given: `kgen.specs.Labels(10)`,
                `kgen.specs.Attributes(3)` or a tuple of them; None for nothing.
            network: function `(image_shape, params_size, condition=) -> keras.Model`; for
                another size `functools.partial(kgen.networks.pixelcnn_plus_plus, filters=32)`.
            **kwargs: `seed`, `name`, `dtype`.
        """
        checks.network_functions(network=network)
        likelihood = check_likelihood(likelihood or heads.DiscretizedLogisticMixture())
        made = network(image_shape, likelihood.params_size(image_shape), condition=condition)
        return cls(made, likelihood=likelihood, condition=condition, **kwargs)
