"""Where points in the plane lie, many sets side by side."""

import math

import numpy as np

from kgen import checks
from kgen.plots.figures import rasterize

_TITLE = 20
_MARGIN = 4
_DPI = 100


def point_densities(panels, *, limit, columns=None, num_bins=81, side=160):
    """Draws the densities of sets of points, a small panel each, row by row.

    A panel counts its points in `num_bins` x `num_bins` square cells over [-limit, limit] in both
    coordinates, the first to the right and the second upwards. A cell's darkness, from white
    to black, is

        sqrt(count / largest count of the panel),

    so that the few points between the modes of a mixture are seen beside the many in them. Points
    outside of the square are not drawn.

    Args:
        panels: Sequence of `(title, points)`, the title a short string, the points floats of shape
            `(num_points, 2)`.
        limit: Half the side of the square that is drawn, in the points' unit.
        columns: Panels in a row. By default the grid is as square as it can be.
        num_bins: Cells along a side.
        side: Width of a panel in pixels, at least 16; with its title it is 20 pixels higher.

    Returns:
        uint8 array, RGB, shape `((side + 20) * rows, side * columns, 3)`.

    Raises:
        ValueError: If there is no panel, if points are not finite or of another shape, or if
            a number is out of range.
    """
    from matplotlib.figure import Figure

    panels = [(title, _checked(title, points)) for title, points in panels]
    if not panels:
        raise ValueError("Expected at least one panel, (title, points). Received none.")
    limit = checks.positive_number("limit", limit)
    checks.positive_integer("num_bins", num_bins)
    checks.integer_at_least("side", side, 16)
    if columns is None:
        columns = math.ceil(math.sqrt(len(panels)))
    checks.positive_integer("columns", columns)
    width, height = side * columns, (side + _TITLE) * math.ceil(len(panels) / columns)
    edges = np.linspace(-limit, limit, num_bins + 1)
    inner = side - 2 * _MARGIN
    # Half a pixel more, because matplotlib cuts off what rounding leaves below a whole one.
    figure = Figure(figsize=((width + 0.5) / _DPI, (height + 0.5) / _DPI), dpi=_DPI)
    for index, (title, points) in enumerate(panels):
        row, column = divmod(index, columns)
        left = column * side + _MARGIN
        bottom = height - (row + 1) * (side + _TITLE) + _MARGIN
        axes = figure.add_axes(
            (left / width, bottom / height, inner / width, inner / height), xticks=[], yticks=[]
        )
        axes.set_title(title, fontsize=7, pad=3)
        counts, _, _ = np.histogram2d(points[:, 0], points[:, 1], bins=(edges, edges))
        darkness = np.sqrt(counts / max(counts.max(), 1.0))
        # The first axis of a histogram is x, that of an image is y.
        axes.imshow(
            darkness.T,
            origin="lower",
            extent=(-limit, limit) * 2,
            interpolation="nearest",
            cmap="gray_r",
            vmin=0,
            vmax=1,
        )
    return rasterize(figure)


def _checked(title, points):
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(
            f"Expected the points of panel {title!r} of shape (num_points, 2). "
            f"Received {points.shape}."
        )
    if not np.isfinite(points).all():
        raise ValueError(
            f"Expected finite points in panel {title!r}. Received NaN or infinity, which means "
            "that the model has diverged."
        )
    return points
