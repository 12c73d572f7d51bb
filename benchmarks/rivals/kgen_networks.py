"""The networks of the cases in Keras, for kgen and for bare Keras."""

import functools

from kgen import networks

_FILTERS = networks.doubling_filters(32, (28, 28, 1))

# Encoder and decoder, generator and discriminator, or the one of a PixelCNN.
NETWORKS = {
    "dense": (networks.dense_encoder, networks.dense_decoder),
    "convolutional": (networks.convolutional_encoder, networks.convolutional_decoder),
    "dcgan": (
        functools.partial(networks.dcgan_generator, filters=_FILTERS[::-1]),
        functools.partial(networks.dcgan_discriminator, filters=_FILTERS, normalization=None),
    ),
    "pixelcnn": (functools.partial(networks.pixelcnn, filters=64, num_blocks=7),),
    "contrastive": (
        functools.partial(networks.contrastive_encoder, output_dim=128, stem_strides=2),
        functools.partial(networks.projection_head, 128, (128,), 64),
    ),
}
