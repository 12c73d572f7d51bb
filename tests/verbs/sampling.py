"""`sample`: each example a function of its seed and its row, whatever is drawn beside it."""

import numpy as np

from kgen.seeds import seed_rows
from kgen.verbs import Sampling
from verbs import conditions

VERB = Sampling


def check(model, x, y=None):
    """Shape and range, seeds, and rows that do not depend on how many are asked for."""
    given = [conditions.drawn(model, y, rows) for rows in (5, 2)]
    first = model.sample(5, seed=3, **given[0]).numpy()
    assert first.shape == (5, *model.sample_spec.shape) and first.dtype == np.float32
    model.sample_spec.check(first)
    # Matrix products of another size may round differently.
    np.testing.assert_allclose(model.sample(2, seed=3, **given[1]), first[:2], atol=1e-5)
    assert np.abs(model.sample(5, seed=4, **given[0]).numpy() - first).max() > 0


def joined(endpoint):
    """A request as a server makes it of two: seeds (7, 0..2) and (8, 0..1), padded to 8 rows."""
    inputs = endpoint.example(3)
    inputs = {name: values[np.arange(8) % 3] for name, values in inputs.items()}
    seeds = [seed_rows(7, 3), seed_rows(8, 2), [[7, 0]] * 3]
    inputs["seed"] = np.concatenate(seeds).astype("int32")
    return [("sample", inputs)]


def check_joined(model, inputs, outputs):
    """Each part of a joined request gets what it would get alone."""
    (together,) = outputs.values()
    for seed, start, stop in ((7, 0, 3), (8, 3, 5)):
        given = {key: value[start:stop] for key, value in inputs.items() if key != "seed"}
        given |= conditions.from_inputs(model, given)
        alone = model.sample(stop - start, seed=seed, **given)
        # Another batch size: other kernels may round differently in the last digits.
        np.testing.assert_allclose(together[start:stop], alone, rtol=1e-4, atol=1e-5)
