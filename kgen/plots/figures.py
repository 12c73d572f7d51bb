"""A matplotlib figure as a picture."""

import numpy as np

from kgen.plots.pictures import Picture


def rasterize(figure):
    """Draws a `matplotlib.figure.Figure` that no window and no `pyplot` knows.

    Args:
        figure: The figure.

    Returns:
        uint8 array, RGB, shape `(height, width, 3)`: the figure's size in inches times its dpi.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy().view(Picture)
