"""Stateful parts that Keras lacks."""

from kgen.layers.layer_normalization import LayerNormalization as LayerNormalization
from kgen.layers.masked_conditionals import MaskedConditionals as MaskedConditionals
from kgen.layers.masked_dense import MaskedDense as MaskedDense
from kgen.layers.shared_conditionals import SharedConditionals as SharedConditionals
from kgen.layers.spectral_normalization import SpectralNormalization as SpectralNormalization
from kgen.layers.vector_quantizer import VectorQuantizer as VectorQuantizer
