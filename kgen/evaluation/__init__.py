"""One evaluation suite for all families. Each figure carries its protocol."""

from kgen.evaluation.likelihood import active_units as active_units
from kgen.evaluation.likelihood import bits_per_dim as bits_per_dim
from kgen.evaluation.likelihood import evidence_lower_bound as evidence_lower_bound
from kgen.evaluation.likelihood import importance_weighted_bound as importance_weighted_bound
