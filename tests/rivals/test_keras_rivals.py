"""Bare Keras trains what kgen trains, as kgen trains it."""

import importlib

import keras
import numpy as np
import pytest

from benchmarks.cases import FAMILIES, synthetic_images

LIBRARIES = ("kgen", "keras")
CASES = [(family, name) for family, cases in FAMILIES.items() for name in cases]


def optimizers(model):
    """Of each optimizer that has taken a step, its module and its settings."""
    found = {id(value): value for value in vars(model).values()}.values()
    found = [value for value in found if isinstance(value, keras.optimizers.Optimizer)]
    found = [value for value in found if int(value.iterations.numpy())]
    assert found
    settings = ("learning_rate", "beta_1", "beta_2", "epsilon")
    return sorted(
        (type(one).__module__, *(float(one.get_config()[key]) for key in settings)) for one in found
    )


@pytest.mark.parametrize("family, name", CASES, ids=[name for _, name in CASES])
def test_bare_keras_has_the_optimizers_and_the_weights_of_kgen_and_moves_them_all(family, name):
    case = FAMILIES[family][name]
    rivals = [importlib.import_module(f"benchmarks.rivals.{key}_{family}") for key in LIBRARIES]
    ours, bare = (rival.model(case, (28, 28, 1)) for rival in rivals)

    def shapes(model):
        return sorted(tuple(variable.shape) for variable in model.trainable_variables)

    assert shapes(ours) == shapes(bare)
    batches = rivals[1].batches(synthetic_images(8, case.num_levels), 4)
    still = []
    for model in (ours, bare):
        before = [variable.numpy() for variable in model.trainable_variables]
        model.fit(batches, verbose=0, shuffle=False)
        pairs = zip(model.trainable_variables, before, strict=True)
        still.append([v.shape for v, value in pairs if np.array_equal(v.numpy(), value)])
    # The bias of a Wasserstein critic's output cancels out of its loss.
    assert still == [[(1,)] if family == "wgan_gp" else []] * 2
    assert optimizers(ours) == optimizers(bare)
    assert {one[0] for one in optimizers(bare)} == {"kgen.optimizers"}
