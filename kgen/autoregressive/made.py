"""MADE: all conditionals in one pass of a masked network, averaged over masks and orders."""

import keras
import tensorflow as tf

from kgen import checks, heads, specs
from kgen.autoregressive.parts.entries import EntryByEntry, check_network
from kgen.layers import MaskedConditionals
from kgen.networks import made_network
from kgen.networks.conditional import condition_vector
from kgen.training import ObjectiveModel
from kgen.verbs.conditioning import inputs


@keras.saving.register_keras_serializable(package="kgen")
class MADE(EntryByEntry, ObjectiveModel):
    """Masked autoencoder for distribution estimation (Germain et al. 2015).

        p_k(x) = prod_i p_k(x_i | the entries before i in the order of mask k)
        p(x)   = 1/K sum_k p_k(x),      loss = -log p_{t mod K}(x)  at training step t

    K masks, and with `order_agnostic` as many orders, share one set of weights. An entry is one
    channel of one pixel; without other orders they come row by row, left to right, channel after
    channel. Of a vector `(n,)`, for which `for_vectors` is, an entry is a number.

    `log_prob` and `evaluate` give the log of the mean of the K densities, which is a density: it
    sums to 1 over all images. Averaging the conditionals of different orders would give none. It
    costs K passes. `sample` draws the mask of a row first, with equal probabilities, then the
    entries in its order; this is exact for p, and costs one conditional per entry, not one pass.

    `complete` without other orders draws a pixel given those before it, known or drawn: the exact
    conditional of p_k(unknown | known) if all known pixels come first (the upper rows), and not if
    some come later, which earlier ones then never see. With `order_agnostic` the order of a row's
    mask is changed to begin with the known pixels, so that all drawn ones see them: the exact
    conditional of the density with that order. But the weights know the orders of their training:
    on binarized 8x8 digits a new order cost 10 nats per image more than a trained one with 16
    orders, 0.6 nats with 1,024. With several masks k is drawn with equal probabilities here as
    well, not with those given the known pixels.

    Args:
        network: keras.Model from images `(batch, height, width, channels)` or vectors `(batch,
            dim)`, or from the list of them, the conditions and the int32 scalar index of a mask, to
            the parameters `(batch, height, width, likelihood.params_size(image_shape))`; from
            `kgen.networks.made_network`.
        likelihood: head on levels, `kgen.heads.Bernoulli()` by default; with several channels,
            Bernoulli or Categorical. For numbers of any range Normal or StudentT, in
            `kgen.heads.Standardized` where the scale is not 1.
        condition: spec of what the network takes behind the images, or a tuple; None for nothing.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: if the network and the head do not fit.

    Reference: Germain et al. 2015, "MADE: Masked Autoencoder for Distribution Estimation", eq. 8-9;
    sections 4.2 (orders, missing values) and 4.3 (masks, cycled as there). The paper averages the
    probabilities of an ensemble as `log_prob` does.
    """

    def __init__(self, network, *, likelihood=None, condition=None, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self.likelihood = checks.head("likelihood", likelihood, heads.Bernoulli())
        self.image_shape, layer = check_network(network, MaskedConditionals, self.likelihood)
        self.num_masks, self.order_agnostic = layer.num_masks, layer.order_agnostic
        self._set_condition(condition)
        index = {"mask_index": specs.Values((), "int32")} if self.num_masks > 1 else {}
        checks.conditioned("network", network, {**self.condition_inputs, **index})

    @classmethod
    def for_images(
        cls,
        image_shape,
        *,
        likelihood=None,
        condition=None,
        network=made_network,
        seed=0,
        **kwargs,
    ):
        """A MADE with a network made for an image shape.

        Args:
            image_shape: `(height, width, channels)`, any of each.
            likelihood: as for the class.
            condition: what images are drawn given: `kgen.specs.Labels(10)`,
                `kgen.specs.Attributes(3)` or a tuple of them; None for nothing.
            network: function `(image_shape, params_per_entry, seed=, condition=) -> keras.Model`;
                for several masks `functools.partial(kgen.networks.made_network, num_masks=16)`.
            seed: int, of the masks and of the model.
            **kwargs: `name`, `dtype`.
        """
        checks.network_functions(network=network)
        likelihood = checks.head("likelihood", likelihood, heads.Bernoulli())
        size = likelihood.params_size((1,))
        made = network(image_shape, size, seed=seed, condition=condition)
        return cls(made, likelihood=likelihood, condition=condition, seed=seed, **kwargs)

    @classmethod
    def for_vectors(
        cls,
        dim,
        *,
        likelihood=None,
        condition=None,
        network=made_network,
        seed=0,
        **kwargs,
    ):
        """A MADE of vectors `(dim,)` of any range.

            kgen.MADE.for_vectors(30, likelihood=kgen.heads.StudentT())

        Args:
            dim: int >= 1.
            likelihood: head of one number, `kgen.heads.Normal()` by default, standardized as
                `kgen.heads.Standardized` says.
            condition, network, seed: as for `for_images`.
            **kwargs: `name`, `dtype`.
        """
        size = (likelihood or heads.Normal()).params_size((1,))
        made = network((dim,), size, seed=seed, condition=condition)
        likelihood = heads.on_any_scale(likelihood, dim)
        return cls(made, likelihood=likelihood, condition=condition, seed=seed, **kwargs)

    # Density.

    def _params(self, images, given=(), training=False):
        """Parameters under mask 0, whose order is that of the pixels."""
        return self._params_under(tf.constant(0), images, given, training)

    def _params_under(self, mask, images, given, training=False):
        others = [*given, mask] if self.num_masks > 1 else given
        return self.network(inputs(images, others), training=training)

    def _log_prob_under(self, mask, images, given, training=False):
        params = self._params_under(mask, images, given, training)
        return self._log_prob_of(params, images)

    def _log_prob(self, images, given=(), training=False):
        images = self._standardized(images)
        if training or self.num_masks == 1:
            return self._log_prob_under(self._mask_of_step(), images, given, training)
        by_mask = tf.map_fn(
            lambda mask: self._log_prob_under(mask, images, given),
            tf.range(self.num_masks),
            fn_output_signature=tf.float32,
        )
        return tf.reduce_logsumexp(by_mask, axis=0) - tf.math.log(float(self.num_masks))

    def _mask_of_step(self):
        """The masks in turn: replicas, which share a step, agree on the mask."""
        return tf.cast(self.steps.value, tf.int32) % self.num_masks

    # Sampling.

    @property
    def _conditionals(self):
        return next(part for part in self.network.layers if isinstance(part, MaskedConditionals))

    def _fill(self, images, known, uniforms, temperature, *given):
        layer, masks, order = self._conditionals, None, None
        if self.num_masks > 1:
            masks, uniforms = self._draw_masks(uniforms)
        if self.order_agnostic:
            order = self._known_first(tf.gather(layer.orders, masks), known)
        return self._fill_entries(
            layer,
            images,
            known,
            uniforms,
            temperature,
            state=layer.start(tf.shape(images)[0], masks, condition_vector(given, self.condition)),
            order=order,
        )

    def _draw_masks(self, uniforms):
        """One mask per row, from the leading digits of its first uniform; what is left is uniform.

        k = floor(K u),    u' = K u - k       are independent, u' uniform in (0, 1)
        """
        flat = tf.reshape(uniforms, (-1, uniforms.shape[1:].num_elements()))
        scaled = self.num_masks * flat[:, :1]
        masks = tf.minimum(tf.floor(scaled), self.num_masks - 1.0)
        rest = tf.clip_by_value(scaled - masks, 2.0**-24, 1.0 - 2.0**-24)
        uniforms = tf.reshape(tf.concat([rest, flat[:, 1:]], axis=1), tf.shape(uniforms))
        return tf.cast(masks[:, 0], tf.int32), uniforms

    def _known_first(self, order, known):
        """Orders that begin with the known entries, otherwise as before: int32 `(batch, D)`."""
        known = tf.reshape(known, (tf.shape(known)[0], -1))
        known = tf.repeat(known, self._num_channels, axis=1)
        late = tf.logical_not(tf.gather(known, order, axis=1, batch_dims=1))
        size = order.shape[1]
        places = tf.argsort(tf.range(size) + size * tf.cast(late, tf.int32), axis=1)
        return tf.gather(order, places, axis=1, batch_dims=1)
