import numpy as np
import pytest

from kgen import plots

# A panel of 160 pixels has a margin of 4 at each side, and a title of 20 above.
SIDE, TITLE, MARGIN = 160, 20, 4
INNER = SIDE - 2 * MARGIN


def panel(picture, row, column):
    """The square of a panel, without its title and the line around it."""
    top = row * (SIDE + TITLE) + TITLE + MARGIN
    left = column * SIDE + MARGIN
    return picture[top : top + INNER, left : left + INNER][2:-2, 2:-2].astype(int)


def pixel(point, limit):
    """Row and column of a point inside `panel`: x to the right, y upwards."""
    x, y = (np.asarray(point) + limit) / (2 * limit) * INNER
    return round(INNER - y) - 2, round(x) - 2


def test_each_point_is_drawn_at_its_place():
    points = [(1.5, 1.0), (-1.0, -0.5), (0.3, -1.7)]
    panels = [(f"{number}", np.tile(point, (5, 1))) for number, point in enumerate(points)]
    picture = plots.point_densities(panels, limit=2.0, columns=2, num_bins=40)
    assert picture.shape == (2 * (SIDE + TITLE), 2 * SIDE, 3)
    assert picture.dtype == np.uint8
    for index, point in enumerate(points):
        inside = panel(picture, *divmod(index, 2))
        rows, columns = np.nonzero(inside.sum(-1) < 3 * 250)
        center = pixel(point, 2.0)
        # A cell is 152 / 40 = 3.8 pixels wide, 4 when drawn, and holds the point: no pixel of it is
        # more than 4 away, and 2 more are for the rounding of the cell's and the point's pixels.
        assert len(rows) and abs(rows - center[0]).max() <= 6
        assert abs(columns - center[1]).max() <= 6
    assert (panel(picture, 1, 1) == 255).all(), "the missing fourth panel is background"


def test_darkness_is_the_square_root_of_the_count():
    # Four cells of 76 pixels: 16, 4, 1 and no points.
    points = np.repeat([(0.5, 0.5), (-0.5, 0.5), (-0.5, -0.5)], [16, 4, 1], axis=0)
    picture = plots.point_densities([("four", points)], limit=1.0, num_bins=2)
    for center, darkness in [((1, 1), 1.0), ((-1, 1), 0.5), ((-1, -1), 0.25), ((1, -1), 0.0)]:
        row, column = pixel(0.5 * np.array(center), 1.0)
        expected = 255 * (1 - darkness)
        # A grey is one of 256 of matplotlib's map.
        np.testing.assert_allclose(panel(picture, 0, 0)[row, column], expected, atol=1.5)


def test_points_outside_are_not_drawn_and_the_grid_is_square_by_default():
    picture = plots.point_densities([("far", np.full((9, 2), 3.0))] * 5, limit=1.0)
    assert picture.shape == (2 * (SIDE + TITLE), 3 * SIDE, 3)
    assert (panel(picture, 0, 0) == 255).all()


def test_panels_can_be_larger():
    picture = plots.point_densities([("", np.zeros((1, 2)))] * 2, limit=1.0, side=300)
    assert picture.shape == (300 + TITLE, 2 * 300, 3)


def test_titles_tell_panels_apart():
    points = np.zeros((1, 2))
    one, other = (plots.point_densities([(title, points)], limit=1.0) for title in ("a", "b"))
    assert (one[:TITLE] != other[:TITLE]).any()
    np.testing.assert_array_equal(one[TITLE + MARGIN :], other[TITLE + MARGIN :])


def test_size_is_exact_for_many_panels():
    # 23 * 160 / 100 * 100 is below 23 * 160 in floating point.
    panels = [("", np.zeros((1, 2)))] * 23
    picture = plots.point_densities(panels, limit=1.0, columns=23, num_bins=2)
    assert picture.shape == (SIDE + TITLE, 23 * SIDE, 3)


def test_matplotlib_is_left_alone():
    import matplotlib

    backend = matplotlib.get_backend(auto_select=False)
    plots.point_densities([("", np.zeros((1, 2)))], limit=1.0)
    assert matplotlib.get_backend(auto_select=False) == backend


@pytest.mark.parametrize(
    ("panels", "arguments", "message"),
    [
        ([], {}, "at least one panel"),
        ([("a", np.zeros((3, 3)))], {}, r"panel 'a' .*\n?.*Received \(3, 3\)"),
        ([("a", np.zeros(2))], {}, r"Received \(2,\)"),
        ([("a", np.full((1, 2), np.nan))], {}, "diverged"),
        ([("a", np.zeros((1, 2)))], {"limit": 0.0}, "limit"),
        ([("a", np.zeros((1, 2)))], {"columns": 0}, "columns"),
        ([("a", np.zeros((1, 2)))], {"num_bins": 0}, "num_bins"),
        ([("a", np.zeros((1, 2)))], {"side": 8}, "side"),
    ],
)
def test_what_cannot_be_drawn_is_refused(panels, arguments, message):
    with pytest.raises(ValueError, match=message):
        plots.point_densities(panels, **{"limit": 1.0, **arguments})
