"""The rivals of kgen's SimCLR are the same function, given the same weights and noise."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from rivals.weights import turn

import kgen
from benchmarks.cases import FAMILIES, synthetic_images
from benchmarks.rivals import keras_simclr


@pytest.fixture(scope="module")
def simclr():
    """The benchmark's model, its weights away from where they start."""
    (case,) = FAMILIES["simclr"].values()
    make_encoder, make_projector = case.kgen_networks
    model = kgen.SimCLR(make_encoder((28, 28, 1)), make_projector())
    draws = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign_add(draws.normal(size=variable.shape, scale=0.05).astype(np.float32))
    return model


def parts_of_simclr(model, module):
    """Pairs of kgen's variables and PyTorch's parameters, in the order in which kgen makes them."""
    import torch

    def layers(network, kind):
        found = [layer for layer in network.layers if isinstance(layer, kind)]
        return sorted(found, key=lambda layer: (len(layer.name), layer.name))

    for network, part in ((model.encoder, module.encoder), (model.projector, module.projector)):
        for ours, theirs in (
            (keras.layers.Conv2D, torch.nn.Conv2d),
            (keras.layers.Dense, torch.nn.Linear),
            (keras.layers.BatchNormalization, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)),
        ):
            modules = [found for found in part.modules() if isinstance(found, theirs)]
            for layer, found in zip(layers(network, ours), modules, strict=True):
                yield from zip(layer.trainable_variables, found.parameters(), strict=True)


def as_torch_variable(values):
    """A kernel half a turn away, or a matrix transposed, or a vector."""
    if values.ndim == 4:
        return values[::-1, ::-1].transpose(3, 2, 0, 1).copy()
    return values.T.copy()


def test_pytorch_simclr_is_the_same_function_with_equal_weights(simclr):
    torch = pytest.importorskip("torch")
    from benchmarks.rivals import torch_simclr

    module = torch_simclr.SimCLR()
    pairs = list(parts_of_simclr(simclr, module))
    assert len(pairs) == len(simclr.trainable_variables) == len(list(module.parameters()))
    with torch.no_grad():
        for variable, parameter in pairs:
            parameter.copy_(torch.from_numpy(as_torch_variable(variable.numpy())))
    images = synthetic_images(12, num_levels=256)
    first, second = images[:6], images[6:]
    turned = [torch.from_numpy(turn(x).transpose(0, 3, 1, 2).copy()) for x in (first, second)]

    with tf.GradientTape() as tape:
        expected = tf.reduce_mean(simclr.objective((first, second), training=True)["loss"])
    loss = torch_simclr.loss(module, *turned)
    # Float32 sums of some thousand products through nine normalizations, in another order.
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-4)
    gradients = tape.gradient(expected, [variable.value for variable, _ in pairs])
    loss.backward()
    for (variable, parameter), gradient in zip(pairs, gradients, strict=True):
        ours = as_torch_variable(gradient.numpy())
        # Relative to the largest of a tensor.
        scale = np.abs(ours).max()
        np.testing.assert_allclose(
            parameter.grad.numpy() / scale, ours / scale, atol=1e-3, err_msg=variable.path
        )


def test_bare_keras_simclr_has_the_loss_of_kgen(simclr):
    images = synthetic_images(12, num_levels=256)
    pair = (tf.constant(images[:6]), tf.constant(images[6:]))
    bare = keras_simclr.SimCLR(simclr.encoder, simclr.projector)
    bare.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    logs = bare.train_step((pair,))
    expected = tf.reduce_mean(simclr.objective(pair, training=True)["loss"])
    # The sums are taken in another order.
    np.testing.assert_allclose(logs["loss"], expected, rtol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_losses_of_lightly_and_pytorch_are_nt_xent(capsys):
    torch = pytest.importorskip("torch")
    from benchmarks import libraries
    from benchmarks.rivals import torch_simclr
    from kgen.losses import contrastive as losses

    first, second = np.random.default_rng(0).normal(size=(2, 5, 7)).astype(np.float32)
    expected = tf.reduce_mean(losses.nt_xent(first, second, temperature=torch_simclr.TEMPERATURE))
    pair = torch.from_numpy(first), torch.from_numpy(second)
    np.testing.assert_allclose(torch_simclr.nt_xent(*pair), expected, rtol=1e-5)
    if not libraries.is_at_hand("lightly", threads=1):
        pytest.skip(capsys.readouterr().out)
    from lightly.loss import NTXentLoss

    np.testing.assert_allclose(NTXentLoss(torch_simclr.TEMPERATURE)(*pair), expected, rtol=1e-5)


def test_views_of_pytorch_are_crops_mirrored_and_jittered():
    torch = pytest.importorskip("torch")
    from benchmarks.rivals import torch_simclr

    torch.manual_seed(0)
    across = (torch.arange(28) + 0.5) / 28
    ramp = across.expand(200, 1, 28, 28).contiguous()
    # A crop of a ramp is a ramp: its slope is the crop's width, its sign whether it is mirrored.
    rows = torch_simclr.view(ramp, jittered=0.0)[:, 0].numpy()
    # All rows of a crop are one; the grid is rounded to float32.
    np.testing.assert_allclose(rows, np.repeat(rows[:, :1], 28, axis=1), atol=1e-5)
    slopes = 28 * np.diff(rows[:, 0, 2:-2], axis=1)
    np.testing.assert_allclose(slopes, np.repeat(slopes[:, :1], slopes.shape[1], axis=1), atol=1e-3)
    widths = np.abs(slopes[:, 0])
    # A quarter of the area at a ratio of 3/4 is the narrowest.
    assert np.sqrt(0.25 * 0.75) - 1e-3 <= widths.min() < 0.5 and 0.9 < widths.max() <= 1.0 + 1e-3
    # A fair coin, 200 times: four standard deviations.
    assert abs(np.mean(slopes[:, 0] > 0) - 0.5) < 0.15
    # Without a crop or a mirror left to see in a constant image: plus U(-0.4, 0.4) for 80 %.
    flat = torch_simclr.view(torch.full((2000, 1, 4, 4), 0.5))[:, 0].numpy()
    moved = flat[:, 0, 0] - 0.5
    assert abs(np.mean(np.abs(moved) > 1e-6) - 0.8) < 0.04
    assert -0.4 <= moved.min() < -0.39 and 0.39 < moved.max() <= 0.4


@pytest.mark.filterwarnings("ignore")
def test_reference_on_lightly_learns_features(capsys):
    pytest.importorskip("torch")
    from benchmarks import libraries
    from benchmarks.rivals import LeftOut

    if not libraries.is_at_hand("lightly", threads=1):
        pytest.skip(capsys.readouterr().out)
    from benchmarks import reference_simclr_lightly as reference
    from benchmarks.rivals import lightly_simclr

    try:
        lightly_simclr.transforms()
    except LeftOut as reason:
        pytest.skip(str(reason))
    images = synthetic_images(70, num_levels=256)
    network = reference.train(images, reference.Config(epochs=8, batch_size=32))
    losses = [float(value) for value in re.findall(r"loss (\S+),", capsys.readouterr().out)]
    assert len(losses) == 8
    assert losses[-1] < losses[0]
    features = reference.features(network, images)
    assert features.shape == (70, 128)
    assert np.ptp(features, axis=0).max() > 0
