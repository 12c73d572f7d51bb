"""Losses: pure functions, unreduced, one module per kind."""

from kgen.losses import adversarial as adversarial
from kgen.losses import contrastive as contrastive
from kgen.losses import penalties as penalties
from kgen.losses import reconstruction as reconstruction
from kgen.losses import variational as variational
