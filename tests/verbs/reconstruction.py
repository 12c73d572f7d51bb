"""`encode`, `reconstruct`."""

import inspect

import numpy as np

from kgen.verbs import Reconstruction
from verbs import conditions

VERB = Reconstruction


def check(model, x, y=None):
    """A latent per example, and `reconstruct` is `decode(encode(x))`, what `predict` gives."""
    given = conditions.given(model, y)
    latents = model.encode(x, **given).numpy()
    assert latents.shape == (len(x), *model.latent_spec.shape)
    assert latents.dtype == model.latent_spec.dtype
    draws = "seed" in inspect.signature(model.reconstruct).parameters
    given |= {"seed": 3} if draws else {}
    reconstructed = model.reconstruct(x, **given).numpy()
    assert reconstructed.shape == x.shape
    np.testing.assert_allclose(model.decode(latents, **given), reconstructed, atol=1e-5)
    predicted = model.predict(*conditions.examples(model, x, y), verbose=0)
    if not draws and predicted.shape == x.shape:
        np.testing.assert_allclose(predicted, reconstructed, atol=1e-5)
