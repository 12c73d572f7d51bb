"""Losses that compare embeddings: pure functions, one value per example unless said otherwise.

Embeddings are float `(batch, dim)`; all is computed in float32.
"""

import keras
import tensorflow as tf

from kgen import checks

register = keras.saving.register_keras_serializable(package="kgen")


def margin_contrastive(first, second, same, *, margin=1.0):
    """Pulls pairs of one kind together and pushes others apart until they are `margin` away.

        D = |a - b|,    loss = same D^2 / 2 + (1 - same) max(0, margin - D)^2 / 2

    Args:
        first: float `(batch, dim)`, a.
        second: float `(batch, dim)`, b.
        same: `(batch,)`, 1 or True for pairs of one kind, 0 for others.
        margin: float > 0, in the embeddings' unit.

    Returns:
        float32 `(batch,)`.

    Reference: Hadsell, Chopra & LeCun 2006, "Dimensionality Reduction by Learning an Invariant
    Mapping", eq. 4, whose Y is 1 - same.
    """
    return _margin_contrastive(_square_distance(first, second), same, margin)


def _margin_contrastive(square, same, margin):
    """The loss of pairs, from their squared distances."""
    margin = checks.positive_number("margin", margin)
    same = tf.cast(same, tf.float32)
    # The root has an infinite slope where two embeddings are one.
    distance = tf.sqrt(tf.maximum(square, 1e-12))
    return 0.5 * (same * square + (1.0 - same) * tf.square(tf.nn.relu(margin - distance)))


def triplet(anchor, positive, negative, *, margin=0.2):
    """Wants the negative further from the anchor than the positive, by `margin`.

        loss = max(0, |a - p|^2 - |a - n|^2 + margin)

    Args:
        anchor: float `(batch, dim)`, a.
        positive: float `(batch, dim)`, p, of the anchor's kind.
        negative: float `(batch, dim)`, n, of another.
        margin: float > 0, in squared units of the embeddings.

    Returns:
        float32 `(batch,)`.

    Reference: Schroff, Kalenichenko & Philbin 2015, "FaceNet", eq. 3.
    """
    margin = checks.positive_number("margin", margin)
    gap = _square_distance(anchor, positive) - _square_distance(anchor, negative)
    return tf.nn.relu(gap + margin)


@register
def semi_hard_triplet(embeddings, labels, *, margin=0.2):
    """The triplet loss of all pairs of a batch, each with its semi-hard negative.

    The negative of an anchor and a positive is the nearest one that is further away than the
    positive; where there is none, the furthest of all.

    Args:
        embeddings: float `(batch, dim)`.
        labels: ints `(batch,)`.
        margin: float > 0, in squared units of the embeddings.

    Returns:
        float32 `(batch,)`: for each anchor the mean over its positives, 0 for one without a
        positive or without a negative.

    Reference: Schroff, Kalenichenko & Philbin 2015, "FaceNet", eq. 3 and section 3.2.
    """
    margin = checks.positive_number("margin", margin)
    distances = _square_distances(embeddings)
    same, different = _kinds_of_pairs(labels)
    negatives = tf.sort(tf.where(different, distances, tf.float32.max), axis=-1)
    count = tf.reduce_sum(tf.cast(different, tf.int32), axis=-1, keepdims=True)
    # The first one beyond the positive, or else the last of all.
    chosen = tf.minimum(tf.searchsorted(negatives, distances, side="right"), count - 1)
    chosen = tf.gather(negatives, tf.maximum(chosen, 0), batch_dims=1)
    losses = tf.nn.relu(distances - chosen + margin)
    return _mean_where(losses, same & (count > 0))


@register
def all_pairs_margin_contrastive(embeddings, labels, *, margin=1.0):
    """`margin_contrastive` of all pairs of a batch: for each example the mean over both kinds.

        loss_i = (mean over j of i's kind  +  mean over the other j) / 2

    There are many more pairs of different kinds; so each kind of pair has the same weight. A kind
    of which there is no pair counts 0.

    Args:
        embeddings: float `(batch, dim)`.
        labels: ints `(batch,)`.
        margin: float > 0, in the embeddings' unit.

    Returns:
        float32 `(batch,)`.

    Reference: Hadsell, Chopra & LeCun 2006, "Dimensionality Reduction by Learning an Invariant
    Mapping", eq. 4 and algorithm 1.
    """
    same, different = _kinds_of_pairs(labels)
    values = _margin_contrastive(_square_distances(embeddings), same, margin)
    return 0.5 * (_mean_where(values, same) + _mean_where(values, different))


@register
def labelled_nt_xent(embeddings, labels, *, temperature=0.5):
    """NT-Xent where the examples of one label are one another's positives.

        loss_i = mean over p of i's label, p != i:  -s(i, p) + log sum_{k != i} exp s(i, k)

    with s the cosine over the temperature. An example without a positive counts 0.

    Args:
        embeddings: float `(batch, dim)`.
        labels: ints `(batch,)`.
        temperature: float > 0.

    Returns:
        float32 `(batch,)`, nats.

    Reference: Khosla et al. 2020, "Supervised Contrastive Learning", eq. 2; with two views of each
    image as a label it is NT-Xent, Chen et al. 2020, eq. 1.
    """
    temperature = checks.positive_number("temperature", temperature)
    embeddings = _normalized(embeddings)
    same, _ = _kinds_of_pairs(labels)
    logits = tf.matmul(embeddings, embeddings, transpose_b=True) / temperature
    logits = tf.linalg.set_diag(logits, tf.fill(tf.shape(logits)[:1], tf.float32.min))
    log_sum = tf.reduce_logsumexp(logits, axis=-1, keepdims=True)
    return _mean_where(log_sum - logits, same)


def noise_contrastive(data_logits, noise_logits):
    """Tells data from noise by a model of the data's density, which it so makes right.

        G(u) = log p_model(u) - log p_noise(u) - log k
        loss = -log sigmoid(G(x)) - sum_j log(1 - sigmoid(G(y_j))),    j = 1 .. k

    The model's log density may have its normalizer as a parameter.

    Args:
        data_logits: float `(batch,)`, log p_model - log p_noise at the data.
        noise_logits: float `(batch, k)`, the same at k draws of the noise for each.

    Returns:
        float32 `(batch,)`.

    Reference: Gutmann & Hyvarinen 2012, "Noise-Contrastive Estimation of Unnormalized Statistical
    Models, with Applications to Natural Image Statistics", eq. 5-8.
    """
    data_logits = tf.cast(data_logits, tf.float32)
    noise_logits = tf.cast(noise_logits, tf.float32)
    log_k = tf.math.log(tf.cast(tf.shape(noise_logits)[-1], tf.float32))
    of_data = tf.math.softplus(log_k - data_logits)
    return of_data + tf.reduce_sum(tf.math.softplus(noise_logits - log_k), axis=-1)


def info_nce(queries, positives, negatives, *, temperature=0.07):
    """Finds the positive among the negatives: softmax cross entropy with label 0.

        loss = -log( exp(q . p / t) / (exp(q . p / t) + sum_j exp(q . n_j / t)) )

    With N = 1 + the number of negatives, log N minus the mean loss is a lower bound of the mutual
    information of query and positive, and is at most log N.

    Args:
        queries: float `(batch, dim)`, q; nothing here is normalized.
        positives: float `(batch, dim)`, p.
        negatives: float `(k, dim)` for all queries, or `(batch, k, dim)`, n.
        temperature: float > 0, t.

    Returns:
        float32 `(batch,)`, nats.

    Reference: van den Oord, Li & Vinyals 2018, "Representation Learning with Contrastive Predictive
    Coding", eq. 4 and 5; He et al. 2020, "Momentum Contrast", eq. 1.
    """
    temperature = checks.positive_number("temperature", temperature)
    queries, positives, negatives = (
        tf.cast(value, tf.float32) for value in (queries, positives, negatives)
    )
    positive = tf.reduce_sum(queries * positives, axis=-1, keepdims=True)
    if negatives.shape.rank == 2:
        others = tf.matmul(queries, negatives, transpose_b=True)
    else:
        others = tf.linalg.matvec(negatives, queries)
    logits = tf.concat([positive, others], axis=-1) / temperature
    return tf.reduce_logsumexp(logits, axis=-1) - logits[:, 0]


def info_nce_among(queries, candidates, positives, *, temperature=0.07):
    """InfoNCE where each query's positive is one of the candidates that all queries share.

        loss_i = -log( exp(q_i . c_{p(i)} / t) / sum_j exp(q_i . c_j / t) )

    Args:
        queries: float `(batch, dim)`, q; nothing here is normalized.
        candidates: float `(num_candidates, dim)`, c.
        positives: ints `(batch,)`, the row p(i) of the positive.
        temperature: float > 0, t.

    Returns:
        float32 `(batch,)`, nats.

    Reference: van den Oord, Li & Vinyals 2018, "Representation Learning with Contrastive Predictive
    Coding", eq. 4; Wu et al. 2018, "Unsupervised Feature Learning via Non-Parametric Instance
    Discrimination", eq. 2.
    """
    temperature = checks.positive_number("temperature", temperature)
    logits = tf.matmul(_float(queries), _float(candidates), transpose_b=True) / temperature
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=positives, logits=logits)


def nt_xent(first, second, *, temperature=0.5, candidates=None, offset=0):
    """Finds the other view of an image among all views of a batch, in both directions.

        s(a, b) = a . b / (|a| |b| t)
        l(i) = -s(z_i, z_i') + log sum_{k != i} exp s(z_i, z_k)        k over all 2n views
        loss_i = (l of the first view + l of the second) / 2

    Args:
        first: float `(n, dim)`, the first views.
        second: float `(n, dim)`, the second views, in the same order.
        temperature: float > 0, t.
        candidates: None, or the pair of first and second views, `(N, dim)` each, among which to
            look: those of all replicas.
        offset: int or int32 scalar, the row of the candidates where `first` begins.

    Returns:
        float32 `(n,)`, nats. It is log(2N - 1) if all embeddings are alike.

    Reference: Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual
    Representations", eq. 1 and algorithm 1.
    """
    temperature = checks.positive_number("temperature", temperature)
    first, second = _normalized(first), _normalized(second)
    all_first, all_second = (first, second) if candidates is None else map(_normalized, candidates)
    rows = offset + tf.range(tf.shape(first)[0])
    itself = tf.one_hot(rows, tf.shape(all_first)[0], on_value=True, off_value=False)

    def direction(views, own, other):
        near = tf.matmul(views, own, transpose_b=True) / temperature
        near = tf.where(itself, -tf.float32.max, near)
        far = tf.matmul(views, other, transpose_b=True) / temperature
        positive = tf.reduce_sum(tf.where(itself, far, 0.0), axis=-1)
        return tf.reduce_logsumexp(tf.concat([near, far], axis=-1), axis=-1) - positive

    forward = direction(first, all_first, all_second)
    return 0.5 * (forward + direction(second, all_second, all_first))


def byol(predictions, targets):
    """The squared distance of normalized vectors: `2 - 2 cos(p, t)`, float32 `(batch,)` in [0, 4].

    The model keeps the gradient from the targets.

    Reference: Grill et al. 2020, "Bootstrap Your Own Latent", eq. 2.
    """
    return 2.0 + 2.0 * simsiam(predictions, targets)


def simsiam(predictions, targets):
    """The negative cosine `-cos(p, t)`, float32 `(batch,)` in [-1, 1].

    The model keeps the gradient from the targets.

    Reference: Chen & He 2021, "Exploring Simple Siamese Representation Learning", eq. 1.
    """
    return -tf.reduce_sum(_normalized(predictions) * _normalized(targets), axis=-1)


def barlow_twins(first, second, *, weight=5e-3):
    """Makes the cross-correlation of two views' features the identity.

        C_ij = sum_b a_bi b_bj / n,    features standardized over the batch
        loss = sum_i (1 - C_ii)^2 + weight sum_{i != j} C_ij^2

    Args:
        first: float `(n, dim)`, a.
        second: float `(n, dim)`, b, in the same order.
        weight: float >= 0.

    Returns:
        float32 scalar: it is a statistic of the batch, not of an example.

    Reference: Zbontar et al. 2021, "Barlow Twins", eq. 1 and 2.
    """
    checks.at_least("weight", weight, 0.0)
    first, second = _standardized(first), _standardized(second)
    correlation = tf.matmul(first, second, transpose_a=True) / _count(first)
    diagonal = tf.linalg.diag_part(correlation)
    off_diagonal = tf.reduce_sum(tf.square(correlation)) - tf.reduce_sum(tf.square(diagonal))
    return tf.reduce_sum(tf.square(1.0 - diagonal)) + weight * off_diagonal


def vicreg_invariance(first, second):
    """The mean squared difference of two views' features, over `dim`: float32 `(batch,)`.

    Reference: Bardes, Ponce & LeCun 2022, "VICReg", eq. 5 over `dim`, as in their algorithm 1, to
    which the paper's weights belong.
    """
    return tf.reduce_mean(tf.math.squared_difference(_float(first), _float(second)), axis=-1)


def vicreg_variance(embeddings, *, margin=1.0, epsilon=1e-4):
    """Wants each feature to vary: `mean_j max(0, margin - sqrt(Var_j + epsilon))`.

    Args:
        embeddings: float `(n, dim)`, n >= 2; the variance has n - 1 in its denominator.
        margin: float > 0, the standard deviation that is enough.
        epsilon: float > 0, against an infinite slope.

    Returns:
        float32 scalar.

    Reference: Bardes, Ponce & LeCun 2022, "VICReg", eq. 1 and 2.
    """
    margin = checks.positive_number("margin", margin)
    centered = _centered(embeddings)
    variance = tf.reduce_sum(tf.square(centered), axis=0) / (_count(centered) - 1.0)
    return tf.reduce_mean(tf.nn.relu(margin - tf.sqrt(variance + epsilon)))


def vicreg_covariance(embeddings):
    """Wants features uncorrelated: `1/dim sum_{i != j} Cov_ij^2`, float32 scalar.

    Args:
        embeddings: float `(n, dim)`, n >= 2; the covariance has n - 1 in its denominator.

    Reference: Bardes, Ponce & LeCun 2022, "VICReg", eq. 3 and 4.
    """
    centered = _centered(embeddings)
    covariance = tf.matmul(centered, centered, transpose_a=True) / (_count(centered) - 1.0)
    squares = tf.square(covariance)
    off_diagonal = tf.reduce_sum(squares) - tf.reduce_sum(tf.linalg.diag_part(squares))
    return off_diagonal / tf.cast(tf.shape(centered)[1], tf.float32)


def _float(values):
    return tf.cast(values, tf.float32)


def _count(values):
    return tf.cast(tf.shape(values)[0], tf.float32)


def _kinds_of_pairs(labels):
    """Which pairs `(batch, batch)` are of one label, but no example with itself; which are not."""
    labels = tf.convert_to_tensor(labels)
    same = labels[:, None] == labels[None]
    return tf.linalg.set_diag(same, tf.zeros_like(labels, tf.bool)), ~same


def _mean_where(values, chosen):
    """The mean of the chosen values of each row, 0 where none is chosen."""
    count = tf.reduce_sum(tf.cast(chosen, tf.float32), axis=-1)
    return tf.reduce_sum(tf.where(chosen, values, 0.0), axis=-1) / tf.maximum(count, 1.0)


def _square_distance(first, second):
    return tf.reduce_sum(tf.math.squared_difference(_float(first), _float(second)), axis=-1)


def _square_distances(embeddings):
    """Of all pairs, `(batch, batch)`; by differences, which are exact where two are near."""
    embeddings = _float(embeddings)
    return tf.reduce_sum(tf.math.squared_difference(embeddings[:, None], embeddings[None]), axis=-1)


def _normalized(values):
    return tf.math.l2_normalize(_float(values), axis=-1)


def _centered(values):
    values = _float(values)
    return values - tf.reduce_mean(values, axis=0)


def _standardized(values):
    centered = _centered(values)
    # As in batch normalization: a constant feature must not divide by 0.
    return centered * tf.math.rsqrt(tf.reduce_mean(tf.square(centered), axis=0) + 1e-5)
