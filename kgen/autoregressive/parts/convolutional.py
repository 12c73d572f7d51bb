"""What the convolutional models share: one causal network and the cached sampler."""

from kgen import checks, heads
from kgen.autoregressive.parts.cached import CachedSampler
from kgen.autoregressive.parts.pixels import PixelByPixel, check_likelihood
from kgen.verbs.conditioning import inputs


class ConvolutionalPixels(PixelByPixel):
    """Mixin of models made of one causal network; see `PixelByPixel` for the verbs.

    Args:
        network: functional keras.Model from images `(batch, height, width, channels)` in [0, 1], or
            from the list of images and the condition's parts, to the likelihood's parameters
            `(batch, height, width, likelihood.params_size(image_shape))`; see
            `kgen.autoregressive.parts.plan.Plan` for the layers that it may have.
        likelihood: head on levels; `kgen.heads.Categorical(256)` by default.
        condition: `kgen.specs.Labels`, `kgen.specs.Attributes`, or a tuple of them; None for a
            network of images alone.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: if the network sees a pixel that is yet to come, or does not fit the likelihood.
    """

    def __init__(self, network, *, likelihood=None, condition=None, **kwargs):
        super().__init__(**kwargs)
        self.network = checks.network("network", network)
        self.likelihood = check_likelihood(likelihood or heads.Categorical(256))
        self._set_condition(condition)
        checks.conditioned("network", network, self.condition_inputs)
        self.image_shape = checks.image_shape(network.inputs[0].shape[1:])
        checks.likelihood_network("network", network, self.image_shape, self.likelihood)
        self.sampler = CachedSampler(network, self.likelihood)

    def _params(self, images, given=(), training=False):
        return self.network(inputs(images, given), training=training)

    def _fill(self, images, known, uniforms, temperature, *given):
        return self.sampler(images, known, uniforms, temperature, *given)


def num_passes(likelihood, image_shape):
    """How often a pixel is computed: once per channel if the network has to order the channels."""
    return 1 if likelihood.couples_channels else image_shape[-1]
