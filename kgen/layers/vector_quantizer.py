"""The vector quantizer: a codebook that follows the encoder by moving averages."""

import keras
import tensorflow as tf

from kgen import checks


@keras.saving.register_keras_serializable(package="kgen")
class VectorQuantizer(keras.layers.Layer):
    """Replace each vector by the nearest of `num_codes` codebook vectors.

        k(z) = argmin_j ||z - e_j||,   z_q = z + sg[e_k - z]
        N_i <- decay N_i + (1 - decay) n_i,   m_i <- decay m_i + (1 - decay) sum_{k(z)=i} z
        e_i  = m_i / N_i          with N_i smoothed by epsilon, so that an unused code stays finite

    The codebook is not trained by gradient: with `training=True` each call moves it. Under a
    strategy the counts and sums of all replicas are added first, so that every replica keeps the
    codebook of one device with the whole batch.

    Args:
        num_codes: int >= 1, K.
        code_dim: int >= 1, the size of a vector: the last axis of the input.
        decay: float in [0, 1].
        epsilon: float > 0.

    Reference: van den Oord et al. 2017, "Neural Discrete Representation Learning", eq. 1 and
    appendix A.1, eq. 6-8.
    """

    def __init__(self, num_codes=512, code_dim=64, *, decay=0.99, epsilon=1e-5, **kwargs):
        # Nearest neighbours in bfloat16 would tie; the codebook stays in float32.
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.num_codes = checks.positive_integer("num_codes", num_codes)
        self.code_dim = checks.positive_integer("code_dim", code_dim)
        self.decay = checks.probability("decay", decay)
        self.epsilon = checks.positive_number("epsilon", epsilon)
        shape = (num_codes, code_dim)
        bound = 1.0 / num_codes
        uniform = keras.initializers.RandomUniform(-bound, bound, seed=0)
        self.codebook = self._state("codebook", shape, uniform)
        self.counts = self._state("counts", (num_codes,), "ones")
        self.sums = self._state("sums", shape, uniform)
        self.built = True

    def _state(self, name, shape, initializer):
        # Without autocast: a model in mixed precision would read the codebook in half precision.
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            trainable=False,
            autocast=False,
            aggregation="mean",
        )

    def call(self, latents, training=False):
        """Quantize.

        Args:
            latents: float `(..., code_dim)`.
            training: bool, whether the codebook moves.

        Returns:
            `(quantized, indices)`: float32 of the shape of `latents`, with the straight-through
            gradient, and int32 of its shape without the last axis.
        """
        latents = tf.cast(latents, tf.float32)
        indices = self.nearest(latents)
        codes = self.lookup(indices)
        if training:
            self._move_codebook(tf.stop_gradient(latents), indices)
        return latents + tf.stop_gradient(codes - latents), indices

    def nearest(self, latents):
        """The index of the nearest code: int32, the shape of `latents` without the last axis."""
        flat = tf.reshape(latents, (-1, self.code_dim))
        codebook = tf.convert_to_tensor(self.codebook)
        # ||z||^2 is the same for all codes and left out.
        distances = tf.reduce_sum(codebook**2, axis=1) - 2.0 * tf.matmul(
            flat, codebook, False, True
        )
        indices = tf.argmin(distances, axis=1, output_type=tf.int32)
        return tf.reshape(indices, tf.shape(latents)[:-1])

    def lookup(self, indices):
        """The codebook vectors of int32 indices: float32 `(..., code_dim)`."""
        return tf.gather(tf.convert_to_tensor(self.codebook), indices)

    def _move_codebook(self, latents, indices):
        flat = tf.reshape(latents, (-1, self.code_dim))
        one_hot = tf.one_hot(tf.reshape(indices, (-1,)), self.num_codes)
        count, total = tf.reduce_sum(one_hot, axis=0), tf.matmul(one_hot, flat, transpose_a=True)
        context = tf.distribute.get_replica_context()
        if context and context.num_replicas_in_sync > 1:
            count, total = context.all_reduce("SUM", [count, total])
        counts = self.decay * tf.convert_to_tensor(self.counts) + (1.0 - self.decay) * count
        sums = self.decay * tf.convert_to_tensor(self.sums) + (1.0 - self.decay) * total
        self.counts.assign(counts)
        self.sums.assign(sums)
        size = tf.reduce_sum(counts)
        smoothed = (counts + self.epsilon) / (size + self.num_codes * self.epsilon) * size
        self.codebook.assign(sums / smoothed[:, None])

    def get_config(self):
        """The constructor's arguments."""
        names = ("num_codes", "code_dim", "decay", "epsilon")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
