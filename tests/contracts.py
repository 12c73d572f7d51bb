"""What the contracts of all models share: inputs for endpoints."""

import numpy as np
import tensorflow as tf
from cases import images


def endpoint_inputs(signature, case, count=3):
    """An array for each input of an endpoint: images of the case, small integers, numbers."""
    return {spec.name: _input(spec, case, count) for spec in signature}


def _input(spec, case, count):
    if spec.shape[1:] == case.image_shape and spec.dtype == tf.float32:
        return images(case, count, seed=1)
    if spec.dtype == tf.int32:
        size = int(np.prod(spec.shape[1:]))
        return np.arange(count * size).reshape(count, *spec.shape[1:]).astype("int32") % 4
    return np.random.RandomState(1).uniform(size=(count, *spec.shape[1:])).astype("float32")
