"""What the constructors of the two players' models check."""

from kgen import checks


def check_players(generator, discriminator, output_dim=1):
    """Raise ValueError unless the generator's images fit the discriminator.

    Args:
        generator: keras.Model from vectors.
        discriminator: keras.Model from what the generator gives to `(batch, output_dim)`.
        output_dim: int, or None for any output.

    Returns:
        `(latent_dim, image_shape)`.
    """
    received = checks.network("generator", generator).input_shape
    if len(generator.inputs) != 1 or len(received) != 2:
        raise ValueError(
            f"generator '{generator.name}' must take latents (batch, latent_dim), received inputs "
            f"of shape {received}."
        )
    checks.network("discriminator", discriminator)
    image_shape = _same_images(generator, discriminator, discriminator.input_shape)
    if output_dim is not None:
        why = "one logit an image" if output_dim == 1 else "see the class's documentation"
        checks.output_shape("discriminator", discriminator, (output_dim,), why)
    return received[1], image_shape


def check_conditional_players(generator, discriminator):
    """Raise ValueError unless both take labels and the generator's images fit the discriminator.

    Args:
        generator: keras.Model from `[latents, labels]`.
        discriminator: keras.Model from `[images, labels]` to `(batch, 1)`.

    Returns:
        `(latent_dim, image_shape)`.
    """
    shapes = {}
    for role, value, first in (
        ("generator", generator, "latents"),
        ("discriminator", discriminator, "images"),
    ):
        received = checks.network(role, value).input_shape
        pair = isinstance(received, (list, tuple)) and len(value.inputs) == 2
        if not pair or tuple(received[1]) != (None,):
            raise ValueError(
                f"{role} '{value.name}' must take [{first}, labels (batch,)], received inputs of "
                f"shape {value.input_shape}."
            )
        shapes[role] = tuple(received[0])
    if len(shapes["generator"]) != 2:
        raise ValueError(
            f"generator '{generator.name}' must take latents (batch, latent_dim), received latents "
            f"of shape {shapes['generator']}."
        )
    image_shape = _same_images(generator, discriminator, shapes["discriminator"])
    checks.output_shape("discriminator", discriminator, (1,), "one logit an image")
    return shapes["generator"][1], image_shape


def _same_images(generator, discriminator, expected):
    """The shape of an image or a point, or a ValueError if the two networks differ in it."""
    received = generator.output_shape
    if tuple(received[1:]) != tuple(expected[1:]):
        raise ValueError(
            f"generator '{generator.name}' gives images of shape {tuple(received[1:])}, but "
            f"discriminator '{discriminator.name}' takes {tuple(expected[1:])}."
        )
    if len(received) not in (2, 4):
        raise ValueError(
            f"generator '{generator.name}' must give images (batch, height, width, channels) or "
            f"points (batch, dim), received outputs of shape {received}."
        )
    return tuple(received[1:])
