"""A verb that is given something else than the model's pictures says so, in every model."""

import inspect

import numpy as np
import pytest
from cases import CASES

from kgen import specs

VERBS = ("encode", "reconstruct", "embed", "project", "discriminate", "classify", "infer")


def first_of_each_class():
    seen = {}
    for case in CASES:
        seen.setdefault(case.name.split("_of_")[0].split("_")[0], case)
    return list(seen.values())


@pytest.mark.parametrize("case", first_of_each_class(), ids=lambda case: case.name)
def test_other_pictures_are_refused(case):
    model = case.build()
    spec = specs.x_and_y(model.predict_spec)[0]
    if not isinstance(spec, specs.Images):
        pytest.skip("It takes no pictures.")
    height, width, channels = spec.shape
    bad = {
        r"in \[0, 1\], received values from 200": np.full((2, *spec.shape), 200.0, "float32"),
        "received uint8. Divide by 255": np.zeros((2, *spec.shape), "uint8"),
        "of shape": np.zeros((2, height, width, channels + 1), "float32"),
        "Expected images of shape": np.zeros((2, height + 3, width, channels), "float32"),
    }
    condition = getattr(model, "condition", None)
    given = {} if condition is None else {"condition": specs.example(condition, 2)}
    for verb in VERBS:
        function = getattr(model, verb, None)
        for message, images in bad.items() if function is not None else ():
            takes = inspect.signature(function).parameters
            with pytest.raises(ValueError, match=message):
                function(images, **(given if "condition" in takes else {}))
