"""Networks whose last activation does not fit their head or their losses are warned of."""

import keras
import numpy as np
import pytest
from keras import layers

import kgen
from kgen import heads

SHAPE = (8, 8, 3)


def network(inputs, outputs, *, end=None, tail=()):
    size = int(np.prod(outputs))
    return keras.Sequential(
        [
            keras.Input(inputs),
            layers.Flatten(),
            layers.Dense(size, activation=end),
            layers.Reshape(outputs),
            *tail,
        ]
    )


def vae(end, likelihood=None, **kwargs):
    likelihood = likelihood or heads.Bernoulli()
    params = (*SHAPE[:2], likelihood.params_size(SHAPE))
    decoder = network((2,), params, end=end, **kwargs)
    return kgen.VAE(network(SHAPE, (4,)), decoder, likelihood=likelihood)


@pytest.mark.parametrize("end", ["sigmoid", "tanh", "softmax", "hard_sigmoid"])
@pytest.mark.parametrize(
    "likelihood",
    [heads.Bernoulli(), heads.ContinuousBernoulli(), heads.DiscretizedLogistic(), heads.Normal()],
)
def test_a_decoder_under_logits(end, likelihood):
    with pytest.warns(UserWarning, match=f"decoder .* ends in {end}.*activation=None"):
        vae(end, likelihood)


def test_it_is_seen_behind_layers_that_change_nothing():
    for tail in ([layers.Cropping2D(0), layers.Dropout(0.1)], [layers.Activation("linear")]):
        with pytest.warns(UserWarning, match="ends in sigmoid"):
            vae("sigmoid", tail=tail)
    with pytest.warns(UserWarning, match="ends in sigmoid"):
        vae(None, tail=[layers.Activation("sigmoid")])
    inputs = keras.Input((2,))
    nested = keras.Model(inputs, network((2,), SHAPE, end="sigmoid")(inputs))
    with pytest.warns(UserWarning, match="ends in sigmoid"):
        kgen.VAE(network(SHAPE, (4,)), nested)
    outputs = keras.ops.sigmoid(network((2,), SHAPE)(inputs))
    with pytest.warns(UserWarning, match="ends in sigmoid"):
        kgen.Autoencoder(network(SHAPE, (2,)), keras.Model(inputs, outputs))


def test_what_fits_is_not_warned_of():
    vae(None)
    vae("sigmoid", heads.Normal(scale=0.1))  # a mean in [0, 1]
    vae("relu", tail=[layers.Rescaling(2.0, offset=-1.0)])
    kgen.GAN(network((2,), SHAPE, end="sigmoid"), network(SHAPE, (1,)))
    tail = [layers.Rescaling(0.5, offset=0.5)]
    kgen.GAN(network((2,), SHAPE, end="tanh", tail=tail), network(SHAPE, (1,)))


@pytest.mark.parametrize(
    ("end", "message"),
    [("tanh", r"images in \[-1, 1\].*Rescaling\(0.5, offset=0.5\)"), (None, "any range")],
)
@pytest.mark.parametrize("model", [kgen.GAN, kgen.WGAN, kgen.WGANGP])
def test_a_generator_beyond_the_unit_interval(model, end, message):
    with pytest.warns(UserWarning, match=message):
        model(network((2,), SHAPE, end=end), network(SHAPE, (1,)))


@pytest.mark.parametrize("model", [kgen.GAN, kgen.WGAN, kgen.WGANGP])
def test_a_discriminator_of_probabilities(model):
    with pytest.warns(UserWarning, match="discriminator .* ends in sigmoid.*logits or scores"):
        model(network((2,), SHAPE, end="sigmoid"), network(SHAPE, (1,), end="sigmoid"))


@pytest.mark.parametrize("model", [kgen.VAE, kgen.Autoencoder, kgen.VQVAE])
@pytest.mark.parametrize("likelihood", [heads.DiscretizedLogistic(5), heads.Categorical(5)])
def test_pixels_off_the_levels_are_refused(model, likelihood):
    images = np.full((4, *SHAPE), 0.4, np.float32)
    images[0, 0, 0, 0] = 0.25
    built = model.for_images(SHAPE, likelihood=likelihood)
    built.compile()
    with pytest.raises(ValueError, match=r"levels"):
        built.fit(images, verbose=0)
    built.fit(np.round(images * 4) / 4, verbose=0)
    # Grey values under a Bernoulli give the cross-entropy.
    built = model.for_images(SHAPE, likelihood=heads.Bernoulli())
    built.compile()
    built.fit(images, verbose=0)
