"""PixelRNN: pixels one by one, each from LSTM states of the ones before."""

import keras

from kgen import checks, heads
from kgen.autoregressive.parts.convolutional import num_passes
from kgen.autoregressive.parts.naive import naive_fill
from kgen.autoregressive.parts.pixels import PixelByPixel, check_likelihood
from kgen.networks import pixel_rnn
from kgen.training import ObjectiveModel
from kgen.verbs.conditioning import inputs


@keras.saving.register_keras_serializable(package="kgen")
class PixelRNN(PixelByPixel, ObjectiveModel):
    """PixelRNN (van den Oord et al. 2016): an exact likelihood by two-dimensional LSTMs.

        p(x) = prod_i p(x_i | x_1, ..., x_{i-1})              in raster order
        loss = -log p(x)                                      nats per image

    The channels of a pixel are ordered R, G, B: by the network's masks where the likelihood is a
    product over channels, by the likelihood itself where it couples them.

    Sampling draws one pixel after the other, each from a pass of the whole network:
    `height * width` passes, times the channels where masks order them. A pass takes `height` steps
    per layer (row) or `height + width` (diagonal), one after the other, so the time of a sample
    grows with the square of the number of pixels: 16 images of 28 x 28 take the default networks
    about a minute (row) or three (diagonal) on 2 CPU cores, longer than a server's usual
    deadline. Where sampling must be fast, take a convolutional model.

    Args:
        network: keras.Model from images `(batch, height, width, channels)` in [0, 1] to the
            likelihood's parameters `(batch, height, width, likelihood.params_size(image_shape))`,
            those of a pixel a function of earlier pixels only, such as `kgen.networks.pixel_rnn`
            makes. It is not checked that it sees no later ones: with such a network the likelihood
            is none.
        likelihood: head on levels that makes p(x_i | x_<i); `kgen.heads.Categorical(256)` by
            default.
        condition: spec of what the network takes behind the images, or a tuple; None for nothing.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: if network and likelihood do not fit.

    Reference: van den Oord et al. 2016, "Pixel Recurrent Neural Networks", eq. 1-3.
    """

    def __init__(self, network, *, likelihood=None, condition=None, **kwargs):
        super().__init__(**kwargs)
        self.network = checks.network("network", network)
        self.likelihood = check_likelihood(likelihood or heads.Categorical(256))
        self.image_shape = checks.image_shape(network.inputs[0].shape[1:])
        self._set_condition(condition)
        checks.conditioned("network", network, self.condition_inputs)
        checks.likelihood_network("network", network, self.image_shape, self.likelihood)

    @classmethod
    def for_images(
        cls, image_shape, *, likelihood=None, condition=None, network=pixel_rnn, **kwargs
    ):
        """A PixelRNN with the paper's network for an image shape.

        Args:
            image_shape: `(height, width, channels)`, any of each.
            likelihood: as for the class. With several channels one whose parameters lie channel by
                channel (`Bernoulli`, `Categorical`), or one that couples the channels.
            condition: what images are drawn given: `kgen.specs.Labels(10)`,
                `kgen.specs.Attributes(3)` or a tuple of them; None for nothing.
            network: function `(image_shape, params_size, channel_groups=, condition=) ->
                keras.Model`, by default of Row LSTMs;
                `functools.partial(kgen.networks.pixel_rnn, kind="diagonal")` has Diagonal BiLSTMs.
            **kwargs: the class's other arguments.
        """
        checks.network_functions(network=network)
        image_shape = checks.image_shape(image_shape)
        likelihood = check_likelihood(likelihood or heads.Categorical(256))
        made = network(
            image_shape,
            likelihood.params_size(image_shape),
            channel_groups=num_passes(likelihood, image_shape),
            condition=condition,
        )
        return cls(made, likelihood=likelihood, condition=condition, **kwargs)

    # Between the objective and verbs of `PixelByPixel` and the network.

    def _params(self, images, given=(), training=False):
        return self.network(inputs(images, given), training=training)

    def _fill(self, images, known, uniforms, temperature, *given):
        return naive_fill(
            lambda images: self._params(images, given),
            images,
            known,
            uniforms,
            temperature,
            likelihood=self.likelihood,
            passes=num_passes(self.likelihood, self.image_shape),
        )
