"""Numbers of a model that may change while it trains."""

import tensorflow as tf

_FIRST = tf.VariableAggregation.ONLY_FIRST_REPLICA


class Hyperparameter:
    """A number that counts from the next step on, wherever it is set.

        class VAE(...):
            beta = Hyperparameter(checks.at_least, 0.0)

        model.beta = 4.0      # between two calls of `fit`, or in a callback

    Outside a compiled function it reads as a float; in one, as a float32 scalar tensor, the value
    of a variable of its own. That variable is no weight of the model: files hold the value as the
    constructor's argument, and backups beside their variables.

    Args:
        check: function `(name, value, *bounds) -> value` of `kgen.checks`.
        *bounds: what `check` takes beyond the value.
        default: its value where the constructor does not set it; without one it must.
        absent: the value, such as None or 0.0, with which what it weighs is no part of the model.
            Between that and another one it cannot change once it is set.
    """

    def __init__(self, check, *bounds, default=None, absent="nothing"):
        self.check, self.bounds = check, bounds
        self.default, self.absent = default, absent

    def __set_name__(self, owner, name):
        self.name = name
        self.exact, self.variable = f"_{name}_exact", f"_{name}_variable"

    def __get__(self, model, owner=None):
        if model is None:
            return self
        if self.exact not in vars(model):
            if self.default is None:
                raise AttributeError(f"{type(model).__name__}.{self.name} is not set yet.")
            self.__set__(model, self.default)
        if tf.inside_function() and self.variable in vars(model):
            return tf.identity(vars(model)[self.variable])
        return vars(model)[self.exact]

    def __set__(self, model, value):
        is_absent = value is None if self.absent is None else value == self.absent
        if value is not None or not is_absent:
            value = self.check(self.name, value, *self.bounds)
        is_new, before = self.exact not in vars(model), vars(model).get(self.exact)
        variable = vars(model).get(self.variable)
        if not is_new and is_absent == (variable is not None):
            raise ValueError(
                f"{type(model).__name__}.{self.name} cannot change from {before} to {value}, which "
                "changes what the model is made of: give it to the constructor of a new model."
            )
        if not is_new and value != before:
            model.hyperparameter_changes(self.name, before, value)
        setattr(model, self.exact, value)
        if is_absent:
            return
        if variable is None:
            # The variable is no weight: Keras does not see it, TensorFlow exports it.
            with tf.init_scope():
                kind = dict(trainable=False, aggregation=_FIRST, name=self.name)
                setattr(model, self.variable, tf.Variable(float(value), **kind))
        else:
            variable.assign(float(value))


def hyperparameters(model):
    """The numbers of a model that may change: name -> float, or None."""
    found = {
        name: getattr(model, name)
        for parent in type(model).__mro__
        for name, value in vars(parent).items()
        if isinstance(value, Hyperparameter)
    }
    return dict(sorted(found.items()))
