"""What the two bases of `kgen.training` share."""

import inspect
import types
import weakref

import keras
import tensorflow as tf

from kgen import checks
from kgen.callbacks import DivergenceGuard
from kgen.data.epoch import set_epoch


class _EpochStart(keras.callbacks.Callback):
    """Tells the input pipeline and the model which epoch begins."""

    async_safe = True  # Keras calls the batch's hook in a thread: no step waits for its logs.

    def on_epoch_begin(self, epoch, logs=None):
        set_epoch(epoch)
        self.model.before_epoch(epoch)

    def on_train_batch_end(self, batch, logs=None):
        _as_scalars(logs)

    def on_epoch_end(self, epoch, logs=None):
        _as_scalars(logs)

    def on_train_end(self, logs=None):
        self.model.after_training()


class BaseModel(keras.Model):
    """Configuration, compilation, seeds, running means and input checks of every kgen model."""

    terms = ()

    def __init__(self, *, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.seed = checks.seed(seed)
        self._last_data = None
        self._trackers = {name: keras.metrics.Mean(name=name) for name in self._tracked_names()}

    def _tracked_names(self):
        return self.terms

    # Saving.

    def get_config(self):
        """Every constructor argument, read from the attribute of the same name."""
        names = [name for name in _argument_names(type(self)) if name != "name"]
        config = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in names}
        return {**config, "name": self.name, "seed": self.seed, "dtype": self._dtype_config()}

    def _dtype_config(self):
        return keras.saving.serialize_keras_object(self.dtype_policy)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The inverse of `get_config`."""
        arguments = {
            name: keras.saving.deserialize_keras_object(value, custom_objects=custom_objects)
            for name, value in config.items()
        }
        return cls(**arguments)

    def build(self, input_shape=None):
        """Mark the model built: its networks hold all the variables, and they arrive built."""
        self.built = True

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Under a strategy, Keras averages the replicas' shares of the first batch to learn their
        # shape, which fails where the shares differ in size. There is nothing left to build.
        pass

    # Compilation.

    def _compile(self, arguments, optimizers, *, jit_compile, steps_per_execution, run_eagerly):
        self.build()
        self._compile_arguments = arguments
        jit_compile = self._choose_jit(jit_compile, steps_per_execution)
        super().compile(
            optimizer=optimizers[-1][0],
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

    def get_compile_config(self):
        """The arguments of `compile`, serialized."""
        if not self.compiled:
            return {}
        return keras.saving.serialize_keras_object(self._compile_arguments)

    def compile_from_config(self, config):
        """Compile with what `get_compile_config` returned."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    # Training.

    @property
    def metrics(self):
        """One running mean a term, in the order of `terms`."""
        return list(self._trackers.values())

    def before_epoch(self, epoch):
        """Hook: called before each epoch of `fit` with its number, from 0."""

    def after_step(self):
        """Hook: called inside the compiled step, after the update of the weights."""

    def after_training(self):
        """Hook: called when `fit` ends."""

    def noise_seed(self, training, salt=0):
        """A seed for this step's noise, computed and not stored: int32 of shape `(2,)`.

        It is a function of (model seed, training step, replica, salt), so that a resumed run
        draws what the uninterrupted one would have drawn, and replicas draw different noise.
        With `training=False` the number of examples seen since the evaluation began takes the
        place of the step: two evaluations of the same data agree.
        """
        if training:
            step = self._step() if self.compiled else 0
        else:
            step = next(iter(self._trackers.values())).count
        context = tf.distribute.get_replica_context()
        replica = context.replica_id_in_sync_group if context else 0
        seed = tf.constant([self.seed, 2 * salt + int(bool(training))], tf.int32)
        fold_in = tf.random.experimental.stateless_fold_in
        return fold_in(fold_in(seed, tf.cast(step, tf.int32)), tf.cast(replica, tf.int32))

    def _step(self):
        # Not `iterations`: that counts updates, and stands still while gradients accumulate.
        return getattr(self.optimizer, "inner_optimizer", self.optimizer)._iterations

    def _gradient_loss(self, terms, sample_weight, losses):
        """This replica's share of the mean over the global batch; Keras sums the shares."""
        values = _weighted(terms["loss"], sample_weight)
        return tf.reduce_sum(values) / self._global_count(values) + losses / tf.cast(
            self.distribute_strategy.num_replicas_in_sync, tf.float32
        )

    def _global_count(self, values):
        count = tf.cast(tf.shape(values)[0], tf.float32)
        if self.distribute_strategy.num_replicas_in_sync > 1:
            count = tf.distribute.get_replica_context().all_reduce("SUM", count)
        return tf.maximum(count, 1.0)

    def _minimize(self, optimizer, variables, objective, sample_weight=None):
        """One update of `variables`; returns the terms."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            terms = objective()
            checks.terms(self, terms)
            losses = self._regularization()
            loss = optimizer.scale_loss(self._gradient_loss(terms, sample_weight, losses))
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        optimizer.apply(gradients, variables)
        return {**terms, "loss": terms["loss"] + losses}

    def _regularization(self):
        """The networks' own losses, such as weight decay by a regularizer."""
        return tf.cast(sum(self.losses), tf.float32) if self.losses else 0.0

    def _track(self, terms, sample_weight=None):
        for name, values in terms.items():
            self._trackers[name].update_state(values, sample_weight=sample_weight)

    def _results(self):
        results = {name: tracker.result() for name, tracker in self._trackers.items()}
        if isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            # Keras reduces the workers' results along axis 0, which a scalar does not have.
            return {name: tf.reshape(value, (1,)) for name, value in results.items()}
        return results

    def predict_step(self, data):
        """The model's `call` on the images of `data`."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self(x, training=False)

    def fit(self, x=None, y=None, batch_size=None, epochs=1, **kwargs):
        """Keras' `fit`, after a look at the first batch (see `kgen.checks.first_batch`).

        The data set of the last `fit` is not looked at again: that would start its pipeline once
        more, which can take longer than a step.

        Adds what every kgen model needs: the number of the epoch reaches the input pipeline, and
        a loss that is no longer finite stops the run with the step and the term.
        """
        if not isinstance(x, tf.data.Dataset):
            checks.first_batch(self, x, y, batch_size=batch_size)
        elif self._last_data is None or self._last_data() is not x:
            checks.first_batch(self, x, y, batch_size=batch_size)
            self._last_data = weakref.ref(x)
        if kwargs.get("validation_data") is not None:
            size = kwargs.get("validation_batch_size") or batch_size
            checks.validation_data(self, kwargs["validation_data"], size)
        self._check_strategy(x, batch_size)
        callbacks = kwargs.pop("callbacks", None) or []
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = [_EpochStart(), DivergenceGuard(), *_as_list(callbacks)]
        if isinstance(x, (tf.data.Dataset, types.GeneratorType)):
            # Keras warns that it leaves their order alone, even where nobody asked.
            kwargs.setdefault("shuffle", False)
        return super().fit(x, y, batch_size, epochs, callbacks=callbacks, **kwargs)

    def evaluate(self, x=None, y=None, **kwargs):
        """Keras' `evaluate`: means of the terms, in nats an image where they are likelihoods."""
        if "_use_cached_eval_dataset" not in kwargs:
            checks.first_batch(self, x, y, batch_size=kwargs.get("batch_size"), training=False)
        return super().evaluate(x, y, **kwargs)

    def predict(self, x, batch_size=None, **kwargs):
        """Keras' `predict`: the model's `call` on images."""
        checks.first_batch(self, x, training=False, with_labels=False)
        return super().predict(x, batch_size, **kwargs)

    def _check_strategy(self, x, batch_size):
        replicas = self.distribute_strategy.num_replicas_in_sync
        if replicas == 1:
            return
        if self.compiled and self.steps_per_execution > 1:
            raise ValueError(
                "steps_per_execution > 1 does not work with several replicas. "
                f"Received steps_per_execution={self.steps_per_execution}: use 1."
            )
        array = x[0] if isinstance(x, (tuple, list)) else x
        if hasattr(array, "shape"):
            count = len(array)
            left_over = count % (batch_size or 32)
            if 0 < left_over < replicas:
                raise ValueError(
                    f"The last batch has {left_over} of {count} images, too few for {replicas} "
                    "replicas: one would get none. Leave them out, or choose another batch_size."
                )


def _as_scalars(logs):
    """Turn the one-entry arrays that several workers report into floats, for all callbacks."""
    for name, value in (logs or {}).items():
        if getattr(value, "shape", ()) == (1,):
            logs[name] = float(value[0])


def _weighted(values, sample_weight):
    values = tf.cast(values, tf.float32)
    if sample_weight is None:
        return values
    return values * tf.reshape(tf.cast(sample_weight, tf.float32), (-1,))


def _argument_names(cls):
    """The named arguments of the constructors from `cls` up to the bases here."""
    names = []
    for parent in cls.__mro__:
        if parent is BaseModel:
            return [name for name in names if name != "seed"]
        if "__init__" not in vars(parent):
            continue
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(parent.__init__).parameters.items():
            if name != "self" and parameter.kind in kinds and name not in names:
                names.append(name)
    return names


def _as_list(value):
    return list(value) if isinstance(value, (list, tuple)) else [value]
