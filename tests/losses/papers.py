"""The family's losses as their papers write them: loops in float64, a pair at a time."""

import numpy as np

# What is not an array of floats is fixed. Of 2 there is one example, nothing of its kind; of the
# others two and three.
LABELS = np.array([0, 1, 0, 2, 1, 0])
SAME = np.array([1, 0, 1, 0, 0, 1])
POSITIVES = np.array([4, 0, 2, 2, 3, 1])
MARGIN, VARIANCE_MARGIN = 2.5, 1.2
TEMPERATURE = 0.4
WEIGHT = 0.1


def distance(a, b):
    return np.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))


def cosine(a, b):
    return np.dot(a, b) / (np.sqrt(np.dot(a, a)) * np.sqrt(np.dot(b, b)))


def hadsell(x1, x2, label, margin):
    """Eq. 4, with their Y = 0 for a similar pair."""
    d = distance(x1, x2)
    return (1 - label) * d**2 / 2 + label * max(0, margin - d) ** 2 / 2


def margin_contrastive(first, second):
    return [hadsell(a, b, 1 - s, MARGIN) for a, b, s in zip(first, second, SAME, strict=True)]


def triplet(anchor, positive, negative):
    rows = zip(anchor, positive, negative, strict=True)
    return [max(0, distance(a, p) ** 2 - distance(a, n) ** 2 + MARGIN) for a, p, n in rows]


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
            of_anchor.append(max(0, away[p] - negative + MARGIN))
        values.append(np.mean(of_anchor) if of_anchor else 0.0)
    return values


def all_pairs_margin_contrastive(embeddings):
    values = []
    for i, a in enumerate(embeddings):
        kinds = {0: [], 1: []}
        for j, b in enumerate(embeddings):
            if i != j:
                label = int(LABELS[i] != LABELS[j])
                kinds[label].append(hadsell(a, b, label, MARGIN))
        values.append(sum(np.mean(kind) if kind else 0.0 for kind in kinds.values()) / 2)
    return values


def labelled_nt_xent(embeddings):
    """Khosla et al., eq. 2: the sum over positives outside of the logarithm."""
    values = []
    for i, z in enumerate(embeddings):
        others = [k for k in range(len(embeddings)) if k != i]
        positives = [p for p in others if LABELS[p] == LABELS[i]]
        total = sum(np.exp(cosine(z, embeddings[a]) / TEMPERATURE) for a in others)
        logs = [np.log(np.exp(cosine(z, embeddings[p]) / TEMPERATURE) / total) for p in positives]
        values.append(-np.mean(logs) if logs else 0.0)
    return values


def noise_contrastive(data, noise):
    """Gutmann & Hyvarinen, eq. 5-8: h(u) = 1 / (1 + nu exp(-G(u))), nu noise draws a datum."""
    nu = noise.shape[1]

    def h(log_ratio):
        return 1 / (1 + nu * np.exp(-log_ratio))

    rows = zip(data, noise, strict=True)
    return [-np.log(h(x)) - sum(np.log(1 - h(y)) for y in ys) for x, ys in rows]


def info_nce(queries, positives, negatives):
    values = []
    for i, (q, p) in enumerate(zip(queries, positives, strict=True)):
        own = negatives if negatives.ndim == 2 else negatives[i]
        total = np.exp(q @ p / TEMPERATURE) + sum(np.exp(q @ n / TEMPERATURE) for n in own)
        values.append(-np.log(np.exp(q @ p / TEMPERATURE) / total))
    return values


def info_nce_among(queries, candidates):
    values = []
    for q, positive in zip(queries, POSITIVES, strict=True):
        scores = [np.exp(q @ c / TEMPERATURE) for c in candidates]
        values.append(-np.log(scores[positive] / sum(scores)))
    return values


def nt_xent(first, second):
    """Algorithm 1 of SimCLR: z_{2k-1} and z_{2k} are the views of image k."""
    z = [view for pair in zip(first, second, strict=True) for view in pair]

    def ell(i, j):
        total = sum(np.exp(cosine(z[i], z[k]) / TEMPERATURE) for k in range(len(z)) if k != i)
        return -np.log(np.exp(cosine(z[i], z[j]) / TEMPERATURE) / total)

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
        total += (1 - c) ** 2 if i == j else WEIGHT * c**2
    return total


def vicreg_invariance(first, second):
    return [distance(a, b) ** 2 / len(a) for a, b in zip(first, second, strict=True)]


def vicreg_variance(embeddings):
    total = 0.0
    for feature in embeddings.T:
        variance = sum((feature - feature.mean()) ** 2) / (len(feature) - 1)
        total += max(0, VARIANCE_MARGIN - np.sqrt(variance + 1e-4))
    return total / embeddings.shape[1]


def vicreg_covariance(embeddings):
    total, n = 0.0, len(embeddings)
    for i, j in np.ndindex(embeddings.shape[1], embeddings.shape[1]):
        if i != j:
            a, b = embeddings[:, i], embeddings[:, j]
            total += (sum((a - a.mean()) * (b - b.mean())) / (n - 1)) ** 2
    return total / embeddings.shape[1]
