"""`embed`, `features`: vectors of length 1, and those of the encoder."""

import numpy as np

from kgen.verbs import Representation

VERB = Representation


def check(model, x, y=None):
    """Embeddings of single images, whatever the model trains on; `predict` gives them."""
    images = x[0] if isinstance(x, tuple) else x
    embeddings = model.embed(images).numpy()
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-5)
    features = model.features(images).numpy()
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(features / lengths, embeddings, atol=1e-5)
    # Another graph may sum in another order.
    np.testing.assert_allclose(model.predict(images, verbose=0), embeddings, atol=1e-5)
