"""All the figures of a generator's samples in one call."""

import math

import numpy as np
import tensorflow as tf

from kgen import checks
from kgen.evaluation.features import all_features, describe, image_batches
from kgen.evaluation.frechet import FeatureStatistics, feature_statistics, frechet_distance
from kgen.evaluation.inception import inception_score
from kgen.evaluation.kernel import kernel_distance
from kgen.evaluation.manifold import precision_recall_density_coverage
from kgen.seeds import as_seed, fold_in


def draw_samples(model, num_samples, *, condition=None, batch_size=500, seed=0):
    """Samples of a model, in batches of bounded memory.

    Args:
        model: a model with the verb `sample`.
        num_samples: int >= 1.
        condition: for a conditional model, as `sample` takes it, a row per sample, or None for its
            own choice.
        batch_size: int >= 1, samples a call.
        seed: int. The seed of batch i is the first number of
            `fold_in(as_seed(seed), i, 0)`, so that draws with the seeds 0 and 1 have
            nothing in common, not even shifted by a batch.

    Returns:
        NumPy array, float32 `(num_samples, *image_shape)`.

    Raises:
        ValueError: for numbers out of range, or another number of rows of `condition`.
    """
    checks.positive_integer("num_samples", num_samples)
    checks.positive_integer("batch_size", batch_size)
    if condition is not None and not isinstance(condition, tuple):
        condition = np.asarray(condition)
    for rows in () if condition is None else tf.nest.flatten(condition):
        if np.shape(rows)[:1] != (num_samples,):
            raise ValueError(
                f"condition: expected {num_samples} rows, one per sample, received shape "
                f"{np.shape(rows)}."
            )
    batches = []
    for index, start in enumerate(range(0, num_samples, batch_size)):
        stop = min(start + batch_size, num_samples)
        given = {}
        if condition is not None:
            rows = [np.asarray(part)[start:stop] for part in tf.nest.flatten(condition)]
            given["condition"] = tf.nest.pack_sequence_as(condition, rows)
        samples = model.sample(stop - start, seed=_folded(seed, index), **given)
        batches.append(np.asarray(samples))
    return np.concatenate(batches)


def sample_quality(
    model,
    real,
    extractor,
    *,
    classifier=None,
    num_samples=10_000,
    train=None,
    num_draws=5,
    seed=0,
):
    """Frechet and kernel distance, precision, recall, density, coverage, and Inception Score form.

    Each figure is the mean over `num_draws` draws of samples, beside its standard deviation: two
    models whose figures differ by less are not told apart. It is the chance in the samples alone.
    That in the real images is the same for all models, and that of another training not in it.

    Args:
        model: a model with the verb `sample`.
        real: tf.data.Dataset of batches of test images, or an array. At most `num_samples` of them
            are used.
        extractor: built keras.Model from images to vectors `(batch, dim)`: that of
            `classifier_features`, that of `inception_features`, or any other.
        classifier: built keras.Model from images to logits `(batch, num_classes)`, as
            `classifier_features` gives; or None for no `inception_score`.
        num_samples: int >= 2, samples a draw; as many as there are real images or fewer, so that
            both sets have the same size.
        train: training images, or None. With them, `frechet_distance_of_real_images` is the floor:
            the distance of as many training images to the same test images, over up to `num_draws`
            random sets without a common image. The features of all training images are computed.
        num_draws: int >= 1. Time grows with it.
        seed: int >= 0, of the samples, of the sets of training images and of the kernel distance's
            subsets.

    Returns:
        dict of name -> dict with `value`, `standard_deviation` and `standard_error` (of the mean)
        over the draws, `num_draws`, `protocol`, and the counts. With one draw the spread is that of
        the single figure, where it has one: the kernel distance's over its subsets.
    """
    checks.at_least("num_samples", num_samples, 2)
    checks.positive_integer("num_draws", num_draws)
    checks.integer_at_least("seed", seed, 0)
    real = _first("real", real, num_samples)
    statistics = feature_statistics(real, extractor)
    draws = []
    for draw in range(num_draws):
        generated = draw_samples(model, len(real), seed=_folded(seed, draw))
        figures = dict(
            frechet_distance=frechet_distance(statistics, generated, extractor),
            # Half of the images: one subset of all of them would have no standard error.
            kernel_distance=kernel_distance(
                real,
                generated,
                extractor,
                subset_size=min(1000, max(2, len(real) // 2)),
                seed=seed,
            ),
            **precision_recall_density_coverage(real, generated, extractor),
        )
        if classifier is not None:
            figures["inception_score"] = inception_score(generated, classifier)
        draws.append(figures)
    metrics = {
        name: _over_draws([figures[name] for figures in draws], "draws of samples")
        for name in draws[0]
    }
    if train is not None:
        floors = [
            frechet_distance(statistics, part, extractor)
            for part in _random_sets(train, extractor, len(real), num_draws, seed)
        ]
        floor = _over_draws(floors, "sets")
        floor["protocol"] += "; in place of generated images, random sets of training images"
        metrics["frechet_distance_of_real_images"] = floor
    return metrics


def _folded(seed, index):
    # The first number of a folded seed does not depend on what was folded in last.
    return int(fold_in(as_seed(seed), index, 0)[0])


def _over_draws(figures, what):
    """Their mean with its spread; all else is the same for each of them."""
    count = len(figures)
    if count == 1:
        return dict(figures[0], num_draws=1)
    values = [figure["value"] for figure in figures]
    deviation = float(np.std(values, ddof=1))
    return dict(
        figures[0],
        value=float(np.mean(values)),
        standard_deviation=deviation,
        standard_error=deviation / math.sqrt(count),
        num_draws=count,
        protocol=f"{figures[0]['protocol']}; mean and standard deviation of {count} {what}",
    )


def _random_sets(images, extractor, size, num_sets, seed):
    """Statistics of up to `num_sets` sets of `size` images, no image in two of them."""
    features = all_features("train", images, extractor)
    order = np.random.default_rng(seed).permutation(len(features))
    for index in range(max(1, min(num_sets, len(features) // size))):
        statistics = FeatureStatistics(describe(extractor))
        statistics.update(features[order[index * size : (index + 1) * size]])
        yield statistics


def _first(role, images, count):
    batches, seen = [], 0
    for batch in image_batches(role, images):
        batches.append(batch[: count - seen])
        seen += len(batches[-1])
        if seen == count:
            break
    return np.concatenate(batches)
