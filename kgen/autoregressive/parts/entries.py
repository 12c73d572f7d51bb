"""Models of a layer that gives one conditional at a time: densities, and draws entry by entry."""

import math

import tensorflow as tf

from kgen import checks
from kgen.autoregressive.parts.pixels import PixelByPixel, check_likelihood


class EntryByEntry(PixelByPixel):
    """Mixin for MADE and NADE: an entry is one channel of one pixel, or one number of a vector.

    Any head with parameters for one entry serves, each on its entry alone. Numbers of any range are
    standardized where the likelihood is `kgen.heads.Standardized`; its log density is that of the
    data's own scale.
    """

    @property
    def entry_head(self):
        """The head of one entry, standardized where the likelihood does that."""
        return getattr(self.likelihood, "head", self.likelihood)

    @property
    def num_levels(self):
        """How many values an entry can take, or None for numbers of any range."""
        return getattr(self.entry_head, "num_levels", None)

    @property
    def _noise_shape(self):
        return *self._sides, self._num_channels * self.entry_head.noise_size(1)

    @property
    def _scaling(self):
        return getattr(self.likelihood, "scaling", None)

    def _standardized(self, examples):
        return examples if self._scaling is None else self._scaling.standardize(examples)

    def _log_prob_of(self, params, examples):
        """log p of examples `(batch, *shape)`, standardized, under the network's parameters."""
        size = self.entry_head.params_size((1,))
        params = tf.reshape(params, (-1, *self.image_shape, size))
        log_prob = self.entry_head(params).log_prob(tf.cast(examples, tf.float32)[..., None])
        if self._scaling is not None:
            log_prob -= self._scaling.log_volume(self.image_shape)
        return log_prob

    def _fill_entries(self, layer, images, known, uniforms, temperature, **how):
        """`fill_entries` on the data's own scale; what is known stays bit by bit."""
        given = self._standardized(images)
        head = self.entry_head
        how = dict(likelihood=head, known=known, **how)
        drawn = fill_entries(layer, given, uniforms=uniforms, temperature=temperature, **how)
        if self._scaling is None:
            return drawn
        return tf.where(self._over_channels(known), images, self._scaling.restore(drawn))


def check_network(network, layer_type, likelihood):
    """The shape of a network's examples and the one layer that computes in it.

    Args:
        network: keras.Model from images to the likelihood's parameters.
        layer_type: class of the layer.
        likelihood: head.

    Returns:
        `(shape, layer)`.

    Raises:
        ValueError: if the network has another form, or does not fit the likelihood.
    """
    checks.network("network", network)
    found = [layer for layer in network.layers if isinstance(layer, layer_type)]
    if len(found) != 1 or len(found[0].variables) != len(network.variables):
        raise ValueError(
            f"network '{network.name}' must have one {layer_type.__name__} and no other layer with "
            "weights: samples are drawn from that layer, entry after entry. kgen.networks has "
            "functions that make such networks."
        )
    shape = checks.example_shape("network", network)
    head = getattr(likelihood, "head", likelihood)
    if len(shape) > 2:
        # A Normal would draw pixels beyond [0, 1].
        check_likelihood(likelihood)
    elif not hasattr(head, "sample_from_uniforms"):
        raise ValueError(
            "The likelihood must draw one entry at a time, as kgen.heads.Bernoulli, Categorical, "
            f"DiscretizedLogistic, Normal and StudentT do; received {likelihood!r}."
        )
    if shape[-1] > 1 and likelihood.couples_channels:
        raise ValueError(
            f"On images of {shape[-1]} channels the network orders the channels, and "
            f"{likelihood!r} couples them too: use kgen.heads.Categorical or another that does not."
        )
    checks.output_shape(
        "network",
        network,
        (*shape[:-1], likelihood.params_size(shape)),
        f"that is what {type(likelihood).__name__} needs for values of shape {shape}",
    )
    return shape, found[0]


def fill_entries(layer, images, known, uniforms, temperature, *, likelihood, state, order=None):
    """Draw the unknown entries of images, one after the other, in one `tf.while_loop`.

    A step costs one conditional, not a pass of the network.

    Args:
        layer: with `step` and `absorb`, such as `kgen.layers.MaskedConditionals`.
        images: float32 `(batch, height, width, channels)`, or examples of another shape.
        known: bool `(batch, height, width)`: the pixels that keep their value; of vectors
            `(batch, dim)`.
        uniforms: float32 `(batch, height, width, noise_size)` in (0, 1), likewise.
        temperature: float32 `(batch,)`.
        likelihood: head with `sample_from_uniforms`.
        state: what the layer's `start` returned.
        order: int32 `(batch, D)`, the entries of each row in the order of drawing, or None for
            row by row, left to right, channel after channel.

    Returns:
        float32 images of the shape of `images`.
    """
    shape = images.shape[1:]
    size = math.prod(shape)
    if known.shape.rank < images.shape.rank:
        known = tf.repeat(known[..., None], shape[-1], axis=-1)
    given, known = (tf.reshape(value, (-1, size, 1)) for value in (images, known))
    uniforms = tf.reshape(uniforms, (-1, size, likelihood.noise_size(1)))
    if order is not None:
        given, known, uniforms = (
            tf.gather(value, order, axis=1, batch_dims=1) for value in (given, known, uniforms)
        )
        entries = tf.transpose(order)
    given, known, uniforms = (tf.transpose(value, (1, 0, 2)) for value in (given, known, uniforms))
    temperature = temperature[:, None]

    def draw(position, state, drawn):
        entry = position if order is None else entries[position]
        state, params = layer.step(state, position, entry)
        values = likelihood.sample_from_uniforms(params, uniforms[position], temperature)
        values = tf.where(known[position], given[position], values)
        return position + 1, layer.absorb(state, entry, values), drawn.write(position, values)

    drawn = tf.TensorArray(tf.float32, size, element_shape=(None, 1))
    _, _, drawn = tf.while_loop(
        lambda position, *_: position < size,
        draw,
        (tf.constant(0), state, drawn),
        maximum_iterations=size,
    )
    values = tf.transpose(drawn.stack()[..., 0])
    if order is not None:
        values = tf.gather(values, tf.argsort(order, axis=1), axis=1, batch_dims=1)
    return tf.reshape(values, (-1, *shape))
