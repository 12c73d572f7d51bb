"""`interpolate`: a path between latents, whose ends are decoded as they are."""

import inspect

import numpy as np

from kgen.verbs import Interpolation
from verbs import conditions

VERB = Interpolation


def check(model, x, y=None):
    """The ends of the paths are `decode` of the latents."""
    ends = np.random.RandomState(0).normal(size=(2, 2, model.latent_dim)).astype("float32")
    given = conditions.given(model, y, 2)
    if "seed" in inspect.signature(model.decode).parameters:
        # Where examples are drawn, with equal noise.
        given["seed"] = 3
    path = model.interpolate(ends[0], end=ends[1], num_steps=3, **given).numpy()
    assert path.shape == (2, 3, *x.shape[1:])
    np.testing.assert_allclose(path[:, 0], model.decode(ends[0], **given), atol=1e-5)
    np.testing.assert_allclose(path[:, -1], model.decode(ends[1], **given), atol=1e-5)
