"""How well clusters found without labels agree with classes."""

import numpy as np

from kgen.evaluation.accuracies import accuracy


def matched_accuracy(predictions, labels):
    """Share of examples whose cluster stands for their class, under the best matching.

        max over one-to-one m   1/n sum_i [labels_i = m(predictions_i)]

    Each cluster stands for at most one class and each class has at most one cluster: with more
    clusters than classes, those left over count as wrong.

    Args:
        predictions: ints >= 0 `(n,)`, cluster of each example, such as the argmax of
            `InfoGAN.infer`.
        labels: ints >= 0 `(n,)`, class of each example.

    Returns:
        dict with `value` and `balanced_accuracy` in [0, 1]; `majority_share`, which one cluster of
        all examples reaches; `matching` (dict of cluster -> class), `num_examples` and `protocol`.

    Raises:
        ValueError: for empty or misshapen arrays, other dtypes or negative numbers.

    Reference: Kuhn 1955, "The Hungarian Method for the Assignment Problem".
    """
    predictions, labels = _checked("predictions", predictions), _checked("labels", labels)
    if predictions.shape != labels.shape:
        raise ValueError(
            f"Expected one prediction a label, received {len(predictions)} predictions and "
            f"{len(labels)} labels."
        )
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((predictions.max() + 1, labels.max() + 1), np.int64)
    np.add.at(counts, (predictions, labels), 1)
    clusters, classes = linear_sum_assignment(counts, maximize=True)
    matching = dict(zip(clusters.tolist(), classes.tolist(), strict=True))
    # A cluster that is left over stands for no class.
    matched = np.array([matching.get(cluster, -1) for cluster in predictions.tolist()])
    result = accuracy(matched, labels)
    return dict(
        {key: result[key] for key in ("value", "balanced_accuracy", "majority_share")},
        matching=matching,
        num_examples=len(labels),
        protocol=f"share of {len(labels)} examples in the cluster matched one-to-one to their "
        "class, matching fitted on these examples",
    )


def _checked(name, values):
    values = np.asarray(values)
    if values.ndim != 1 or not len(values) or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(
            f"Expected {name} to be integers (n,), not empty, received shape {values.shape} and "
            f"dtype {values.dtype}."
        )
    if values.min() < 0:
        raise ValueError(f"Expected {name} of at least 0, received {values.min()}.")
    return values
