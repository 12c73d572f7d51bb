"""`discriminate`: one value per example, which `predict` gives."""

import numpy as np

from kgen.verbs import Discrimination

VERB = Discrimination


def check(model, x, y=None):
    """One value per example, from `discriminate` and from `predict`."""
    takes_labels = isinstance(model.predict_spec, tuple)
    given = {"labels": y} if takes_labels else {}
    values = model.discriminate(x, **given).numpy()
    assert values.shape == (len(x),)
    predicted = model.predict([x, y] if takes_labels else x, verbose=0)
    np.testing.assert_allclose(predicted, values, rtol=1e-4, atol=1e-5)
