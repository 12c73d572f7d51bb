"""Models that minimize one objective."""

import keras
import tensorflow as tf

from kgen import checks
from kgen.training.base import BaseModel
from kgen.training.data import unpack
from kgen.training.optimizing import optimizer_of


@keras.saving.register_keras_serializable(package="kgen")
class ObjectiveModel(BaseModel):
    """A model that minimizes the mean of one objective.

        minimize over the weights   1/n sum_i w_i loss(x_i)  +  regularization losses

    A subclass names its terms in the class attribute `terms` and computes them in `objective`.
    A constructor argument must be kept under its own name: that is all that saving needs.

        class Mean(kgen.ObjectiveModel):
            data_spec = kgen.specs.Points(2)

            def __init__(self, **kwargs):
                super().__init__(**kwargs)
                self.center = self.add_weight(shape=(2,))

            def objective(self, x, y=None, training=False):
                return {"loss": tf.reduce_sum((x - self.center) ** 2, axis=1)}

    Args:
        seed: int, the seed of all noise that training and evaluation draw.
        **kwargs: `name`, `dtype`, as for `keras.Model`.
    """

    terms = ("loss",)
    # Layers that learn by a `fit` of their own, such as a VQ-VAE's prior: no step moves them.
    learns_apart = ()

    def _tracked_names(self):
        return tuple(dict.fromkeys(("loss", *self.terms)))

    def objective(self, x, y=None, training=False):
        """The terms of a batch.

        Args:
            x: the x of `data_spec`, such as float32 images `(batch, height, width, channels)`.
            y: its y, or None.
            training: bool.

        Returns:
            dict of the names in `terms` to float32 tensors, one value per example `(batch,)` or one
            per batch `()`; `"loss"` is what is minimized.
        """
        raise NotImplementedError(f"{type(self).__name__} must define objective(x, y, training).")

    def compile(
        self, optimizer="adam", *, jit_compile="auto", steps_per_execution=1, run_eagerly=False
    ):
        """Choose the optimizer.

        Args:
            optimizer: a Keras optimizer or its name; "adam" is `kgen.optimizers.Adam`. Under
                `mixed_float16` it is wrapped into a `LossScaleOptimizer`.
            jit_compile: True, False, or "auto": XLA on a single GPU, none on a CPU, where it
                was measured to slow convolutional models down.
            steps_per_execution: int, batches per call of the compiled function.
            run_eagerly: bool, for debugging.

        Raises:
            ValueError: if a constructor argument is not kept under its own name.
        """
        optimizer = optimizer_of(optimizer, self.dtype_policy)
        how = dict(steps_per_execution=steps_per_execution, run_eagerly=run_eagerly)
        arguments = dict(optimizer=optimizer, jit_compile=jit_compile, **how)
        variables = self._learned_variables()
        self._compile(arguments, [(optimizer, variables)], jit_compile=jit_compile, **how)

    def _learned_variables(self):
        apart = {id(v) for layer in self.learns_apart for v in layer.trainable_variables}
        return [each for each in self.trainable_variables if id(each) not in apart]

    def _penalties(self):
        if not self.learns_apart:
            return super()._penalties()
        apart = {id(layer) for layer in self.learns_apart}
        layers = [layer for layer in self.layers if id(layer) not in apart]
        losses = [loss for layer in layers for loss in layer.losses]
        losses += [w.regularizer(w) for w in self._trainable_variables if w.regularizer is not None]
        return tf.cast(sum(losses), tf.float32) if losses else 0.0

    def train_step(self, data):
        """One step: objective, gradient, update, `after_step`, running means."""
        x, y, sample_weight = unpack(data, self)
        terms = self._minimize(
            self.optimizer,
            self._learned_variables(),
            lambda: self.objective(x, y, training=True),
            sample_weight,
        )
        checks.no_missing_terms(self, terms)
        self.steps.assign_add(1)
        self.after_step()
        self._track(terms, x, sample_weight)
        return self._results()

    def test_step(self, data):
        """The running means of the terms, with `training=False`."""
        x, y, sample_weight = unpack(data, self)
        terms = self.objective(x, y, training=False)
        checks.terms(self, terms)
        checks.no_missing_terms(self, terms)
        self._check_weights(terms["loss"], sample_weight)
        self._track({**terms, "loss": terms["loss"] + self._penalties()}, x, sample_weight)
        return self._results()
