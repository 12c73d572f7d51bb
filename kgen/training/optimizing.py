"""Optimizers as `compile` takes them."""

import keras

from kgen.optimizers import Adam


def optimizer_of(value, policy):
    """A Keras optimizer or its name; "adam" is kgen's. Under mixed_float16 its loss is scaled."""
    is_adam = isinstance(value, str) and value.lower() == "adam"
    optimizer = Adam() if is_adam else keras.optimizers.get(value)
    scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    if policy.name == "mixed_float16" and not scaled:
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def copy_of(value):
    """Another optimizer with the same settings and no state; a name stays a name."""
    if isinstance(value, str):
        return value
    return type(value).from_config(value.get_config())
