"""What a representation is like without labels: alignment, uniformity, rank."""

import keras
import numpy as np

from kgen import checks
from kgen.chunks import in_chunks
from kgen.evaluation.features import labelled_batches

# Similarities and second moments are computed from blocks of so many numbers.
_BLOCK_SIZE = 2**24


def embed_dataset(model_or_function, dataset, *, role="given"):
    """The features of all images of a data set, in its order, computed in chunks.

    Args:
        model_or_function: a model with the verb `embed`, which is used; or a keras.Model, called
            with `training=False`, or any other function, from images `(batch, height, width,
            channels)` to vectors `(batch, dim)`.
        dataset: tf.data.Dataset of batches of images or of `(images, labels, ...)`; or a NumPy
            array or tensor of images, or a pair `(images, labels)` of them. Images are float32 in
            [0, 1], labels `(n,)`. It must end.
        role: what the images are, such as "training", for the errors.

    Returns:
        Pair of NumPy arrays: features, float32 `(n, dim)`, and labels `(n,)`, or None where there
        are none.

    Raises:
        ValueError: for data of another form, no images, or features that are not finite vectors.
    """
    function = _function(model_or_function)
    shape = getattr(model_or_function, "image_shape", None)
    features, labels = [], []
    for images, beside in labelled_batches(role, dataset, shape):
        values = in_chunks(function, images)
        if values.ndim != 2 or len(values) != len(images):
            raise ValueError(
                f"Expected one feature vector per image, shape ({len(images)}, dim), received "
                f"{values.shape} for {role} images of shape {images.shape}. Flatten or pool them."
            )
        features.append(checked_features(f"features of the {role} images", values))
        if beside is not None:
            beside = np.asarray(beside)
            if beside.shape != (len(images),):
                raise ValueError(
                    f"Expected one label per image, shape ({len(images)},), received shape "
                    f"{beside.shape} beside the {role} images."
                )
            labels.append(beside)
    return np.concatenate(features), np.concatenate(labels) if labels else None


def alignment(first, second, *, alpha=2):
    """How far apart the embeddings of two views of an image are; 0 where they are equal.

        mean_i |u_i - v_i|^alpha,    u_i = first_i / |first_i|,  v_i = second_i / |second_i|

    Args:
        first: embeddings of one view each, floats `(n, dim)`.
        second: those of another view of the same images.
        alpha: float > 0.

    Returns:
        dict with `value` in [0, 2^alpha] and `protocol`. A constant embedding has 0 too: read it
        together with `uniformity`.

    Raises:
        ValueError: for other shapes, NaN, infinity, or an alpha that is not above 0.

    Reference: Wang & Isola 2020, "Understanding Contrastive Representation Learning through
        Alignment and Uniformity on the Hypersphere", section 4.1.1.
    """
    checks.positive_number("alpha", alpha)
    first = unit_rows(checked_features("first embeddings", first))
    second = unit_rows(checked_features("second embeddings", second))
    if first.shape != second.shape:
        raise ValueError(
            f"Expected two embeddings of each image, of one shape, received {first.shape} and "
            f"{second.shape}."
        )
    distances = np.linalg.norm(first - second, axis=1)
    return dict(
        value=float(np.mean(distances**alpha)),
        protocol=f"mean distance to the power {alpha:g} over {len(first)} pairs of views, "
        f"{first.shape[1]} numbers an embedding, scaled to length 1",
    )


def uniformity(embeddings, *, t=2):
    """How evenly embeddings cover the sphere; lower is more even, 0 where all are equal.

        log mean_{i < j} exp(-t |u_i - u_j|^2),    u_i = embeddings_i / |embeddings_i|

    Evenly spread over a sphere of many dimensions it nears -2 t.

    Args:
        embeddings: floats `(n, dim)`, n >= 2. Time grows with n^2, memory does not.
        t: float > 0.

    Returns:
        dict with `value` in [-4 t, 0] and `protocol`.

    Raises:
        ValueError: for other shapes, fewer than two embeddings, NaN, or a t that is not above 0.

    Reference: Wang & Isola 2020, "Understanding Contrastive Representation Learning through
        Alignment and Uniformity on the Hypersphere", section 4.1.2 (pairs i != j, as in its
        appendix's code).
    """
    checks.positive_number("t", t)
    units = unit_rows(checked_features("embeddings", embeddings))
    count = len(units)
    if count < 2:
        raise ValueError(f"Uniformity takes at least 2 embeddings, received {count}.")
    total, rows = 0.0, max(1, _BLOCK_SIZE // count)
    for start in range(0, count, rows):
        block = units[start : start + rows]
        squares = 2.0 - 2.0 * (block @ units[start:].T)
        # Of the pairs inside the block, each once.
        total += np.triu(np.exp(-t * np.maximum(squares, 0.0)), k=1).sum()
    return dict(
        value=float(np.log(total / (count * (count - 1) / 2))),
        protocol=f"log of the mean Gaussian potential, t={t:g}, over all pairs of {count} "
        f"embeddings of {units.shape[1]} numbers, scaled to length 1",
    )


def embedding_rank(features):
    """The effective number of directions that features use: sees a representation collapse.

        rank = exp(-sum_k p_k log p_k),    p_k = s_k / sum_j s_j,  s = singular values of features

    The features are not centred, so both kinds of collapse show: features that are all nearly one
    vector have rank 1 (centred, the rank of the rounding errors would be left, which is high), and
    features along m directions a rank of at most m. Beside it stand

        centred_rank = the same of features - mean(features)
        spread       = sqrt(dim) mean_j std_i(u_ij),    u_i = features_i / |features_i|

    A spread near 0 says that all directions are one; 1, that they are even in each coordinate. A
    low rank at a spread that is not small is a collapse onto few dimensions.

    Args:
        features: floats `(n, dim)`; n well above dim, or the rank is at most n.

    Returns:
        dict with `value` in [1, min(n, dim)] (0 where all features are 0), `centred_rank` (0 where
        all features are equal), `spread` in [0, 1] and `protocol`.

    Raises:
        ValueError: for features of another shape, NaN or infinity.

    Reference: Garrido et al. 2023, "RankMe: Assessing the Downstream Performance of Pretrained
        Self-Supervised Representations by Their Rank", eq. 1 (there 1e-7 is added to p_k; here
        0 log 0 is 0); Roy & Vetterli 2007, "The effective rank". The spread is that of Chen & He
        2021, "Exploring Simple Siamese Representation Learning", section 4.1, times sqrt(dim).
    """
    features = checked_features("features", features)
    count, dim = features.shape
    mean = features.mean(axis=0, dtype=np.float64)
    deviations = unit_rows(features).std(axis=0)
    return dict(
        value=_effective_rank(features, np.zeros(dim)),
        centred_rank=_effective_rank(features, mean),
        spread=float(np.sqrt(dim) * deviations.mean()),
        protocol=f"exp of the entropy of the singular values of {count} feature vectors of {dim} "
        "numbers, not centred",
    )


def checked_features(name, values):
    """Return `values` as float32 `(n, dim)`, or raise ValueError: not vectors, empty, NaN."""
    values = np.asarray(values)
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"Expected {name} of shape (n, dim), not empty, received {values.shape}.")
    values = values.astype(np.float32, copy=False)
    # One sum instead of an array of truth values: features may fill the memory.
    if not np.isfinite(values.sum(dtype=np.float64)):
        bad = int((~np.isfinite(values)).any(axis=1).sum())
        raise ValueError(
            f"The {name} hold NaN or infinity: {bad} of {len(values)}. Look at the weights "
            "(training diverged) and at the pixels that the model expects."
        )
    return values


def unit_rows(values):
    """Rows scaled to length 1, float64; a row of zeros stays."""
    values = np.asarray(values, np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(lengths > 0, lengths, 1.0)


def _function(model_or_function):
    if callable(getattr(model_or_function, "embed", None)):
        return model_or_function.embed
    if isinstance(model_or_function, keras.layers.Layer):
        return lambda images: model_or_function(images, training=False)
    if callable(model_or_function):
        return model_or_function
    raise ValueError(
        "Expected a model with the verb embed, a keras.Model or a function of images, received "
        f"{type(model_or_function).__name__}."
    )


def _effective_rank(features, center):
    # Of the smaller second-moment matrix: its eigenvalues are the squared singular values. In
    # float64 it tells them down to 1e-8 of the largest, below what float32 features hold.
    wide = len(features) < features.shape[1]
    moments = 0.0
    if wide:
        centred = features - center
        moments = centred @ centred.T
    else:
        rows = max(1, _BLOCK_SIZE // features.shape[1])
        for start in range(0, len(features), rows):
            centred = features[start : start + rows] - center
            moments = moments + centred.T @ centred
    values = np.sqrt(np.maximum(np.linalg.eigvalsh(moments), 0.0))
    if values.sum() == 0.0:
        return 0.0
    shares = values / values.sum()
    shares = shares[shares > 0]
    return float(np.exp(-np.sum(shares * np.log(shares))))
