"""Stateful parts that Keras lacks."""

from kgen.layers.masked_dense import MaskedDense as MaskedDense
from kgen.layers.vector_quantizer import VectorQuantizer as VectorQuantizer
