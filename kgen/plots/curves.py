"""Logged values over the epochs."""

import math

import numpy as np

from kgen.plots.files import png_path, replace_atomically


def training_curves(history, path):
    """Draws every logged value over the epochs and writes the picture as PNG.

    A term and its validation share a panel.

    Args:
        history: What `fit` returns, or its `history`: a dict of name -> one number per epoch.
        path: Where the PNG is written.

    Raises:
        ValueError: If the history is empty, or `path` does not end in `.png`.
    """
    from matplotlib.figure import Figure

    path = png_path(path)
    curves = getattr(history, "history", history)
    names = list(dict.fromkeys(name.removeprefix("val_") for name in curves))
    if not names:
        raise ValueError("Expected a history of at least one epoch. Received an empty one.")
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(5 * columns, 3.5 * rows), dpi=100, layout="constrained")
    for index, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, index + 1, title=name, xlabel="epoch")
        num_epochs = len(curves.get(name, curves.get(f"val_{name}")))
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            if values := curves.get(key):
                # With validation_freq = n there is one validation in n epochs.
                stride = max(1, num_epochs // len(values))
                epochs = stride * np.arange(1, len(values) + 1)
                axes.plot(epochs, values, label=label, marker="." if len(values) < 30 else None)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    with replace_atomically(path) as stream:
        figure.savefig(stream, format="png")
