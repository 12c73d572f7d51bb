"""What the constructors of the two players' models check."""

import warnings

import keras

from kgen import checks
from kgen.layers import LayerNormalization, Standardization


def check_players(generator, discriminator, output_dim=1, given=None):
    """Raise ValueError unless the generator's images fit the discriminator.

    Args:
        generator: keras.Model from vectors, or from the list of them and the conditions.
        discriminator: keras.Model from what the generator gives, or from the list of it and the
            conditions, to `(batch, output_dim)`.
        output_dim: int, or None for any output.
        given: name -> spec of each condition; None for none.

    Returns:
        `(latent_dim, image_shape)`.
    """
    given = given or {}
    for role, network in (("generator", generator), ("discriminator", discriminator)):
        checks.conditioned(role, network, given)
    latents = tuple(generator.inputs[0].shape)
    if len(latents) != 2:
        raise ValueError(
            f"generator '{generator.name}' must take latents (batch, latent_dim), received inputs "
            f"of shape {latents}."
        )
    image_shape = _same_images(generator, discriminator, discriminator.inputs[0].shape)
    if output_dim is not None:
        why = "one logit per image" if output_dim == 1 else "see the class's documentation"
        checks.output_shape("discriminator", discriminator, (output_dim,), why)
        checks.warn_of_bounded_logits("discriminator", discriminator)
    checks.warn_of_images_beyond_unit_interval("generator", generator)
    return latents[1], image_shape


def per_standardized_unit(penalty, discriminator):
    """A penalty on the slope for standardized values, where the discriminator standardizes.

    A slope per unit of the data would mean something else in each column of a table.

    Args:
        penalty: function of `kgen.losses.penalties`.
        discriminator: keras.Model; its own `kgen.layers.Standardization` says the scale.
    """
    scaling = next(
        (each for each in discriminator.layers if isinstance(each, Standardization)), None
    )
    if scaling is None:
        return penalty

    def scaled(critic, real, fake, *, seed):
        standardized = (scaling.standardize(values) for values in (real, fake))
        return penalty(lambda values: critic(scaling.restore(values)), *standardized, seed=seed)

    return scaled


def batch_normalization(network):
    """The first layer of a network that is a batch normalization, at any depth, or None."""
    return _first_layer(network, lambda layer: isinstance(layer, keras.layers.BatchNormalization))


def warn_of_batch_normalization(discriminator):
    """Warn of a discriminator whose slope, which a penalty is on, is not that of one image."""
    layer = batch_normalization(discriminator)
    if layer is not None:
        warnings.warn(
            f"The discriminator '{discriminator.name}' has batch normalization ('{layer.name}'), "
            "which makes its value for an image depend on the batch; the penalty is on the slope "
            'for one image. Use layer normalization (normalization="layer" in kgen.networks) or '
            "none.",
            stacklevel=3,
        )


def warn_of_second_derivatives(network):
    """Warn of a network whose gradient's gradient, which will be taken, is wrong."""
    layer = _first_layer(network, _has_wrong_second_derivative)
    if layer is not None:
        remedy = (
            "synchronized=True"
            if isinstance(layer, keras.layers.BatchNormalization)
            else "kgen.layers.LayerNormalization"
        )
        warnings.warn(
            f"Training takes the gradient of a gradient of '{network.name}', which Keras' own "
            f"{type(layer).__name__} ('{layer.name}') makes wrong: it holds the mean constant in "
            f"the variance. Use {remedy}.",
            stacklevel=3,
        )


def _first_layer(network, condition):
    # `_flatten_layers` looks into nested models and wrappers.
    return next((layer for layer in network._flatten_layers() if condition(layer)), None)


def _has_wrong_second_derivative(layer):
    """Whether a layer goes through `tf.nn.moments`."""
    if isinstance(layer, keras.layers.LayerNormalization):
        return not (isinstance(layer, LayerNormalization) or layer.rms_scaling)
    if isinstance(layer, keras.layers.BatchNormalization):
        return not layer.synchronized
    return isinstance(layer, keras.layers.GroupNormalization)


def _same_images(generator, discriminator, expected):
    """The shape of an image or a point, or a ValueError if the two networks differ in it."""
    received = generator.output_shape
    if tuple(received[1:]) != tuple(expected[1:]):
        raise ValueError(
            f"generator '{generator.name}' gives images of shape {tuple(received[1:])}, but "
            f"discriminator '{discriminator.name}' takes {tuple(expected[1:])}."
        )
    if len(received) not in (2, 3, 4, 5):
        raise ValueError(
            f"generator '{generator.name}' must give images (batch, height, width, channels), "
            f"points (batch, dim), signals or clips, received outputs of shape {received}."
        )
    return tuple(received[1:])
