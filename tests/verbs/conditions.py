"""What verbs are given in a conditional model."""

import keras
import numpy as np
import tensorflow as tf

from kgen import specs


def given(model, y, rows=None):
    """The keyword `condition` of a verb: nothing without a condition, else y or its first rows."""
    if getattr(model, "condition", None) is None:
        return {}
    # Of labels that may be unknown, -1, a verb takes the known ones.
    known = keras.tree.map_structure(
        lambda part: np.maximum(part, 0) if part.dtype == np.int32 else part, y
    )
    return {"condition": keras.tree.map_structure(lambda part: part[:rows], known)}


def drawn(model, y, rows):
    """The same for `sample`, which takes labels in turn, and attributes from y."""
    parts = specs.condition_parts(getattr(model, "condition", None))
    if any(isinstance(part, specs.Attributes) for part in parts):
        return given(model, y, rows)
    return {}


def from_inputs(model, inputs):
    """The same from an endpoint's inputs, which it takes out of `inputs`."""
    if getattr(model, "condition", None) is None:
        return {}
    rows = [inputs.pop(name) for name in model.condition_inputs if name in inputs]
    if not rows:
        return {}
    return {"condition": tuple(rows) if isinstance(model.condition, tuple) else rows[0]}


def examples(model, x, y):
    """The arguments of `predict`, which are x alone, or one pair with its condition."""
    if getattr(model, "condition", None) is None or y is None:
        return (x,)
    if not isinstance(model.predict_spec, tuple):
        return (x,)
    return (tf.data.Dataset.from_tensors((x, y)),)
