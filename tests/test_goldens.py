"""Files of earlier versions load, and give what they gave then."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import CASES
from write_goldens import GOLDENS, golden_endpoints

from kgen import specs


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden(case):
    assert (GOLDENS / f"{case.name}.keras").exists(), "write it: tests/write_goldens.py"
    model = keras.saving.load_model(GOLDENS / f"{case.name}.keras")
    recorded = np.load(GOLDENS / f"{case.name}.npz")
    endpoints = golden_endpoints(model)
    names = {key.split("/")[0] for key in recorded if "/inputs/" in key}
    # What the model serves beside them is newer than the file.
    assert names and names <= set(endpoints)
    for name in names:
        endpoint = endpoints[name]
        inputs = [tf.constant(recorded[f"{name}/inputs/{key}"]) for key in endpoint.inputs]
        for key, value in endpoint.function(*inputs).items():
            expected = recorded[f"{name}/outputs/{key}"]
            np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5, err_msg=name)
    # The objective too, with the noise of that version.
    data = [recorded[f"data/{place}"] for place in range(len(keras.tree.flatten(model.data_spec)))]
    x, y = specs.x_and_y(keras.tree.pack_sequence_as(model.data_spec, data))
    results = model.evaluate(x, y, batch_size=16, verbose=0, return_dict=True)
    for name, value in results.items():
        np.testing.assert_allclose(value, recorded[f"evaluate/{name}"], rtol=1e-4, atol=1e-5)
