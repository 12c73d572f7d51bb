"""Probes of labels against scikit-learn, SciPy's minimizer and slow loops."""

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import tensorflow as tf

from kgen.evaluation import (
    batched_probe,
    class_balanced_subset,
    keras_linear_probe,
    knn_probe,
    linear_probe,
    low_shot_curve,
    probes,
)


def clusters(seed, count, num_classes=4, dim=6, noise=1.5):
    """Overlapping Gaussians, in coordinates of unlike scale and place."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % num_classes
    centers = np.random.default_rng(99).normal(size=(num_classes, dim))
    features = centers[labels] + noise * random.normal(size=(count, dim))
    return (features * 10.0 ** np.arange(-2, dim - 2) + 3).astype("float32"), labels


TRAIN, TEST = clusters(0, 200), clusters(1, 301)


def slow_logistic_regression(features, labels, regularization):
    """The docstring's objective, minimized by SciPy: a function from features to classes."""
    features = features.astype("float64")
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    z, classes = (features - mean) / deviation, labels.max() + 1

    def parts(flat):
        flat = flat.reshape(z.shape[1] + 1, classes)
        return flat[:-1], flat[-1]

    def objective(flat):
        kernel, bias = parts(flat)
        logits = z @ kernel + bias
        each = scipy.special.logsumexp(logits, axis=1) - logits[np.arange(len(z)), labels]
        penalized = kernel if classes > 2 else kernel[:, 1] - kernel[:, 0]
        return each.sum() + regularization / 2 * np.sum(penalized**2)

    kernel, bias = parts(
        scipy.optimize.minimize(
            objective, np.zeros((z.shape[1] + 1) * classes), options=dict(gtol=1e-4)
        ).x
    )
    return lambda x: np.argmax((x - mean) / deviation @ kernel + bias, axis=1)


@pytest.mark.parametrize(("num_classes", "regularization"), [(4, 1.0), (4, 100.0), (2, 30.0)])
def test_linear_probes_minimize_what_they_say(num_classes, regularization):
    train, test = clusters(0, 200, num_classes), clusters(1, 301, num_classes)
    predict = slow_logistic_regression(*train, regularization)
    expected = np.mean(predict(test[0]) == test[1])
    result = linear_probe(*train, *test, regularization=regularization)
    # Nothing lies so near a border that another minimizer's last digits would move it over.
    assert result["value"] == pytest.approx(expected)
    assert 0.4 < expected < 0.95
    assert result["standard_error"] == pytest.approx(np.sqrt(expected * (1 - expected) / 301))
    assert result["converged"] and result["num_train"] == 200 and result["num_test"] == 301
    assert f"regularization {regularization:g}, on 6 features" in result["protocol"]
    assert f"{num_classes} classes, 200 training and 301 test" in result["protocol"]
    # The same minimum by other steps, of all examples or of a part: in parts, Adam ends near it,
    # and one or two test examples may fall on the other side.
    for batch_size, epochs, tolerance in ((200, 300, 1e-6), (40, 80, 2.5 / 301)):
        batched = keras_linear_probe(
            *train,
            *test,
            regularization=regularization,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=0.05,
        )
        assert batched["value"] == pytest.approx(expected, abs=tolerance)
        assert (
            f"{epochs} epochs in batches of {batch_size}, Adam from 0.05 to 0"
            in (batched["protocol"])
        )


def test_regularization_matters_to_the_figure():
    """Else the test above could not tell a wrong one."""
    values = {
        linear_probe(*TRAIN, *TEST, regularization=one)["value"] for one in (1e-3, 1.0, 100.0, 1e4)
    }
    assert len(values) > 1


def test_the_keras_probe_depends_on_its_seed_alone(tmp_path):
    path = tmp_path / "features.npy"
    np.save(path, TRAIN[0])
    mapped = np.load(path, mmap_mode="r")
    values = []
    for seed, features in ((5, TRAIN[0]), (5, mapped)):
        tf.random.set_seed(len(values))
        np.random.seed(len(values))
        before = np.random.get_state()[1].copy()
        arguments = dict(epochs=2, batch_size=150, learning_rate=0.3, seed=seed)
        values.append(keras_linear_probe(features, TRAIN[1], *TEST, **arguments)["value"])
        np.testing.assert_array_equal(np.random.get_state()[1], before)
    assert values[0] == values[1]


def test_scaling_in_parts_and_orders_of_epochs():
    features = np.concatenate([TRAIN[0], np.full((200, 1), 5, "float32")], axis=1)
    received = batched_probe._scaling(features, 64)(features)
    wide = TRAIN[0].astype("float64")
    # Float32 results; what is constant becomes 0.
    expected = (wide - wide.mean(axis=0)) / wide.std(axis=0)
    np.testing.assert_allclose(received[:, :-1], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(received[:, -1], 0)
    parts = list(batched_probe._orders(200, 64, 2, seed=0))
    assert [len(part) for part in parts] == 2 * [64, 64, 64, 8]
    first, second = np.concatenate(parts[:4]), np.concatenate(parts[4:])
    for epoch in (first, second):
        np.testing.assert_array_equal(np.sort(epoch), np.arange(200))
    assert np.any(first != second)


def test_a_regularization_is_chosen_on_the_training_features():
    candidates = [1e-3, 10.0, 1e5]
    result = linear_probe(*TRAIN, *TEST, regularization=candidates, seed=3)
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    parts = StratifiedKFold(5, shuffle=True, random_state=3)
    scores = [
        cross_val_score(
            make_pipeline(StandardScaler(), LogisticRegression(C=1 / one, max_iter=1000)),
            TRAIN[0].astype("float64"),
            TRAIN[1],
            cv=parts,
        ).mean()
        for one in candidates
    ]
    best = candidates[int(np.argmax(scores))]
    assert sorted(scores)[-1] > sorted(scores)[-2], "one is best"
    assert result["regularization"] == best
    assert result["value"] == linear_probe(*TRAIN, *TEST, regularization=best)["value"]
    assert "by 5-fold cross-validation, seed 3" in result["protocol"]


def test_it_says_when_it_did_not_converge(monkeypatch):
    monkeypatch.setattr(probes, "_MAX_ITERATIONS", 2)
    result = linear_probe(*TRAIN, *TEST)
    assert not result["converged"] and "stopped after 2 iterations" in result["protocol"]


def slow_votes(features, labels, test_features, k, temperature):
    """Wu et al. 2018, section 3.4, one test feature at a time."""
    predictions = []
    for x in test_features.astype("float64"):
        cosines = [
            x @ f / np.linalg.norm(x) / np.linalg.norm(f) for f in features.astype("float64")
        ]
        votes = np.zeros(labels.max() + 1)
        for index in sorted(range(len(features)), key=lambda i: -cosines[i])[:k]:
            votes[labels[index]] += np.exp(cosines[index] / temperature)
        predictions.append(votes.argmax())
    return np.array(predictions)


def directions(seed, count):
    features, labels = clusters(seed, count, noise=1.0)
    return (features - 3) / 10.0 ** np.arange(-2, 4), labels


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (20, 0.07), (20, 0.5), (60, 0.02)])
def test_weighted_votes(monkeypatch, k, temperature):
    # Blocks of a few rows, so that several are joined.
    monkeypatch.setattr(probes, "_BLOCK_SIZE", 200 * 7)
    train, test = directions(0, 200), directions(1, 101)
    predictions = slow_votes(*train, test[0], k, temperature)
    result = knn_probe(*train, *test, num_neighbours=k, temperature=temperature)
    assert result["value"] == pytest.approx(np.mean(predictions == test[1]))
    assert 0.4 < result["value"] < 0.95
    assert (
        f"vote of the {k} nearest by cosine, weights exp(cos / {temperature:g})"
        in (result["protocol"])
    )


def test_a_large_temperature_gives_equal_votes():
    from sklearn.neighbors import KNeighborsClassifier

    train, test = directions(0, 200), directions(1, 101)
    # An odd number of two classes: no draw, which the two would settle otherwise.
    train, test = (train[0], train[1] % 2), (test[0], test[1] % 2)
    reference = KNeighborsClassifier(21, metric="cosine").fit(*train)
    result = knn_probe(*train, *test, num_neighbours=21, temperature=1e6)
    assert result["value"] == pytest.approx(reference.score(*test))


def test_votes_with_few_neighbours_and_a_tiny_temperature():
    features, labels = directions(0, 12)
    result = knn_probe(features, labels, features, labels, num_neighbours=500, temperature=1e-6)
    # Each is its own nearest, and exp(1e6) does not overflow.
    assert result["value"] == 1.0
    assert result["num_neighbours"] == 12
    assert "12 nearest by cosine (of 500 asked for" in result["protocol"]


def test_labels_need_not_count_from_zero():
    shifted = [(features, 10 * labels - 7) for features, labels in (TRAIN, TEST)]
    arguments = dict(epochs=2, batch_size=100)
    for probe, given in ((linear_probe, {}), (keras_linear_probe, arguments), (knn_probe, {})):
        expected = probe(*TRAIN, *TEST, **given)["value"]
        assert probe(*shifted[0], *shifted[1], **given)["value"] == expected


def test_low_shot_curve():
    curve = low_shot_curve(*TRAIN, *TEST, fractions=(0.01, 0.1, 0.5, 1.0), num_draws=3, seed=4)
    assert list(curve) == [0.01, 0.1, 0.5, 1.0]
    # 1 % of 200 is 2 labels, but each of 4 classes has one.
    assert [part["num_labels"] for part in curve.values()] == [4, 20, 100, 200]
    assert [part["num_draws"] for part in curve.values()] == [3, 3, 3, 1]
    for part in curve.values():
        assert part["value"] == pytest.approx(np.mean(part["accuracies"]))
    for fraction in (0.01, 0.1, 0.5):
        part = curve[fraction]
        assert len(set(part["accuracies"])) > 1
        assert part["standard_deviation"] == pytest.approx(np.std(part["accuracies"], ddof=1))
        assert (
            f"{100 * fraction:g} % of 200 labels; mean of 3 class-balanced draws, seed 4"
            in (part["protocol"])
        )
    assert curve[1.0]["value"] == linear_probe(*TRAIN, *TEST)["value"]
    assert curve[1.0]["standard_deviation"] == 0.0
    assert curve[1.0]["protocol"].endswith("100 % of 200 labels")
    assert curve[0.01]["value"] < curve[1.0]["value"]
    again = low_shot_curve(*TRAIN, *TEST, fractions=(0.1,), num_draws=3, seed=4)
    assert again[0.1] == curve[0.1]
    other = low_shot_curve(*TRAIN, *TEST, fractions=(0.1,), num_draws=1, seed=5)
    assert other[0.1]["accuracies"][0] != curve[0.1]["accuracies"][0]
    assert other[0.1]["standard_deviation"] is None


def test_subsets_are_balanced_and_nested():
    labels = np.repeat([3, 5, 8], [50, 49, 1])
    sizes, before = [], set()
    for fraction in (0.01, 0.09, 0.6, 1.0):
        chosen = class_balanced_subset(labels, fraction)
        assert len(set(chosen)) == len(chosen) and before <= set(chosen)
        before = set(chosen)
        sizes.append([int((labels[chosen] == one).sum()) for one in (3, 5, 8)])
    # A third of each fraction of 100; the rare class gives all that it has.
    assert sizes == [[1, 1, 1], [3, 3, 1], [20, 20, 1], [50, 49, 1]]


def with_nan(features):
    return np.where(np.arange(len(features))[:, None] == 3, np.nan, features)


@pytest.mark.parametrize("probe", [linear_probe, keras_linear_probe, knn_probe, low_shot_curve])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(labels=TRAIN[1][:-1]), r"shape \(200,\), received shape \(199,\)"),
        (dict(labels=TRAIN[1][:, None]), r"received shape \(200, 1\)"),
        (dict(labels=TRAIN[1].astype("float32")), "dtype float32"),
        (dict(labels=None), r"Expected labels, integers \(200,\), received none"),
        (dict(labels=np.full(200, 7)), "All 200 labels are 7"),
        (dict(test_labels=TEST[1] + 1), r"test labels hold the classes \[4\]"),
        (dict(features=with_nan(TRAIN[0])), "The features hold NaN or infinity: 1 of 200"),
        (dict(test_features=np.full((301, 6), np.inf)), "The test features hold NaN.*301 of 301"),
        (dict(test_features=TEST[0][:, :5]), "have 6 numbers, the test features 5"),
        (dict(features=TRAIN[0][:, 0]), r"Expected features of shape \(n, dim\)"),
        (dict(features=TRAIN[0][:0]), "not empty"),
    ],
)
def test_wrong_data(probe, change, message):
    given = dict(features=TRAIN[0], labels=TRAIN[1], test_features=TEST[0], test_labels=TEST[1])
    with pytest.raises(ValueError, match=message):
        probe(**(given | change))


@pytest.mark.parametrize(
    ("probe", "arguments", "message"),
    [
        (linear_probe, dict(regularization=0.0), "regularization must be"),
        (linear_probe, dict(regularization=[]), "at least one regularization"),
        (linear_probe, dict(regularization=[1.0, -1.0]), "regularization must be"),
        (keras_linear_probe, dict(epochs=0), "epochs must be"),
        (keras_linear_probe, dict(batch_size=0), "batch_size must be"),
        (keras_linear_probe, dict(learning_rate=0.0), "learning_rate must be"),
        (knn_probe, dict(num_neighbours=0), "num_neighbours must be"),
        (knn_probe, dict(temperature=0.0), "temperature must be"),
        (low_shot_curve, dict(fractions=(0.5, 0.0)), "each of fractions must be"),
        (low_shot_curve, dict(fractions=(1.5,)), r"fractions in \(0, 1\]"),
        (low_shot_curve, dict(fractions=()), "at least one"),
        (low_shot_curve, dict(num_draws=0), "num_draws must be"),
    ],
)
def test_wrong_arguments(probe, arguments, message):
    with pytest.raises(ValueError, match=message):
        probe(*TRAIN, *TEST, **arguments)


def test_a_class_of_one_cannot_be_cross_validated():
    labels = np.where(np.arange(200) == 7, 9, TRAIN[1])
    with pytest.raises(ValueError, match="at least 2 examples of each class"):
        linear_probe(TRAIN[0], labels, *TEST, regularization=[1.0, 2.0])
