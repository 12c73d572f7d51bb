"""Networks that follow others: exponential moving averages of their weights."""

import keras
import tensorflow as tf


class AveragedWeights:
    """Averages of a network's weights, frozen ones included, and its outputs under them.

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
        # By identity: which of them are trainable changes when a layer is frozen.
        self._of = {}
        for index, variable in enumerate(_weights(network)):
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
            self._of[id(variable)] = average

    def move(self, decay):
        """Move the averages; `decay` is a float or a float32 scalar."""
        for average, variable in zip(self.variables, _weights(self.network), strict=True):
            old, new = tf.convert_to_tensor(average), tf.convert_to_tensor(variable)
            average.assign(new + decay * (old - new))

    def __call__(self, inputs, training=False):
        """The network's outputs under the averages; no state of the network moves."""
        outputs, _ = self.network.stateless_call(
            self._values(self.network.trainable_variables),
            self._values(self.network.non_trainable_variables),
            inputs,
            training=training,
        )
        return keras.tree.map_structure(lambda value: tf.cast(value, tf.float32), outputs)

    def copy(self):
        """The network under the averages as they are now: a keras.Model of its own."""
        copied = copy_of(self.network)
        for variable, mine in zip(copied.weights, self.network.weights, strict=True):
            variable.assign(self._of.get(id(mine), mine))
        return copied

    def _values(self, variables):
        return [
            tf.convert_to_tensor(self._of.get(id(variable), variable)) for variable in variables
        ]


def copy_of(network):
    """A network of the same layers with weights of its own, equal to those of `network`."""
    copied = keras.models.clone_model(network)
    copied.set_weights(network.get_weights())
    return copied


def _weights(network):
    """The weights that are trainable where nothing is frozen."""
    layers = network._flatten_layers()
    weights = (variable for layer in layers for variable in layer._trainable_variables)
    return list({id(variable): variable for variable in weights}.values())
