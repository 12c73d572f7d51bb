"""The losses against slow transcriptions of their papers: loops in float64, a pair at a time."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen.contrastive import losses

RANDOM = np.random.RandomState(0)
FIRST, SECOND, THIRD = RANDOM.normal(size=(3, 6, 4)).astype("float32")
# Of 2 there is one example: nothing of its kind. Of the others two and three.
LABELS = np.array([0, 1, 0, 2, 1, 0])
SAME = np.array([1, 0, 1, 0, 0, 1])
QUEUE = RANDOM.normal(size=(5, 4)).astype("float32")
OWN_NEGATIVES = RANDOM.normal(size=(6, 3, 4)).astype("float32")
POSITIVES = np.array([4, 0, 2, 2, 3, 1])
LOG_RATIOS = RANDOM.normal(scale=2, size=6).astype("float32")
NOISE_LOG_RATIOS = RANDOM.normal(scale=2, size=(6, 3)).astype("float32")


def distance(a, b):
    return np.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))


def cosine(a, b):
    return np.dot(a, b) / (np.sqrt(np.dot(a, a)) * np.sqrt(np.dot(b, b)))


def hadsell(x1, x2, label, margin):
    """Eq. 4, with their Y = 0 for a similar pair."""
    d = distance(x1, x2)
    return (1 - label) * d**2 / 2 + label * max(0, margin - d) ** 2 / 2


def margin_contrastive(first, second):
    return [hadsell(a, b, 1 - s, 2.5) for a, b, s in zip(first, second, SAME, strict=True)]


def triplet(anchor, positive, negative):
    rows = zip(anchor, positive, negative, strict=True)
    return [max(0, distance(a, p) ** 2 - distance(a, n) ** 2 + 0.7) for a, p, n in rows]


def semi_hard_triplet(embeddings):
    """FaceNet, section 3.2: a negative that is further away than the positive, the nearest such."""
    values = []
    for i, anchor in enumerate(embeddings):
        of_anchor = []
        away = [distance(anchor, x) ** 2 for x in embeddings]
        negatives = [d for d, label in zip(away, LABELS, strict=True) if label != LABELS[i]]
        for p in range(len(embeddings)):
            if p == i or LABELS[p] != LABELS[i]:
                continue
            further = [d for d in negatives if d > away[p]]
            negative = min(further) if further else max(negatives)
            of_anchor.append(max(0, away[p] - negative + 0.7))
        values.append(np.mean(of_anchor) if of_anchor else 0.0)
    return values


def all_pairs_margin_contrastive(embeddings):
    values = []
    for i, a in enumerate(embeddings):
        kinds = {0: [], 1: []}
        for j, b in enumerate(embeddings):
            if i != j:
                label = int(LABELS[i] != LABELS[j])
                kinds[label].append(hadsell(a, b, label, 2.5))
        values.append(sum(np.mean(kind) if kind else 0.0 for kind in kinds.values()) / 2)
    return values


def labelled_nt_xent(embeddings):
    """Khosla et al., eq. 2: the sum over positives outside of the logarithm."""
    values = []
    for i, z in enumerate(embeddings):
        others = [k for k in range(len(embeddings)) if k != i]
        positives = [p for p in others if LABELS[p] == LABELS[i]]
        total = sum(np.exp(cosine(z, embeddings[a]) / 0.3) for a in others)
        logs = [np.log(np.exp(cosine(z, embeddings[p]) / 0.3) / total) for p in positives]
        values.append(-np.mean(logs) if logs else 0.0)
    return values


def noise_contrastive(data, noise):
    """Gutmann & Hyvarinen, eq. 5-8: h(u) = 1 / (1 + nu exp(-G(u))), nu noise draws a datum."""
    nu = noise.shape[1]

    def h(log_ratio):
        return 1 / (1 + nu * np.exp(-log_ratio))

    return [-np.log(h(x)) - sum(np.log(1 - h(y)) for y in ys) for x, ys in zip(data, noise)]  # noqa: B905


def info_nce(queries, positives, negatives):
    values = []
    for i, (q, p) in enumerate(zip(queries, positives, strict=True)):
        own = negatives if negatives.ndim == 2 else negatives[i]
        total = np.exp(q @ p / 0.9) + sum(np.exp(q @ n / 0.9) for n in own)
        values.append(-np.log(np.exp(q @ p / 0.9) / total))
    return values


def info_nce_among(queries, candidates):
    values = []
    for q, positive in zip(queries, POSITIVES, strict=True):
        scores = [np.exp(q @ c / 0.9) for c in candidates]
        values.append(-np.log(scores[positive] / sum(scores)))
    return values


def nt_xent(first, second):
    """Algorithm 1 of SimCLR: z_{2k-1} and z_{2k} are the views of image k."""
    z = [view for pair in zip(first, second, strict=True) for view in pair]

    def ell(i, j):
        total = sum(np.exp(cosine(z[i], z[k]) / 0.3) for k in range(len(z)) if k != i)
        return -np.log(np.exp(cosine(z[i], z[j]) / 0.3) / total)

    return [(ell(k, k + 1) + ell(k + 1, k)) / 2 for k in range(0, len(z), 2)]


def byol(predictions, targets):
    """Eq. 2: the squared distance of the vectors over their lengths."""
    pairs = zip(predictions, targets, strict=True)
    return [distance(p / np.sqrt(p @ p), t / np.sqrt(t @ t)) ** 2 for p, t in pairs]


def simsiam(predictions, targets):
    return [-cosine(p, t) for p, t in zip(predictions, targets, strict=True)]


def barlow_twins(first, second):
    """Eq. 2 of centered features. The code's 1e-5 beside a variance is in the test's tolerance."""
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    total = 0.0
    for i, j in np.ndindex(first.shape[1], second.shape[1]):
        a, b = first[:, i], second[:, j]
        c = sum(a * b) / (np.sqrt(sum(a**2)) * np.sqrt(sum(b**2)))
        total += (1 - c) ** 2 if i == j else 0.1 * c**2
    return total


def vicreg_invariance(first, second):
    return [np.mean([(x - y) ** 2 for x, y in zip(a, b)]) for a, b in zip(first, second)]  # noqa: B905


def vicreg_variance(embeddings):
    total = 0.0
    for feature in embeddings.T:
        variance = sum((feature - feature.mean()) ** 2) / (len(feature) - 1)
        total += max(0, 1.2 - np.sqrt(variance + 1e-4))
    return total / embeddings.shape[1]


def vicreg_covariance(embeddings):
    total, n = 0.0, len(embeddings)
    for i, j in np.ndindex(embeddings.shape[1], embeddings.shape[1]):
        if i != j:
            a, b = embeddings[:, i], embeddings[:, j]
            total += (sum((a - a.mean()) * (b - b.mean())) / (n - 1)) ** 2
    return total / embeddings.shape[1]


@dataclasses.dataclass(frozen=True)
class Case:
    """A loss of float inputs, its transcription, and what it must be at those inputs."""

    paper: Callable
    inputs: tuple
    loss: Callable
    name: str = ""
    # Nothing, or the argument that must be above 0, with a call that passes it.
    positive_argument: str = ""
    per_example: bool = True


def case(paper, *inputs, others=(), positive=None, name="", **arguments):
    function = getattr(losses, paper.__name__)

    def loss(*values, **changed):
        return function(*values, *others, **{**arguments, **changed})

    statistic = paper.__name__ in ("barlow_twins", "vicreg_variance", "vicreg_covariance")
    name = name or paper.__name__
    return Case(paper, inputs, loss, name, positive or "", not statistic)


CASES = [
    case(margin_contrastive, FIRST, SECOND, others=(SAME,), margin=2.5, positive="margin"),
    case(triplet, FIRST, SECOND, THIRD, margin=0.7, positive="margin"),
    case(semi_hard_triplet, FIRST, others=(LABELS,), margin=0.7, positive="margin"),
    case(all_pairs_margin_contrastive, FIRST, others=(LABELS,), margin=2.5, positive="margin"),
    case(labelled_nt_xent, FIRST, others=(LABELS,), temperature=0.3, positive="temperature"),
    case(noise_contrastive, LOG_RATIOS, NOISE_LOG_RATIOS),
    case(info_nce, FIRST, SECOND, QUEUE, temperature=0.9, positive="temperature"),
    case(info_nce, FIRST, SECOND, OWN_NEGATIVES, temperature=0.9, name="info_nce_own_negatives"),
    case(
        info_nce_among, FIRST, QUEUE, others=(POSITIVES,), temperature=0.9, positive="temperature"
    ),
    case(nt_xent, FIRST, SECOND, temperature=0.3, positive="temperature"),
    case(byol, FIRST, SECOND),
    case(simsiam, FIRST, SECOND),
    case(barlow_twins, FIRST, SECOND, weight=0.1),
    case(vicreg_invariance, FIRST, SECOND),
    case(vicreg_variance, FIRST, margin=1.2, positive="margin"),
    case(vicreg_covariance, FIRST),
]
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
    assert received.shape == ((6,) if case.per_example else ())
    # float32 against float64; Barlow twins' 1e-5 beside variances near 1 changes C by 1e-5.
    np.testing.assert_allclose(received, case.paper(*in_float64(case.inputs)), rtol=5e-5, atol=1e-6)


@every_loss
def test_gradient(case):
    """Central differences of the transcription: no part of the code is on their side."""
    inputs = [tf.constant(value) for value in case.inputs]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        # Weights that differ, or the gradient of one example could stand for another's.
        weights = np.linspace(0.5, 2.0, 6) if case.per_example else 1.0
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
    "case", [case for case in CASES if case.positive_argument], ids=lambda case: case.name
)
def test_refused_arguments(case, value):
    with pytest.raises(ValueError, match=f"{case.positive_argument} must be"):
        case.loss(*case.inputs, **{case.positive_argument: value})


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
        if (loss, len(set(labels))) in [
            (losses.semi_hard_triplet, 6),
            (losses.semi_hard_triplet, 1),
            (losses.labelled_nt_xent, 6),
        ]:
            np.testing.assert_array_equal(values, np.zeros(6))


@every_loss
def test_slopes_where_embeddings_are_zero_or_one(case):
    """Dead and collapsed networks get numbers, not NaN."""
    for value in (0.0, 1.0):
        inputs = [tf.fill(value_.shape, value) for value_ in case.inputs]
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
    """Data and k noise draws that the model cannot tell apart: the entropy of the draw, by k + 1."""
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
        return functional.cross_entropy(scores / 0.9, zeros, reduction="none")

    def square_triplet(anchor, positive, negative):
        return functional.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=lambda a, b: (a - b).square().sum(-1),
            margin=0.7,
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
