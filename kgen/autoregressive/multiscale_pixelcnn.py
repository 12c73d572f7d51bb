"""The multi-scale PixelCNN: from a coarse image to a fine one."""

import functools

import keras
import tensorflow as tf

from kgen import checks, heads
from kgen.autoregressive.parts.cached import CachedSampler
from kgen.autoregressive.parts.convolutional import num_passes
from kgen.autoregressive.parts.pixels import PixelByPixel, check_likelihood
from kgen.networks import convolutional_feature_decoder, gated_pixelcnn
from kgen.training import ObjectiveModel

_UPSAMPLER = functools.partial(convolutional_feature_decoder, filters=(64,))


@keras.saving.register_keras_serializable(package="kgen")
class MultiScalePixelCNN(PixelByPixel, ObjectiveModel):
    """Multi-scale PixelCNN (van den Oord et al. 2016): each image given every second pixel of it.

        x_s         every 2^s-th pixel of every 2^s-th row of x, s = 0 .. S - 1
        log p(x)    = log p(x_{S-1}) + sum_{s < S-1} log p(x_s | x_{s+1})
        p(x_s | x_{s+1}) = prod_i p(x_{s,i} | x_{s,1} .. x_{s,i-1}, x_{s+1}),   i not in x_{s+1}
        loss        = -log p(x)                                             nats per image

    The first network models the smallest image. Each other one models the pixels that the smaller
    image lacks, in raster order, given those before and the smaller image, which tells it roughly
    what is still to come. Each pixel is counted once: the likelihood is exact.

    To draw an image is to draw the smallest and then to complete the larger ones, each around the
    pixels of the one before. So the order of `complete` is from coarse to fine: a known pixel of
    a coarse grid reaches all that is drawn on finer ones, above and to the left too; one that is on
    the finest grid alone does not reach the coarser images.

    Args:
        networks: list of S functional keras.Models, for the smallest image first. The first maps
            images to the likelihood's parameters, the others the list of images and maps; see
            `kgen.networks.gated_pixelcnn`.
        upsamplers: list of S - 1 keras.Models: from an image to the maps that the next network
            takes, `(batch, height, width, n)` of its size.
        likelihood: head on levels; `kgen.heads.Categorical(256)` by default.
        **kwargs: `seed`, `name`, `dtype`.

    Raises:
        ValueError: if the networks do not fit one another or the likelihood, or see a pixel that is
            yet to come.

    Reference:
        van den Oord, Kalchbrenner & Kavukcuoglu 2016, "Pixel Recurrent Neural Networks", section
        3.6, there with recurrent networks.
    """

    def __init__(self, networks, upsamplers, *, likelihood=None, **kwargs):
        super().__init__(**kwargs)
        self.networks = [checks.network("each of networks", network) for network in networks]
        self.upsamplers = [checks.network("each of upsamplers", network) for network in upsamplers]
        self.likelihood = check_likelihood(likelihood or heads.Categorical(256))
        if not networks or len(upsamplers) != len(networks) - 1:
            raise ValueError(
                "Expected at least one network and an upsampler for each but the first, received "
                f"{len(networks)} networks and {len(upsamplers)} upsamplers."
            )
        self.image_shape = checks.image_shape(self.networks[-1].inputs[0].shape[1:])
        self._check_networks()
        self.samplers = [CachedSampler(network, self.likelihood) for network in networks]

    def _check_networks(self):
        smaller = None
        for network, step, upsampler in self._scales():
            name, shape = network.name, _subsampled_shape(self.image_shape, step)
            received = [tuple(spec.shape[1:]) for spec in network.inputs]
            expected = 1 if smaller is None else 2
            if len(received) != expected or received[0] != shape:
                raise ValueError(
                    f"network '{name}' takes inputs of shapes {received}, expected {expected}: "
                    f"images of shape {shape}, which is {self.image_shape} in steps of {step}"
                    + ("." if smaller is None else ", and maps.")
                )
            checks.likelihood_network("network", network, shape, self.likelihood)
            if smaller is not None:
                if tuple(upsampler.input_shape[1:]) != smaller:
                    raise ValueError(
                        f"upsampler '{upsampler.name}' takes inputs of shape "
                        f"{tuple(upsampler.input_shape[1:])}, but the smaller images have shape "
                        f"{smaller}."
                    )
                why = f"these are the maps that network '{name}' takes as its second input"
                checks.output_shape("upsampler", upsampler, received[1], why)
            smaller = shape

    def _scales(self):
        """Of each scale, the smallest image first: its network, its step and its upsampler."""
        steps = [2**scale for scale in reversed(range(len(self.networks)))]
        return zip(self.networks, steps, [None, *self.upsamplers], strict=True)

    @classmethod
    def for_images(
        cls,
        image_shape,
        *,
        num_scales=2,
        likelihood=None,
        num_maps=64,
        network=gated_pixelcnn,
        upsampler=_UPSAMPLER,
        **kwargs,
    ):
        """A multi-scale model of Gated PixelCNN's networks.

        Args:
            image_shape: `(height, width, channels)`; the sides are halved, rounding up.
            num_scales: int >= 1, S.
            likelihood: head on levels; `kgen.heads.Categorical(256)` by default.
            num_maps: int >= 1, maps that a smaller image becomes.
            network: function `(image_shape, params_size, num_maps=, channel_groups=) ->
                keras.Model`, of each scale.
            upsampler: function `(channels, (height, width, num_maps)) -> keras.Model`.
            **kwargs: `seed`, `name`, `dtype`.

        Raises:
            ValueError: for a side that is 1 before the last halving.
        """
        checks.network_functions(network=network, upsampler=upsampler)
        likelihood = check_likelihood(likelihood or heads.Categorical(256))
        image_shape = checks.image_shape(image_shape)
        largest_step = 2 ** (checks.positive_integer("num_scales", num_scales) - 1)
        if 2 * min(image_shape[:2]) <= largest_step:
            raise ValueError(
                f"Images of {image_shape[0]} x {image_shape[1]} are too small for num_scales="
                f"{num_scales}: each side needs more than {largest_step // 2} pixels."
            )
        networks, upsamplers = [], []
        for scale in reversed(range(num_scales)):
            shape = _subsampled_shape(image_shape, 2**scale)
            if networks:
                upsamplers.append(upsampler(shape[-1], (*shape[:2], num_maps)))
            networks.append(
                network(
                    shape,
                    likelihood.params_size(shape),
                    num_maps=num_maps if networks else None,
                    channel_groups=num_passes(likelihood, shape),
                )
            )
        return cls(networks, upsamplers, likelihood=likelihood, **kwargs)

    # What `PixelByPixel` asks for.

    def _log_prob(self, images, given=(), training=False):
        images = tf.cast(images, tf.float32)
        total, smaller = 0.0, None
        for network, step, upsampler in self._scales():
            x = images[:, ::step, ::step]
            if smaller is None:
                params = network(x, training=training)
                parts = [(0, 0, 1)]
            else:
                maps = upsampler(smaller, training=training)
                params = network([x, maps], training=training)
                # All but the pixels of the smaller image, as three images of its size.
                parts = [(0, 1, 2), (1, 0, 2), (1, 1, 2)]
            for row, column, stride in parts:
                part = slice(None), slice(row, None, stride), slice(column, None, stride)
                total += self.likelihood(params[part]).log_prob(x[part])
            smaller = x
        return total

    def _fill(self, images, known, uniforms, temperature):
        smaller = None
        for sampler, (_, step, upsampler) in zip(self.samplers, self._scales(), strict=True):
            x, is_known, noise = (values[:, ::step, ::step] for values in (images, known, uniforms))
            maps = []
            if smaller is not None:
                x, is_known = _with_smaller(x, is_known, smaller)
                maps = [upsampler(smaller, training=False)]
            smaller = sampler(x, is_known, noise, temperature, *maps)
        return smaller


def _with_smaller(images, known, smaller):
    """`images` and `known` with the pixels of the smaller images on every second place."""
    height, width = images.shape[1:3]
    enlarged = tf.repeat(tf.repeat(smaller, 2, axis=1), 2, axis=2)[:, :height, :width]
    is_even = [tf.range(side) % 2 == 0 for side in (height, width)]
    on_grid = is_even[0][:, None] & is_even[1]
    return tf.where(on_grid[:, :, None], enlarged, images), known | on_grid


def _subsampled_shape(image_shape, step):
    height, width, channels = image_shape
    return -(-height // step), -(-width // step), channels
