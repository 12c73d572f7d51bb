"""Seeds that are computed, not stored, and sampling one row at a time.

A served sampler must give a row the same sample whether the row comes alone, in a batch or padded.
So each row brings a seed of its own, and all noise of the row is a function of it. Nothing here
uses a stateful random op or holds a variable.

A seed gives the same bits in Python and in a SavedModel, but others under `jit_compile=True`: XLA
brings generators of its own.
"""

import functools
import secrets

import tensorflow as tf

from kgen import checks


def as_seed(seed):
    """A stateless seed, int32 `(2,)`, as TFP and `tf.random.stateless_*` take it.

    Args:
        seed: int in the range of int32, None for a fresh one, or an int32 tensor of shape `(2,)`,
            which is returned as it is.

    Raises:
        ValueError: if an int is out of range or a tensor has another shape.
    """
    if seed is None or isinstance(seed, int):
        return tf.stack([_as_int32(seed), 0])
    seed = tf.convert_to_tensor(seed)
    if seed.shape.rank == 0:
        return tf.stack([tf.cast(seed, tf.int32), 0])
    if seed.shape != (2,):
        raise ValueError(f"A seed must be an int or of shape (2,), received shape {seed.shape}.")
    return tf.cast(seed, tf.int32)


def seed_rows(seed, num_samples):
    """Seeds for `num_samples` rows: row i is `(seed, i)`.

    Args:
        seed: int in the range of int32, int32 scalar tensor, or None for a fresh one.
        num_samples: int >= 1, or int32 scalar tensor.

    Returns:
        int32 `(num_samples, 2)`.

    Raises:
        ValueError: if `seed` is out of range or `num_samples` is not a positive integer.
    """
    if not tf.is_tensor(num_samples):
        checks.positive_integer("num_samples", num_samples)
    index = tf.range(tf.cast(num_samples, tf.int32))
    seed = tf.cast(seed if tf.is_tensor(seed) else _as_int32(seed), tf.int32)
    return tf.stack([tf.fill(tf.shape(index), seed), index], axis=-1)


def _as_int32(seed):
    if seed is None:
        return secrets.randbits(31)
    if not tf.int32.min <= int(seed) <= tf.int32.max:
        raise ValueError(
            f"A seed must lie between {tf.int32.min} and {tf.int32.max}, received {seed}."
        )
    return int(seed)


def fold_in(seed, *data):
    """A new seed from `seed` and integers such as a step, a replica or a layer's index.

        fold_in(seed, a, b) = fold_in(fold_in(seed, a), b)

    Args:
        seed: int32 `(2,)`.
        *data: ints or integer scalar tensors; taken modulo 2**32.

    Returns:
        int32 `(2,)`.
    """
    for number in data:
        seed = tf.random.experimental.stateless_fold_in(seed, tf.cast(number, tf.int32))
    return seed


def sample_rows(distribution, seeds):
    """One sample for each row of `seeds`.

    A row's sample depends on its own seed only: bit for bit as far as the noise goes, and up to
    float rounding for what a flow's network makes of it, since matrix products may round
    differently at another batch size.

    In Python the rows run as one compiled graph, which distributions of one structure share: same
    classes, shapes and dtypes, whatever the parameters' values. Operation by operation, some
    milliseconds a row, run distributions that hold variables or are no composite tensors.

    Args:
        distribution: TFP distribution of batch shape `()`, such as `prior.distribution()` gives.
        seeds: int32 `(num_samples, 2)`, see `seed_rows`. The number of rows may be unknown.

    Returns:
        float32 `(num_samples, *event_shape)`.

    Raises:
        ValueError: if the distribution has a batch shape.
    """
    if distribution.batch_shape.rank != 0:
        raise ValueError(
            f"sample_rows takes a distribution of batch shape (), received "
            f"{distribution.batch_shape}."
        )
    # `isinstance(_, tfd.TransformedDistribution)` is False for a flow over Keras networks: TFP
    # makes it an object of a private class.
    if hasattr(distribution, "bijector"):
        # The noise row by row, the networks inside the bijector once for all rows.
        return distribution.bijector.forward(sample_rows(distribution.distribution, seeds))
    rows = _compiled_rows(distribution) if tf.executing_eagerly() else _rows
    return rows(distribution, tf.convert_to_tensor(seeds))


def _rows(distribution, seeds):
    return tf.map_fn(
        lambda seed: distribution.sample(seed=seed),
        seeds,
        fn_output_signature=tf.TensorSpec(distribution.event_shape, distribution.dtype),
    )


def _compiled_rows(distribution):
    # A trace refers to the variables that it has seen, which may be gone at the next call.
    if distribution.variables:
        return _rows
    try:
        return _compiled_rows_of(tf.type_spec_from_value(distribution))
    except TypeError:  # No composite tensor: a trace would hold this very object.
        return _rows


# One function a structure: with several in one, TensorFlow would relax the shapes of events. The
# bound is for distributions with a new Python function as argument at each call.
@functools.lru_cache(maxsize=32)
def _compiled_rows_of(_):
    # Two traces at most: the second one is for any number of rows.
    return tf.function(_rows, autograph=False, reduce_retracing=True)
