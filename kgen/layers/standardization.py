"""Layers that bring tables to the scale of networks, and back."""

import keras
import numpy as np
import tensorflow as tf

from kgen import checks


@keras.saving.register_keras_serializable(package="kgen")
class Standardization(keras.layers.Layer):
    """Numbers of any scale with mean 0 and standard deviation 1, by entry of the last axis.

        z = (x - m) / s,      inverse: x = m + s z

    `fit` of a kgen model takes m and s from its training data before the first step, where the
    layer has seen none: from all rows of arrays, from the first 10,000 or so of a data set. By hand
    it is `model.start((x, None))`. They are saved, and no step moves them. NaN, a value that is not
    known, counts in neither and becomes 0, the mean; a constant column has s = 1.

        inputs = keras.Input((30,))
        encoder = keras.Model(inputs, network(kgen.layers.Standardization(30)(inputs)))

    Args:
        dim: int >= 1, size of the last axis.
        columns: indices of the entries that are standardized, or None for all. The others pass as
            they are, NaN included.
        inverse: bool, whether the layer maps back: the end of a generator.
        **kwargs: `name`. The layer computes in float32 under every policy.
    """

    def __init__(self, dim, *, columns=None, inverse=False, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.dim = checks.positive_integer("dim", dim)
        self.columns = None if columns is None else tuple(int(column) for column in columns)
        if columns is not None and not set(self.columns) <= set(range(dim)):
            raise ValueError(f"columns must be indices below dim={dim}, received {columns}.")
        self.inverse = bool(inverse)
        self.mean = self._state("mean", (dim,), "zeros")
        self.scale = self._state("scale", (dim,), "ones")
        self.adapted = self._state("adapted", (), "zeros")
        self.built = True

    def _state(self, name, shape, initializer):
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
        )

    @property
    def is_adapted(self):
        """Whether it has seen data."""
        return bool(self.adapted.numpy() > 0)

    def adapt(self, x):
        """Take mean and standard deviation of examples, `(batch, ..., dim)` with NaN for unknown.

        Raises:
            ValueError: for another size of the last axis.
        """
        x = np.asarray(x, np.float64)
        if x.ndim < 2 or x.shape[-1] != self.dim:
            raise ValueError(f"Expected examples (batch, ..., {self.dim}), received {x.shape}.")
        rows = x.reshape(-1, self.dim)
        count = np.maximum(np.sum(~np.isnan(rows), axis=0), 1)
        mean = np.nansum(rows, axis=0) / count
        scale = np.sqrt(np.nansum((rows - mean) ** 2, axis=0) / count)
        # Equal numbers differ by their rounding.
        scale = np.where(scale <= 1e-7 * np.abs(mean), 1.0, np.where(scale == 0.0, 1.0, scale))
        if self.columns is not None:
            others = np.setdiff1d(np.arange(self.dim), self.columns)
            mean[others], scale[others] = 0.0, 1.0
        self.mean.assign(mean)
        self.scale.assign(scale)
        self.adapted.assign(1.0)

    def call(self, values):
        """The standardized values, or the original ones of an inverse: float32, the same shape."""
        return self.restore(values) if self.inverse else self.standardize(values)

    def standardize(self, values):
        """`(x - m) / s`."""
        values = tf.cast(values, tf.float32)
        standardized = (values - tf.convert_to_tensor(self.mean)) / tf.convert_to_tensor(self.scale)
        unknown = tf.math.is_nan(values)
        if self.columns is not None:
            unknown &= np.isin(np.arange(self.dim), self.columns)
        return tf.where(unknown, 0.0, standardized)

    def restore(self, values):
        """`m + s z`."""
        values = tf.cast(values, tf.float32)
        return tf.convert_to_tensor(self.mean) + tf.convert_to_tensor(self.scale) * values

    def log_volume(self, event_shape):
        """`log |dx/dz|` of an event of `event_shape`: a float32 scalar."""
        logs = tf.math.log(tf.convert_to_tensor(self.scale))
        return tf.reduce_sum(tf.broadcast_to(logs, event_shape))

    def compute_output_shape(self, input_shape):
        """The same shape."""
        return tuple(input_shape)

    def get_config(self):
        """The constructor's arguments."""
        own = {"dim": self.dim, "columns": self.columns, "inverse": self.inverse}
        return {**super().get_config(), **own}


def adapt(network, x):
    """Adapt each `Standardization` of a model or network that has seen no data.

    Args:
        network: keras.Model or layer.
        x: an array, or a structure of arrays, of which a layer takes the first of its size.

    Raises:
        ValueError: if no array has the size of a layer.
    """
    for layer in unadapted(network):
        parts = [np.asarray(part) for part in keras.tree.flatten(x)]
        fitting = [part for part in parts if part.ndim > 1 and part.shape[-1] == layer.dim]
        if not fitting:
            raise ValueError(
                f"The layer '{layer.name}' standardizes {layer.dim} entries, but the data have "
                f"shapes {[part.shape for part in parts]}: call its adapt by hand."
            )
        layer.adapt(fitting[0])


def unadapted(network):
    """The `Standardization` layers that have seen no data, at any depth."""
    layers = network._flatten_layers()
    return [each for each in layers if isinstance(each, Standardization) and not each.is_adapted]


@keras.saving.register_keras_serializable(package="kgen")
class OneHotColumns(keras.layers.Layer):
    """Rows of a table whose integer codes become one-hot vectors; numbers stay.

        (0.3, 2.0, 1.0) with num_categories (None, 3, 2)  ->  (0.3, 0, 0, 1, 0, 1)

    A code that is not known, NaN, becomes zeros.

    Args:
        num_categories: per column the number of its categories, or None for a number.
        **kwargs: `name`. The layer computes in float32 under every policy.
    """

    def __init__(self, num_categories, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.num_categories = tuple(num_categories)
        self.built = True

    def call(self, rows):
        """float32 `(batch, num_columns)` to float32 `(batch, output_dim)`."""
        parts = []
        for column, count in enumerate(self.num_categories):
            values = tf.cast(rows[:, column : column + 1], tf.float32)
            if count is not None:
                codes = tf.where(tf.math.is_nan(values), -1.0, tf.round(values))
                values = tf.one_hot(tf.cast(codes[:, 0], tf.int32), count)
            parts.append(values)
        return tf.concat(parts, axis=-1)

    @property
    def output_dim(self):
        """Size of the result's last axis."""
        return sum(1 if count is None else count for count in self.num_categories)

    def compute_output_shape(self, input_shape):
        """`(batch, output_dim)`."""
        return (input_shape[0], self.output_dim)

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "num_categories": self.num_categories}
