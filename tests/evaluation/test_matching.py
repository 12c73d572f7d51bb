"""Matched accuracy against all permutations."""

import itertools

import numpy as np
import pytest

from kgen.evaluation.matching import matched_accuracy


@pytest.mark.parametrize("seed", range(5))
def test_is_the_best_of_all_permutations(seed):
    labels, predictions = np.random.RandomState(seed).randint(0, 5, size=(2, 60))
    best = max(
        np.mean(np.array(matching)[predictions] == labels)
        for matching in itertools.permutations(range(5))
    )
    result = matched_accuracy(predictions, labels)
    assert result["value"] == pytest.approx(best)
    matching = np.array([result["matching"][cluster] for cluster in range(5)])
    assert np.mean(matching[predictions] == labels) == pytest.approx(best)
    assert result["num_examples"] == 60 and "60 examples" in result["protocol"]


def test_the_greedy_choice_is_not_the_best():
    """Cluster 0 has most of class 0, but gives class 0 up to cluster 1: 3 + 2 of 9, not 4."""
    counts = {(0, 0): 4, (0, 1): 3, (1, 0): 2}
    pairs = np.array([pair for pair, count in counts.items() for _ in range(count)])
    assert matched_accuracy(pairs[:, 0], pairs[:, 1])["value"] == pytest.approx(5 / 9)


def test_a_permutation_of_the_labels_is_right():
    labels = np.arange(12) % 4
    assert matched_accuracy((labels + 1) % 4, labels)["value"] == 1.0


def test_more_clusters_than_classes():
    """Of two clusters that split a class, the larger one counts."""
    labels = np.array([0, 0, 0, 1, 1])
    result = matched_accuracy(np.array([0, 0, 1, 2, 2]), labels)
    assert result["value"] == pytest.approx(4 / 5)
    assert result["matching"] == {0: 0, 2: 1}


def test_fewer_clusters_than_classes():
    labels = np.array([0, 0, 1, 2])
    assert matched_accuracy(np.zeros(4, int), labels)["value"] == pytest.approx(2 / 4)


def test_errors():
    labels = np.array([0, 1])
    with pytest.raises(ValueError, match="3 predictions and 2 labels"):
        matched_accuracy(np.array([0, 1, 1]), labels)
    with pytest.raises(ValueError, match="predictions to be integers"):
        matched_accuracy(np.array([0.0, 1.0]), labels)
    with pytest.raises(ValueError, match="labels to be integers"):
        matched_accuracy(labels, np.eye(2, dtype=int))
    with pytest.raises(ValueError, match="not empty"):
        matched_accuracy(np.zeros(0, int), np.zeros(0, int))
    with pytest.raises(ValueError, match="at least 0, received -1"):
        matched_accuracy(np.array([-1, 0]), labels)
