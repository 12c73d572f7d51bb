"""Models whose parts play against one another."""

import keras
import tensorflow as tf

from kgen import checks
from kgen.training.base import BaseModel
from kgen.training.data import unpack
from kgen.training.hooks import PlayersFollow
from kgen.training.optimizing import copy_of, optimizer_of


@keras.saving.register_keras_serializable(package="kgen")
class GameModel(BaseModel):
    """Players that take turns, each with an objective, weights and an optimizer of its own.

    In each training step the players move in the order of `turns`. A batch is cut into as many
    slices of equal size as the busiest player has steps; a player of k steps takes the last k
    slices, one per step, so that it sees no example twice. Where a batch does not divide evenly,
    the few examples left over are skipped; a batch with fewer examples than slices is an error.

    For each player, such as "generator", a subclass defines

        generator_objective(x, y=None, training=False)
            dict of terms, per example `(batch,)` or scalars of the batch, with a `"loss"`. It is
            reported as `generator_loss`, the others under their names, which `terms` lists.
        generator_variables
            property: the weights that its step moves; by default those of `self.generator`.

    A player's step must leave the others' state alone, moving means included: call their networks
    inside a `keras.StatelessScope`.

    Attributes:
        turns: tuple of (player, number of steps), such as
            `(("discriminator", 5), ("generator", 1))`.
    """

    turns = ()

    @property
    def players(self):
        """The players' names, in the order of their turns."""
        return tuple(player for player, _ in self.turns)

    def _tracked_names(self):
        return (*(f"{player}_loss" for player in self.players), *self.terms)

    def player_objective(self, player, x, y=None, training=False):
        """The terms of one player."""
        objective = getattr(self, f"{player}_objective", None)
        if objective is None:
            raise NotImplementedError(f"{type(self).__name__} must define {player}_objective.")
        return objective(x, y, training=training)

    def player_variables(self, player):
        """The weights that a step of one player moves."""
        if hasattr(type(self), f"{player}_variables"):
            return getattr(self, f"{player}_variables")
        return getattr(self, player).trainable_variables

    def player_optimizer(self, player):
        """The optimizer of one player, None before `compile`."""
        return getattr(self, f"{player}_optimizer", None)

    def compile(
        self,
        optimizer=None,
        *,
        jit_compile="auto",
        steps_per_execution=1,
        run_eagerly=False,
        **optimizers,
    ):
        """Choose the players' optimizers; the last player's is `self.optimizer` too.

            model.compile(kgen.optimizers.Adam(2e-4, beta_1=0.5))
            model.compile(generator_optimizer=Adam(1e-4), discriminator_optimizer=Adam(4e-4))

        Args:
            optimizer: as `optimizer` of `ObjectiveModel.compile`: each player that is not named
                below gets a copy with these settings.
            jit_compile: as for `ObjectiveModel.compile`.
            steps_per_execution: as there.
            run_eagerly: as there.
            **optimizers: `<player>_optimizer`, an object of its own for each.

        Raises:
            ValueError: if a player has no optimizer, two have the same object, one is given that
                no player takes, or `turns` is not as it should be.
            TypeError: for the name of no player.
        """
        self._check_turns()
        names = [f"{player}_optimizer" for player in self.players]
        unknown = sorted(set(optimizers) - set(names))
        if unknown:
            raise TypeError(
                f"{type(self).__name__}.compile takes optimizer, {', '.join(names)}; received "
                f"{', '.join(unknown)}."
            )
        if optimizer is None and not optimizers:
            optimizer = "adam"
        missing = [name for name in names if name not in optimizers]
        if optimizer is None and missing:
            raise ValueError(
                f"Each player needs an optimizer: {', '.join(missing)} is missing. Name it, or "
                "give one `optimizer` for all players."
            )
        if optimizer is not None and not missing:
            raise ValueError(
                f"{', '.join(names)} are given, so that nobody takes `optimizer`: leave one out."
            )
        objects = [each for each in optimizers.values() if not isinstance(each, str)]
        if len({id(each) for each in objects}) < len(objects):
            raise ValueError(
                "Each player needs an optimizer object of its own; received one twice. One "
                "`optimizer` for all is copied for each."
            )
        for name in names:
            chosen = optimizers[name] if name in optimizers else copy_of(optimizer)
            setattr(self, name, optimizer_of(chosen, self.dtype_policy))
        how = dict(steps_per_execution=steps_per_execution, run_eagerly=run_eagerly)
        arguments = {name: getattr(self, name) for name in names}
        pairs = [
            (self.player_optimizer(each), self.player_variables(each)) for each in self.players
        ]
        arguments |= dict(jit_compile=jit_compile, **how)
        self._compile(arguments, pairs, jit_compile=jit_compile, **how)

    def _check_turns(self):
        players = self.players
        steps = [count for _, count in self.turns]
        if not players or len(set(players)) < len(players) or min(steps) < 1:
            raise ValueError(
                f"{type(self).__name__}.turns must name each player once, with at least one step, "
                f"such as (('discriminator', 5), ('generator', 1)); it is {self.turns!r}."
            )

    def fit(self, *arguments, callbacks=None, **kwargs):
        """As `ObjectiveModel.fit`; callbacks that move the learning rate move every player's."""
        movers = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)
        given = list(callbacks) if isinstance(callbacks, (list, tuple)) else callbacks
        if isinstance(given, list) and any(isinstance(each, movers) for each in given):
            given = [*given, PlayersFollow()]
        elif isinstance(given, movers):
            given = [given, PlayersFollow()]
        return super().fit(*arguments, callbacks=given, **kwargs)

    def after_training(self):
        """Let every optimizer end; Keras does it for `self.optimizer` alone."""
        for player in self.players[:-1]:
            self.player_optimizer(player).finalize_variable_values(self.player_variables(player))

    def noise_seed(self, training, salt=0):
        """As for every model; each step of a player draws noise of its own."""
        return super().noise_seed(training, salt + 1000 * getattr(self, "_turn", 0))

    def check_batch(self, x, y, *, size, count, training):
        """Refuse batches that do not divide into the slices of a step."""
        steps = max((steps for _, steps in self.turns), default=1) if training else 1
        player = next((name for name, k in self.turns if k == steps), "player")
        # The name of the argument, where there is one.
        has_argument = hasattr(self, f"{player}_steps")
        label = f"{player}_steps={steps}" if has_argument else f"the {player}'s {steps} steps"
        if size % steps:
            raise ValueError(
                f"A batch of {size} does not divide into {steps} slices of equal size for {label}. "
                f"Use a batch_size that is a multiple of {steps}."
            )
        left_over = count % size
        if 0 < left_over < steps:
            raise ValueError(
                f"The last batch has {left_over} of {count} examples, too few for {label}. Leave "
                "them out, or choose another batch_size."
            )

    def train_step(self, data):
        """The players' steps in the order of `turns`, then `after_step`."""
        slices = self._slices(unpack(data, self))
        turn, reported = 0, {}
        for player, num_steps in self.turns:
            for x, y, sample_weight in slices[-num_steps:]:
                self._turn = turn
                terms = self._minimize(
                    self.player_optimizer(player),
                    self.player_variables(player),
                    lambda player=player, x=x, y=y: self.player_objective(player, x, y, True),
                    sample_weight,
                    lambda player=player: self._penalties(player),
                    name=f"{player}_objective",
                )
                terms = _named(player, terms)
                self._track(terms, x, sample_weight)
                turn += 1
            reported |= terms
        self._turn = 0
        checks.no_missing_terms(self, reported)
        self.steps.assign_add(1)
        self.after_step()
        return self._results()

    def _slices(self, data):
        num_slices = max(steps for _, steps in self.turns)
        if num_slices == 1:
            return [data]
        size = tf.shape(keras.tree.flatten(data[0])[0])[0] // num_slices
        few = (
            f"A batch has fewer examples than a player's {num_slices} steps: use "
            "drop_remainder=True."
        )
        with tf.control_dependencies([tf.debugging.assert_positive(size, few)]):
            size = tf.identity(size)

        def cut(step):
            return lambda value: None if value is None else value[step * size : (step + 1) * size]

        return [keras.tree.map_structure(cut(step), data) for step in range(num_slices)]

    def _penalties(self, player):
        """What regularizers ask of one player: those of its weights, and of its layers' outputs."""
        own = {id(variable) for variable in self.player_variables(player)}
        losses = [
            loss
            for layer in self.layers
            if any(id(variable) in own for variable in layer.trainable_variables)
            for loss in layer.losses
        ]
        losses += [
            weight.regularizer(weight)
            for weight in self._trainable_variables
            if id(weight) in own and weight.regularizer is not None
        ]
        return tf.cast(sum(losses), tf.float32) if losses else 0.0

    def test_step(self, data):
        """The running means of all players' terms, with `training=False`."""
        x, y, sample_weight = unpack(data, self)
        # All of them first: the running count is part of the noise's seed.
        found = {player: self.player_objective(player, x, y) for player in self.players}
        for player, terms in found.items():
            checks.terms(self, terms, f"{player}_objective")
            self._check_weights(terms["loss"], sample_weight)
            terms = {**terms, "loss": terms["loss"] + self._penalties(player)}
            self._track(_named(player, terms), x, sample_weight)
        return self._results()


@keras.saving.register_keras_serializable(package="kgen")
class AdversarialModel(GameModel):
    """Two players that take turns (Goodfellow et al. 2014, Algorithm 1).

    The discriminator takes `discriminator_steps` steps, each on a slice of the batch, then the
    generator takes one on the last slice. See `GameModel`.

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

    @property
    def turns(self):
        """The discriminator's steps, then the generator's one."""
        return (("discriminator", self.discriminator_steps), ("generator", 1))


def _named(player, terms):
    return {f"{player}_loss" if name == "loss" else name: value for name, value in terms.items()}


def without_updates(network, inputs, training):
    """Call a network without moving its state (moving means, ...), which is another player's."""
    with keras.StatelessScope():
        return network(inputs, training=training)
