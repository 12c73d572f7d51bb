"""A head for tables of mixed columns: numbers, categories, yes or no."""

import json

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from kgen import specs
from kgen.heads.head import Head, location
from kgen.heads.standardized import StandardizingHead
from kgen.layers import OneHotColumns, Standardization

tfd = tfp.distributions


@keras.saving.register_keras_serializable(package="kgen")
class Columns(StandardizingHead):
    """A table of mixed columns: a head for each, independent given the parameters.

        log p(row) = sum_j log p_j(row_j)           over the columns j that are known

        heads.Columns([
            ("age", heads.Normal()),
            ("sex", heads.Categorical(2)),
            ("smokes", heads.Bernoulli()),
        ])

    A row is float32 `(num_columns,)`. Numbers are on the data's own scale: heads of real numbers
    see them standardized, as `Standardized` does it. Heads on L levels are over the codes 0 .. L-1,
    `Bernoulli` over 0 and 1. NaN is a value that is not known, which the likelihood leaves out. The
    typical row, which `decode` gives, has each number's mean and each category's likeliest code;
    `sample` draws valid codes.

    The parameters are those of the columns, one after the other.

    Args:
        columns: list of pairs (name, head), each head with parameters for one entry: `Normal`,
            `StudentT`, `Bernoulli`, `Categorical(L)`, `DiscretizedLogistic(L)` for ordered codes.

    Raises:
        ValueError: for names that are no strings or not all different, and for other heads.

    Reference: Nazabal et al. 2020, "Handling Incomplete Heterogeneous Data using VAEs", eq. 2-5:
    the likelihood of what is known, and zeros in its place in the encoder.
    """

    def __init__(self, columns):
        self.columns = [(name, head) for name, head in columns]
        names = [name for name, _ in self.columns]
        if not names or len(set(names)) < len(names) or not all(isinstance(n, str) for n in names):
            raise ValueError(f"columns must have a name each, all different; received {names}.")
        for name, head in self.columns:
            if (
                not isinstance(head, Head)
                or head.couples_channels
                or (head.is_bounded and not hasattr(head, "num_levels"))
            ):
                raise ValueError(
                    f"Column '{name}' needs a head such as kgen.heads.Normal(), StudentT(), "
                    f"Bernoulli() or Categorical(3), received {head!r}."
                )
        super().__init__(len(names), [j for j, count in enumerate(self._counts()) if count is None])

    def _counts(self):
        """The number of categories of each column, None for numbers."""
        return tuple(_num_levels(head) for _, head in self.columns)

    def groups(self):
        """Columns of equal heads: a list of `(head, indices)`."""
        groups = {}
        for index, (_, head) in enumerate(self.columns):
            key = type(head).__name__ + json.dumps(head.get_config(), sort_keys=True)
            groups.setdefault(key, (head, []))[1].append(index)
        return list(groups.values())

    def distribution(self, params):
        """Returns the distribution over rows for params `(batch, params_size)`."""
        return RowDistribution(self, params)

    def params_size(self, event_shape):
        """Returns the number of parameters of all columns."""
        self._check_event(event_shape, rank=1)
        return sum(head.params_size((1,)) for _, head in self.columns)

    def event_size(self, params_last_axis):
        """Returns the number of columns, or raises ValueError for other parameters."""
        return self._check_size(params_last_axis, self.params_size((self.scaling.dim,)))

    def spec(self, event_shape):
        """The spec of the rows."""
        self._check_event(event_shape, rank=1)
        names = (name for name, _ in self.columns)
        return specs.Rows(tuple(zip(names, self._counts(), strict=True)))

    def input_layers(self):
        """New layers that standardize numbers and make codes one-hot."""
        scaling = Standardization(self.scaling.dim, columns=self.scaling.columns)
        return [scaling, OneHotColumns(self._counts())]

    def get_config(self):
        """Returns the constructor's arguments."""
        serialize = keras.saving.serialize_keras_object
        return {"columns": [[name, serialize(head)] for name, head in self.columns]}

    @classmethod
    def from_config(cls, config):
        """Returns the head that `get_config` describes."""
        deserialize = keras.saving.deserialize_keras_object
        return cls([(name, deserialize(head)) for name, head in config["columns"]])

    def __repr__(self):
        return f"Columns([{', '.join(f'({name!r}, {head!r})' for name, head in self.columns)}])"


class RowDistribution(tfd.Distribution):
    """The distribution of `Columns`, of batch shape `(batch,)` and event shape `(num_columns,)`.

    Args:
        head: `Columns`.
        params: float32 `(batch, params_size)`.
    """

    def __init__(self, head, params, name="RowDistribution"):
        parameters = dict(locals())
        self._head, self._params = head, params
        super().__init__(
            dtype=tf.float32,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return {"params": tfp.util.ParameterProperties(event_ndims=1)}

    def _batch_shape(self):
        return self._params.shape[:-1]

    def _batch_shape_tensor(self):
        return tf.shape(self._params)[:-1]

    def _event_shape(self):
        return tf.TensorShape([self._head.scaling.dim])

    def _event_shape_tensor(self):
        return tf.constant([self._head.scaling.dim])

    def _log_prob(self, rows):
        rows = tf.broadcast_to(rows, tf.broadcast_dynamic_shape(tf.shape(rows), self._rows_shape()))
        known = tf.logical_not(tf.math.is_nan(rows))
        scaling = self._head.scaling
        # Anything finite in place of NaN: its gradient times 0 would be NaN.
        values = tf.where(known, scaling.standardize(rows), 0.0)
        volumes = tf.where(known, tf.math.log(tf.convert_to_tensor(scaling.scale)), 0.0)
        total = -tf.reduce_sum(volumes, axis=-1)
        for head, columns, distribution in self._parts():
            of_group = tf.gather(values, columns, axis=-1)
            shape = tf.shape(of_group)
            flat = tf.reshape(of_group / _largest_code(head), tf.concat([shape[:-2], [-1, 1]], 0))
            log_probs = tf.reshape(distribution.log_prob(flat), shape)
            is_known = tf.gather(known, columns, axis=-1)
            total += tf.reduce_sum(tf.where(is_known, log_probs, 0.0), axis=-1)
        return total

    def _sample_n(self, n, seed=None):
        parts = self._parts()
        seeds = tfp.random.split_seed(seed, n=len(parts))
        return self._restored(
            [part[2].sample(n, seed=seeds[index]) for index, part in enumerate(parts)]
        )

    def centre(self):
        """Means of numbers and likeliest codes: float32 `(batch, num_columns)`."""
        return self._restored([_typical(head, each) for head, _, each in self._parts()])

    def _parts(self):
        """`(head, columns, distribution)` of each group, the distribution of batch shape
        `(batch * len(columns),)`: a row's columns one after the other."""
        sizes = [head.params_size((1,)) for _, head in self._head.columns]
        ends = np.cumsum(sizes)
        parts = []
        for head, columns in self._head.groups():
            slices = [self._params[..., ends[j] - sizes[j] : ends[j]] for j in columns]
            params = tf.reshape(tf.stack(slices, axis=-2), (-1, sizes[columns[0]]))
            parts.append((head, columns, head.distribution(params)))
        return parts

    def _restored(self, values_of_groups):
        """Rows from the groups' values `(..., batch * len(columns), 1)`."""
        groups = self._head.groups()
        shape = self._rows_shape()
        parts = []
        for (head, columns), values in zip(groups, values_of_groups, strict=True):
            leading = tf.shape(values)[:-2]
            values = tf.reshape(values, tf.concat([leading, shape[:1], [len(columns)]], axis=0))
            codes = tf.round(_largest_code(head) * values)
            parts.append(values if _num_levels(head) is None else codes)
        order = np.argsort(np.concatenate([columns for _, columns in groups]))
        return self._head.scaling.restore(tf.gather(tf.concat(parts, axis=-1), order, axis=-1))

    def _rows_shape(self):
        return tf.stack([tf.shape(self._params)[0], self._head.scaling.dim])


def _num_levels(head):
    return getattr(head, "num_levels", None)


def _largest_code(head):
    """What the level 1 of a head on levels stands for: its last code; 1 for numbers."""
    return 1.0 if _num_levels(head) is None else float(head.num_levels - 1)


def _typical(head, distribution):
    """The mean of numbers, the likeliest level of others: float32 `(..., 1)`."""
    if _num_levels(head) is None:
        return location(distribution)
    levels = tf.linspace(0.0, 1.0, head.num_levels)
    batch = distribution.batch_shape_tensor()
    values = tf.broadcast_to(levels[:, None, None], tf.concat([[head.num_levels], batch, [1]], 0))
    return tf.gather(levels, tf.argmax(distribution.log_prob(values), axis=0))[..., None]
