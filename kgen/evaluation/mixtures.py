"""Mode coverage of generators of points, on mixtures whose modes are known."""

import numpy as np

from kgen import checks


def mode_coverage(points, centers, *, scale, num_scales=3.0, min_count=1):
    """How many modes a generator of points reaches, and how many points lie near a mode.

    A point is of high quality if it lies within `num_scales * scale` of its nearest center. A mode
    is covered if it is the nearest one of at least `min_count` points of high quality.

    Args:
        points: generated points, floats `(n, dim)`, such as `(n, 2)`.
        centers: means of the modes, floats `(num_modes, dim)`, such as
            `kgen.data.builders.GaussianRing().means()`.
        scale: standard deviation of a mode, in the unit of the points, such as
            `kgen.data.builders.GaussianRing.scale`.
        num_scales: float > 0.
        min_count: int >= 1.

    Returns:
        dict of two results, each with `value` and `protocol`: `modes_covered` (int; also with
        `num_modes` and `counts`, the points of high quality of each mode, in the order of
        `centers`) and `high_quality_share` (in [0, 1]).

    Raises:
        ValueError: for empty or misshapen arrays, NaN, or a scale that is not above 0.

    Reference: Srivastava et al. 2017, "VEEGAN: reducing mode collapse in GANs using implicit
        variational learning", experiments on synthetic data (`min_count` is 1 there).
    """
    points, centers = _checked("points", points), _checked("centers", centers)
    if points.shape[1] != centers.shape[1]:
        raise ValueError(
            f"The points have {points.shape[1]} coordinates, the centers {centers.shape[1]}."
        )
    radius = checks.positive_number("scale", scale) * checks.positive_number(
        "num_scales", num_scales
    )
    checks.positive_integer("min_count", min_count)
    from sklearn.neighbors import NearestNeighbors

    # A tree measures each distance itself, without the rounding of |x|^2 - 2 x.y + |y|^2.
    search = NearestNeighbors(n_neighbors=1, algorithm="kd_tree").fit(centers)
    distances, nearest = (found[:, 0] for found in search.kneighbors(points))
    is_near = distances <= radius
    counts = np.bincount(nearest[is_near], minlength=len(centers))
    near = f"within {num_scales:g} x {scale:g} of the nearest of {len(centers)} modes"
    return dict(
        modes_covered=dict(
            value=int((counts >= min_count).sum()),
            num_modes=len(centers),
            counts=counts.tolist(),
            protocol=f"modes with at least {min_count} of {len(points)} points {near}",
        ),
        high_quality_share=dict(
            value=float(is_near.mean()),
            protocol=f"share of {len(points)} points {near}",
        ),
    )


def _checked(name, values):
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"Expected {name} of shape (n, dim), not empty, received {values.shape}.")
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).any(axis=1).sum())
        raise ValueError(f"The {name} hold NaN or infinity: {bad} of {len(values)}.")
    return values
