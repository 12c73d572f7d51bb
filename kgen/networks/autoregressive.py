"""Networks that give all conditionals of an autoregressive model in one pass."""

import keras
import numpy as np
from keras import layers

from kgen import checks
from kgen.layers import MaskedConditionals, MaskedDense, SharedConditionals
from kgen.networks.conditional import condition_dim, condition_inputs, condition_vector


def masked_autoregressive(
    event_dim, hidden_units, params_per_dim, context_dim=0, activation="relu"
):
    """A network whose d-th output row depends on inputs 1 .. d - 1 only (MADE).

    Input d has degree d; hidden units have degrees m in 1 .. event_dim - 1, spread evenly. A hidden
    unit sees units of degree <= its own, and outputs d see hidden units of degree < d:

        M_hidden[j, k] = 1 if m_k >= m_j else 0
        M_output[k, d] = 1 if d > m_k else 0

    A context has no degree: it reaches every hidden unit of the first layer and every output, the
    first output row included, which sees nothing else.

    The network computes in float32 under every policy, since densities are made of its outputs. Its
    outputs start near 0.

    Args:
        event_dim: int >= 1, number of inputs.
        hidden_units: sizes of the hidden layers, first to last.
        params_per_dim: int >= 1, number of outputs for each input.
        context_dim: int >= 0; with 0 the network has no context input.
        activation: of the hidden layers. A smooth one makes a flow's density smooth.

    Returns:
        keras.Model from float32 `(batch, event_dim)`, or from the list of it and a context
        `(batch, context_dim)`, to float32 `(batch, event_dim, params_per_dim)`.

    Raises:
        ValueError: for a size below its minimum.

    Reference:
        Germain et al. 2015, "MADE: Masked Autoencoder for Distribution Estimation", eq. 8-9; the
        degrees are spread evenly where the paper draws them at random.
    """
    checks.positive_integer("event_dim", event_dim)
    checks.positive_integer("params_per_dim", params_per_dim)
    checks.at_least("context_dim", context_dim, 0)
    inputs = keras.Input((event_dim,), dtype="float32", name="event")
    context = keras.Input((context_dim,), dtype="float32", name="context") if context_dim else None

    x, degrees = inputs, np.arange(1, event_dim + 1)
    for depth, units in enumerate(hidden_units):
        checks.positive_integer("each of hidden_units", units)
        hidden_degrees = 1 + np.arange(units) * max(event_dim - 1, 1) // units
        mask = hidden_degrees[None, :] >= degrees[:, None]
        x = MaskedDense(units, mask, dtype="float32")(x)
        if context is not None and depth == 0:
            x = layers.Add(dtype="float32")(
                [x, layers.Dense(units, use_bias=False, dtype="float32")(context)]
            )
        x = layers.Activation(activation, dtype="float32")(x)
        degrees = hidden_degrees

    num_outputs = event_dim * params_per_dim
    small = keras.initializers.VarianceScaling(0.01)
    output_degrees = np.repeat(np.arange(1, event_dim + 1), params_per_dim)
    mask = output_degrees[None, :] > degrees[:, None]
    outputs = MaskedDense(num_outputs, mask, kernel_initializer=small, dtype="float32")(x)
    if context is not None:
        from_context = layers.Dense(
            num_outputs, use_bias=False, kernel_initializer=small, dtype="float32"
        )(context)
        outputs = layers.Add(dtype="float32")([outputs, from_context])
    outputs = layers.Reshape((event_dim, params_per_dim), dtype="float32")(outputs)
    all_inputs = inputs if context is None else [inputs, context]
    return keras.Model(all_inputs, outputs, name="masked_autoregressive")


def made_network(
    image_shape,
    params_per_entry=1,
    *,
    hidden_units=(500,),
    num_masks=1,
    order_agnostic=False,
    activation="relu",
    seed=0,
    condition=None,
):
    """The network of `kgen.MADE`: the parameters of each entry, given the entries before it.

    An entry is one channel of one pixel, or of a vector one number. See
    `kgen.layers.MaskedConditionals` for the masks.

    Args:
        image_shape: `(height, width, channels)`, `(dim,)`, or another shape of examples.
        params_per_entry: int >= 1, such as `likelihood.params_size((1,))`.
        hidden_units: sizes of the hidden layers, first to last; at least one.
        num_masks: int >= 1.
        order_agnostic: bool, whether each mask but the first has an order of its own.
        activation: of the hidden layers.
        seed: int, of the masks.
        condition: `kgen.specs.Labels`, `kgen.specs.Attributes`, or a tuple of them; None for a
            network without.

    Returns:
        keras.Model from float32 `(batch, *image_shape)`, or from the list of it, the conditions
        and, with several masks, the int32 scalar index of a mask, to float32 `(batch,
        *image_shape[:-1], channels * params_per_entry)`, channel after channel.

    Raises:
        ValueError: for a size below its minimum, or `order_agnostic` with a single mask.

    Reference:
        Germain et al. 2015, "MADE: Masked Autoencoder for Distribution Estimation".
    """
    layer = MaskedConditionals(
        hidden_units,
        params_per_entry,
        num_masks=num_masks,
        order_agnostic=order_agnostic,
        activation=activation,
        seed=seed,
        context_dim=condition_dim(condition),
    )
    index = keras.Input(batch_shape=(), dtype="int32", name="mask_index")
    masks = {"mask_index": index} if num_masks > 1 else {}
    return _image_network(image_shape, layer, condition, "made", masks)


def nade_network(image_shape, params_per_entry=1, *, hidden_units=500, condition=None):
    """The network of `kgen.NADE`: the parameters of each entry, given the entries before it.

    An entry is one channel of one pixel, or of a vector one number. See
    `kgen.layers.SharedConditionals`.

    Args:
        image_shape: `(height, width, channels)`, `(dim,)`, or another shape of examples.
        params_per_entry: int >= 1, such as `likelihood.params_size((1,))`.
        hidden_units: int >= 1.
        condition: as for `made_network`.

    Returns:
        keras.Model from float32 `(batch, *image_shape)`, or from the list of it and the conditions,
        to float32 `(batch, *image_shape[:-1], channels * params_per_entry)`, channel after
        channel.

    Raises:
        ValueError: for a size below its minimum.

    Reference:
        Larochelle & Murray 2011, "The Neural Autoregressive Distribution Estimator".
    """
    layer = SharedConditionals(hidden_units, params_per_entry, context_dim=condition_dim(condition))
    return _image_network(image_shape, layer, condition, "nade")


def _image_network(image_shape, layer, condition, name, masks=None):
    """A layer on the entries of images, row by row, left to right, channel after channel."""
    sides = tuple(image_shape)
    names = ("depth", "height", "width", "channels")[-len(sides) :]
    *sides, channels = checks.sizes("image_shape", sides, names)
    images = keras.Input((*sides, channels), dtype="float32", name="images")
    given, masks = condition_inputs(condition), masks or {}
    context = {"context": condition_vector(given, condition)} if given else {}
    params = layer(layers.Flatten(dtype="float32")(images), **masks, **context)
    params = layers.Reshape((*sides, channels * layer.params_per_entry), dtype="float32")(params)
    others = [*given, *masks.values()]
    return keras.Model([images, *others] if others else images, params, name=name)
