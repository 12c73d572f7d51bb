"""The rivals of kgen's PixelCNN are the same function, given the same weights and noise."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kgen
from benchmarks.cases import FAMILIES, synthetic_images
from benchmarks.rivals import keras_pixelcnn
from kgen import heads, networks


@pytest.fixture(scope="module")
def pixelcnn():
    """A small PixelCNN on 256 levels, its weights and biases away from where they start."""
    network = networks.pixelcnn((28, 28, 1), 256, filters=8, num_blocks=2, head_filters=(16,))
    model = kgen.PixelCNN(network, likelihood=heads.Categorical(256))
    draws = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign_add(draws.normal(size=variable.shape, scale=0.05))
    return model


@pytest.mark.parametrize("convolution", ["MaskedConv2d", "CroppedConv2d"])
def test_pytorch_pixelcnn_is_the_same_function_with_equal_weights(pixelcnn, convolution):
    torch = pytest.importorskip("torch")
    from benchmarks.rivals import torch_pixelcnn

    convolution = getattr(torch_pixelcnn, convolution)
    module = torch_pixelcnn.PixelCNN(
        256, filters=8, num_blocks=2, head_filters=16, convolution=convolution
    )
    torch_pixelcnn.copy_weights(pixelcnn.network, module)
    pairs = torch_pixelcnn.convolutions(pixelcnn.network, module)
    masks = {part: getattr(part, "mask", torch.ones(())) for _, part in pairs}
    with torch.no_grad():
        for part, mask in masks.items():
            # What a mask hides must not matter.
            part.weight += (1.0 - mask) * torch.randn_like(part.weight)
    images = synthetic_images(4, num_levels=256)
    turned = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())

    # Float32 sums of some hundred products, in another order.
    close = dict(rtol=1e-4, atol=1e-4)
    logits = module(turned).detach().numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(logits, pixelcnn.network(images), **close)
    with tf.GradientTape() as tape:
        expected = tf.reduce_mean(pixelcnn.objective(images, training=True)["loss"])
    loss = torch_pixelcnn.loss(module, turned)
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-5)
    variables = pixelcnn.trainable_variables
    gradients = tape.gradient(expected, [variable.value for variable in variables])
    gradients = {v.path: g.numpy() for v, g in zip(variables, gradients, strict=True)}
    loss.backward()
    for layer, part in pairs:
        above = None if layer.above_kernel is None else gradients[layer.above_kernel.path]
        kernel = torch_pixelcnn.full_kernel(layer, above, gradients[layer.row_kernel.path])
        for ours, theirs in (
            (kernel, part.weight),
            (gradients[layer.bias.path], part.bias),
        ):
            # Relative to the largest of a tensor. Hidden weights have a gradient of exactly 0.
            scale = np.abs(ours).max()
            np.testing.assert_allclose(
                theirs.grad.numpy() / scale, ours / scale, atol=1e-4, err_msg=layer.path
            )
        assert torch.all(part.weight.grad[masks[part].expand_as(part.weight) == 0.0] == 0.0)


def test_pytorch_pixelcnn_of_the_benchmark_has_the_sizes_of_kgen():
    pytest.importorskip("torch")
    from benchmarks.rivals import torch_pixelcnn

    (case,) = FAMILIES["pixelcnn"].values()
    (make_network,) = case.kgen_networks
    network, module = make_network((28, 28, 1), 256), torch_pixelcnn.PixelCNN(256)
    for layer, part in torch_pixelcnn.convolutions(network, module):
        assert (layer.kernel_size[1], layer.filters) == (part.kernel_size[1], part.out_channels)
        assert layer.row_kernel.shape[2] == part.in_channels


def test_bare_keras_pixelcnn_has_the_loss_of_kgen(pixelcnn):
    images = synthetic_images(4, num_levels=256)
    bare = keras_pixelcnn.PixelCNN(pixelcnn.network)
    bare.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    logs = bare.train_step(tf.constant(images))
    # The same operations; only the sums are taken in another order.
    expected = tf.reduce_mean(pixelcnn.objective(images)["loss"])
    np.testing.assert_allclose(logs["loss"], expected, rtol=1e-5)


def test_pixels_are_drawn_alike_in_pytorch():
    torch = pytest.importorskip("torch")
    from benchmarks.rivals import torch_pixelcnn

    draws = np.random.default_rng(0)
    uniforms = draws.random(1000, np.float32)
    for num_outputs, likelihood in ((1, heads.Bernoulli()), (256, heads.Categorical(256))):
        logits = draws.normal(size=(1000, num_outputs), scale=3.0).astype(np.float32)
        expected = likelihood.sample_from_uniforms(tf.constant(logits), uniforms[:, None])[:, 0]
        values = torch_pixelcnn.draw(torch.from_numpy(logits), torch.from_numpy(uniforms))
        np.testing.assert_array_equal(values.numpy(), expected)
