"""Functions that return a plain `keras.Model` for any image shape. No loss in here."""

from kgen.networks.autoregressive import made_network as made_network
from kgen.networks.autoregressive import masked_autoregressive as masked_autoregressive
from kgen.networks.autoregressive import nade_network as nade_network
from kgen.networks.conditional import conditioned as conditioned
from kgen.networks.conditional import make_conditioned as make_conditioned
from kgen.networks.conditional import projection_discriminator as projection_discriminator
from kgen.networks.contrastive import contrastive_encoder as contrastive_encoder
from kgen.networks.contrastive import prediction_head as prediction_head
from kgen.networks.contrastive import projection_head as projection_head
from kgen.networks.convolutional import convolutional_decoder as convolutional_decoder
from kgen.networks.convolutional import convolutional_encoder as convolutional_encoder
from kgen.networks.convolutional import (
    convolutional_feature_decoder as convolutional_feature_decoder,
)
from kgen.networks.convolutional import (
    convolutional_feature_encoder as convolutional_feature_encoder,
)
from kgen.networks.cpc import cpc_context as cpc_context
from kgen.networks.cpc import patch_encoder as patch_encoder
from kgen.networks.dcgan import dcgan_discriminator as dcgan_discriminator
from kgen.networks.dcgan import dcgan_generator as dcgan_generator
from kgen.networks.dcgan import doubling_filters as doubling_filters
from kgen.networks.dense import dense_decoder as dense_decoder
from kgen.networks.dense import dense_discriminator as dense_discriminator
from kgen.networks.dense import dense_encoder as dense_encoder
from kgen.networks.dense import dense_generator as dense_generator
from kgen.networks.gated_pixelcnn import gated_pixelcnn as gated_pixelcnn
from kgen.networks.joint import joint_discriminator as joint_discriminator
from kgen.networks.pixel_rnn import pixel_rnn as pixel_rnn
from kgen.networks.pixelcnn import pixelcnn as pixelcnn
from kgen.networks.pixelcnn_plus_plus import pixelcnn_plus_plus as pixelcnn_plus_plus
from kgen.networks.residual import residual_decoder as residual_decoder
from kgen.networks.residual import residual_encoder as residual_encoder
from kgen.networks.residual_gan import residual_discriminator as residual_discriminator
from kgen.networks.residual_gan import residual_generator as residual_generator
from kgen.networks.standardized import on_the_data_scale as on_the_data_scale
from kgen.networks.standardized import reshaped as reshaped
from kgen.networks.standardized import standardized as standardized
