"""`log_prob`: what `predict` gives, and minus the loss."""

import numpy as np

from kgen.verbs import Density
from verbs import conditions

VERB = Density


def check(model, x, y=None):
    """One number per example, the same from `log_prob`, `predict` and `evaluate`."""
    given = conditions.given(model, y)
    values = model.log_prob(x, **given).numpy()
    assert values.shape == (len(x),) and values.dtype == np.float32
    predicted = model.predict(*conditions.examples(model, x, y), verbose=0)
    # Another graph may sum in another order.
    np.testing.assert_allclose(predicted, values, rtol=1e-5)
    data = (x,) if y is None else (x, y)
    loss = model.evaluate(*data, verbose=0, return_dict=True)["loss"]
    np.testing.assert_allclose(-loss, values.mean(), rtol=1e-4)
