"""The epoch that input pipelines read, so that an epoch's order does not depend on its past."""

import tensorflow as tf

_counter = None


def set_epoch(epoch):
    """Tell every kgen input pipeline of this process which epoch its next iterator gives.

    The orders and binary draws of `kgen.data` are functions of (seed, epoch). kgen's models call
    this as each epoch of `fit` begins; a hand-written training loop calls it before it iterates.
    Without a call the epoch is 0, and every iteration gives the same order.

    Args:
        epoch: int of at least 0.

    Raises:
        ValueError: if `epoch` is negative.
    """
    if epoch < 0:
        raise ValueError(f"epoch must be at least 0, received {epoch}.")
    _assign(_resource(), epoch)


def current_epoch():
    """The epoch at the time of execution, as an int64 scalar tensor."""
    return tf.raw_ops.ReadVariableOp(resource=_resource(), dtype=tf.int64)


def _resource():
    # Created at first use, because the first operation fixes TensorFlow's logical devices. A raw
    # operation, because a tf.Variable created under a strategy would be mirrored or synchronised.
    global _counter
    if _counter is None:
        with tf.init_scope(), tf.device("CPU:0"):
            counter = tf.raw_ops.VarHandleOp(
                dtype=tf.int64, shape=(), shared_name="kgen_epoch_of_input_pipelines"
            )
            _assign(counter, 0)
        _counter = counter
    return _counter


def _assign(resource, epoch):
    tf.raw_ops.AssignVariableOp(resource=resource, value=tf.constant(epoch, tf.int64))
