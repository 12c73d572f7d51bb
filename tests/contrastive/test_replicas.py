"""Two replicas take the step that one device takes on the same global batch.

Each model here compares an image with those on the other replica, keeps keys or vectors of all of
them, or has statistics of the whole batch: a replica that looked only at its own would be off.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from replicas import two_replicas

import kgen
from kgen.losses import contrastive as losses

SHAPE = (6, 4, 1)
COUNT = 17  # Batches of 7, 7 and 3: 4 + 3 images a replica, twice, and 2 + 1.
# Sums in another order differ by 1e-7; three steps through two layers of batch normalization over
# 3 images, and vectors scaled to length 1, make it more.
TOLERANCE = 1e-5


def images(seed, count=COUNT, shape=SHAPE):
    return np.random.RandomState(seed).uniform(size=(count, *shape)).astype("float32")


VIEWS = ((images(0), images(1)),)
INDEXED = (images(0), np.arange(COUNT) * 5 % COUNT)


def dense(input_shape, *units):
    """A network whose batch statistics are those of all replicas."""
    network = [keras.Input(input_shape), layers.Flatten()]
    for size in units[:-1]:
        normalization = layers.BatchNormalization(synchronized=True)
        network += [layers.Dense(size), normalization, layers.Activation("tanh")]
    return keras.Sequential([*network, layers.Dense(units[-1])])


def parts():
    return dense(SHAPE, 6, 5), dense((5,), 4, 3)


def cpc():
    patches = keras.Sequential(
        [keras.Input((2, 2, 1)), layers.Flatten(), layers.Dense(4, "tanh"), layers.Dense(3)]
    )
    context = kgen.networks.cpc_context((5, 3, 3), num_layers=1)
    return kgen.CPC(patches, context, SHAPE, stride=1)


MODELS = {
    "simclr": lambda: kgen.SimCLR(*parts(), temperature=0.2),
    "moco": lambda: kgen.MoCo(*parts(), queue_size=14, ema_decay=0.5, temperature=0.2),
    "byol": lambda: kgen.BYOL(*parts(), dense((3,), 4, 3), ema_decay=0.5),
    "barlow_twins": lambda: kgen.BarlowTwins(*parts(), weight=0.1),
    "vicreg": lambda: kgen.VICReg(
        *parts(), invariance_weight=1.0, variance_weight=2.0, covariance_weight=0.5
    ),
    "exemplar_nt_xent": lambda: kgen.ExemplarMetric(*parts(), metric=losses.labelled_nt_xent),
    "npid": lambda: kgen.NPID(*parts(), COUNT, bank_momentum=0.3, temperature=0.2),
    "cpc": cpc,
}


def compiled(name):
    keras.utils.set_random_seed(0)
    model = MODELS[name]()
    model.compile(keras.optimizers.SGD(0.05))
    return model


@pytest.mark.parametrize("name", MODELS)
def test_two_replicas_take_the_step_of_one_device(name):
    if name == "cpc":
        everything = (images(0),)
    else:
        everything = INDEXED if name == "npid" else VIEWS
    data = tf.data.Dataset.from_tensor_slices(everything).batch(7)
    alone = compiled(name)
    before = [variable.numpy() for variable in alone.trainable_variables]
    with two_replicas().scope():
        together = compiled(name)
    for mine, theirs in zip(alone.variables, together.variables, strict=True):
        np.testing.assert_array_equal(mine, theirs.numpy())
    histories = [model.fit(data, verbose=0).history for model in (alone, together)]
    assert int(together.optimizer.iterations.numpy()) == 3

    moved = [np.abs(a - b).max() for a, b in zip(before, alone.trainable_variables, strict=True)]
    # Not each: a bias before batch normalization has no effect.
    assert np.median(moved) > 100 * TOLERANCE
    for mine, theirs in zip(alone.variables, together.variables, strict=True):
        np.testing.assert_allclose(theirs.numpy(), mine, atol=TOLERANCE, err_msg=mine.path)
        # The two replicas' copies are one.
        copies = two_replicas().experimental_local_results(theirs.value)
        np.testing.assert_array_equal(copies[0], copies[-1], err_msg=mine.path)
    assert_same_results(*histories)
    if name in ("simclr", "cpc"):
        # The objective is one; what differs is how it is averaged.
        evaluated = [m.evaluate(data, verbose=0, return_dict=True) for m in (alone, together)]
        assert_same_results(*evaluated)


def assert_same_results(alone, together):
    assert alone.keys() == together.keys()
    for name, value in alone.items():
        # Means of float32 in another order, of weights that differ as above.
        np.testing.assert_allclose(together[name], value, rtol=1e-4, err_msg=name)
