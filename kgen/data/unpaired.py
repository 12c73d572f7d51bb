"""Two data sets without correspondence, side by side."""

import tensorflow as tf

from kgen import checks
from kgen.data import pipeline
from kgen.epochs import current_epoch


def zip_unpaired(first, second, *, seed=0):
    """Batches of two sets that do not correspond, such as photographs and paintings.

    An epoch is as long as the longer set; the shorter one starts over. In each epoch the second
    begins at another batch, a function of (seed, epoch), so that the same images do not meet again
    and again, even where both sets are in the same order.

        photographs = kgen.data.load("photographs", batch_size=8, drop_remainder=True, shuffle=True)
        paintings = kgen.data.load("paintings", batch_size=8, drop_remainder=True, shuffle=True)
        dataset = kgen.data.zip_unpaired(photographs, paintings)

    Args:
        first: tf.data.Dataset of batches, as `kgen.data.load(..., drop_remainder=True)` gives.
        second: likewise, with the same batch size.
        seed: int.

    Returns:
        tf.data.Dataset of `((a, b),)`: x is a pair, and there is no y. Of known cardinality.

    Raises:
        ValueError: for data sets of unknown cardinality, or whose batches are of unlike or unknown
            size.
    """
    checks.seed(seed)
    counts = [_count(role, each) for role, each in (("first", first), ("second", second))]
    sizes = [_batch_size(role, each) for role, each in (("first", first), ("second", second))]
    if sizes[0] != sizes[1]:
        raise ValueError(f"Both sets need one batch size, received {sizes[0]} and {sizes[1]}.")
    length = max(counts)

    def one_epoch(_):
        draw = tf.random.stateless_uniform(
            (),
            seed=tf.stack([tf.constant(seed, tf.int64), current_epoch()]),
            maxval=counts[1],
            dtype=tf.int64,
        )
        turned = second.skip(draw).concatenate(second.take(draw))
        pairs = tf.data.Dataset.zip(first.repeat(), turned.repeat())
        return pairs.take(length).map(lambda a, b: ((a, b),))

    dataset = tf.data.Dataset.from_tensors(0).flat_map(one_epoch)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(length))
    return dataset.prefetch(2).with_options(pipeline.options())


def _count(role, dataset):
    count = int(dataset.cardinality())
    if count < 1:
        raise ValueError(
            f"The {role} set must have a known number of batches, received cardinality {count}."
        )
    return count


def _batch_size(role, dataset):
    parts = tf.nest.flatten(dataset.element_spec)
    size = parts[0].shape[0] if parts[0].shape.rank else None
    if size is None:
        raise ValueError(
            f"The batches of the {role} set may differ in size: load it with drop_remainder=True."
        )
    return size
