"""All the figures of a generator's samples in one call."""

import math

import numpy as np
import tensorflow as tf

from kgen import checks
from kgen.evaluation.features import image_batches
from kgen.evaluation.frechet import feature_statistics, frechet_distance
from kgen.evaluation.inception import inception_score
from kgen.evaluation.kernel import kernel_distance
from kgen.evaluation.manifold import precision_recall_density_coverage


def draw_samples(model, num_samples, *, batch_size=500, seed=0):
    """Samples of a model, in batches of bounded memory.

    Args:
        model: a model with the verb `sample`.
        num_samples: int >= 1.
        batch_size: int >= 1, samples a call; batch i is `sample(batch_size, seed=seed + i)`, the
            last one cut.
        seed: int.

    Returns:
        NumPy array, float32 `(num_samples, *image_shape)`.
    """
    checks.positive_integer("num_samples", num_samples)
    batch_size = min(checks.positive_integer("batch_size", batch_size), num_samples)
    # As a graph: each row has noise of its own, which is slow operation by operation.
    sample = tf.function(lambda seed: model.sample(batch_size, seed=seed), autograph=False)
    seeds = range(seed, seed + math.ceil(num_samples / batch_size))
    batches = [sample(tf.constant(value, tf.int32)).numpy() for value in seeds]
    return np.concatenate(batches)[:num_samples]


def sample_quality(model, real, features, *, num_samples=10_000, train=None, seed=0):
    """Frechet and kernel distance, precision, recall, density, coverage, and Inception Score form.

    Args:
        model: a model with the verb `sample`.
        real: tf.data.Dataset of batches of test images, or an array. At most `num_samples` of them
            are used.
        features: `ClassifierFeatures`, as `classifier_features` gives.
        num_samples: int >= 2, samples to draw; the figures are of as many as there are real images
            or fewer, so that both sets have the same size.
        train: training images, or None. With them, `frechet_distance_of_real_images` is the floor:
            the distance of as many training images to the same test images.
        seed: int, of the samples.

    Returns:
        dict of name -> dict with `value` and `protocol`.
    """
    checks.at_least("num_samples", num_samples, 2)
    real = _first("real", real, num_samples)
    generated = draw_samples(model, len(real), seed=seed)
    statistics = feature_statistics(real, features.extractor)
    metrics = dict(frechet_distance=frechet_distance(statistics, generated, features.extractor))
    if train is not None:
        metrics["frechet_distance_of_real_images"] = frechet_distance(
            statistics, _first("train", train, len(real)), features.extractor
        )
    metrics["kernel_distance"] = kernel_distance(
        real, generated, features.extractor, subset_size=min(1000, len(real)), seed=seed
    )
    metrics.update(precision_recall_density_coverage(real, generated, features.extractor))
    metrics["inception_score"] = inception_score(generated, features.classifier)
    return metrics


def _first(role, images, count):
    batches, seen = [], 0
    for batch in image_batches(role, images):
        batches.append(batch[: count - seen])
        seen += len(batches[-1])
        if seen == count:
            break
    return np.concatenate(batches)
