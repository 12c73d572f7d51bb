"""`complete`: known pixels stay, the others are drawn."""

import numpy as np

from kgen.verbs import Completion
from verbs import conditions

VERB = Completion


def check(model, x, y=None):
    """What is known stays bit by bit; what is drawn depends on the seed and lies on the levels."""
    given = conditions.given(model, y)
    known = np.arange(np.prod(x.shape[1:3])).reshape(x.shape[1:3]) % 3 > 0
    completed = model.complete(x, mask=known, seed=3, **given).numpy()
    np.testing.assert_array_equal(completed[:, known], x[:, known])
    model.sample_spec.check(completed)
    assert np.any(model.complete(x, mask=known, seed=4, **given) != completed)
