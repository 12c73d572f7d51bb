"""`score`: one number per example, whatever stands beside it."""

import inspect

import numpy as np

from kgen.verbs import Density, Discrimination, Scoring
from verbs import conditions

VERB = Scoring


def check(model, x, y=None):
    """A row's score is its own, and that of the verb that gives it."""
    takes_condition = bool(model._score_inputs())
    given = conditions.given(model, y) if takes_condition else {}
    scores = model.score(x, **given).numpy()
    assert scores.shape == (len(x),) and np.isfinite(scores).all()
    few = conditions.given(model, y, 2) if takes_condition else {}
    # Matrix products of another size may round differently.
    np.testing.assert_allclose(model.score(x[:2], **few), scores[:2], rtol=1e-4, atol=1e-4)
    verb = model.log_prob if isinstance(model, Density) else getattr(model, "discriminate", None)
    if isinstance(model, (Density, Discrimination)):
        assert "condition" in inspect.signature(verb).parameters or not given
        np.testing.assert_allclose(verb(x, **given), scores, rtol=1e-4, atol=1e-4)
