"""A linear probe that reads its features batch by batch."""

import math

import keras
import numpy as np

from kgen import checks
from kgen.evaluation.accuracies import accuracy
from kgen.evaluation.probes import checked_data, describe_data


def keras_linear_probe(
    features,
    labels,
    test_features,
    test_labels,
    *,
    regularization=1.0,
    epochs=50,
    batch_size=1024,
    learning_rate=0.01,
    seed=0,
):
    """`linear_probe` for large data: the same objective, minimized in batches with Keras.

    One dense layer, from zeros, by Adam with a cosine decay of the learning rate to 0. The features
    are read batch by batch and may be a `numpy.memmap`. The value nears that of `linear_probe` with
    the number of steps, which should be in the thousands.

    Args:
        features: floats `(n, dim)`.
        labels: ints `(n,)`, of two classes or more.
        test_features: floats `(m, dim)`.
        test_labels: ints `(m,)`, classes that the training labels have.
        regularization: float > 0, as in `linear_probe`.
        epochs: int >= 1.
        batch_size: int >= 1.
        learning_rate: float > 0, the first.
        seed: int >= 0, of the order; the global seed is neither read nor moved.

    Returns:
        dict with what `accuracy` gives of the test features (`value`, `standard_error`,
        `balanced_accuracy`, `majority_share`, `num_test`), `regularization`, `num_train` and
        `protocol`.

    Raises:
        ValueError: as `linear_probe`.
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        checks.positive_integer(name, value)
    checks.positive_number("regularization", regularization)
    checks.positive_number("learning_rate", learning_rate)
    checks.integer_at_least("seed", seed, 0)
    data = checked_data(features, labels, test_features, test_labels)
    features, labels, test_features, test_labels = data
    classes, indices = np.unique(labels, return_inverse=True)
    scaled = _scaling(features, batch_size)
    # Keras' L2 has no half, and the loss is a mean. Scikit-learn's two classes have one vector,
    # w = W_1 - W_0 = 2 W_1, whose square is twice |W|^2.
    factor = 1.0 if len(classes) == 2 else 0.5
    penalty = keras.regularizers.L2(factor * regularization / len(features))
    dense = keras.layers.Dense(
        len(classes), kernel_initializer="zeros", kernel_regularizer=penalty, dtype="float32"
    )
    model = keras.Sequential([keras.Input(features.shape[1:]), dense])
    steps = epochs * math.ceil(len(features) / batch_size)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    # Not `fit`: it shuffles by the global seed, and starts and ends a loader every epoch.
    for chosen in _orders(len(features), batch_size, epochs, seed):
        model.train_on_batch(scaled(features[chosen]), indices[chosen])
    kernel, bias = dense.get_weights()
    predicted = [
        np.argmax(scaled(test_features[at : at + batch_size]) @ kernel + bias, axis=1)
        for at in range(0, len(test_features), batch_size)
    ]
    return dict(
        accuracy(classes[np.concatenate(predicted)], test_labels),
        num_train=len(labels),
        regularization=float(regularization),
        protocol=f"one dense layer, regularization {regularization:g}, {epochs} epochs in batches "
        f"of {batch_size}, Adam from {learning_rate:g} to 0, seed {seed}, on "
        + describe_data(*data),
    )


def _scaling(features, batch_size):
    """A function that takes away the mean of `features` and divides by their deviation."""
    mean = features.mean(axis=0, dtype=np.float64)
    parts = range(0, len(features), batch_size)
    squares = sum(np.square(features[at : at + batch_size] - mean).sum(axis=0) for at in parts)
    deviation = np.sqrt(squares / len(features))
    deviation = np.where(deviation > 0, deviation, 1.0)
    return lambda rows: ((rows - mean) / deviation).astype(np.float32)


def _orders(count, batch_size, epochs, seed):
    """The indices of each batch of each epoch."""
    for epoch in range(epochs):
        order = np.random.default_rng((seed, epoch)).permutation(count)
        for start in range(0, count, batch_size):
            yield order[start : start + batch_size]
