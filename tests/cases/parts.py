"""What a row of the table is, and the tiny networks that rows share."""

import dataclasses
import functools
from collections.abc import Callable

import kgen
from kgen import heads, networks, specs

SHAPE = (5, 6, 1)


@dataclasses.dataclass(frozen=True)
class Case:
    """A name, a function that builds the model, and what the contracts must know of it."""

    name: str
    build: Callable
    # Variables that no gradient reaches and that training moves all the same, by a part of their
    # path.
    follows: tuple = ()
    # Weights that no step moves, likewise: the last bias cancels in a difference of two logits.
    still: tuple = ()
    # Whether the contract exports it: of cases that differ in a head alone, one does.
    exports: bool = True
    # Whether two replicas take the step of one device: no noise of its own, and the statistics of
    # the whole batch.
    same_on_replicas: bool = False
    # A second stage of training, `(model, *data)`, after `fit`.
    second_stage: Callable | None = None


SMALL = dict(
    encoder=lambda shape, size: networks.dense_encoder(shape, size, hidden_units=(8,)),
    decoder=lambda size, shape: networks.dense_decoder(size, shape, hidden_units=(8,)),
)
CONVOLUTIONAL = dict(
    encoder=lambda shape, size: networks.convolutional_encoder(shape, size, filters=(3,), units=4),
    decoder=lambda size, shape: networks.convolutional_decoder(size, shape, filters=(3,), units=4),
)
RESIDUAL = dict(
    encoder=lambda shape, size: networks.residual_encoder(
        shape, size, filters=(3,), num_blocks=1, units=4
    ),
    decoder=lambda size, shape: networks.residual_decoder(
        size, shape, filters=(3,), num_blocks=1, units=4
    ),
)


FEATURES = dict(
    encoder=functools.partial(networks.convolutional_feature_encoder, filters=(3,)),
    decoder=functools.partial(networks.convolutional_feature_decoder, filters=(3,)),
)


def vae(**kwargs):
    """A builder of VAEs with two latents and small networks, unless told otherwise."""
    shape = kwargs.pop("shape", SHAPE)
    return lambda: kgen.VAE.for_images(shape, **{"latent_dim": 2, **SMALL, **kwargs})


def dcgan(**kwargs):
    """The two networks of a DCGAN of one level."""
    return dict(
        generator=lambda size, shape: networks.dcgan_generator(size, shape, filters=(3,)),
        discriminator=lambda shape: networks.dcgan_discriminator(shape, filters=(3, 2), **kwargs),
    )


DENSE_PLAYERS = dict(
    generator=lambda size, shape: networks.dense_generator(size, shape, hidden_units=(8,)),
    discriminator=lambda shape: networks.dense_discriminator(shape, hidden_units=(8,)),
)
# What follows the two players of a GAN; "/u" is the vector of spectral normalization.
AVERAGES = ("average_",)
FOLLOWS = (*AVERAGES, "moving_mean", "moving_variance")


# For discriminators that also read something off the image: (shape, output_dim).
READERS = dict(
    generator=lambda size, shape: networks.dcgan_generator(size, shape, filters=(3,)),
    discriminator=lambda shape, size: networks.dcgan_discriminator(shape, size, filters=(3, 2)),
)

# Means and deviations of the data, which a model takes from it before the first step.
STANDARDIZED = ("/mean", "/scale", "/adapted")
TABLE = [
    ("height", heads.Normal()),
    ("kind", heads.Categorical(3)),
    ("alive", heads.Bernoulli()),
    ("weight", heads.Normal()),
]
MOVING = ("moving_mean", "moving_variance")


def embedder(shape=SHAPE):
    """An encoder of one block into three numbers."""
    return networks.contrastive_encoder(shape, 3, filters=(2,))


def projector(size=2, **kwargs):
    """Three numbers into `size`."""
    return networks.projection_head(3, (4,), size, **kwargs)


PIXELCNN = functools.partial(networks.pixelcnn, filters=6, num_blocks=1, head_filters=(6,))
PIXEL_RNN = functools.partial(networks.pixel_rnn, hidden_units=3, num_layers=1)
GATED = functools.partial(networks.gated_pixelcnn, filters=3, num_layers=2, head_filters=(3,))


def examples(model, count=16, seed=0):
    """What a model trains on, in the form that `fit` takes: `(x,)` or `(x, y)`."""
    x, y = specs.x_and_y(model.data_spec)
    parts = specs.example(x, count, seed), None if y is None else specs.example(y, count, seed)
    return parts[:1] if y is None else parts


def compiled(case, optimizer=kgen.optimizers.Adam, **kwargs):
    """The case's model, compiled."""
    model = case.build()
    if isinstance(model, kgen.StatisticsModel):
        model.compile(**kwargs)
    else:
        model.compile(optimizer(1e-2), **kwargs)
    return model
