"""Checks: each says what was expected, what was received, and what to do."""

from kgen.checks.activations import last_activation as last_activation
from kgen.checks.activations import warn_of_bounded_logits as warn_of_bounded_logits
from kgen.checks.activations import (
    warn_of_images_beyond_unit_interval as warn_of_images_beyond_unit_interval,
)
from kgen.checks.arguments import at_least as at_least
from kgen.checks.arguments import image_shape as image_shape
from kgen.checks.arguments import integer_at_least as integer_at_least
from kgen.checks.arguments import num_classes as num_classes
from kgen.checks.arguments import positive_integer as positive_integer
from kgen.checks.arguments import positive_interval as positive_interval
from kgen.checks.arguments import positive_number as positive_number
from kgen.checks.arguments import probability as probability
from kgen.checks.arguments import seed as seed
from kgen.checks.arguments import sizes as sizes
from kgen.checks.parts import conditioned as conditioned
from kgen.checks.parts import decoder as decoder
from kgen.checks.parts import example_shape as example_shape
from kgen.checks.parts import head as head
from kgen.checks.parts import likelihood_network as likelihood_network
from kgen.checks.parts import network as network
from kgen.checks.parts import network_functions as network_functions
from kgen.checks.parts import no_missing_terms as no_missing_terms
from kgen.checks.parts import output_shape as output_shape
from kgen.checks.parts import predictor as predictor
from kgen.checks.parts import prior as prior
from kgen.checks.parts import statistics as statistics
from kgen.checks.parts import takes_vectors as takes_vectors
from kgen.checks.parts import terms as terms
from kgen.checks.parts import vector_network as vector_network
from kgen.checks.values import images as images
from kgen.checks.values import integers as integers
from kgen.checks.values import label_tensor as label_tensor
from kgen.checks.values import labels as labels
from kgen.checks.values import level_tensor as level_tensor
from kgen.checks.values import levels as levels
from kgen.checks.values import numbers as numbers
from kgen.checks.values import role as role
from kgen.checks.values import several_classes as several_classes
