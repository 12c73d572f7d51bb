"""Accuracy with what it must be read beside: balanced accuracy and the majority share."""

import math
import warnings

import numpy as np


def accuracy(predictions, labels):
    """The share of examples whose class is predicted rightly, and two figures to judge it by.

        value             = 1/n sum_i [predictions_i = labels_i]
        balanced_accuracy = mean over the classes c of  sum_i [predictions_i = labels_i = c] / n_c
        majority_share    = max_c n_c / n,    n_c = the number of examples of class c

    The majority share is what one constant answer reaches at best. Where 95 of 100 examples are of
    one class, predictions that know nothing have a value of 0.95, and a balanced accuracy of 1 over
    the number of classes.

        accuracy([0, 0, 0, 0], [0, 0, 0, 1])  # value 0.75, balanced 0.5, majority share 0.75

    Args:
        predictions: ints `(n,)`, the class that is predicted of each example.
        labels: ints `(n,)`, its class. Balanced is over the classes that are among them.

    Returns:
        dict with `value`, `balanced_accuracy` and `majority_share`, each in [0, 1];
        `standard_error` of the value over the examples; `num_test`, which is n; and where the value
        is not above the majority share, a `note` that says so.

    Raises:
        ValueError: for arrays of other shapes or dtypes, or without entries.

    Reference: Brodersen et al. 2010, "The balanced accuracy and its posterior distribution", for
        two classes; for more as scikit-learn's `balanced_accuracy_score`.
    """
    from sklearn.metrics import balanced_accuracy_score

    predictions, labels = np.asarray(predictions), np.asarray(labels)
    for name, values in (("predictions", predictions), ("labels", labels)):
        if values.ndim != 1 or not len(values) or not np.issubdtype(values.dtype, np.integer):
            raise ValueError(
                f"Expected {name} to be integers (n,), not empty, received shape {values.shape} "
                f"and dtype {values.dtype}."
            )
    if len(predictions) != len(labels):
        raise ValueError(
            f"Expected one prediction per label, received {len(predictions)} predictions and "
            f"{len(labels)} labels."
        )
    value = float((predictions == labels).mean())
    share = float(np.unique(labels, return_counts=True)[1].max() / len(labels))
    with warnings.catch_warnings():
        # Of predicted classes that no example has: they count as wrong, which is right.
        warnings.simplefilter("ignore", UserWarning)
        balanced = float(balanced_accuracy_score(labels, predictions))
    return dict(
        value=value,
        standard_error=math.sqrt(value * (1.0 - value) / len(labels)),
        balanced_accuracy=balanced,
        majority_share=share,
        num_test=len(labels),
        **note_of(value, share),
    )


def note_of(value, majority_share):
    """A `note` for an accuracy that one constant answer reaches too; else nothing."""
    if value > majority_share:
        return {}
    return dict(
        note=f"not above {majority_share:.3f}, the share of the most frequent class, which one "
        "constant answer reaches: these predictions know nothing"
    )
