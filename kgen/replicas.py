"""The rows of all replicas, so that a loss means the same on one device and on many."""

import tensorflow as tf


def gather(values):
    """All replicas' rows, in the order of the replicas; the gradient reaches each row's replica.

    Args:
        values: `(batch, ...)`, this replica's rows.

    Returns:
        `(global batch, ...)`; `values` itself on one device.
    """
    context = _context()
    return values if context is None else context.all_gather(values, axis=0)


def first_row(values):
    """Where this replica's rows begin in `gather(values)`: int32 scalar, or 0 on one device."""
    context = _context()
    if context is None:
        return 0
    sizes = context.all_gather(tf.shape(values)[:1], axis=0)
    replica = context.replica_id_in_sync_group
    return tf.reduce_sum(tf.where(tf.range(tf.shape(sizes)[0]) < replica, sizes, 0))


def global_count(values):
    """How many rows all replicas have together: int32 scalar."""
    count = tf.shape(values)[0]
    context = _context()
    return count if context is None else context.all_reduce("SUM", count)


def _context():
    """The replica's context where there are several, else None."""
    context = tf.distribute.get_replica_context()
    return None if context is None or context.num_replicas_in_sync == 1 else context
