"""Logged values over the epochs."""

import math

import numpy as np

from kgen.plots.files import png_path, replace_atomically


def training_curves(history, path):
    """Draws every logged value over the epochs and writes the picture as PNG.

    A term and its validation share a panel.

    Args:
        history: What `fit` returns, which knows the epoch of each value; or its `history`: a dict
            of name -> numbers, of which the rarer ones are taken for evenly spaced.
        path: Where the PNG is written.

    Raises:
        ValueError: If the history is empty, or `path` does not end in `.png`.
    """
    from matplotlib.figure import Figure

    path = png_path(path)
    curves, known = getattr(history, "history", history), getattr(history, "epochs_of", {})
    names = list(dict.fromkeys(name.removeprefix("val_") for name in curves))
    if not names:
        raise ValueError("Expected a history of at least one epoch. Received an empty one.")
    num_epochs = max(len(values) for values in curves.values())
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(5 * columns, 3.5 * rows), dpi=100, layout="constrained")
    for index, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, index + 1, title=name, xlabel="epoch")
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            if values := curves.get(key):
                epochs = _epochs(len(values), known.get(key, []), num_epochs)
                axes.plot(epochs, values, label=label, marker="." if len(values) < 30 else None)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    with replace_atomically(path) as stream:
        figure.savefig(stream, format="png")


def _epochs(count, known, num_epochs):
    """The epochs of `count` values, of which the last ones are known; others are evenly spaced."""
    known = known[-count:]
    first = known[0] - 1 if known else num_epochs
    earlier = count - len(known)
    stride = max(1, first // earlier) if earlier else 1
    return np.concatenate([stride * np.arange(1, earlier + 1), known])
