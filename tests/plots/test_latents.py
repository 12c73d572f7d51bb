import numpy as np
import pytest
from plots.models import Linear

from kgen import plots
from kgen.plots import latents


def _cells(grid, rows, columns, height=4, width=5, padding=1):
    return [
        [grid[r * (height + padding), c * (width + padding) :][:3, 0] for c in range(columns)]
        for r in range(rows)
    ]


def test_traversal_moves_one_latent_per_row():
    grid = plots.latent_traversal(Linear(3), num_steps=5, limit=2.0)
    for row, cells in enumerate(_cells(grid, 3, 5)):
        for step, value in enumerate(np.linspace(-2, 2, 5)):
            expected = np.zeros(3)
            expected[row] = value
            # The pixel's step is 1/255, which is 10/255 in the latent; half of that is rounding.
            np.testing.assert_allclose(10 * (cells[step] / 255 - 0.5), expected, atol=0.021)


def test_traversal_goes_through_an_image_code():
    model = Linear(3)
    image = model.decode(np.array([[1.0, -1.0, 2.0]]))[0]
    grid = plots.latent_traversal(model, image=image, num_steps=3, limit=3.0, dims=[1])
    for cell, value in zip(_cells(grid, 1, 3)[0], (-3, 0, 3), strict=True):
        np.testing.assert_allclose(10 * (cell / 255 - 0.5), [1, value, 2], atol=0.021)


@pytest.mark.parametrize(
    "arguments", [{"dims": [3]}, {"dims": [-1]}, {"dims": []}, {"num_steps": 0}]
)
def test_traversal_refuses_unknown_latents(arguments):
    with pytest.raises(ValueError, match=r"Expected dims in 0\.\.2"):
        plots.latent_traversal(Linear(3), **arguments)


def test_manifold_is_even_in_probability():
    grid = plots.latent_manifold(Linear(2), num_steps=4)
    assert grid.shape == (16, 20, 1)
    quartiles = [-1.15035, -0.31864, 0.31864, 1.15035]  # SciPy's norm.ppf([1/8, 3/8, 5/8, 7/8])
    for row, up in enumerate(reversed(quartiles)):
        for column, right in enumerate(quartiles):
            latent = 10 * (grid[4 * row, 5 * column : 5 * column + 2, 0] / 255 - 0.5)
            np.testing.assert_allclose(latent, [right, up], atol=0.021)


def test_manifold_wants_two_latents():
    with pytest.raises(ValueError, match="latent_dim=3"):
        plots.latent_manifold(Linear(3))


@pytest.mark.parametrize("latent_dim", [2, 3])
def test_scatter_draws_points_and_a_legend(latent_dim):
    generator = np.random.default_rng(0)
    images = generator.random((300, 4, 5, 1), dtype=np.float32)
    labels = np.repeat(["boot", "bag", "shirt"], 100)
    picture = plots.latent_scatter(Linear(latent_dim), images, labels)
    assert picture.shape == (700, 800, 3)
    assert picture.dtype == np.uint8
    for color in ([31, 119, 180], [255, 127, 14], [44, 160, 44]):
        assert (picture == color).all(-1).sum() > 100
        assert (picture[:, 690:] == color).all(-1).any(), "the legend at the right"


def test_scatter_leaves_matplotlib_alone():
    import matplotlib

    backend = matplotlib.get_backend(auto_select=False)
    plots.latent_scatter(Linear(2), np.zeros((3, 4, 5, 1), np.float32), np.arange(3))
    assert matplotlib.get_backend(auto_select=False) == backend


@pytest.mark.parametrize("num_classes", [1, 15, 30])
def test_scatter_takes_any_number_of_classes(num_classes):
    images = np.random.default_rng(0).random((60, 4, 5, 1), dtype=np.float32)
    plots.latent_scatter(Linear(2), images, np.arange(60) % num_classes)


def test_scatter_refuses_what_it_cannot_draw():
    images = np.zeros((3, 4, 5, 1), np.float32)
    with pytest.raises(ValueError, match="one label per image"):
        plots.latent_scatter(Linear(2), images, [1, 2])
    with pytest.raises(ValueError, match="at least 2 latents"):
        plots.latent_scatter(Linear(1), images, [1, 2, 3])


class Embedder:
    """A model with the verb `embed` alone."""

    def __init__(self, latent_dim):
        self.embed = Linear(latent_dim).encode


@pytest.mark.parametrize("latent_dim", [2, 3])
def test_scatter_takes_embeddings_for_codes(latent_dim):
    images = np.random.default_rng(0).random((40, 4, 5, 1), dtype=np.float32)
    pictures = [
        plots.latent_scatter(kind(latent_dim), images, np.arange(40) % 3)
        for kind in (Linear, Embedder)
    ]
    np.testing.assert_array_equal(*pictures)


def test_scatter_wants_one_of_the_two_verbs():
    with pytest.raises(TypeError, match="encode or embed. Received object"):
        plots.latent_scatter(object(), np.zeros((3, 4, 5, 1), np.float32), np.arange(3))


class _First:
    """A projection that keeps some of the latents."""

    def __init__(self, count):
        self.count = count

    def fit_transform(self, codes):
        return codes[:, : self.count]


def test_scatter_draws_the_plane_of_a_projection(monkeypatch):
    images = np.random.default_rng(0).random((40, 4, 5, 1), dtype=np.float32)
    drawn = []
    original = latents._to_plane
    monkeypatch.setattr(
        latents, "_to_plane", lambda *given: drawn.append(original(*given)) or drawn[-1]
    )
    picture = plots.latent_scatter(Linear(3), images, np.arange(40) % 3, projection=_First(2))
    assert picture.shape == (700, 800, 3)
    points, names = drawn[0]
    np.testing.assert_array_equal(points, Linear(2).encode(images))
    assert names == ["_First 0", "_First 1"]
    with pytest.raises(ValueError, match=r"points of shape \(40, 2\). Received \(40, 3\)"):
        plots.latent_scatter(Linear(3), images, np.arange(40), projection=_First(3))


def test_scatter_with_t_sne():
    from sklearn.manifold import TSNE

    images = np.random.default_rng(0).random((30, 4, 5, 1), dtype=np.float32)
    projection = TSNE(metric="cosine", perplexity=5, max_iter=250, random_state=0)
    picture = plots.latent_scatter(Embedder(3), images, np.arange(30) % 3, projection=projection)
    assert picture.shape == (700, 800, 3)
