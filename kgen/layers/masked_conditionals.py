"""A masked multilayer perceptron that gives all conditionals at once, or one after the other."""

import keras
import numpy as np
import tensorflow as tf

from kgen import checks


@keras.saving.register_keras_serializable(package="kgen")
class MaskedConditionals(keras.layers.Layer):
    """Parameters of every p(x_i | the entries before i), for several masks that share weights.

        h_0 = x,    h_l = g(b_l + (W_l * M_l) h_{l-1}),    params_d = c_d + (V_d * M_V) h_L
        M_l[j, k] = 1 if m_{l-1}(j) <= m_l(k) else 0,      M_V[k, d] = 1 if m_L(k) < m_0(d) else 0

    `m_0(d)` in 1 .. D is the place of entry d in the order, `m_l(k)` in 1 .. D - 1 the degree of
    hidden unit k: the number of entries that it may see. A mask is a set of such degrees; each mask
    has other hidden degrees and, with `order_agnostic`, another order.

    `call` gives all conditionals in one pass. `start`, `step` and `absorb` give them one after the
    other, each row under a mask and in an order of its own, and need no masks: a unit of degree t
    is computed once, when exactly t entries are known, and is 0 before.

    Args:
        hidden_units: sizes of the hidden layers, first to last; at least one.
        params_per_entry: int >= 1, P, the size of the parameters of one entry.
        num_masks: int >= 1, K.
        order_agnostic: bool. The order of mask 0 is 1 .. D in any case.
        activation: g, name or function.
        seed: int, of the masks: they are a function of it, and no weights.
        context_dim: int >= 0, size of a context, a vector that every conditional is given. It is
            mapped linearly onto the first hidden layer and onto the parameters.
        **kwargs: `name`, `trainable`. The layer computes in float32 under every policy, since
            densities are made of its outputs.

    Raises:
        ValueError: for a size below its minimum, or `order_agnostic` with a single mask.

    Reference: Germain et al. 2015, "MADE: Masked Autoencoder for Distribution Estimation", eq. 8-9
    and sections 4.2-4.3. The degrees are spread evenly and permuted, where the paper draws them
    independently: no layer is without units of some degree by chance.
    """

    def __init__(
        self,
        hidden_units=(500,),
        params_per_entry=1,
        *,
        num_masks=1,
        order_agnostic=False,
        activation="relu",
        seed=0,
        context_dim=0,
        **kwargs,
    ):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.context_dim = checks.integer_at_least("context_dim", context_dim, 0)
        self.hidden_units = tuple(
            checks.positive_integer("each of hidden_units", units) for units in hidden_units
        )
        if not self.hidden_units:
            raise ValueError("hidden_units is empty: at least one hidden layer is needed.")
        self.params_per_entry = checks.positive_integer("params_per_entry", params_per_entry)
        self.num_masks = checks.positive_integer("num_masks", num_masks)
        self.order_agnostic = bool(order_agnostic)
        if order_agnostic and num_masks == 1:
            raise ValueError(
                "order_agnostic needs several masks, each with an order; received num_masks=1."
            )
        self.activation = keras.activations.get(activation)
        self.seed = checks.seed(seed)

    def build(self, entries_shape, mask_index_shape=None, context_shape=None):
        """Makes the weights, and the degrees for inputs `(batch, D)`."""
        self.event_dim = int(entries_shape[-1])
        sizes = (self.event_dim, *self.hidden_units)
        self.kernels = [
            self.add_weight(name=f"kernel_{depth}", shape=shape, initializer="glorot_uniform")
            for depth, shape in enumerate(zip(sizes[:-1], sizes[1:], strict=True))
        ]
        self.biases = [
            self.add_weight(name=f"bias_{depth}", shape=(size,), initializer="zeros")
            for depth, size in enumerate(self.hidden_units)
        ]
        # Nearly even probabilities to begin with.
        small = keras.initializers.TruncatedNormal(stddev=(0.01 / sizes[-1]) ** 0.5)
        shape = (self.event_dim, sizes[-1], self.params_per_entry)
        self.output_kernel = self.add_weight(name="output_kernel", shape=shape, initializer=small)
        self.output_bias = self.add_weight(
            name="output_bias", shape=shape[::2], initializer="zeros"
        )
        if self.context_dim:
            sizes = {"hidden": self.hidden_units[:1], "output": shape[::2]}
            self.context_kernels = {
                name: self.add_weight(
                    name=f"context_{name}_kernel",
                    shape=(self.context_dim, *size),
                    initializer=small,
                )
                for name, size in sizes.items()
            }
        self.orders = np.stack([self._order(mask) for mask in range(self.num_masks)])
        self.degrees = [1 + np.argsort(self.orders, axis=1).astype("int32")]
        self.degrees += [
            np.stack([self._hidden_degrees(mask, depth) for mask in range(self.num_masks)])
            for depth in range(len(self.hidden_units))
        ]
        self.built = True

    def _order(self, mask):
        order = np.arange(self.event_dim, dtype="int32")
        is_raster = mask == 0 or not self.order_agnostic
        return order if is_raster else self._draws(mask, 0).permutation(order)

    def _hidden_degrees(self, mask, depth):
        units = self.hidden_units[depth]
        degrees = 1 + np.arange(units, dtype="int32") * max(self.event_dim - 1, 1) // units
        return self._draws(mask, 1 + depth).permutation(degrees)

    def _draws(self, *key):
        # NumPy promises that RandomState gives the same numbers for ever, and default_rng not:
        # a saved model with other masks would be another model.
        return np.random.RandomState([self.seed % 2**32, *key])

    def call(self, entries, mask_index=None, context=None):
        """All conditionals under one mask.

        Args:
            entries: float32 `(batch, D)`.
            mask_index: int32 scalar in 0 .. num_masks - 1; None is 0.
            context: float32 `(batch, context_dim)` where the layer has one.

        Returns:
            float32 `(batch, D, params_per_entry)`.
        """
        degrees = [
            tf.gather(values, 0 if mask_index is None else mask_index) for values in self.degrees
        ]
        hidden = entries
        for depth, kernel in enumerate(self.kernels):
            connected = degrees[depth][:, None] <= degrees[depth + 1]
            kernel = kernel * tf.cast(connected, tf.float32)
            hidden = tf.matmul(hidden, kernel) + self.biases[depth]
            if context is not None and not depth:
                hidden += tf.matmul(context, self.context_kernels["hidden"])
            hidden = self.activation(hidden)
        connected = degrees[-1] < degrees[0][:, None]
        kernel = self.output_kernel * tf.cast(connected, tf.float32)[..., None]
        return tf.einsum("bh,dhp->bdp", hidden, kernel) + self._output_bias(context)

    def _output_bias(self, context):
        if context is None:
            return self.output_bias
        return self.output_bias + tf.tensordot(context, self.context_kernels["output"], axes=1)

    def compute_output_shape(self, entries_shape, mask_index_shape=None, context_shape=None):
        """`(batch, D, params_per_entry)`."""
        return (*entries_shape, self.params_per_entry)

    # One entry after the other.

    def start(self, batch_size, mask_indices=None, context=None):
        """The state before the first entry: a nest of tensors.

        Args:
            batch_size: int32 scalar.
            mask_indices: int32 `(batch,)`, the mask of each row; None is mask 0 for all.
            context: as for `call`.
        """
        rows = 0 if mask_indices is None else mask_indices
        degrees = tuple(tf.gather(values, rows) for values in self.degrees[1:])
        hidden = tuple(tf.zeros((batch_size, units)) for units in self.hidden_units)
        incoming = tf.tile(self.biases[0][None], (batch_size, 1))
        if context is None:
            return incoming, hidden, degrees, ()
        incoming += tf.matmul(context, self.context_kernels["hidden"])
        return incoming, hidden, degrees, (self._output_bias(context),)

    def step(self, state, position, entry):
        """The parameters of the next entry.

        Args:
            state: as `start` or `absorb` returned it.
            position: int32 scalar, the number of entries absorbed before.
            entry: int32, the entry that is next: a scalar, or `(batch,)`, one per row.

        Returns:
            `(state, params)`, the parameters float32 `(batch, params_per_entry)`.
        """
        incoming, hidden, degrees, biases = state
        complete, values = [], incoming
        for depth, old in enumerate(hidden):
            if depth:
                values = tf.matmul(complete[-1], self.kernels[depth]) + self.biases[depth]
            complete.append(tf.where(degrees[depth] == position, self.activation(values), old))
        kernel = tf.gather(self.output_kernel, entry)
        if kernel.shape.rank == 2:
            params = tf.matmul(complete[-1], kernel)
        else:
            params = tf.linalg.matvec(kernel, complete[-1], transpose_a=True)
        if not biases:
            bias = tf.gather(self.output_bias, entry)
        elif entry.shape.rank:
            bias = tf.gather(biases[0], entry, batch_dims=1)
        else:
            bias = tf.gather(biases[0], entry, axis=1)
        return (incoming, tuple(complete), degrees, biases), params + bias

    def absorb(self, state, entry, values):
        """The state after the values of an entry, float32 `(batch, 1)`, are known."""
        incoming, *rest = state
        return incoming + values * tf.gather(self.kernels[0], entry), *rest

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "hidden_units": self.hidden_units,
            "params_per_entry": self.params_per_entry,
            "num_masks": self.num_masks,
            "order_agnostic": self.order_agnostic,
            "activation": keras.activations.serialize(self.activation),
            "seed": self.seed,
            "context_dim": self.context_dim,
        }
