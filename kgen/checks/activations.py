"""Warnings of networks whose last activation does not fit what reads their outputs."""

import warnings

import keras

# What a value passes through without leaving the range that it came in.
_KEEPS_RANGE = (
    "Cropping",
    "Dropout",
    "Flatten",
    "Identity",
    "Permute",
    "Reshape",
    "UpSampling",
    "ZeroPadding",
)
_RANGES = dict(
    sigmoid="[0, 1]",
    hard_sigmoid="[0, 1]",
    softmax="[0, 1]",
    tanh="[-1, 1]",
    hard_tanh="[-1, 1]",
    softsign="[-1, 1]",
)


def last_activation(network):
    """The name of the activation that a network ends in, such as "sigmoid".

    "linear" is that of a dense layer or a convolution without one. None where it cannot be seen:
    behind another computation, or in a network that is no graph of layers.
    """
    if not isinstance(network, keras.Model) or not getattr(network, "outputs", None):
        return None
    tensor = network.outputs[0]
    while True:
        operation, node_index, _ = tensor._keras_history
        if isinstance(operation, keras.Model):
            return last_activation(operation)
        name = type(operation).__name__
        activation = getattr(operation, "activation", None)
        if activation is not None and getattr(activation, "__name__", "") != "linear":
            return getattr(activation, "__name__", None) or type(activation).__name__.lower()
        if name.lower() in _RANGES:
            return name.lower()
        if hasattr(operation, "kernel"):
            return "linear"
        is_linear_activation = isinstance(operation, keras.layers.Activation)
        if not (is_linear_activation or name.startswith(_KEEPS_RANGE)):
            return None
        inputs = operation._inbound_nodes[node_index].input_tensors
        if len(inputs) != 1:
            return None
        tensor = inputs[0]


def warn_of_bounded_params(role, network, head):
    """Warn of a network that ends in a sigmoid or the like under a head of unbounded parameters."""
    name = last_activation(network)
    if head.has_unbounded_params and name in _RANGES:
        warnings.warn(
            f"{role} '{network.name}' ends in {name}, but {head!r} takes any real numbers, such as "
            f"logits: with outputs in {_RANGES[name]} it cannot make images of black and white. "
            "End the network with activation=None.",
            stacklevel=4,
        )


def warn_of_bounded_logits(role, network):
    """Warn of a discriminator or critic whose output is a probability, where logits are wanted."""
    name = last_activation(network)
    if name in _RANGES:
        warnings.warn(
            f"{role} '{network.name}' ends in {name}, but the losses take logits or scores, any "
            f"real numbers. End it with activation=None; its outputs are in {_RANGES[name]} now.",
            stacklevel=4,
        )


def warn_of_images_beyond_unit_interval(role, network):
    """Warn of a network that makes images beyond [0, 1], where kgen's images lie."""
    name = last_activation(network)
    if len(network.output_shape) == 4 and name in ("linear", "tanh", "hard_tanh", "softsign"):
        if name == "linear":
            range_, remedy = "any range", 'End it with activation="sigmoid".'
        else:
            range_ = _RANGES[name]
            remedy = 'Append keras.layers.Rescaling(0.5, offset=0.5), or use "sigmoid".'
        warnings.warn(
            f"{role} '{network.name}' ends in {name}, which makes images in {range_}, but images "
            f"lie in [0, 1]. {remedy}",
            stacklevel=4,
        )
