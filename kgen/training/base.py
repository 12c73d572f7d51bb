"""What the bases of all models share: saving, `steps`, noise, hooks, checks, running means."""

import types
import weakref

import keras
import tensorflow as tf

from kgen import checks, layers, specs
from kgen.training import data
from kgen.training.divergence import DivergenceGuard
from kgen.training.hooks import History, Hooks
from kgen.training.saving import (
    SavedByArguments,
    check_arguments_are_kept,
)


class BaseModel(SavedByArguments, keras.Model):
    """Configuration, compilation, seeds, running means and input checks of every kgen model.

    A subclass of any kgen model may add layers, weights and metrics in its constructor. A
    constructor argument must be kept under its own name: that is all that saving needs.

    Attributes:
        data_spec: what one training example is, in Keras' `(x, y)` form; see `kgen.specs`. None:
            what `fit` is given is not checked.
        target_spec: spec of a y that may be given and changes what is learned, or None.
        terms: names of the terms that the objective reports beside the losses.
        steps: int64 variable, training steps so far; saved. Noise and averages hang on it.
    """

    data_spec = None
    target_spec = None
    terms = ()

    def __init__(self, *, seed=0, **kwargs):
        super().__init__(**kwargs)
        # `predict` computes what the verbs do: a model's inputs stay as they are, its networks
        # have policies of their own.
        self.autocast = False
        self.seed = checks.seed(seed)
        self.steps = self.add_weight(
            name="steps",
            shape=(),
            dtype="int64",
            initializer="zeros",
            trainable=False,
            aggregation="only_first_replica",
        )
        self._started = None
        if type(self).before_training is not BaseModel.before_training:
            self._started = self.add_weight(
                name="started",
                dtype="int32",
                initializer="zeros",
                trainable=False,
                aggregation="only_first_replica",
            )
        self._steps_are_due = False
        self._last_data = lambda: None
        self._looks_at_pixels = False
        self._trackers = {}
        # The networks hold all variables and arrive built: Keras need not call the model for them,
        # and a subclass can go on adding its own.
        self.built = True

    @property
    def predict_spec(self):
        """What `predict` takes: the x of `data_spec`, unless a model says otherwise."""
        return None if self.data_spec is None else specs.x_and_y(self.data_spec)[0]

    def endpoints(self):
        """The functions to serve: name -> `kgen.endpoints.Endpoint`, the default first.

        The mixins of `kgen.verbs` add those of their verbs.
        """
        return {}

    # Compilation.

    def _compile(self, arguments, optimizers, *, jit_compile, steps_per_execution, run_eagerly):
        data.check_scope(self)
        check_arguments_are_kept(self)
        _check_layers_are_built(self)
        self._compile_arguments = arguments
        jit_compile = self._choose_jit(jit_compile, steps_per_execution)
        super().compile(
            optimizer=optimizers[-1][0] if optimizers else "sgd",
            jit_compile=jit_compile,
            steps_per_execution=steps_per_execution,
            run_eagerly=run_eagerly,
            auto_scale_loss=False,
        )
        # Saved files restore an optimizer's state only where its variables exist already, and a
        # strategy wants them created inside its scope.
        with self.distribute_strategy.scope():
            for optimizer, variables in optimizers:
                if not optimizer.built:
                    optimizer.build(variables)
            names = self._tracked_names()
            if tuple(self._trackers) != tuple(names):
                self._trackers = {name: keras.metrics.Mean(name=name) for name in names}

    def _tracked_names(self):
        return self.terms

    def _choose_jit(self, jit_compile, steps_per_execution):
        devices = self.distribute_strategy.num_replicas_in_sync
        has_gpu = bool(tf.config.list_logical_devices("GPU"))
        if jit_compile == "auto":
            return has_gpu and devices == 1
        if devices > 1 and not has_gpu:
            if jit_compile:
                raise ValueError(
                    "jit_compile=True does not work with several replicas on the CPU: XLA cannot "
                    "read a variable of another device. Use jit_compile='auto' or False."
                )
        return jit_compile

    # Hooks. A subclass of a kgen model calls super(), which may move averages or sums there.

    def before_training(self, batch):
        """Hook: called once, before the first step of an untrained model, outside the graph.

        Args:
            batch: the first batch, `(x, y)` as NumPy arrays, y None where there is none. Codebooks,
                k-means and data-dependent scales start from it.
        """

    def start(self, batch):
        """Call `before_training`, unless this model has started: on more data than a batch.

        `fit` does it with its first batch. `kgen.layers.Standardization` in the model's parts,
        where they have seen no data, take their means from here, in `fit` from more than a batch.

        Args:
            batch: `(x, y)` as NumPy arrays, y None where there is none.
        """
        layers.adapt(self, batch[0])
        if self._started is not None and not int(self._started.numpy()):
            self.before_training(batch)
            self._started.assign(1)

    def before_epoch(self, epoch):
        """Hook: called before each epoch of `fit` with its number, from 0."""

    def after_step(self):
        """Hook: called inside the compiled step, after the update of the weights."""

    def after_epoch(self, epoch):
        """Hook: called after each epoch of `fit`, before any other callback's `on_epoch_end`."""

    def checked_examples(self, x):
        """A batch that a verb is given, as a float32 tensor.

        Raises:
            ValueError: where its values are known and not those of `predict_spec`, such as pixels
                in 0 .. 255, or images of another size.
        """
        x = tf.convert_to_tensor(x)
        if tf.executing_eagerly():
            specs.x_and_y(self.predict_spec)[0].of_means().check(x)
        return tf.cast(x, tf.float32)

    def after_training(self):
        """Hook: called when `fit` ends."""

    def hyperparameter_changes(self, name, before, now):
        """Hook: called before a `Hyperparameter` gets another number; a ValueError refuses it."""

    def check_batch(self, x, y, *, size, count, training):
        """Hook: refuse what this model alone cannot train on, by a ValueError.

        Args:
            x: the x that was seen, NumPy arrays; it fits `data_spec`.
            y: the y, or None.
            size: int, examples per batch.
            count: int, examples that were seen: of arrays all, of a data set those of a batch.
            training: bool; evaluation takes no slices of a batch.
        """

    # Training.

    @property
    def metrics(self):
        """One running mean per term, then the metrics that a subclass added."""
        trackers = list(self._trackers.values())
        known = {id(tracker) for tracker in trackers}
        return trackers + [metric for metric in self._metrics if id(metric) not in known]

    def noise_seed(self, training, salt=0):
        """A seed for this step's noise, computed and not stored: int32 of shape `(2,)`.

        It is a function of (model seed, training step, replica, salt), so that a resumed run
        draws what the uninterrupted one would have drawn, and replicas draw different noise.
        With `training=False` the number of examples seen since the evaluation began takes the
        place of the step: two evaluations of the same data agree.
        """
        if training:
            step = self.steps.value
        else:
            step = next(iter(self._trackers.values())).count if self._trackers else 0
        context = tf.distribute.get_replica_context()
        replica = context.replica_id_in_sync_group if context else 0
        seed = tf.constant([self.seed, 2 * salt + int(bool(training))], tf.int32)
        fold_in = tf.random.experimental.stateless_fold_in
        return fold_in(fold_in(seed, tf.cast(step, tf.int32)), tf.cast(replica, tf.int32))

    def _gradient_loss(self, loss, sample_weight, penalties):
        """This replica's share of the mean over the global batch; Keras sums the shares."""
        num_replicas = tf.cast(self.distribute_strategy.num_replicas_in_sync, tf.float32)
        self._check_weights(loss, sample_weight)
        if loss.shape.rank == 0:
            return (tf.cast(loss, tf.float32) + penalties) / num_replicas
        values = tf.cast(loss, tf.float32)
        count = self._global_count(values)
        if sample_weight is not None:
            values *= tf.reshape(tf.cast(sample_weight, tf.float32), (-1,))
        return tf.reduce_sum(values) / count + penalties / num_replicas

    def _check_weights(self, loss, sample_weight):
        if loss.shape.rank == 0 and sample_weight is not None:
            raise ValueError(
                f"{type(self).__name__} has one loss per batch, which sample weights cannot weigh: "
                "leave sample_weight out, or return one loss per example."
            )

    def _global_count(self, values):
        count = tf.cast(tf.shape(values)[0], tf.float32)
        if self.distribute_strategy.num_replicas_in_sync > 1:
            count = tf.distribute.get_replica_context().all_reduce("SUM", count)
        return tf.maximum(count, 1.0)

    def _minimize(
        self,
        optimizer,
        variables,
        objective,
        sample_weight=None,
        penalties=None,
        name="objective",
    ):
        """One update of `variables`; returns the terms. `name` is the objective's, for errors."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            terms = objective()
            checks.terms(self, terms, name)
            penalties = self._penalties() if penalties is None else penalties()
            loss = self._gradient_loss(terms["loss"], sample_weight, penalties)
            loss = optimizer.scale_loss(loss)
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        if variables and all(gradient is None for gradient in gradients):
            raise ValueError(
                f"The loss of {type(self).__name__}.{name} depends on none of the weights that its "
                f"step moves, such as '{variables[0].path}'."
            )
        optimizer.apply(gradients, variables)
        return {**terms, "loss": terms["loss"] + penalties}

    def _penalties(self):
        """The losses that layers keep themselves, such as weight decay by a regularizer."""
        return tf.cast(sum(self.losses), tf.float32) if self.losses else 0.0

    def _track(self, terms, x, sample_weight=None):
        """Update the running means; a term of the whole batch counts once per example."""
        count = tf.shape(keras.tree.flatten(x)[0])[0]
        for name, values in terms.items():
            weight = count if values.shape.rank == 0 else sample_weight
            self._trackers[name].update_state(values, sample_weight=weight)

    def _results(self):
        results = {metric.name: metric.result() for metric in self.metrics}
        if isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            # Keras reduces the workers' results along axis 0, which a scalar does not have.
            return {name: tf.reshape(value, (1,)) for name, value in results.items()}
        return results

    def predict_step(self, data):
        """The model's `call` on the x of `data`."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self(x, training=False)

    def fit(self, x=None, y=None, batch_size=None, epochs=1, **kwargs):
        """Keras' `fit`, after a look at the first batch (see `kgen.training.data.check`).

        The data set of the last `fit` is not looked at again: that would start its pipeline once
        more, which can take longer than a step.

        Adds what every kgen model needs: the number of the epoch reaches the input pipeline, the
        hooks are called, and a loss that is no longer finite stops the run with the step and the
        term.
        """
        if self._steps_are_due and self.optimizer is not None:
            # A file of kgen 0.1: its optimizer has counted.
            inner = getattr(self.optimizer, "inner_optimizer", self.optimizer)
            self.steps.assign(inner._iterations)
            self._steps_are_due = False
        data.check_scope(self)
        y, given = data.as_array(y), kwargs.get("sample_weight")
        data.check_class_weight(x, y, kwargs.get("class_weight"))
        if given is not None:
            kwargs["sample_weight"] = given = data.as_array(given)
        wants_examples = bool(layers.unadapted(self))
        wants_batch = self._started is not None and not int(self._started.numpy())
        wants_batch |= wants_examples
        batch = None
        if wants_batch or not isinstance(x, tf.data.Dataset) or self._last_data() is not x:
            batch, x = data.first_batch(self, x, y, batch_size=batch_size)
        if isinstance(x, tf.data.Dataset):
            self._last_data = weakref.ref(x)
        if kwargs.get("validation_data") is not None:
            size = kwargs.get("validation_batch_size") or batch_size
            kwargs["validation_data"] = data.check_validation(self, kwargs["validation_data"], size)
        data.check_replicas(self, x, batch_size)
        if wants_batch and batch is None:
            raise ValueError(
                f"{type(self).__name__} starts from a batch of its data, but none can be looked at "
                f"in a {type(x).__name__}. Give it one, model.start((x, y)), before fit; or give "
                "fit a tf.data.Dataset, which it distributes over replicas by itself."
            )
        callbacks = kwargs.pop("callbacks", None) or []
        if isinstance(callbacks, keras.callbacks.CallbackList):
            raise TypeError("fit adds callbacks of its own: give a list, not a CallbackList.")
        examples = data.examples(x, batch) if wants_examples else None
        hooks = Hooks(batch if wants_batch else None, examples)
        # The history last, as Keras' own: other callbacks add to the logs.
        callbacks = [hooks, DivergenceGuard(), *_as_list(callbacks), History()]
        if isinstance(x, (tf.data.Dataset, types.GeneratorType)):
            # Keras warns that it leaves their order alone, even where nobody asked.
            kwargs.setdefault("shuffle", False)
        y = data.with_stand_in(x, y, given)
        with data.looking_at_pixels(self):
            return super().fit(x, y, batch_size, epochs, callbacks=callbacks, **kwargs)

    def evaluate(self, x=None, y=None, **kwargs):
        """Keras' `evaluate`: means of the terms, in nats per example where they are likelihoods."""
        if "_use_cached_eval_dataset" not in kwargs:
            y = data.as_array(y)
            size = kwargs.get("batch_size")
            _, x = data.first_batch(self, x, y, batch_size=size, training=False)
            if kwargs.get("sample_weight") is not None:
                kwargs["sample_weight"] = data.as_array(kwargs["sample_weight"])
                y = data.with_stand_in(x, y, kwargs["sample_weight"])
        with data.looking_at_pixels(self):
            return super().evaluate(x, y, **kwargs)

    def predict(self, x, batch_size=None, **kwargs):
        """Keras' `predict`: the model's `call` on x."""
        data.check_prediction(self, x)
        return super().predict(x, batch_size, **kwargs)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Under a strategy, Keras averages the replicas' shares of the first batch to learn their
        # shape, which fails where the shares differ in size. There is nothing left to build.
        pass


def _check_layers_are_built(model):
    """Raise ValueError for a layer whose weights an optimizer would not know of."""
    for layer in model._flatten_layers(include_self=False):
        makes_weights = any(
            "build" in vars(each) for each in type(layer).__mro__ if each is not keras.layers.Layer
        )
        if makes_weights and not layer.built:
            raise ValueError(
                f"The layer '{layer.name}' of {type(model).__name__} has no weights yet. Build it "
                f"in the constructor: self.{layer.name}.build(input_shape), such as (None, 16); or "
                "make it a keras.Sequential with a keras.Input."
            )


def _as_list(value):
    return list(value) if isinstance(value, (list, tuple)) else [value]
