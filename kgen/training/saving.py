"""Saving: a model's configuration is its constructor's arguments, kept under their own names."""

import functools
import inspect
import warnings

import keras

from kgen import specs
from kgen.training.hyperparameters import Hyperparameter

_PLAIN = (int, float, str, tuple)


class SavedByArguments:
    """Promise: what the constructor got and what the model learned is in its `.keras` file.

    A model keeps each argument as the attribute of the same name; `steps` and what else a file may
    lack is in `_named_variables`.
    """

    def __setattr__(self, name, value):
        check_may_change(self, name, value)
        check_can_be_saved(self, name, value)
        super().__setattr__(name, value)

    def __repr__(self):
        if not getattr(self, "built", False):
            # A constructor is under way, such as one that fails.
            return object.__repr__(self)
        parts = {
            name: getattr(self, name) for name in argument_names(type(self)) if hasattr(self, name)
        }
        words = [f"{name}={_head(part)}" for name, part in parts.items() if _head(part)]
        spec = "" if self.data_spec is None else f" of {specs.describe(self.data_spec)}"
        return ", ".join(
            [
                f"<{type(self).__name__} '{self.name}'{spec}",
                *words,
                f"{self.count_params():,} weights>",
            ]
        )

    def save(self, filepath, *arguments, **kwargs):
        """Keras' `save` to a `.keras` file.

        Raises:
            ValueError: for `.h5` and `.hdf5`, from which it could not be read back.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                f"{type(self).__name__} cannot be read back from HDF5: save to a file that ends in "
                f".keras, received '{filepath}'. save_weights takes '.weights.h5'."
            )
        super().save(filepath, *arguments, **kwargs)

    def get_config(self):
        """Every constructor argument, read from the attribute of the same name."""
        names = [name for name in argument_names(type(self)) if name != "name"]
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

    def save_own_variables(self, store):
        """Write the model's own variables, `steps` under its name."""
        for index, variable in enumerate(self._numbered_variables()):
            store[str(index)] = variable
        for name, variable in self._named_variables().items():
            store[name] = variable

    def load_own_variables(self, store):
        """Read what `save_own_variables` wrote; files of kgen 0.1 have no `steps`.

        Raises:
            ValueError: if the file holds another number of variables.
        """
        variables = self._numbered_variables()
        numbered = [key for key in store.keys() if key.isdigit()]
        if len(numbered) != len(variables):
            raise ValueError(
                f"{type(self).__name__} has {len(variables)} variables of its own, the file has "
                f"{len(numbered)}: it is of another configuration."
            )
        for index, variable in enumerate(variables):
            variable.assign(store[str(index)])
        self._steps_are_due = "steps" not in store.keys()
        for name, variable in self._named_variables().items():
            if name in store.keys():
                variable.assign(store[name][()])
        if self._started is not None and "started" not in store.keys():
            self._started.assign(int(self.steps.numpy()) > 0)

    def _named_variables(self):
        """What a file may lack: the counter of steps, and sums of an epoch under way."""
        started = {} if self._started is None else {"started": self._started}
        return {"steps": self.steps, **started}

    def _numbered_variables(self):
        own = [*self._trainable_variables, *self._non_trainable_variables]
        named = {id(variable) for variable in self._named_variables().values()}
        return [variable for variable in own if id(variable) not in named]

    def get_compile_config(self):
        """The arguments of `compile`, serialized."""
        if not self.compiled:
            return {}
        return keras.saving.serialize_keras_object(self._compile_arguments)

    def compile_from_config(self, config):
        """Compile with what `get_compile_config` returned."""
        self.compile(**keras.saving.deserialize_keras_object(config))


@functools.cache
def argument_names(cls):
    """The named arguments of the constructor, and of those that its **kwargs reach."""
    names = []
    for parent in cls.__mro__:
        if parent is SavedByArguments:
            break
        if "__init__" not in vars(parent):
            continue
        parameters = list(inspect.signature(parent.__init__).parameters.values())[1:]
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        names += [each.name for each in parameters if each.kind in kinds and each.name not in names]
        if all(each.kind is not inspect.Parameter.VAR_KEYWORD for each in parameters):
            break
    return tuple(name for name in names if name not in ("seed", "dtype"))


def check_arguments_are_kept(model):
    """Raise ValueError for a constructor argument that saving would not find."""
    for name in argument_names(type(model)):
        owner = next((each for each in type(model).__mro__ if name in vars(each)), None)
        of_keras = owner is not None and owner.__module__.split(".")[0] == "keras"
        if of_keras and name != "name":
            raise ValueError(
                f"{type(model).__name__} has an argument '{name}', which is an attribute of every "
                "keras.Model: call it something else."
            )
        if not hasattr(model, name):
            raise ValueError(
                f"{type(model).__name__} does not keep its argument '{name}': it could be neither "
                f"saved nor loaded. Write self.{name} = {name} in the constructor."
            )


def check_can_be_saved(model, name, value):
    """Raise ValueError for an argument that no file could hold: a lambda, a name in words."""
    if name not in argument_names(type(model)):
        return
    if isinstance(value, str) and name not in ("name", "dtype") and _takes_objects(model, name):
        raise ValueError(
            f"{type(model).__name__}.{name} takes the object itself, not its name: received "
            f"'{value}'. Heads are in kgen.heads, such as kgen.heads.Normal(); losses and "
            "penalties are functions in kgen.losses."
        )
    if not callable(value) or isinstance(value, type) or hasattr(value, "get_config"):
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = keras.saving.serialize_keras_object(value)
        if keras.saving.deserialize_keras_object(config) is value:
            return
    except (TypeError, ValueError, AttributeError):
        pass
    raise ValueError(
        f"{type(model).__name__}.{name}: {getattr(value, '__name__', type(value).__name__)} could "
        "not be read back from a saved model. Write it as a named function and register it, "
        "@keras.saving.register_keras_serializable(package='my_project') above its def."
    )


def _takes_objects(model, name):
    """Whether an argument is one of kgen's own that is neither text nor a number.

    Numbers have checks of their own, and what a user's class takes is not known.
    """
    for parent in type(model).__mro__:
        parameter = inspect.signature(parent.__init__).parameters.get(name)
        if "__init__" in vars(parent) and parameter is not None:
            is_own = parent.__module__.split(".")[0] == "kgen"
            return is_own and not isinstance(parameter.default, (str, int, float))
    return False


def check_may_change(model, name, value):
    """Raise ValueError for another value of an argument that the compiled step holds as it was."""
    if "_compile_arguments" not in vars(model) or name not in (
        *argument_names(type(model)),
        "seed",
    ):
        return
    if isinstance(getattr(type(model), name, None), Hyperparameter):
        return
    before = getattr(model, name)
    if value is before or (isinstance(value, _PLAIN) and value == before):
        return
    raise ValueError(
        f"{type(model).__name__}.{name} is built into the compiled step and cannot change from "
        f"{before!r}. Make a model with the new value and give it these weights: "
        f"new = {type(model).__name__}.from_config({{**model.get_config(), {name!r}: ...}}); "
        "new.set_weights(model.get_weights())."
    )


def _head(part):
    """The words for a head or a prior, None for what is neither."""
    if not (hasattr(part, "params_size") or hasattr(part, "distribution")):
        return None
    if type(part).__repr__ is keras.layers.Layer.__repr__:
        return type(part).__name__
    return repr(part)
