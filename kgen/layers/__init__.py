"""Stateful parts that Keras lacks."""

from kgen.layers.batch_normalization import BatchNormalization as BatchNormalization
from kgen.layers.causal_conv import CausalConv2D as CausalConv2D
from kgen.layers.causal_conv import DepthToSpace as DepthToSpace
from kgen.layers.causal_conv import RowConv2D as RowConv2D
from kgen.layers.diagonal_lstm import DiagonalBiLSTM as DiagonalBiLSTM
from kgen.layers.layer_normalization import LayerNormalization as LayerNormalization
from kgen.layers.masked_conditionals import MaskedConditionals as MaskedConditionals
from kgen.layers.masked_dense import MaskedDense as MaskedDense
from kgen.layers.pointwise import CategoryEmbedding as CategoryEmbedding
from kgen.layers.pointwise import ConcatELU as ConcatELU
from kgen.layers.pointwise import GatedActivation as GatedActivation
from kgen.layers.pointwise import OnesChannel as OnesChannel
from kgen.layers.random_apply import RandomApply as RandomApply
from kgen.layers.random_blur import RandomBlur as RandomBlur
from kgen.layers.random_resized_crop import RandomResizedCrop as RandomResizedCrop
from kgen.layers.row_lstm import RowLSTM as RowLSTM
from kgen.layers.shared_conditionals import SharedConditionals as SharedConditionals
from kgen.layers.spectral_normalization import SpectralNormalization as SpectralNormalization
from kgen.layers.standardization import OneHotColumns as OneHotColumns
from kgen.layers.standardization import Standardization as Standardization
from kgen.layers.standardization import adapt as adapt
from kgen.layers.standardization import unadapted as unadapted
from kgen.layers.vector_quantizer import VectorQuantizer as VectorQuantizer
