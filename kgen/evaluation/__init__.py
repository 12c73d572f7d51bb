"""One evaluation suite for all families. Each figure carries its protocol."""

from kgen.evaluation.accuracies import accuracy as accuracy
from kgen.evaluation.batched_probe import keras_linear_probe as keras_linear_probe
from kgen.evaluation.disentanglement import (
    disentanglement_completeness_informativeness as disentanglement_completeness_informativeness,
)
from kgen.evaluation.disentanglement import mutual_information_gap as mutual_information_gap
from kgen.evaluation.extractors import ClassifierFeatures as ClassifierFeatures
from kgen.evaluation.extractors import classifier_features as classifier_features
from kgen.evaluation.extractors import inception_features as inception_features
from kgen.evaluation.extractors import random_features as random_features
from kgen.evaluation.frechet import FeatureStatistics as FeatureStatistics
from kgen.evaluation.frechet import feature_statistics as feature_statistics
from kgen.evaluation.frechet import frechet_distance as frechet_distance
from kgen.evaluation.inception import inception_score as inception_score
from kgen.evaluation.kernel import kernel_distance as kernel_distance
from kgen.evaluation.likelihood import active_units as active_units
from kgen.evaluation.likelihood import bits_per_dim as bits_per_dim
from kgen.evaluation.likelihood import evidence_lower_bound as evidence_lower_bound
from kgen.evaluation.likelihood import importance_weighted_bound as importance_weighted_bound
from kgen.evaluation.manifold import nearest_neighbours as nearest_neighbours
from kgen.evaluation.manifold import (
    precision_recall_density_coverage as precision_recall_density_coverage,
)
from kgen.evaluation.matching import matched_accuracy as matched_accuracy
from kgen.evaluation.mixtures import mode_coverage as mode_coverage
from kgen.evaluation.neighbours import NeighbourIndex as NeighbourIndex
from kgen.evaluation.probes import class_balanced_subset as class_balanced_subset
from kgen.evaluation.probes import knn_probe as knn_probe
from kgen.evaluation.probes import linear_probe as linear_probe
from kgen.evaluation.probes import low_shot_curve as low_shot_curve
from kgen.evaluation.representations import alignment as alignment
from kgen.evaluation.representations import embed_dataset as embed_dataset
from kgen.evaluation.representations import embedding_rank as embedding_rank
from kgen.evaluation.representations import uniformity as uniformity
from kgen.evaluation.samples import draw_samples as draw_samples
from kgen.evaluation.samples import sample_quality as sample_quality
