"""NADE: a hidden layer for each conditional, all with the same weights."""

import keras
import tensorflow as tf

from kgen import heads
from kgen.autoregressive.parts.entries import check_network, fill_entries
from kgen.autoregressive.parts.pixels import PixelByPixel
from kgen.layers import SharedConditionals
from kgen.networks import nade_network
from kgen.training import ObjectiveModel


@keras.saving.register_keras_serializable(package="kgen")
class NADE(PixelByPixel, ObjectiveModel):
    """Neural autoregressive distribution estimator (Larochelle & Murray 2011).

        p(x) = prod_d p(x_d | x_1 .. x_{d-1}),    p(x_d | ...) = likelihood(b_d + h_d V_d)
        h_d  = sigmoid(c + sum_{i<d} x_i W_i),    loss = -log p(x)

    The entries come row by row, left to right, channel after channel; an entry is one channel of
    one pixel. A vector of n entries is an image of shape `(1, n, 1)`. A density and a sample both
    cost O(D H) operations per image: the sum is a running one.

    `complete` draws a pixel given the pixels before it, known or drawn: the exact conditional
    p(unknown | known) if all known pixels come first (the upper rows), and not if some come later.

    Args:
        network: keras.Model from images `(batch, height, width, channels)` to the parameters
            `(batch, height, width, likelihood.params_size(image_shape))`; from
            `kgen.networks.nade_network`.
        likelihood: head on levels; `kgen.heads.Bernoulli()` by default. With several channels,
            Bernoulli or Categorical.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: if the network and the head do not fit.

    Reference: Larochelle & Murray 2011, "The Neural Autoregressive Distribution Estimator"; in the
    notation of Uria et al. 2016, "Neural Autoregressive Distribution Estimation", eq. 1-3. There
    the pixels are binary and their order is drawn at random once.
    """

    def __init__(self, network, *, likelihood=None, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self.likelihood = likelihood or heads.Bernoulli()
        self.image_shape, _ = check_network(network, SharedConditionals, self.likelihood)

    @classmethod
    def for_images(cls, image_shape, *, likelihood=None, network=nade_network, **kwargs):
        """A NADE with a network made for an image shape.

        Args:
            image_shape: `(height, width, channels)`, any of each.
            likelihood: as for the class.
            network: function `(image_shape, params_per_entry) -> keras.Model`; for another H
                `functools.partial(kgen.networks.nade_network, hidden_units=200)`.
            **kwargs: the class's other arguments.
        """
        likelihood = likelihood or heads.Bernoulli()
        return cls(
            network(image_shape, likelihood.params_size((1,))), likelihood=likelihood, **kwargs
        )

    def _params(self, images, labels=None, training=False):
        return self.network(images, training=training)

    def _fill(self, images, known, uniforms, temperature, labels=None):
        layer = next(part for part in self.network.layers if isinstance(part, SharedConditionals))
        return fill_entries(
            layer,
            images,
            known,
            uniforms,
            temperature,
            likelihood=self.likelihood,
            state=layer.start(tf.shape(images)[0]),
        )
