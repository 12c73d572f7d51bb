"""Two logical CPU devices, so that every test process can hold two replicas."""

import gc
import os

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import pytest
import tensorflow as tf
from tensorflow.python.framework import ops

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
# Two test processes on two cores: more threads each would only wait for one another.
tf.config.threading.set_inter_op_parallelism_threads(2)
tf.config.threading.set_intra_op_parallelism_threads(1)


def pytest_collection_finish(session):
    # `clear_session` collects garbage after each test; what the imports made is not garbage.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
    # Without collecting garbage, which took a seventh of the suite: that is done per module.
    keras.utils.clear_session(free_memory=False)


@pytest.fixture(autouse=True, scope="module")
def forgotten_graphs():
    """Forget the gradients that `tf.custom_gradient` registered for the graphs of a module's tests.

    TensorFlow keeps them for ever under names of their own, and with each the graph that it was
    traced in: a process grew to 4 GB over the suite.
    """
    registry = ops.gradient_registry._registry
    before = set(registry)
    yield
    for name in set(registry) - before:
        if name.startswith("CustomGradient-"):
            del registry[name]
    keras.utils.clear_session()
