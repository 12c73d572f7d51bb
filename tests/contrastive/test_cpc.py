"""CPC against a transcription with loops over images, rows, columns and steps; its context."""

import keras
import numpy as np
import pytest
from keras import layers

import kgen
from kgen.layers import RowConv2D
from kgen.networks import cpc_context

SHAPE = (7, 4, 2)  # Taller than wide: patches of 3 x 2 every 2 pixels make 3 rows, 2 columns.


def images(count=3):
    return np.random.RandomState(0).uniform(size=(count, *SHAPE)).astype("float32")


def patches_into(dim):
    return keras.Sequential([keras.Input((3, 2, 2)), layers.Flatten(), layers.Dense(dim, "tanh")])


def test_loss_by_hand():
    model = kgen.CPC(
        patches_into(4),
        cpc_context((3, 2, 4), filters=5, num_layers=1),
        SHAPE,
        stride=2,
        num_steps=2,
        temperature=0.5,
    )
    x = images()
    # The encoder on each patch by itself.
    z = np.zeros((3, 3, 2, 4))
    for image, row, column in np.ndindex(3, 3, 2):
        patch = x[image, 2 * row : 2 * row + 3, 2 * column : 2 * column + 2]
        z[image, row, column] = model.encoder(patch[None])[0]
    h = np.asarray(model.context(z.astype("float32")), np.float64)
    kernels = [np.asarray(kernel, np.float64) for kernel in model.prediction_kernels]
    assert [kernel.shape for kernel in kernels] == [(5, 4), (5, 4)]
    expected = np.zeros(3)
    for image in range(3):
        of_steps = []
        for k in (1, 2):
            terms = []
            for row, column in np.ndindex(3 - k, 2):
                prediction = h[image, row, column] @ kernels[k - 1]
                # All patches of all images that step k predicts: rows k and below.
                scores = {
                    (n, r, c): prediction @ z[n, r, c] / 0.5
                    for n, r, c in np.ndindex(3, 3, 2)
                    if r >= k
                }
                total = sum(np.exp(score) for score in scores.values())
                terms.append(-np.log(np.exp(scores[image, row + k, column]) / total))
            of_steps.append(np.mean(terms))
        expected[image] = np.mean(of_steps)
    received = model.objective(x)["loss"]
    np.testing.assert_allclose(received, expected, rtol=1e-5)

    np.testing.assert_allclose(model.embed(x), unit(z.mean(axis=(1, 2))), atol=1e-6)
    np.testing.assert_allclose(model.project(x), unit(h[:, -1].mean(axis=1)), atol=1e-6)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_one_image():
    """It has negatives in itself."""
    model = kgen.CPC.for_images((6, 5, 1), patch_size=2, embedding_dim=3)
    loss = model.objective(np.random.RandomState(0).uniform(size=(1, 6, 5, 1)).astype("float32"))
    assert loss["loss"].shape == (1,) and loss["loss"][0] > 0


def context(*stack, shape=(4, 3, 2)):
    return keras.Sequential([keras.Input(shape), *stack])


def rows_in_pairs():
    """Row 0 sees row 1 and row 2 sees row 3, but row 1 does not see row 2."""
    return context(
        layers.Conv2D(4, (2, 1), strides=(2, 1)), layers.UpSampling2D((2, 1)), layers.Dense(2)
    )


LEAKS = {
    "convolution": lambda: context(layers.Conv2D(2, 3, padding="same")),
    "behind_a_normalization": lambda: context(
        layers.LayerNormalization(), layers.Conv2D(2, 3, padding="same")
    ),
    "rows_in_pairs": rows_in_pairs,
    "statistics_of_the_grid": lambda: context(layers.GroupNormalization(1)),
    "dense_over_everything": lambda: context(
        layers.Flatten(), layers.Dense(24), layers.Reshape((4, 3, 2))
    ),
}


def cpc(network):
    encoder = keras.Sequential([keras.Input((2, 2, 1)), layers.Flatten(), layers.Dense(2)])
    return kgen.CPC(encoder, network, (5, 4, 1), stride=1)


@pytest.mark.parametrize("name", LEAKS)
def test_context_that_sees_later_rows(name):
    with pytest.raises(ValueError, match="sees later rows: what it gives above row"):
        cpc(LEAKS[name]())


@pytest.mark.parametrize(
    "build",
    [
        lambda: cpc_context((4, 3, 2)),
        lambda: cpc_context((4, 3, 2), filters=3, num_layers=3),
        lambda: context(layers.LayerNormalization(), RowConv2D(2, (2, 3))),
        lambda: context(layers.Dense(2)),
        # A row sees the columns beside it, but no other row.
        lambda: context(layers.Conv2D(2, (1, 3), padding="same")),
    ],
)
def test_context_that_sees_rows_above_alone(build):
    cpc(build())


def test_context_of_another_grid():
    with pytest.raises(ValueError, match=r"takes \(3, 4, 2\), but the encoder's .*\(4, 3, 2\)"):
        cpc(cpc_context((3, 4, 2)))
    with pytest.raises(ValueError, match=r"must keep the grid \(4, 3\)"):
        cpc(context(layers.Conv2D(2, (2, 1))))


def test_patches_that_do_not_fit():
    with pytest.raises(ValueError, match=r"takes \(2, 2, 1\), expected patches .* 3\)"):
        encoder = keras.Sequential([keras.Input((2, 2, 1)), layers.Flatten(), layers.Dense(2)])
        kgen.CPC(encoder, cpc_context((4, 3, 2)), (5, 4, 3), stride=1)
    for arguments in (dict(patch_size=9), dict(patch_size=4, stride=4), dict(num_steps=7)):
        with pytest.raises(ValueError, match="Use smaller patches, a smaller stride or fewer"):
            kgen.CPC.for_images((8, 6, 1), embedding_dim=2, **arguments)
    for arguments in (dict(stride=0), dict(patch_size=2.5), dict(num_steps=0)):
        with pytest.raises(ValueError, match="must be an integer of at least 1"):
            kgen.CPC.for_images((8, 6, 1), embedding_dim=2, **arguments)
    with pytest.raises(ValueError, match="temperature must be"):
        kgen.CPC.for_images((8, 6, 1), embedding_dim=2, temperature=0.0)
