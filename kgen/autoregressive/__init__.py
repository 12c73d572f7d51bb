"""Autoregressive models: p(x) = prod_i p(x_i | the pixels before i), exact."""

from kgen.autoregressive.made import MADE as MADE
from kgen.autoregressive.nade import NADE as NADE
