"""Files of earlier versions load, and give what they gave then."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import CASES, examples
from write_goldens import GOLDENS, golden_endpoints


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden(case):
    assert (GOLDENS / f"{case.name}.keras").exists(), "write it: tests/write_goldens.py"
    model = keras.saving.load_model(GOLDENS / f"{case.name}.keras")
    recorded = np.load(GOLDENS / f"{case.name}.npz")
    endpoints = golden_endpoints(model)
    assert endpoints
    for name, (function, signature) in endpoints.items():
        inputs = [tf.constant(recorded[f"{name}/inputs/{spec.name}"]) for spec in signature]
        for key, value in function(*inputs).items():
            expected = recorded[f"{name}/outputs/{key}"]
            np.testing.assert_allclose(
                value, expected, rtol=1e-5, atol=1e-5, err_msg=f"{name}: {key}"
            )
    # The objective too, with the noise of that version.
    results = model.evaluate(*examples(case), batch_size=16, verbose=0, return_dict=True)
    for name, value in results.items():
        np.testing.assert_allclose(value, recorded[f"evaluate/{name}"], rtol=1e-4, atol=1e-5)
