"""The two bases that own the training step: `ObjectiveModel` and `AdversarialModel`."""

import keras
import tensorflow as tf

from kgen import checks
from kgen.base import BaseModel
from kgen.optimizers import Adam


@keras.saving.register_keras_serializable(package="kgen")
class ObjectiveModel(BaseModel):
    """A model that minimizes the mean of one per-example objective.

        minimize over the weights   1/n sum_i w_i loss(x_i)  +  regularization losses

    A subclass names its terms in the class attribute `terms` and computes them in `objective`.
    A constructor argument must be kept under its own name: that is all that saving needs. Its
    last line is `self.build()`.

    Args:
        seed: int, the seed of all noise that training and evaluation draw.
        **kwargs: `name`, `dtype`, as for `keras.Model`.
    """

    terms = ("loss",)

    def _tracked_names(self):
        return tuple(dict.fromkeys(("loss", *self.terms)))

    def objective(self, x, y=None, training=False):
        """The per-example terms of a batch.

        Args:
            x: float32 images `(batch, height, width, channels)` in [0, 1], or what the model takes.
            y: labels, or None.
            training: bool.

        Returns:
            dict of the names in `terms` to float32 tensors of shape `(batch,)`; `"loss"` is
            what is minimized.
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
            steps_per_execution: int, batches a call of the compiled function.
            run_eagerly: bool, for debugging.
        """
        optimizer = _optimizer(optimizer, self.dtype_policy)
        how = dict(steps_per_execution=steps_per_execution, run_eagerly=run_eagerly)
        arguments = dict(optimizer=optimizer, jit_compile=jit_compile, **how)
        variables = self.trainable_variables
        self._compile(arguments, [(optimizer, variables)], jit_compile=jit_compile, **how)

    def train_step(self, data):
        """One step: objective, gradient, update, `after_step`, running means."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        terms = self._minimize(
            self.optimizer,
            self.trainable_variables,
            lambda: self.objective(x, y, training=True),
            sample_weight,
        )
        checks.no_missing_terms(self, terms)
        self.after_step()
        self._track(terms, sample_weight)
        return self._results()

    def test_step(self, data):
        """The running means of the terms, with `training=False`."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        terms = self.objective(x, y, training=False)
        checks.terms(self, terms)
        checks.no_missing_terms(self, terms)
        self._track({**terms, "loss": terms["loss"] + self._regularization()}, sample_weight)
        return self._results()


@keras.saving.register_keras_serializable(package="kgen")
class AdversarialModel(BaseModel):
    """Two players that take turns (Goodfellow et al. 2014, Algorithm 1).

    Each batch is cut into `discriminator_steps` slices of equal size. The discriminator takes one
    step on each slice, then the generator one step on the last: no discriminator step sees an image
    twice. Where a batch does not divide evenly, the few images left over are skipped; a batch with
    fewer images than steps is an error.

    A subclass computes `discriminator_objective` and `generator_objective`, dicts of per-example
    terms with a `"loss"`; they are reported as `discriminator_loss`, `generator_loss` and under
    the names in `terms`. The players' weights are those of `self.discriminator` and
    `self.generator`, unless a subclass says otherwise in `discriminator_variables` and
    `generator_variables`.

    Args:
        discriminator_steps: int >= 1, the k of Algorithm 1.
        seed: int, the seed of all noise.
        **kwargs: `name`, `dtype`, as for `keras.Model`.

    Raises:
        ValueError: if `discriminator_steps` is below 1.

    Reference: Goodfellow et al. 2014, "Generative Adversarial Nets", Algorithm 1.
    """

    def __init__(self, *, discriminator_steps=1, **kwargs):
        super().__init__(**kwargs)
        self.discriminator_steps = checks.positive_integer(
            "discriminator_steps", discriminator_steps
        )

    def _tracked_names(self):
        return ("discriminator_loss", "generator_loss", *self.terms)

    @property
    def discriminator_variables(self):
        """The weights that a discriminator step moves."""
        return self.discriminator.trainable_variables

    @property
    def generator_variables(self):
        """The weights that a generator step moves."""
        return self.generator.trainable_variables

    def discriminator_objective(self, x, y=None, training=False):
        """Per-example terms of the discriminator, `"loss"` among them, each `(batch,)`."""
        raise NotImplementedError(f"{type(self).__name__} must define discriminator_objective.")

    def generator_objective(self, x, y=None, training=False):
        """Per-example terms of the generator, `"loss"` among them, each `(batch,)`."""
        raise NotImplementedError(f"{type(self).__name__} must define generator_objective.")

    def compile(
        self,
        generator_optimizer="adam",
        discriminator_optimizer="adam",
        *,
        jit_compile="auto",
        steps_per_execution=1,
        run_eagerly=False,
    ):
        """Choose the players' optimizers; `optimizer` is the generator's.

        Args:
            generator_optimizer: as `optimizer` of `ObjectiveModel.compile`.
            discriminator_optimizer: another one; an optimizer holds the state of one player.
            jit_compile: as for `ObjectiveModel.compile`.
            steps_per_execution: as there.
            run_eagerly: as there.

        Raises:
            ValueError: if one optimizer object is given to both players.
        """
        if generator_optimizer is discriminator_optimizer and not isinstance(
            generator_optimizer, str
        ):
            raise ValueError(
                "Each player needs an optimizer object of its own; received one twice."
            )
        self.generator_optimizer = _optimizer(generator_optimizer, self.dtype_policy)
        self.discriminator_optimizer = _optimizer(discriminator_optimizer, self.dtype_policy)
        how = dict(steps_per_execution=steps_per_execution, run_eagerly=run_eagerly)
        arguments = dict(
            generator_optimizer=self.generator_optimizer,
            discriminator_optimizer=self.discriminator_optimizer,
            jit_compile=jit_compile,
            **how,
        )
        optimizers = [
            (self.discriminator_optimizer, self.discriminator_variables),
            (self.generator_optimizer, self.generator_variables),
        ]
        self._compile(arguments, optimizers, jit_compile=jit_compile, **how)

    def after_training(self):
        """Let the discriminator's optimizer end too; Keras does it for `self.optimizer` alone."""
        self.discriminator_optimizer.finalize_variable_values(self.discriminator_variables)

    def noise_seed(self, training, salt=0):
        """As `ObjectiveModel.noise_seed`; every discriminator step draws noise of its own."""
        return super().noise_seed(training, salt + 1000 * getattr(self, "_turn", 0))

    def train_step(self, data):
        """`discriminator_steps` discriminator steps, one generator step, `after_step`."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        for turn, (x_slice, y_slice, weight) in enumerate(self._slices(x, y, sample_weight)):
            self._turn = turn
            terms = self._minimize(
                self.discriminator_optimizer,
                self.discriminator_variables,
                lambda x=x_slice, y=y_slice: self.discriminator_objective(x, y, training=True),
                weight,
            )
            discriminator_terms = _named("discriminator", terms)
            self._track(discriminator_terms, weight)
        self._turn = self.discriminator_steps
        terms = self._minimize(
            self.generator_optimizer,
            self.generator_variables,
            lambda: self.generator_objective(x_slice, y_slice, training=True),
            weight,
        )
        self._turn = 0
        generator_terms = _named("generator", terms)
        checks.no_missing_terms(self, {**discriminator_terms, **generator_terms})
        self._track(generator_terms, weight)
        self.after_step()
        return self._results()

    def _slices(self, x, y, sample_weight):
        steps = self.discriminator_steps
        if steps == 1:
            return [(x, y, sample_weight)]
        size = tf.shape(keras.tree.flatten(x)[0])[0] // steps
        few = (
            f"A batch has fewer examples than discriminator_steps={steps}: use drop_remainder=True."
        )
        with tf.control_dependencies([tf.debugging.assert_positive(size, few)]):
            size = tf.identity(size)

        def cut(step):
            return lambda value: None if value is None else value[step * size : (step + 1) * size]

        return [keras.tree.map_structure(cut(k), (x, y, sample_weight)) for k in range(steps)]

    def test_step(self, data):
        """The running means of both players' terms, with `training=False`."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        # Both first: the running count is part of the noise's seed.
        discriminator_terms = self.discriminator_objective(x, y, training=False)
        generator_terms = self.generator_objective(x, y, training=False)
        for player, terms in (
            ("discriminator", discriminator_terms),
            ("generator", generator_terms),
        ):
            checks.terms(self, terms)
            terms = {**terms, "loss": terms["loss"] + self._regularization()}
            self._track(_named(player, terms), sample_weight)
        return self._results()


def _named(player, terms):
    return {f"{player}_loss" if name == "loss" else name: value for name, value in terms.items()}


def _optimizer(optimizer, policy):
    is_adam = isinstance(optimizer, str) and optimizer.lower() == "adam"
    optimizer = Adam() if is_adam else keras.optimizers.get(optimizer)
    scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    if policy.name == "mixed_float16" and not scaled:
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer
