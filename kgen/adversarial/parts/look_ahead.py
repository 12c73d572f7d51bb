"""Steps of an optimizer that are looked at and not taken."""

import keras
import tensorflow as tf


def look_ahead(optimizer, variables, gradients_at, num_steps):
    """Where an optimizer's next steps lead, differentiable by all that the gradients depend on.

        SGD:    w <- w - rate g
        Adam:   m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2,   t <- t + 1
                w <- w - rate sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon)

    They start from the optimizer's moments, its count of steps and its rate as they are now, and
    its clipping takes part. No variable moves.

    Args:
        optimizer: built `keras.optimizers.SGD` without momentum or `keras.optimizers.Adam`, or a
            `LossScaleOptimizer` around one.
        variables: the keras.Variables that it was built with.
        gradients_at: function from weights, a list of tensors, to the loss's gradients by them.
        num_steps: int >= 0.

    Returns:
        list of float32 tensors, the weights after `num_steps` updates.

    Raises:
        ValueError: for another optimizer, or for weight decay, which Keras applies beside the rule.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    updates = _adam(optimizer) if isinstance(optimizer, keras.optimizers.Adam) else _sgd(optimizer)
    if optimizer.weight_decay:
        _refuse(optimizer, f"weight_decay={optimizer.weight_decay}")
    weights = [tf.convert_to_tensor(variable) for variable in variables]
    for step in range(num_steps):
        gradients = optimizer._clip_gradients(gradients_at(weights))
        pairs = zip(weights, updates(gradients, step), strict=True)
        weights = [weight - update for weight, update in pairs]
    return weights


def _sgd(optimizer):
    if not isinstance(optimizer, keras.optimizers.SGD):
        _refuse(optimizer, "another rule")
    if optimizer.momentum:
        _refuse(optimizer, f"momentum={optimizer.momentum}")
    rate = tf.cast(optimizer.learning_rate, tf.float32)
    return lambda gradients, step: [rate * gradient for gradient in gradients]


def _adam(optimizer):
    if optimizer.amsgrad:
        _refuse(optimizer, "amsgrad=True")
    rate, beta_1, beta_2 = optimizer.learning_rate, optimizer.beta_1, optimizer.beta_2
    first = [tf.convert_to_tensor(moment) for moment in optimizer._momentums]
    second = [tf.convert_to_tensor(moment) for moment in optimizer._velocities]

    def updates(gradients, step):
        first[:] = [m + (1 - beta_1) * (g - m) for m, g in zip(first, gradients, strict=True)]
        second[:] = [
            v + (1 - beta_2) * (tf.square(g) - v) for v, g in zip(second, gradients, strict=True)
        ]
        count = tf.cast(optimizer.iterations + 1 + step, tf.float32)
        scale = tf.cast(rate, tf.float32) * tf.sqrt(1 - beta_2**count) / (1 - beta_1**count)
        # The root's slope is infinite at 0, where a dead ReLU's weights are: 0 * inf is NaN (XLA).
        return [
            scale * m / (tf.sqrt(tf.maximum(v, 1e-30)) + optimizer.epsilon)
            for m, v in zip(first, second, strict=True)
        ]

    return updates


def _refuse(optimizer, received):
    raise ValueError(
        "unrolled_steps needs a discriminator_optimizer whose rule is written out: "
        "keras.optimizers.SGD without momentum or keras.optimizers.Adam without amsgrad, both "
        f"without weight decay. Received {type(optimizer).__name__} with {received}."
    )
