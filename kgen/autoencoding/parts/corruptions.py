"""Corruptions C(x~|x) of the denoising autoencoder: small serializable objects."""

import keras
import tensorflow as tf

from kgen import checks, specs


class Corruption:
    """A stochastic map `corruption(images, seed)`; its constructor arguments are attributes.

    `remedy` is None, or what to do where the values do not lie in [0, 1].
    """

    remedy = None

    def get_config(self):
        """The constructor's arguments."""
        return dict(vars(self))

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        return cls(**config)


@keras.saving.register_keras_serializable(package="kgen")
class GaussianCorruption(Corruption):
    """x~ = clip(x + stddev * eps, 0, 1), eps ~ N(0, 1), one draw per pixel and channel.

    Clipping keeps pixels in [0, 1]; Vincent et al. 2010, section 3.5, does not clip.

    Args:
        stddev: float >= 0, in the data's unit.
        clip: bool; numbers of another range want False.
    """

    def __init__(self, stddev=0.3, clip=True):
        self.stddev = checks.at_least("stddev", stddev, 0.0)
        self.clip = bool(clip)

    @property
    def remedy(self):
        """Clipping is for [0, 1]."""
        return "GaussianCorruption(stddev, clip=False)" if self.clip else None

    def __call__(self, images, seed):
        """Corrupt float32 images of any shape with an int32 `(2,)` seed."""
        noise = tf.random.stateless_normal(tf.shape(images), seed=seed)
        noisy = images + self.stddev * noise
        return tf.clip_by_value(noisy, 0.0, 1.0) if self.clip else noisy


@keras.saving.register_keras_serializable(package="kgen")
class MaskingCorruption(Corruption):
    """x~ = 0 with probability `rate`, else x; one draw per pixel and channel.

    Reference: Vincent et al. 2010, "Stacked Denoising Autoencoders", section 3.5.
    """

    def __init__(self, rate=0.3):
        self.rate = checks.probability("rate", rate)

    def __call__(self, images, seed):
        """Corrupt float32 images of any shape with an int32 `(2,)` seed."""
        uniform = tf.random.stateless_uniform(tf.shape(images), seed=seed)
        return tf.where(uniform < self.rate, 0.0, images)


@keras.saving.register_keras_serializable(package="kgen")
class SaltAndPepperCorruption(Corruption):
    """x~ = 0 or 1, each with probability `rate / 2`, else x; one draw per pixel and channel.

    Reference: Vincent et al. 2010, "Stacked Denoising Autoencoders", section 3.5.
    """

    remedy = "MaskingCorruption or GaussianCorruption(stddev, clip=False)"

    def __init__(self, rate=0.3):
        self.rate = checks.probability("rate", rate)

    def __call__(self, images, seed):
        """Corrupt float32 images of any shape with an int32 `(2,)` seed."""
        uniform = tf.random.stateless_uniform(tf.shape(images), seed=seed)
        pepper = tf.where(uniform < self.rate / 2, 0.0, images)
        return tf.where(uniform > 1.0 - self.rate / 2, 1.0, pepper)


def check_corruption(corruption, spec):
    """Raise ValueError for a corruption that would bring numbers of another range into [0, 1]."""
    is_bounded = isinstance(spec, (specs.Images, specs.Clips)) or getattr(spec, "is_bounded", False)
    remedy = getattr(corruption, "remedy", None)
    if remedy is not None and not is_bounded:
        raise ValueError(
            f"{type(corruption).__name__} is for values in [0, 1], but the model takes {spec} of "
            f"any range: use {remedy}."
        )
