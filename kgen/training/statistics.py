"""Models that are fitted by sufficient statistics: no gradient, no optimizer."""

import keras
import tensorflow as tf

from kgen import checks, specs
from kgen.training.base import BaseModel
from kgen.training.data import unpack


@keras.saving.register_keras_serializable(package="kgen")
class StatisticsModel(BaseModel):
    """A model that is fitted by sums over the data, one update per epoch.

        totals = sum over all examples of w_i statistics(x_i);   update(totals) at the epoch's end

    EM, k-means, PCA and naive Bayes have this form. The data may be larger than memory; batches of
    any size and replicas give the same sums, which begin anew with each epoch. A subclass defines
    `statistics` and `update`; what `terms` lists of the statistics is reported, among it `"loss"`.

    Terms are those under the parameters at the epoch's start: EM's `loss` of the next epoch tells
    how good the last update was. `keras.callbacks.EarlyStopping(monitor="loss", min_delta=1e-4)`
    stops where nothing changes any more.

    Args:
        seed: int.
        **kwargs: `name`, `dtype`, as for `keras.Model`.
    """

    terms = ("loss",)

    def statistics(self, x, y=None):
        """The statistics of a batch.

        Args:
            x: the x of `data_spec`.
            y: its y, or None.

        Returns:
            dict of name -> float tensor `(batch, ...)`, one value per example; those that `terms`
            lists have shape `(batch,)`. Sums are kept in float64.
        """
        raise NotImplementedError(f"{type(self).__name__} must define statistics(x, y).")

    def update(self, totals):
        """Move the parameters.

        Args:
            totals: dict of name -> float64 tensor, the sum over all examples of the epoch, each
                times its sample weight, and `"count"`, the sum of the weights.
        """
        raise NotImplementedError(f"{type(self).__name__} must define update(totals).")

    def compile(self, *, jit_compile="auto", steps_per_execution=1, run_eagerly=False):
        """Prepare for `fit`; there is no optimizer.

        Args:
            jit_compile: as for `ObjectiveModel.compile`.
            steps_per_execution: as there.
            run_eagerly: as there.

        Raises:
            ValueError: if the model has no `data_spec`, or a constructor argument is not kept.
        """
        if self.data_spec is None:
            raise ValueError(f"{type(self).__name__} needs a data_spec: it tells the sums' shapes.")
        how = dict(steps_per_execution=steps_per_execution, run_eagerly=run_eagerly)
        arguments = dict(jit_compile=jit_compile, **how)
        self._compile(arguments, [], jit_compile=jit_compile, **how)
        self.optimizer = None
        with self.distribute_strategy.scope():
            self._make_sums()

    def _make_sums(self):
        if getattr(self, "_sums", None):
            return
        x, y = _example(self.data_spec)
        found = self.statistics(x, y)
        checks.statistics(self, found, count=2)
        shapes = {name: value.shape[1:] for name, value in found.items()}
        shapes["count"] = ()
        self._sums = {
            name: self.add_weight(
                name=f"sum_of_{name}",
                shape=shape,
                dtype="float64",
                initializer="zeros",
                trainable=False,
                autocast=False,
                aggregation="only_first_replica",
            )
            for name, shape in shapes.items()
        }

    def _named_variables(self):
        sums = {
            f"sum_of_{name}": total for name, total in (getattr(self, "_sums", None) or {}).items()
        }
        return {**super()._named_variables(), **sums}

    def _tracked_names(self):
        return tuple(dict.fromkeys(("loss", *self.terms)))

    def train_step(self, data):
        """Add a batch to the sums."""
        x, y, sample_weight = unpack(data, self)
        statistics = self.statistics(x, y)
        weight = tf.ones_like(statistics["loss"], tf.float64)
        if sample_weight is not None:
            weight *= tf.reshape(tf.cast(sample_weight, tf.float64), (-1,))
        totals = {name: _sum(values, weight) for name, values in statistics.items()}
        totals["count"] = tf.reduce_sum(weight)
        if self.distribute_strategy.num_replicas_in_sync > 1:
            totals = tf.distribute.get_replica_context().all_reduce("SUM", totals)
        for name, total in totals.items():
            self._sums[name].assign(self._sums[name].value + total)
        self.steps.assign_add(1)
        self.after_step()
        return self._report(statistics, x, sample_weight)

    def test_step(self, data):
        """The running means of the terms."""
        x, y, sample_weight = unpack(data, self)
        return self._report(self.statistics(x, y), x, sample_weight)

    def _report(self, statistics, x, sample_weight):
        terms = {name: statistics[name] for name in self._tracked_names()}
        checks.terms(self, terms, "statistics")
        self._track(terms, x, sample_weight)
        return self._results()

    def before_epoch(self, epoch):
        """Begin the sums anew: those of an epoch that was interrupted must not count."""
        self._forget_sums()

    def after_epoch(self, epoch):
        """Update the parameters from the epoch's sums, and begin anew."""
        totals = {name: tf.convert_to_tensor(total.value) for name, total in self._sums.items()}
        if float(totals["count"]) > 0:
            self.update(totals)
        self._forget_sums()

    def _forget_sums(self):
        for total in self._sums.values():
            total.assign(tf.zeros_like(total.value))


def _sum(values, weight):
    values = tf.cast(values, tf.float64)
    return tf.tensordot(weight, values, axes=1)


def _example(data_spec):
    x_spec, y_spec = specs.x_and_y(data_spec)
    parts = specs.example(x_spec, 2), None if y_spec is None else specs.example(y_spec, 2)
    return keras.tree.map_structure(
        lambda part: None if part is None else tf.convert_to_tensor(part), parts
    )
