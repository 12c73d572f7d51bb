"""NADE: a hidden layer for each conditional, all with the same weights."""

import keras
import tensorflow as tf

from kgen import checks, heads
from kgen.autoregressive.parts.entries import EntryByEntry, check_network
from kgen.layers import SharedConditionals
from kgen.networks import nade_network
from kgen.networks.conditional import condition_vector
from kgen.training import ObjectiveModel
from kgen.verbs.conditioning import inputs


@keras.saving.register_keras_serializable(package="kgen")
class NADE(EntryByEntry, ObjectiveModel):
    """Neural autoregressive distribution estimator (Larochelle & Murray 2011).

        p(x) = prod_d p(x_d | x_1 .. x_{d-1}),    p(x_d | ...) = likelihood(b_d + h_d V_d)
        h_d  = sigmoid(c + sum_{i<d} x_i W_i),    loss = -log p(x)

    The entries come row by row, left to right, channel after channel; an entry is one channel of
    one pixel. Of a vector `(n,)`, for which `for_vectors` is, an entry is a number; with a density
    for each this is RNADE (Uria et al. 2013) with one component and without its scaling of the
    hidden units. A density and a sample both cost O(D H) operations per image: the sum is a running
    one.

    `complete` draws a pixel given the pixels before it, known or drawn: the exact conditional
    p(unknown | known) if all known pixels come first (the upper rows), and not if some come later.

    Args:
        network: keras.Model from images `(batch, height, width, channels)` or vectors `(batch,
            dim)` to the parameters `(batch, height, width, likelihood.params_size(image_shape))`;
            from `kgen.networks.nade_network`.
        likelihood: as for `kgen.MADE`.
        condition: spec of what the network takes behind the images, or a tuple; None for nothing.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: if the network and the head do not fit.

    Reference: Larochelle & Murray 2011, "The Neural Autoregressive Distribution Estimator"; in the
    notation of Uria et al. 2016, "Neural Autoregressive Distribution Estimation", eq. 1-3. There
    the pixels are binary and their order is drawn at random once.
    """

    def __init__(self, network, *, likelihood=None, condition=None, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self.likelihood = checks.head("likelihood", likelihood, heads.Bernoulli())
        self.image_shape, _ = check_network(network, SharedConditionals, self.likelihood)
        self._set_condition(condition)
        checks.conditioned("network", network, self.condition_inputs)

    @classmethod
    def for_images(
        cls, image_shape, *, likelihood=None, condition=None, network=nade_network, **kwargs
    ):
        """A NADE with a network made for an image shape.

        Args:
            image_shape: `(height, width, channels)`, any of each.
            likelihood: as for the class.
            condition: what images are drawn given: `kgen.specs.Labels(10)`,
                `kgen.specs.Attributes(3)` or a tuple of them; None for nothing.
            network: function `(image_shape, params_per_entry, condition=) -> keras.Model`; for
                another H `functools.partial(kgen.networks.nade_network, hidden_units=200)`.
            **kwargs: the class's other arguments.
        """
        checks.network_functions(network=network)
        likelihood = checks.head("likelihood", likelihood, heads.Bernoulli())
        made = network(image_shape, likelihood.params_size((1,)), condition=condition)
        return cls(made, likelihood=likelihood, condition=condition, **kwargs)

    @classmethod
    def for_vectors(cls, dim, *, likelihood=None, condition=None, network=nade_network, **kwargs):
        """A NADE of vectors `(dim,)` of any range.

            kgen.NADE.for_vectors(30)

        Args:
            dim: int >= 1.
            likelihood: head of one number, `kgen.heads.Normal()` by default, standardized as
                `kgen.heads.Standardized` says.
            condition, network: as for `for_images`.
            **kwargs: the class's other arguments.
        """
        size = (likelihood or heads.Normal()).params_size((1,))
        made = network((dim,), size, condition=condition)
        likelihood = heads.on_any_scale(likelihood, dim)
        return cls(made, likelihood=likelihood, condition=condition, **kwargs)

    def _params(self, images, given=(), training=False):
        return self.network(inputs(images, given), training=training)

    def _log_prob(self, images, given=(), training=False):
        images = self._standardized(images)
        return self._log_prob_of(self._params(images, given, training), images)

    def _fill(self, images, known, uniforms, temperature, *given):
        layer = next(part for part in self.network.layers if isinstance(part, SharedConditionals))
        return self._fill_entries(
            layer,
            images,
            known,
            uniforms,
            temperature,
            state=layer.start(tf.shape(images)[0], condition_vector(given, self.condition)),
        )
