"""What the parts of a model must be: networks that fit one another, terms that are declared."""

import keras

from kgen.checks.activations import warn_of_bounded_params


def network(role, value):
    """Return `value`, or raise ValueError if it is not a built Keras model with known shapes."""
    if not isinstance(value, keras.Model):
        raise ValueError(f"{role} must be a keras.Model, received {type(value).__name__}.")
    if not value.built:
        raise ValueError(
            f"{role} '{value.name}' has no variables yet. Give it keras.Input(shape) as its first "
            "layer, such as keras.Input((28, 28, 1)), or build it as keras.Model(inputs, outputs)."
        )
    if not hasattr(value, "input_shape") or not hasattr(value, "output_shape"):
        raise ValueError(
            f"{role} '{value.name}' is a {type(value).__name__}, whose shapes are not known. Wrap "
            "it: inputs = keras.Input(...); keras.Model(inputs, network(inputs))."
        )
    return value


def network_functions(**functions):
    """Raise ValueError unless all are functions, which make networks, or None.

    Args:
        **functions: the arguments of a `for_images` by their names.
    """
    for role, value in functions.items():
        if value is not None and (not callable(value) or isinstance(value, keras.layers.Layer)):
            raise ValueError(
                f"{role} must be a function that makes a network, such as those of kgen.networks, "
                f"received {type(value).__name__}. for_images makes all networks of a model; "
                "networks of your own go to its constructor."
            )


def vector_network(role, value):
    """Return `value`, or raise ValueError if it is not a built network that gives vectors."""
    received = network(role, value).output_shape
    if len(received) != 2 or not isinstance(received, tuple) or received[-1] is None:
        raise ValueError(
            f"{role} '{value.name}' must give vectors (batch, size), received outputs of shape "
            f"{received}. End it with keras.layers.Flatten or a pooling layer; a model of "
            "keras.applications with pooling='avg'."
        )
    return value


def head(role, value, default):
    """Return `value`, or `default` for None, or raise ValueError if it is no head."""
    if value is None:
        return default
    if not hasattr(value, "params_size"):
        raise ValueError(
            f"{role} must be a head of kgen.heads, such as kgen.heads.{default!r}, received "
            f"{value!r}."
        )
    return value


def conditioned(role, value, given):
    """Raise ValueError unless a network takes x alone, or x and then its conditions.

    Args:
        role: str, the argument's name.
        value: keras.Model.
        given: name -> spec of each condition.
    """
    received = [tuple(tensor.shape[1:]) for tensor in network(role, value).inputs]
    expected = [tuple(spec.shape) for spec in given.values()]
    if received[1:] != expected:
        names = ", ".join(f"{name} {shape}" for name, shape in zip(given, expected, strict=True))
        raise ValueError(
            f"{role} '{value.name}' takes inputs of shapes {received}, expected x"
            + (f" and then {names}: see kgen.networks.conditioned." if names else " alone.")
            + ("" if names else " What it is given besides is the argument condition.")
        )


def example_shape(role, value):
    """The shape of what a network takes first, without the batch: a tuple of ints.

    Raises:
        ValueError: if a size is open.
    """
    shape = tuple(value.inputs[0].shape[1:])
    if not shape or None in shape:
        raise ValueError(
            f"{role} '{value.name}' takes examples of shape {shape}: give each size in its "
            "keras.Input, (height, width, channels) of images, (dim,) of vectors."
        )
    return shape


def takes_vectors(role, value, source):
    """Return `value`, or raise ValueError if it does not take the vectors that `source` gives."""
    received, given = network(role, value).input_shape, source.output_shape
    if isinstance(received, list) or tuple(received[1:]) != tuple(given[1:]):
        raise ValueError(
            f"{role} '{value.name}' takes inputs of shape {received}, but '{source.name}' gives "
            f"vectors of shape {given}."
        )
    return value


def predictor(value, projector):
    """Return `value`, or raise ValueError if it does not map the projector's vectors to such."""
    takes_vectors("predictor", vector_network("predictor", value), projector)
    output_shape(
        "predictor", value, projector.output_shape[1:], "what the projector gives, to compare with"
    )
    return value


def output_shape(role, value, expected, why):
    """Raise ValueError if the network `value` does not give outputs of shape `expected`."""
    received = tuple(value.output_shape[1:])
    if received != tuple(expected):
        raise ValueError(
            f"{role} '{value.name}' gives outputs of shape {received}, expected {tuple(expected)}: "
            f"{why}."
        )


def decoder(value, latent_dim, shape, likelihood):
    """Raise ValueError if a decoder does not map latents to a likelihood's parameters.

    Args:
        value: keras.Model.
        latent_dim: int.
        shape: image shape `(height, width, channels)`.
        likelihood: head.
    """
    received = tuple(value.inputs[0].shape[1:])
    if received != (latent_dim,):
        raise ValueError(
            f"decoder '{value.name}' takes inputs of shape {received}, but the encoder's output "
            f"and the posterior make latents of shape {(latent_dim,)}."
        )
    expected = (*shape[:-1], likelihood.params_size(shape))
    why = f"that is what {type(likelihood).__name__} needs for values of shape {tuple(shape)}"
    output_shape("decoder", value, expected, why)
    warn_of_bounded_params("decoder", value, likelihood)


def likelihood_network(role, value, shape, likelihood):
    """Raise ValueError if a network of images does not give a likelihood's parameters."""
    expected = (*shape[:-1], likelihood.params_size(shape))
    why = f"that is what {likelihood!r} needs for values of shape {tuple(shape)}"
    output_shape(role, value, expected, why)
    warn_of_bounded_params(role, value, likelihood)


def prior(value, latent_dim, shape):
    """Return `value`, or raise ValueError if a prior is made for other latents or images."""
    received = getattr(value, "latent_dim", latent_dim)
    if received != latent_dim:
        raise ValueError(
            f"The prior {type(value).__name__} has latent_dim={received}, but the encoder's output "
            f"and the posterior make latents of shape {(latent_dim,)}."
        )
    received = getattr(value, "image_shape", shape)
    if tuple(received) != tuple(shape):
        raise ValueError(
            f"The prior {type(value).__name__} has image_shape={tuple(received)}, but the encoder "
            f"takes images of shape {tuple(shape)}."
        )
    return value


def terms(model, received, function="objective"):
    """Raise ValueError if an objective returned other terms than the model declares.

    Args:
        model: a kgen model.
        received: what its `function` returned.
        function: the method's name, such as "generator_objective".
    """
    name = f"{type(model).__name__}.{function}"
    if not isinstance(received, dict):
        raise ValueError(
            f"{name} must return a dict of terms, such as {{'loss': loss}}, received "
            f"{type(received).__name__}."
        )
    if "loss" not in received:
        raise ValueError(f"{name} must return a term named 'loss', received {sorted(received)}.")
    known = {"loss", *model._tracked_names()}
    unknown = sorted(set(received) - known)
    if unknown:
        raise ValueError(
            f"{name} returned the terms {unknown}, which the class attribute `terms` does not "
            f"list: {model.terms}."
        )
    for term, value in received.items():
        shape = getattr(value, "shape", None)
        if not hasattr(shape, "rank"):
            raise ValueError(
                f"The term '{term}' of {name} must be a tensor, received {type(value).__name__}."
            )
        if shape.rank not in (0, 1):
            raise ValueError(
                f"The term '{term}' of {name} must have shape (batch,), or () of the whole batch, "
                f"received {shape}. Sum over the other axes; the base takes the mean."
            )
    if not received["loss"].dtype.is_floating:
        raise ValueError(
            f"The term 'loss' of {name} must be floats, received {received['loss'].dtype.name}."
        )


def statistics(model, received, count):
    """Raise ValueError if `statistics` of `count` examples are not one value per example each."""
    name = f"{type(model).__name__}.statistics"
    if not isinstance(received, dict):
        raise ValueError(
            f"{name} must return a dict of name -> values, such as {{'loss': loss}}, received "
            f"{type(received).__name__}."
        )
    missing = sorted({"loss", *model.terms} - set(received))
    if missing:
        raise ValueError(
            f"{name} must return the terms {missing} too, received {sorted(received)}."
        )
    for key, value in received.items():
        shape = tuple(getattr(value, "shape", ()))
        is_term = key in ("loss", *model.terms)
        if shape[:1] != (count,) or (is_term and len(shape) > 1):
            raise ValueError(
                f"'{key}' of {name} must have shape {'(batch,)' if is_term else '(batch, ...)'}, "
                f"one value per example, received {shape} of {count} examples."
            )


def no_missing_terms(model, received):
    """Raise ValueError if a term that the model declares was never returned: it would show as 0."""
    missing = sorted(set(model._tracked_names()) - set(received))
    if missing:
        raise ValueError(
            f"{type(model).__name__} declares the terms {missing} in its class attribute `terms`, "
            f"but its objectives returned only {sorted(received)}."
        )
