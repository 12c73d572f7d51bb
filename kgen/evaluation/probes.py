"""What a frozen representation knows of labels: linear probes, nearest neighbours, few labels."""

import warnings

import numpy as np
import tensorflow as tf

from kgen import checks
from kgen.evaluation.accuracies import accuracy, note_of
from kgen.evaluation.representations import checked_features, unit_rows

# Similarities are held for so many pairs at a time: 256 MiB.
_BLOCK_SIZE = 2**26
_MAX_ITERATIONS = 1000


def linear_probe(features, labels, test_features, test_labels, *, regularization=1.0, seed=0):
    """Accuracy of logistic regression on frozen features.

        minimize over W, b    sum_i -log softmax(W z_i + b)[labels_i] + regularization / 2 |W|^2

    with z the features, scaled to mean 0 and standard deviation 1 on the training features. With
    two classes the penalty is that of W_1 - W_0. The problem is convex, so the figure depends on
    the features alone. A collapse may pass unseen, since the scaling magnifies what little is left:
    see `embedding_rank`.

    Args:
        features: floats `(n, dim)`.
        labels: ints `(n,)`, of two classes or more.
        test_features: floats `(m, dim)`.
        test_labels: ints `(m,)`, classes that the training labels have.
        regularization: float > 0, 1 / C in the words of scikit-learn; or a sequence of them, of
            which the best in a stratified cross-validation (of up to 5 parts) of the training
            features is taken.
        seed: int, of the parts of the cross-validation.

    Returns:
        dict with what `accuracy` gives of the test features (`value`, `standard_error`,
        `balanced_accuracy`, `majority_share`, `num_test`), `regularization`, `converged`,
        `num_train` and `protocol`.

    Raises:
        ValueError: for features and labels of different lengths, NaN, one class only, test classes
            that were not trained, or a class of a single example where a regularization is chosen.
    """
    data = checked_data(features, labels, test_features, test_labels)
    features, labels, test_features, test_labels = data
    if np.ndim(regularization) == 0:
        checks.positive_number("regularization", regularization)
        chosen = ""
    else:
        candidates = [checks.positive_number("regularization", one) for one in regularization]
        regularization, chosen = _cross_validated(features, labels, candidates, seed)
    model = _fitted(features, labels, regularization)
    predicted = model.predict(test_features.astype(np.float64))
    converged = bool(model[-1].n_iter_.max() < _MAX_ITERATIONS)
    stopped = "" if converged else f", stopped after {_MAX_ITERATIONS} iterations"
    return dict(
        accuracy(predicted, test_labels),
        num_train=len(labels),
        regularization=float(regularization),
        converged=converged,
        protocol=f"logistic regression, regularization {regularization:g}{chosen}{stopped}, on "
        + describe_data(*data),
    )


def knn_probe(features, labels, test_features, test_labels, *, num_neighbours=20, temperature=0.07):
    """Accuracy of a weighted vote of the nearest neighbours.

        prediction(x) = argmax_c  sum_{i in the k nearest to x} exp(cos(x, x_i) / t) [labels_i = c]

    No parameter is trained. Similarities are float32 (TensorFloat-32 on a GPU that has it) and held
    for a block of test features at a time. A feature vector of zeros is similar to none.

    Args:
        features: floats `(n, dim)`.
        labels: ints `(n,)`, of two classes or more.
        test_features: floats `(m, dim)`; other images than `features`.
        test_labels: ints `(m,)`, classes that the training labels have.
        num_neighbours: int >= 1, k; all where there are fewer, which the protocol then says.
        temperature: float > 0, t. A large one makes all votes equal.

    Returns:
        dict with what `accuracy` gives of the test features (`value`, `standard_error`,
        `balanced_accuracy`, `majority_share`, `num_test`), `num_neighbours`, `num_train` and
        `protocol`.

    Raises:
        ValueError: for features and labels of different lengths, NaN, one class only, test classes
            that are not among the neighbours', k below 1, or t not above 0.

    Reference: Wu et al. 2018, "Unsupervised Feature Learning via Non-Parametric Instance
        Discrimination", section 3.4 (k = 200 and t = 0.07 on 1.3 million images).
    """
    checks.positive_integer("num_neighbours", num_neighbours)
    checks.positive_number("temperature", temperature)
    data = checked_data(features, labels, test_features, test_labels)
    features, labels, test_features, test_labels = data
    k = min(num_neighbours, len(features))
    classes, indices = np.unique(labels, return_inverse=True)
    stored = tf.constant(unit_rows(features), tf.float32)
    rows = max(1, _BLOCK_SIZE // len(features))
    predicted = []
    for start in range(0, len(test_features), rows):
        block = tf.constant(unit_rows(test_features[start : start + rows]), tf.float32)
        found = tf.math.top_k(tf.matmul(block, stored, transpose_b=True), k)
        similarities, nearest = found.values.numpy(), found.indices.numpy()
        # Votes of a row may share a factor, and exp(1 / t) may be too large.
        weights = np.exp((similarities - similarities[:, :1]) / temperature)
        votes = np.zeros((len(block), len(classes)))
        np.add.at(votes, (np.arange(len(block))[:, None], indices[nearest]), weights)
        predicted.append(votes.argmax(axis=1))
    predicted = classes[np.concatenate(predicted)]
    fewer = f" (of {num_neighbours} asked for: there are no more)" * (k < num_neighbours)
    return dict(
        accuracy(predicted, test_labels),
        num_train=len(labels),
        num_neighbours=k,
        protocol=f"vote of the {k} nearest by cosine{fewer}, weights exp(cos / {temperature:g}), "
        "on " + describe_data(*data),
    )


def low_shot_curve(
    features,
    labels,
    test_features,
    test_labels,
    *,
    fractions=(0.01, 0.1, 1.0),
    num_draws=5,
    regularization=1.0,
    seed=0,
):
    """The linear probe on few labels: mean and spread over random subsets.

    A subset of fraction f has `max(1, round(f n / num_classes))` examples of each class, or all of
    a class that has fewer; f = 1 has all. The subsets of one draw are nested, so that a larger
    fraction never loses an example.

    Args:
        features: floats `(n, dim)`.
        labels: ints `(n,)`, of two classes or more.
        test_features: floats `(m, dim)`.
        test_labels: ints `(m,)`, classes that the training labels have.
        fractions: floats in (0, 1].
        num_draws: int >= 1; the whole set is drawn once.
        regularization: float > 0, as in `linear_probe`.
        seed: int >= 0, of the draws.

    Returns:
        dict of fraction -> dict with `value` (mean accuracy), `standard_deviation` over the draws
        (0 for the whole set, else None for one draw), `balanced_accuracy` (mean over the draws),
        `majority_share` of the test labels, `accuracies`, `num_labels`, `num_draws` and `protocol`.

    Raises:
        ValueError: as `linear_probe`, and for fractions outside (0, 1].
    """
    checks.positive_integer("num_draws", num_draws)
    checks.positive_number("regularization", regularization)
    checks.integer_at_least("seed", seed, 0)
    fractions = [checks.positive_number("each of fractions", fraction) for fraction in fractions]
    if not fractions or max(fractions) > 1.0:
        raise ValueError(f"Expected fractions in (0, 1], at least one, received {fractions}.")
    data = checked_data(features, labels, test_features, test_labels)
    features, labels, test_features, test_labels = data
    curve = {}
    for fraction in fractions:
        results = []
        for draw in range(num_draws):
            chosen = class_balanced_subset(labels, fraction, seed=seed, draw=draw)
            result = linear_probe(
                features[chosen],
                labels[chosen],
                test_features,
                test_labels,
                regularization=regularization,
            )
            results.append(result)
            if len(chosen) == len(labels):
                break
        accuracies, balanced = (
            [each[name] for each in results] for name in ("value", "balanced_accuracy")
        )
        count, value, share = len(results), float(np.mean(accuracies)), result["majority_share"]
        whole = len(chosen) == len(labels)
        deviation = float(np.std(accuracies, ddof=1)) if count > 1 else 0.0 if whole else None
        how = "" if whole else f"; mean of {count} class-balanced draws, seed {seed}"
        curve[fraction] = dict(
            value=value,
            standard_deviation=deviation,
            balanced_accuracy=float(np.mean(balanced)),
            majority_share=share,
            **note_of(value, share),
            accuracies=accuracies,
            num_labels=len(chosen),
            num_draws=count,
            protocol=f"{result['protocol']}, {100 * fraction:g} % of {len(labels)} labels{how}",
        )
    return curve


def class_balanced_subset(labels, fraction, *, seed=0, draw=0):
    """The indices of a random subset with equally many examples of each class.

    There are `max(1, round(fraction n / num_classes))` of each, or all of a class that has fewer;
    the whole set for 1. Of one draw, the subset of a smaller fraction is part of that of a larger
    one.

    Args:
        labels: ints `(n,)`.
        fraction: float in (0, 1].
        seed: int >= 0.
        draw: int >= 0, which of the subsets of this seed.

    Returns:
        int array of ascending indices.

    Raises:
        ValueError: for a fraction outside (0, 1].
    """
    if checks.positive_number("fraction", fraction) > 1.0:
        raise ValueError(f"fraction must be in (0, 1], received {fraction!r}.")
    labels = np.asarray(labels)
    if fraction == 1.0:
        return np.arange(len(labels))
    random = np.random.default_rng((seed, draw))
    classes = np.unique(labels)
    quota = max(1, round(fraction * len(labels) / len(classes)))
    parts = [random.permutation(np.flatnonzero(labels == one))[:quota] for one in classes]
    return np.sort(np.concatenate(parts))


def _fitted(features, labels, regularization):
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(C=1.0 / regularization, max_iter=_MAX_ITERATIONS)
    pipeline = make_pipeline(StandardScaler(), regression)
    # In float32 the line search of L-BFGS gives up early. The result says if it did not converge.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return pipeline.fit(features.astype(np.float64), labels)


def _cross_validated(features, labels, candidates, seed):
    """The candidate with the best mean accuracy, the largest of equals, and words for it."""
    from sklearn.model_selection import StratifiedKFold

    if not candidates:
        raise ValueError("Expected at least one regularization to choose from, received none.")
    fewest = np.unique(labels, return_counts=True)[1].min()
    if fewest < 2:
        raise ValueError(
            "A regularization is chosen by cross-validation, which takes at least 2 examples of "
            f"each class, received a class of {fewest}. Give one number."
        )
    parts = StratifiedKFold(min(5, int(fewest)), shuffle=True, random_state=seed)
    splits = list(parts.split(features, labels))

    def accuracy(candidate):
        return np.mean(
            [
                _fitted(features[train], labels[train], candidate).score(
                    features[held_out], labels[held_out]
                )
                for train, held_out in splits
            ]
        )

    best = max(sorted(candidates, reverse=True), key=accuracy)
    words = f" (of {candidates}, by {len(splits)}-fold cross-validation, seed {seed})"
    return best, words


def describe_data(features, labels, test_features, test_labels):
    """The data of a probe, for its protocol."""
    return (
        f"{features.shape[1]} features, {len(np.unique(labels))} classes, {len(features)} "
        f"training and {len(test_features)} test examples"
    )


def checked_data(features, labels, test_features, test_labels):
    """The four as float32 and int64 arrays, or ValueError if no probe can be made of them."""
    features = checked_features("features", features)
    test_features = checked_features("test features", test_features)
    if features.shape[1] != test_features.shape[1]:
        raise ValueError(
            f"The features have {features.shape[1]} numbers, the test features "
            f"{test_features.shape[1]}."
        )
    labels = _checked_labels("labels", labels, len(features))
    test_labels = _checked_labels("test labels", test_labels, len(test_features))
    classes = np.unique(labels)
    if len(classes) < 2:
        raise ValueError(
            f"All {len(labels)} labels are {classes[0]}: a probe takes at least two classes. Is "
            "the data sorted by class, and are these its first examples?"
        )
    unknown = sorted(set(np.unique(test_labels).tolist()) - set(classes.tolist()))
    if unknown:
        raise ValueError(
            f"The test labels hold the classes {unknown}, which the {len(labels)} training labels "
            "do not: they cannot be recognized. Use more training examples, of all classes."
        )
    return features, labels, test_features, test_labels


def _checked_labels(name, values, count):
    if values is None:
        raise ValueError(f"Expected {name}, integers ({count},), received none.")
    values = np.asarray(values)
    if values.shape != (count,) or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(
            f"Expected {name} to be integers, one a feature vector, shape ({count},), received "
            f"shape {values.shape} and dtype {values.dtype}."
        )
    return values.astype(np.int64)
