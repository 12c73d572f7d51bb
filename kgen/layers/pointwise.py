"""Layers that act on each pixel alone."""

import keras
import tensorflow as tf

from kgen import checks


@keras.saving.register_keras_serializable(package="kgen")
class GatedActivation(keras.layers.Layer):
    """Half of the channels, each let through by one of the other half.

        y = f(a) sigmoid(b),    a, b = the first and the second half of each channel group

    Args:
        activation: f, a name that Keras knows; "tanh" in Gated PixelCNN, "linear" in PixelCNN++.
        channel_groups: int; see `CausalConv2D`. The groups of the output are those of the input.

    Call: `(..., 2n)` to `(..., n)`.

    Reference: van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders",
    eq. 2.
    """

    pointwise = True

    def __init__(self, activation="tanh", *, channel_groups=1, **kwargs):
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)
        self.channel_groups = checks.positive_integer("channel_groups", channel_groups)

    def build(self, input_shape):
        """Check the channels."""
        if input_shape[-1] % (2 * self.channel_groups):
            raise ValueError(
                f"Expected a multiple of {2 * self.channel_groups} channels, received "
                f"{input_shape[-1]}."
            )
        super().build(input_shape)

    def call(self, inputs):
        """The gated half."""
        if self.channel_groups == 1:
            value, gate = tf.split(inputs, 2, axis=-1)
            return self.activation(value) * tf.math.sigmoid(gate)
        size = inputs.shape[-1] // 2
        shape = tf.shape(inputs)[:-1]
        halves = [self.channel_groups, 2, size // self.channel_groups]
        value, gate = tf.unstack(tf.reshape(inputs, tf.concat([shape, halves], 0)), axis=-2)
        outputs = self.activation(value) * tf.math.sigmoid(gate)
        outputs = tf.reshape(outputs, tf.concat([shape, [size]], 0))
        return tf.ensure_shape(outputs, (*inputs.shape[:-1], size))

    def compute_output_shape(self, input_shape):
        """Half the channels."""
        return *input_shape[:-1], input_shape[-1] // 2

    def get_config(self):
        """The constructor's arguments."""
        activation = keras.activations.serialize(self.activation)
        own = dict(activation=activation, channel_groups=self.channel_groups)
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="kgen")
class ConcatELU(keras.layers.Layer):
    """`elu([x, -x])`: twice the channels, so that no sign is lost.

    Call: `(..., n)` to `(..., 2n)`.

    Reference: Shang et al. 2016, "Understanding and Improving Convolutional Neural Networks via
    Concatenated Rectified Linear Units", eq. 2, with ELUs as in PixelCNN++.
    """

    pointwise = True

    def call(self, inputs):
        """The activations."""
        return tf.nn.elu(tf.concat([inputs, -inputs], axis=-1))

    def compute_output_shape(self, input_shape):
        """Twice the channels."""
        return *input_shape[:-1], 2 * input_shape[-1]


@keras.saving.register_keras_serializable(package="kgen")
class OnesChannel(keras.layers.Layer):
    """Appends a channel of ones, which tells pixels from the zeros of the padding.

    Call: `(..., n)` to `(..., n + 1)`.
    """

    pointwise = True

    def call(self, inputs):
        """The inputs and the ones."""
        return tf.concat([inputs, tf.ones_like(inputs[..., :1])], axis=-1)

    def compute_output_shape(self, input_shape):
        """One channel more."""
        return *input_shape[:-1], input_shape[-1] + 1


@keras.saving.register_keras_serializable(package="kgen")
class CategoryEmbedding(keras.layers.Layer):
    """A learned vector for each of K categories, which stand on the levels k / (K - 1).

        y = E_k,    k = round((K - 1) x)

    So a network reads pixels without an order, such as the entries of a codebook.

    Args:
        num_categories: int >= 2, K.
        dim: int >= 1, the size of a vector.

    Call: float32 `(..., 1)` in [0, 1] to `(..., dim)`.
    """

    pointwise = True

    def __init__(self, num_categories, dim, **kwargs):
        # Levels of half precision would be those of other categories.
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.num_categories = checks.integer_at_least("num_categories", num_categories, 2)
        self.dim = checks.positive_integer("dim", dim)

    def build(self, input_shape):
        """Make the vectors."""
        if input_shape[-1] != 1:
            raise ValueError(f"Expected 1 channel, the category, received {input_shape[-1]}.")
        shape = (self.num_categories, self.dim)
        self.embeddings = self.add_weight(
            name="embeddings", shape=shape, initializer=keras.initializers.RandomNormal(stddev=1.0)
        )
        super().build(input_shape)

    def call(self, inputs):
        """The vectors."""
        categories = tf.round(tf.squeeze(inputs, -1) * (self.num_categories - 1))
        # What is no level, as in an image that is not drawn yet, is some category.
        last = self.num_categories - 1.0
        categories = tf.cast(tf.clip_by_value(categories, 0.0, last), tf.int32)
        return tf.gather(tf.convert_to_tensor(self.embeddings), categories)

    def compute_output_shape(self, input_shape):
        """`dim` channels."""
        return *input_shape[:-1], self.dim

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "num_categories": self.num_categories, "dim": self.dim}
