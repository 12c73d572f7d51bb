"""Clipping of a critic's weights."""

import keras

from kgen import checks


@keras.saving.register_keras_serializable(package="kgen")
class WeightClipping(keras.constraints.Constraint):
    """`w <- min(max(w, -limit), limit)` after each update.

    Args:
        limit: float > 0, the paper's c; 0.01 there.

    Raises:
        ValueError: if `limit` is not above 0.

    Reference: Arjovsky et al. 2017, "Wasserstein Generative Adversarial Networks", Algorithm 1.
    """

    def __init__(self, limit=0.01):
        self.limit = checks.positive_number("limit", limit)

    def __call__(self, w):
        """The clipped weights."""
        return keras.ops.clip(w, -self.limit, self.limit)

    def get_config(self):
        """The constructor's argument."""
        return {"limit": self.limit}


def constrain_weights(network, constraint):
    """Let every update of a network's trainable weights, biases included, be followed by one map.

    Keras' optimizers apply `variable.constraint` after each update. It is set on the variables of a
    built network and is not part of the network's configuration: neither a saved file nor
    `keras.models.clone_model` keeps it. A model that needs it calls this in its constructor, which
    runs again when the model is loaded.

    Args:
        network: built keras.Model.
        constraint: keras.constraints.Constraint or None, which takes all constraints off.

    Raises:
        ValueError: if the network is not built.
    """
    for variable in checks.network("network", network).trainable_variables:
        variable.constraint = constraint
