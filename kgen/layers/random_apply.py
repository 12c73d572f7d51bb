"""Layers applied to some images of a batch, chosen at random."""

import keras
import tensorflow as tf

from kgen import checks


@keras.saving.register_keras_serializable(package="kgen")
class RandomApply(keras.layers.Layer):
    """Apply layers one after the other to each image with a probability.

        y_i = f(x_i)  if u_i < probability  else  x_i,      u_i ~ U(0, 1)

    Args:
        layers: list of Keras layers that keep the shape of the images.
        probability: float in [0, 1].
        seed: int or None, for calls outside of `kgen.data`.

    Call: float `(batch, ...)` to the same shape. With `training=False` nothing is applied.

    Raises:
        ValueError: for a probability out of range, or a layer that changes the shape.
    """

    # As Keras' own image layers have: `kgen.data` puts draws for each image in its place.
    backend = keras

    def __init__(self, layers, probability=0.5, *, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.layers = list(layers)
        self.probability = checks.probability("probability", probability)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        """Build the layers inside."""
        for layer in self.layers:
            if not layer.built:
                layer.build(input_shape)

    def call(self, images, training=True):
        """Apply the layers to the chosen images."""
        if not training:
            return images
        batch = images.shape[0] or tf.shape(images)[0]
        draws = self.backend.random.uniform((batch,), dtype="float32", seed=self.generator)
        changed = images
        for layer in self.layers:
            changed = layer(changed, training=True)
        if not changed.shape.is_compatible_with(images.shape):
            raise ValueError(
                f"The layers of RandomApply must keep the shape: they made {changed.shape} of "
                f"{images.shape}. Put layers that resize outside of it."
            )
        # Whole rows: tf.where with a mask (batch, 1, 1, 1) takes ten times as long for colours.
        return tf.raw_ops.Select(
            condition=draws < self.probability, x=tf.cast(changed, images.dtype), y=images
        )

    def compute_output_shape(self, input_shape):
        """The shape of the images."""
        return input_shape

    def get_config(self):
        """The constructor's arguments."""
        layers = [keras.saving.serialize_keras_object(layer) for layer in self.layers]
        own = dict(layers=layers, probability=self.probability, seed=self.seed)
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config):
        """A layer from `get_config`."""
        layers = [keras.saving.deserialize_keras_object(layer) for layer in config["layers"]]
        return cls(**{**config, "layers": layers})
