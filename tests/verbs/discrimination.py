"""`discriminate`: one value per example, which `predict` gives."""

import numpy as np

from kgen.verbs import Discrimination
from verbs import conditions

VERB = Discrimination


def check(model, x, y=None):
    """One value per example, from `discriminate` and from `predict`."""
    takes_y = isinstance(model.predict_spec, tuple)
    given = conditions.given(model, y) if takes_y else {}
    values = model.discriminate(x, **given).numpy()
    assert values.shape == (len(x),)
    predicted = model.predict(*conditions.examples(model, x, y if takes_y else None), verbose=0)
    np.testing.assert_allclose(predicted, values, rtol=1e-4, atol=1e-5)
