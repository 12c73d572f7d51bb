"""The Inception Score, with any classifier."""

import numpy as np

from kgen import checks
from kgen.evaluation.features import all_features, describe


def inception_score(generated, classifier, *, num_splits=10, from_logits=True):
    """How sure a classifier is of each image and how evenly it sees the classes; higher is better.

        exp(E_x KL(p(y|x) || p(y))),  p(y) = E_x p(y|x)

    between 1 and the number of classes. It is computed on `num_splits` parts and averaged, as in
    the paper. The parts are taken in the order of the images, so do not sort them by class. It sees
    no real image: a generator that makes one perfect image per class has the best score.

    Args:
        generated: tf.data.Dataset of image batches, or of `(images, ...)`; or a NumPy array or
            tensor `(n, height, width, channels)`; float32 in [0, 1].
        classifier: built keras.Model from images to vectors `(batch, num_classes)`; its name, and
            its attribute `protocol` if it has one, go into the protocol. None where `generated` is
            an array of its outputs `(n, num_classes)`.
        num_splits: int >= 1, at most the number of images.
        from_logits: whether the classifier gives logits, or else probabilities. Outputs that look
            like the other kind are refused.

    Returns:
        dict with `value`, `standard_deviation` (over the parts), `num_generated`, `protocol`.

    Raises:
        ValueError: for no images, fewer images than parts, images that the classifier does not
            take, or outputs that are not what `from_logits` says.

    Reference: Salimans et al. 2016, "Improved techniques for training GANs", section 4.
    """
    checks.positive_integer("num_splits", num_splits)
    outputs = all_features("generated", generated, classifier)
    if len(outputs) < num_splits:
        raise ValueError(
            f"{len(outputs)} images do not make {num_splits} parts. Use more images, or a smaller "
            "num_splits."
        )
    outputs = outputs.astype(np.float64)
    if from_logits:
        _check_logits(outputs, classifier)
    probabilities = _softmax(outputs) if from_logits else _checked(outputs)
    scores = [_score(part) for part in np.array_split(probabilities, num_splits)]
    return dict(
        value=float(np.mean(scores)),
        standard_deviation=float(np.std(scores)),
        num_generated=len(outputs),
        protocol=(
            f"Inception Score by {_named(classifier)} of {outputs.shape[1]} "
            f"classes, mean of {num_splits} split(s) of {len(outputs)} generated images"
        ),
    )


def _named(classifier):
    return "outputs" if classifier is None else f"the classifier {describe(classifier)}"


def _score(probabilities):
    marginal = probabilities.mean(axis=0)
    # Where p(y|x) > 0, p(y) > 0 as well; 0 log 0 is 0.
    ratio = np.divide(
        probabilities, marginal, out=np.ones_like(probabilities), where=probabilities > 0
    )
    return np.exp((probabilities * np.log(ratio)).sum(axis=1).mean())


def _softmax(logits):
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def _are_probabilities(outputs):
    # Half precision rounds each probability by up to 2^-9 of itself.
    return outputs.min() >= 0 and np.abs(outputs.sum(axis=1) - 1.0).max() <= 1e-2


def _check_logits(outputs, classifier):
    """Raise ValueError for probabilities: their softmax is nearly even, and the score near 1."""
    if _are_probabilities(outputs):
        raise ValueError(
            "The classifier gives probabilities, not logits: its outputs are at least 0 and have "
            "the sum 1. Pass from_logits=False."
        )
    if checks.last_activation(classifier) in ("sigmoid", "hard_sigmoid"):
        raise ValueError(
            f"The classifier '{classifier.name}' ends in a sigmoid, which gives neither logits nor "
            "probabilities that sum to 1. Give what comes before its last activation."
        )


def _checked(probabilities):
    sums = probabilities.sum(axis=1)
    if not _are_probabilities(probabilities):
        raise ValueError(
            "from_logits=False expects probabilities, at least 0 and with sum 1, received values "
            f"down to {probabilities.min():g} and sums from {sums.min():g} to {sums.max():g}. "
            "Logits need from_logits=True."
        )
    return probabilities / sums[:, None]
