"""Functions that return a plain `keras.Model` for any image shape. No loss in here."""

from kgen.networks.autoregressive import masked_autoregressive as masked_autoregressive
from kgen.networks.convolutional import convolutional_decoder as convolutional_decoder
from kgen.networks.convolutional import convolutional_encoder as convolutional_encoder
from kgen.networks.convolutional import (
    convolutional_feature_decoder as convolutional_feature_decoder,
)
from kgen.networks.convolutional import (
    convolutional_feature_encoder as convolutional_feature_encoder,
)
from kgen.networks.dense import dense_decoder as dense_decoder
from kgen.networks.dense import dense_discriminator as dense_discriminator
from kgen.networks.dense import dense_encoder as dense_encoder
from kgen.networks.residual import residual_decoder as residual_decoder
from kgen.networks.residual import residual_encoder as residual_encoder
