"""Each bad argument, part or batch gets one clear error.

What `fit` is given is checked in tests/training/test_data.py.
"""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import SMALL

import kgen
from kgen import checks, heads, layers, networks
from kgen.autoencoding import GaussianCorruption, MaskingCorruption, SaltAndPepperCorruption

SHAPE = (5, 6, 1)
GOOD = np.linspace(0, 1, 4 * 30).reshape(4, *SHAPE).astype("float32")


def with_value(value):
    images = GOOD.copy()
    images[2, 1, 3, 0] = value
    return images


def colour(shape):
    return np.zeros((4, *shape), "float32")


BAD_IMAGES = {
    "uint8": (np.zeros((4, *SHAPE), "uint8"), "received uint8. Divide by 255"),
    "integers": (np.zeros((4, *SHAPE), "int64"), "received dtype int64"),
    "bytes_as_floats": (GOOD * 255, r"received values from 0 to 255\. Divide by 255"),
    "minus_one_to_one": (2 * GOOD - 1, r"received values from -1 to 1\. Rescale"),
    "slightly_above": (with_value(1.01), r"Expected pixels in \[0, 1\]"),
    "nan": (with_value(np.nan), "hold NaN: 1 of 4"),
    "infinite": (with_value(np.inf), "hold infinite values"),
    "no_channel_axis": (GOOD[..., 0], r"received \(4, 5, 6\).*Add the channel axis"),
    "flat": (
        GOOD.reshape(4, -1),
        r"Expected images of shape \(batch, 5, 6, 1\), received \(4, 30\)",
    ),
    "one_image": (GOOD[0], r"received \(5, 6, 1\)"),
    "channels_first": (GOOD.reshape(4, 1, 5, 6), "Channels come last"),
    "colour": (colour((5, 6, 3)), r"received \(4, 5, 6, 3\)"),
    "other_size": (colour((6, 5, 1)), r"received \(4, 6, 5, 1\)"),
    "empty": (GOOD[:0], "data set is empty"),
}
bad_images = pytest.mark.parametrize(
    ("images", "message"), BAD_IMAGES.values(), ids=BAD_IMAGES.keys()
)


@bad_images
def test_bad_images(images, message):
    for kind in (np.asarray, tf.constant):
        with pytest.raises(ValueError, match=message):
            checks.images(kind(images), SHAPE)


def test_good_images_pass():
    checks.images(GOOD, SHAPE)
    checks.images(GOOD.astype("float16"), SHAPE)
    checks.images(GOOD)


@pytest.mark.parametrize("data", [GOOD[:3], tf.data.Dataset.from_tensor_slices(GOOD).batch(3)])
def test_batch_that_discriminator_steps_does_not_divide(data):
    model = kgen.AdversarialAutoencoder.for_images(
        SHAPE, latent_dim=2, discriminator_steps=2, **SMALL
    )
    model.compile(generator_optimizer="sgd", discriminator_optimizer="sgd", run_eagerly=True)
    with pytest.raises(
        ValueError,
        match="batch of 3 does not divide into 2 slices of equal size for discriminator_steps=2",
    ):
        model.fit(data, verbose=0)
    # Evaluation takes no slices.
    model.evaluate(data, verbose=0)


def test_last_batch_with_fewer_images_than_steps():
    model = kgen.AdversarialAutoencoder.for_images(
        SHAPE, latent_dim=2, discriminator_steps=2, **SMALL
    )
    model.compile(generator_optimizer="sgd", discriminator_optimizer="sgd", run_eagerly=True)
    with pytest.raises(ValueError, match="last batch has 1 of 5 examples, too few for discrimin"):
        model.fit(np.zeros((5, *SHAPE), "float32"), batch_size=2, verbose=0)


@pytest.mark.parametrize("method", ["predict", "elbo"])
def test_bad_images_reach_no_verb(method):
    model = kgen.VAE.for_images(SHAPE, latent_dim=2, **SMALL)
    with pytest.raises(ValueError, match="received uint8. Divide by 255"):
        getattr(model, method)(np.zeros((2, *SHAPE), "uint8"))


FACTORIES = [kgen.Autoencoder, kgen.VAE, kgen.AdversarialAutoencoder]


@pytest.mark.parametrize("latent_dim", [0, -1, 2.0, "2", True, None])
@pytest.mark.parametrize("factory", FACTORIES, ids=lambda factory: factory.__name__)
def test_latent_dim(factory, latent_dim):
    with pytest.raises(ValueError, match="latent_dim must be an integer of at least 1"):
        factory.for_images(SHAPE, latent_dim=latent_dim)


@pytest.mark.parametrize("shape", [(28, 28), (28,), (28, 28, 1, 1), (28, 0, 1), (28, None, 1)])
@pytest.mark.parametrize("factory", [*FACTORIES, kgen.VQVAE], ids=lambda factory: factory.__name__)
def test_image_shape(factory, shape):
    with pytest.raises(ValueError, match="image_shape must be"):
        factory.for_images(shape)


def encoder(size=4):
    return networks.dense_encoder(SHAPE, size, hidden_units=())


def decoder(latent_dim=2, shape=SHAPE):
    return networks.dense_decoder(latent_dim, shape, hidden_units=())


def feature_encoder(code_dim=2):
    return networks.convolutional_feature_encoder(SHAPE, code_dim, filters=(2,))


def adversarial(units=1, **kwargs):
    discriminator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units)])
    return kgen.AdversarialAutoencoder(encoder(2), decoder(), discriminator, **kwargs)


BAD_MODELS = {
    "decoder_for_another_likelihood": (
        lambda: kgen.VAE(encoder(), decoder(), likelihood=heads.DiscretizedLogistic()),
        r"gives outputs of shape \(5, 6, 1\), expected \(5, 6, 2\).*DiscretizedLogistic",
    ),
    "decoder_for_other_images": (
        lambda: kgen.VAE(encoder(), decoder(shape=(6, 5, 1))),
        r"gives outputs of shape \(6, 5, 1\), expected \(5, 6, 1\)",
    ),
    "decoder_of_other_latents": (
        lambda: kgen.VAE(encoder(), decoder(latent_dim=3)),
        r"takes inputs of shape \(3,\).*make latents of shape \(2,\)",
    ),
    "encoder_that_the_posterior_cannot_split": (
        lambda: kgen.VAE(encoder(5), decoder()),
        "must be a positive multiple of 2; received 5",
    ),
    "encoder_no_model": (
        lambda: kgen.VAE(lambda x: x, decoder()),
        "encoder must be a keras.Model, received function",
    ),
    "decoder_not_built": (
        lambda: kgen.Autoencoder(encoder(2), keras.Sequential([keras.layers.Dense(3)])),
        "has no variables yet",
    ),
    "autoencoder_decoder": (
        lambda: kgen.Autoencoder(encoder(2), decoder(), likelihood=heads.Categorical(4)),
        r"gives outputs of shape \(5, 6, 1\), expected \(5, 6, 4\)",
    ),
    "vqvae_encoder": (
        lambda: kgen.VQVAE(feature_encoder(3), decoder(), layers.VectorQuantizer(4, 2)),
        "the quantizer's code_dim comes last",
    ),
    "discriminator": (lambda: adversarial(2), r"gives outputs of shape \(2,\), expected \(1,\)"),
    "beta": (lambda: kgen.VAE(encoder(), decoder(), beta=-1), "beta must be at least 0"),
    "beta_nan": (lambda: kgen.VAE(encoder(), decoder(), beta=np.nan), "beta must be at least 0"),
    "free_bits": (lambda: kgen.VAE(encoder(), decoder(), free_bits="1"), "free_bits must be a num"),
    "warmup": (
        lambda: kgen.VAE(encoder(), decoder(), kl_warmup_epochs=-1),
        "kl_warmup_epochs must be at least 0",
    ),
    "importance_samples": (
        lambda: kgen.VAE(encoder(), decoder(), num_importance_samples=0),
        "num_importance_samples must be an integer of at least 1",
    ),
    "importance_samples_with_beta": (
        lambda: kgen.VAE(encoder(), decoder(), num_importance_samples=5, beta=2.0),
        "has no separate KL",
    ),
    "walkback_without_corruption": (
        lambda: kgen.Autoencoder(encoder(2), decoder(), walkback_steps=2),
        "needs a corruption",
    ),
    "masking_rate": (lambda: MaskingCorruption(1.5), r"rate must be in \[0, 1\]"),
    "salt_and_pepper_rate": (lambda: SaltAndPepperCorruption(-0.1), "rate must be at least 0"),
    "stddev": (lambda: GaussianCorruption(-1.0), "stddev must be at least 0"),
    "num_codes": (lambda: layers.VectorQuantizer(0, 2), "num_codes must be an integer"),
    "code_dim": (lambda: layers.VectorQuantizer(2, 0), "code_dim must be an integer"),
    "decay": (lambda: layers.VectorQuantizer(2, 2, decay=1.1), r"decay must be in \[0, 1\]"),
    "epsilon": (lambda: layers.VectorQuantizer(2, 2, epsilon=0.0), "epsilon must be"),
    "prior_of_other_latents": (
        lambda: kgen.VAE(encoder(), decoder(), prior=heads.StandardNormal(3)),
        r"StandardNormal has latent_dim=3, but .* latents of shape \(2,\)",
    ),
    "adversarial_prior_of_other_latents": (
        lambda: adversarial(prior=heads.StandardNormal(3)),
        "StandardNormal has latent_dim=3",
    ),
    "adversarial_prior_that_would_never_learn": (
        lambda: adversarial(prior=heads.MixtureOfNormalsPrior(2, 3)),
        "use one without trainable weights",
    ),
}


@pytest.mark.parametrize(("build", "message"), BAD_MODELS.values(), ids=BAD_MODELS.keys())
def test_bad_models(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("num_samples", [0, -1, 1.5])
def test_num_samples(num_samples):
    model = kgen.VAE.for_images(SHAPE, latent_dim=2, **SMALL)
    with pytest.raises(ValueError, match="num_samples must be an integer of at least 1"):
        model.sample(num_samples)
    with pytest.raises(ValueError, match="num_samples must be an integer of at least 1"):
        model.importance_weighted_bound(GOOD, num_samples=num_samples)


def test_one_class():
    checks.several_classes([0, 0, 2])
    for values in ([3], [3, 3, 3], np.full(5, 3, "uint8")):
        with pytest.raises(ValueError, match=f"All {len(values)} labels are 3: with one class"):
            checks.several_classes(values)


def test_numbers():
    assert checks.at_least("x", 0, 0) == 0
    assert checks.probability("x", 1.0) == 1.0
    assert checks.positive_integer("x", np.int64(3)) == 3
    assert checks.positive_number("x", 2) == 2.0
    for value in (0, -1, np.inf, np.nan):
        with pytest.raises(ValueError, match="x must be"):
            checks.positive_number("x", value)
    for value in ("1", None, True, [1]):
        with pytest.raises(ValueError, match="x must be a number, received"):
            checks.at_least("x", value, 0)


@pytest.mark.parametrize("num_levels", [2, 4, 17, 256])
def test_levels(num_levels):
    """Images on the levels pass in each precision; 2 % of a step off does not."""
    images = np.linspace(0, 1, num_levels).reshape(1, 1, num_levels, 1)
    for dtype in ("float64", "float32"):
        checks.levels(images.astype(dtype), num_levels)
    checks.levels(tf.constant(images, tf.float32), num_levels)
    images[0, 0, 1] += 0.02 / (num_levels - 1) * (-1 if num_levels == 2 else 1)
    message = (
        f"on {num_levels} levels, k / {num_levels - 1} with k = 0 .. {num_levels - 1}, "
        f"but {100 / num_levels:.0f} % of the pixels are not, such as {images[0, 0, 1, 0]:g}"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        checks.levels(images, num_levels)


@pytest.mark.parametrize("seed", [1.5, "zero", None, True, 2**31])
def test_bad_seeds(seed):
    with pytest.raises(ValueError, match="seed must be an integer from -2147483648 to 2147483647"):
        kgen.VAE.for_images(SHAPE, latent_dim=2, seed=seed)


def test_batch_size_and_epochs_by_position():
    model = kgen.Autoencoder.for_images(SHAPE, latent_dim=2, **SMALL)
    model.compile("sgd", run_eagerly=True)
    history = model.fit(np.zeros((6, *SHAPE), "float32"), None, 3, 2, verbose=0)
    assert len(history.epoch) == 2 and history.params["steps"] == 2
