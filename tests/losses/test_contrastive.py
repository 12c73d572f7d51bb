"""The losses against slow transcriptions of their papers: loops in float64, a pair at a time."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
from losses import papers
from losses.papers import LABELS, POSITIVES, SAME

from kgen.losses import contrastive as losses

RANDOM = np.random.RandomState(0)
FIRST, SECOND, THIRD = RANDOM.normal(size=(3, 6, 4)).astype("float32")
QUEUE = RANDOM.normal(size=(5, 4)).astype("float32")
OWN_NEGATIVES = RANDOM.normal(size=(6, 3, 4)).astype("float32")
LOG_RATIOS = RANDOM.normal(scale=2, size=6).astype("float32")
NOISE_LOG_RATIOS = RANDOM.normal(scale=2, size=(6, 3)).astype("float32")


@dataclasses.dataclass(frozen=True)
class Case:
    """A loss of float inputs, those inputs, and its transcription."""

    name: str
    loss: Callable
    paper: Callable
    inputs: tuple
    # The argument that must be above 0, if there is one.
    positive: str | None


def case(name, *inputs, others=(), suffix="", **arguments):
    def loss(*values, **changed):
        return getattr(losses, name)(*values, *others, **{**arguments, **changed})

    positive = next((key for key in arguments if key != "weight"), None)
    return Case(name + suffix, loss, getattr(papers, name), inputs, positive)


MARGIN, TEMPERATURE = dict(margin=papers.MARGIN), dict(temperature=papers.TEMPERATURE)
LABELLED = dict(others=(LABELS,))
CASES = [
    case("margin_contrastive", FIRST, SECOND, others=(SAME,), **MARGIN),
    case("triplet", FIRST, SECOND, THIRD, **MARGIN),
    case("semi_hard_triplet", FIRST, **LABELLED, **MARGIN),
    case("all_pairs_margin_contrastive", FIRST, **LABELLED, **MARGIN),
    case("labelled_nt_xent", FIRST, **LABELLED, **TEMPERATURE),
    case("noise_contrastive", LOG_RATIOS, NOISE_LOG_RATIOS),
    case("info_nce", FIRST, SECOND, QUEUE, **TEMPERATURE),
    case("info_nce", FIRST, SECOND, OWN_NEGATIVES, suffix="_own_negatives", **TEMPERATURE),
    case("info_nce_among", FIRST, QUEUE, others=(POSITIVES,), **TEMPERATURE),
    case("nt_xent", FIRST, SECOND, **TEMPERATURE),
    case("byol", FIRST, SECOND),
    case("simsiam", FIRST, SECOND),
    case("barlow_twins", FIRST, SECOND, weight=papers.WEIGHT),
    case("vicreg_invariance", FIRST, SECOND),
    case("vicreg_variance", FIRST, margin=papers.VARIANCE_MARGIN),
    case("vicreg_covariance", FIRST),
]
STATISTICS = ("barlow_twins", "vicreg_variance", "vicreg_covariance")
every_loss = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def test_every_loss_is_here():
    public = {
        name
        for name, value in vars(losses).items()
        if callable(value) and not name.startswith("_") and value.__module__ == losses.__name__
    }
    assert public == {case.paper.__name__ for case in CASES}


def in_float64(values):
    return [np.asarray(value, np.float64) for value in values]


@every_loss
def test_papers_equation(case):
    received = case.loss(*case.inputs)
    assert received.dtype == tf.float32
    assert received.shape == (() if case.name in STATISTICS else (6,))
    # float32 against float64; Barlow twins' 1e-5 beside variances near 1 changes C by 1e-5.
    np.testing.assert_allclose(received, case.paper(*in_float64(case.inputs)), rtol=5e-5, atol=1e-6)


@every_loss
def test_gradient(case):
    """Central differences of the transcription: no part of the code is on their side."""
    inputs = [tf.constant(value) for value in case.inputs]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        # Weights that differ, or the gradient of one example could stand for another's.
        weights = 1.0 if case.name in STATISTICS else np.linspace(0.5, 2.0, 6)
        total = tf.reduce_sum(case.loss(*inputs) * tf.cast(weights, tf.float32))
    received = tape.gradient(total, inputs)
    values, step = in_float64(case.inputs), 1e-6

    def at(array, index, change):
        before = array[index]
        array[index] = before + change
        result = np.sum(weights * np.asarray(case.paper(*values)))
        array[index] = before
        return result

    for array, gradient in zip(values, received, strict=True):
        expected = np.zeros_like(array)
        for index in np.ndindex(*array.shape):
            expected[index] = (at(array, index, step) - at(array, index, -step)) / (2 * step)
        assert np.abs(expected).max() > 1e-3
        # float32's rounding of sums of tens; Barlow twins' 1e-5 beside the variances.
        np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@every_loss
def test_half_precision(case, dtype):
    """Computed in float32: squares of 300 would be infinite in float16."""
    inputs = [tf.cast(300 * value, dtype) for value in case.inputs]
    received = case.loss(*inputs)
    assert received.dtype == tf.float32
    assert np.isfinite(received).all()
    exact = [tf.cast(value, tf.float32) for value in inputs]
    np.testing.assert_array_equal(received, case.loss(*exact))


@pytest.mark.parametrize("value", [0, -0.1, np.nan, np.inf, None])
@pytest.mark.parametrize(
    "case", [case for case in CASES if case.positive], ids=lambda case: case.name
)
def test_refused_arguments(case, value):
    with pytest.raises(ValueError, match=f"{case.positive} must be"):
        case.loss(*case.inputs, **{case.positive: value})


def test_refused_weight():
    with pytest.raises(ValueError, match="weight must be at least 0"):
        losses.barlow_twins(FIRST, SECOND, weight=-1.0)


def test_nt_xent_of_one_embedding():
    """All alike: nothing tells the positive from the 2n - 2 others, so log(2n - 1)."""
    for n in (2, 5):
        alike = np.tile(FIRST[:1], (n, 1))
        for temperature in (0.05, 0.5):
            received = losses.nt_xent(alike, 3 * alike, temperature=temperature)
            np.testing.assert_allclose(received, np.full(n, np.log(2 * n - 1)), rtol=1e-5)


@pytest.mark.parametrize("offset", [int, tf.constant])
def test_nt_xent_in_parts(offset):
    whole = losses.nt_xent(FIRST, SECOND, temperature=0.3)
    parts = [
        losses.nt_xent(
            FIRST[rows],
            SECOND[rows],
            temperature=0.3,
            candidates=(FIRST, SECOND),
            offset=offset(rows.start),
        )
        for rows in (slice(0, 1), slice(1, 4), slice(4, 6))
    ]
    np.testing.assert_allclose(tf.concat(parts, axis=0), whole, rtol=1e-6)


def test_labelled_nt_xent_of_two_views():
    """With the image's number as the label it is NT-Xent, a view at a time."""
    both = np.concatenate([FIRST, SECOND])
    received = losses.labelled_nt_xent(both, np.tile(np.arange(6), 2), temperature=0.3)
    expected = losses.nt_xent(FIRST, SECOND, temperature=0.3)
    np.testing.assert_allclose((received[:6] + received[6:]) / 2, expected, rtol=1e-5)


def test_margin_at_its_edges():
    a = np.zeros((4, 1), "float32")
    b = np.array([[0.0], [0.5], [2.0], [3.0]], "float32")
    np.testing.assert_allclose(
        losses.margin_contrastive(a, b, [0, 0, 0, 0], margin=2.0), [2.0, 1.125, 0.0, 0.0], rtol=1e-5
    )
    np.testing.assert_allclose(
        losses.margin_contrastive(a, b, [True] * 4, margin=2.0), [0.0, 0.125, 2.0, 4.5], rtol=1e-6
    )
    np.testing.assert_allclose(
        losses.triplet(a, b, b[::-1], margin=5.0), [0.0, 1.25, 8.75, 14.0], atol=1e-6
    )


def test_semi_hard_negatives_by_hand():
    """On a line: 0 and 1 of one kind, 0.9, 1.5 and 4 of the other."""
    line = np.array([[0.0], [1.0], [0.9], [1.5], [4.0]], "float32")
    received = losses.semi_hard_triplet(line, [0, 0, 1, 1, 1], margin=2.0)
    # From 0 to 1: 0.9 is nearer than the positive, so 1.5: 1 - 2.25 + 2. From 1 to 0: beyond 1 is
    # only 4, at 9: nothing left to gain.
    np.testing.assert_allclose(received[:2], [0.75, 0.0], atol=1e-6)
    # All negatives nearer than the positive: the furthest of them, 1.5: 16 - 2.25 + 0.5.
    received = losses.semi_hard_triplet(line, [0, 1, 1, 1, 0], margin=0.5)
    np.testing.assert_allclose(received[0], 14.25, rtol=1e-6)


@pytest.mark.parametrize(
    "loss",
    [losses.semi_hard_triplet, losses.all_pairs_margin_contrastive, losses.labelled_nt_xent],
    ids=lambda loss: loss.__name__,
)
def test_kinds_that_miss(loss):
    """No positive, or no negative: no NaN, in the value and in the slope."""
    for labels in ([0, 1, 2, 3, 4, 5], [7] * 6):
        embeddings = tf.Variable(FIRST)
        with tf.GradientTape() as tape:
            values = loss(embeddings, labels)
        assert np.isfinite(values).all()
        gradient = tape.gradient(values, embeddings)
        assert np.isfinite(gradient).all()
        if loss is losses.semi_hard_triplet:
            np.testing.assert_array_equal(values, np.zeros(6))


@every_loss
def test_slopes_where_embeddings_are_zero_or_one(case):
    """Dead and collapsed networks get numbers, not NaN."""
    for value in (0.0, 1.0):
        inputs = [tf.fill(usual.shape, value) for usual in case.inputs]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            received = case.loss(*inputs)
        assert np.isfinite(received).all()
        assert all(np.isfinite(slope).all() for slope in tape.gradient(received, inputs))


def test_ranges_of_cosines():
    np.testing.assert_allclose(losses.byol(FIRST, -2 * FIRST), np.full(6, 4.0), rtol=1e-6)
    np.testing.assert_allclose(losses.byol(FIRST, 2 * FIRST), np.zeros(6), atol=1e-6)
    np.testing.assert_allclose(losses.simsiam(FIRST, 2 * FIRST), np.full(6, -1.0), rtol=1e-6)


def whitened():
    """Eight rows, four features of mean 0, variance 1 and no correlation: a Hadamard matrix's."""
    two = np.array([[1, 1], [1, -1]])
    return np.kron(two, np.kron(two, two))[:, 1:5].astype("float32")


def test_statistics_of_whitened_features():
    features = whitened()
    # The 1e-5 in the variance leaves 1e-10 a feature.
    np.testing.assert_allclose(losses.barlow_twins(features, 7 * features + 2), 0.0, atol=1e-8)
    # Each feature against minus itself is 1 + 1 off.
    np.testing.assert_allclose(losses.barlow_twins(features, -features), 16.0, rtol=1e-4)
    np.testing.assert_allclose(losses.vicreg_covariance(features), 0.0, atol=1e-10)
    # Variance 8 / 7 is above the margin.
    np.testing.assert_array_equal(losses.vicreg_variance(features), 0.0)
    # Four equal features: 12 covariances of 8 / 7, over 4.
    alike = np.repeat(features[:, :1], 4, axis=1)
    np.testing.assert_allclose(losses.vicreg_covariance(alike), 3 * (8 / 7) ** 2, rtol=1e-5)


def test_variance_of_constant_features():
    constant = np.tile(FIRST[:1], (5, 1))
    np.testing.assert_allclose(
        losses.vicreg_variance(constant, margin=1.5, epsilon=0.01), 1.4, rtol=1e-6
    )


def test_noise_contrastive_at_chance():
    """Data and k noise draws alike: the surprises of a guess of 1 in k + 1."""
    received = losses.noise_contrastive(np.zeros(1), np.zeros((1, 3)))
    np.testing.assert_allclose(received, [-np.log(1 / 4) - 3 * np.log(3 / 4)], rtol=1e-6)


def test_info_nce_at_chance():
    received = losses.info_nce(np.zeros((2, 3)), np.ones((2, 3)), np.ones((7, 3)))
    np.testing.assert_allclose(received, np.full(2, np.log(8)), rtol=1e-6)


def test_the_losses_of_labelled_embeddings_save_by_name():
    for name in ("semi_hard_triplet", "all_pairs_margin_contrastive", "labelled_nt_xent"):
        loss = getattr(losses, name)
        assert (
            keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss)) is loss
        )


def test_xla():
    """As on a GPU, where the models are compiled by default."""

    @tf.function(jit_compile=True)
    def all_losses(inputs):
        return [case.loss(*values) for case, values in zip(CASES, inputs, strict=True)]

    compiled = all_losses([[tf.constant(value) for value in case.inputs] for case in CASES])
    for case, received in zip(CASES, compiled, strict=True):
        # XLA sums in another order.
        np.testing.assert_allclose(
            received, case.loss(*case.inputs), rtol=1e-5, atol=1e-6, err_msg=case.name
        )


def test_parity_with_torch():
    """Where PyTorch has the same loss: values and slopes."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional

    def cross_entropy(queries, positives, negatives):
        scores = torch.cat([(queries * positives).sum(1, True), queries @ negatives.T], dim=1)
        zeros = torch.zeros(len(queries), dtype=torch.long)
        return functional.cross_entropy(scores / papers.TEMPERATURE, zeros, reduction="none")

    def square_triplet(anchor, positive, negative):
        return functional.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=lambda a, b: (a - b).square().sum(-1),
            margin=papers.MARGIN,
            reduction="none",
        )

    def negative_cosine(predictions, targets):
        return -functional.cosine_similarity(predictions, targets)

    by_name = {case.name: case for case in CASES}
    pairs = dict(info_nce=cross_entropy, triplet=square_triplet, simsiam=negative_cosine)
    for name, function in pairs.items():
        case = by_name[name]
        theirs = [torch.tensor(value, requires_grad=True) for value in case.inputs]
        mine = [tf.constant(value) for value in case.inputs]
        expected = function(*theirs)
        expected.sum().backward()
        with tf.GradientTape() as tape:
            tape.watch(mine)
            received = case.loss(*mine)
        np.testing.assert_allclose(received, expected.detach(), rtol=1e-5, atol=1e-6, err_msg=name)
        for slope, tensor in zip(tape.gradient(received, mine), theirs, strict=True):
            np.testing.assert_allclose(slope, tensor.grad, rtol=1e-4, atol=1e-5, err_msg=name)
