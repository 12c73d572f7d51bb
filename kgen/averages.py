"""Networks that follow others: exponential moving averages of their weights."""

import keras
import tensorflow as tf


class AveragedWeights:
    """Averages of a network's trainable weights, and the network's outputs under them.

        w <- decay w + (1 - decay) w_network

    The averages are plain variables of the model that owns them, which saves and exports them; no
    second network is made.

    Args:
        model: the kgen model that owns them.
        network: keras.Model, built.
        name: str, what their names begin with.
    """

    def __init__(self, model, network, name="average"):
        self.network = network
        self.variables = []
        for index, variable in enumerate(network.trainable_variables):
            average = model.add_weight(
                name=f"{name}_{index}_{variable.name}",
                shape=variable.shape,
                initializer="zeros",
                trainable=False,
                autocast=False,
                aggregation="only_first_replica",
            )
            average.assign(variable)
            self.variables.append(average)

    def move(self, decay):
        """Move the averages; `decay` is a float or a float32 scalar."""
        for average, variable in zip(self.variables, self.network.trainable_variables, strict=True):
            old, new = tf.convert_to_tensor(average), tf.convert_to_tensor(variable)
            average.assign(new + decay * (old - new))

    def __call__(self, inputs, training=False):
        """The network's outputs under the averages; no state of the network moves."""
        outputs, _ = self.network.stateless_call(
            [tf.convert_to_tensor(average) for average in self.variables],
            [tf.convert_to_tensor(value) for value in self.network.non_trainable_variables],
            inputs,
            training=training,
        )
        return keras.tree.map_structure(lambda value: tf.cast(value, tf.float32), outputs)
