"""Logged values over the epochs."""

import math

import numpy as np

from kgen.plots.figures import rasterize
from kgen.plots.files import png_path, save_png


def training_curves(history, path=None):
    """Draws every logged value over the epochs, counted from 1 as in the lines that `fit` prints.

    A term and its validation share a panel. Values that were logged every few epochs, and those of
    a run that was resumed, stand at their own epochs.

    Args:
        history: What `fit` of a kgen model returns. Or what that of another Keras model returns, or
            its `history`, a dict of name -> numbers: they do not tell the epochs of a value that
            was not logged at each. Such values are taken for evenly spaced, and the legend says so.
        path: Where the picture is written as PNG, or None.

    Returns:
        uint8 array, RGB, shape `(height, width, 3)`.

    Raises:
        ValueError: If the history is empty, or `path` does not end in `.png`.
    """
    from matplotlib.figure import Figure

    path = None if path is None else png_path(path)
    curves = getattr(history, "history", history)
    names = list(dict.fromkeys(name.removeprefix("val_") for name in curves))
    if not names:
        raise ValueError("Expected a history of at least one epoch. Received an empty one.")
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(5 * columns, 3.5 * rows), dpi=100, layout="constrained")
    for index, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, index + 1, title=name, xlabel="epoch")
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            if values := curves.get(key):
                epochs, guess = _epochs(history, curves, key)
                marker = "." if len(values) < 30 else None
                axes.plot(epochs, values, label=label + guess, marker=marker)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    picture = rasterize(figure)
    if path is not None:
        save_png(picture, path, scale=1)
    return picture


def _epochs(history, curves, key):
    """The epochs of one value's numbers, and a word for the legend where they are a guess."""
    count = len(curves[key])
    known = getattr(history, "epochs_of", {}).get(key, ())
    if len(known) == count:
        return known, ""
    every = [epoch + 1 for epoch in getattr(history, "epoch", ())]
    every = every or [*range(1, 1 + max(len(values) for values in curves.values()))]
    if len(every) == count:
        return every, ""
    # With validation_freq = n there is one validation in n epochs.
    stride = max(1, len(every) // count)
    return every[0] - 1 + stride * np.arange(1, count + 1), ", epochs not known"
