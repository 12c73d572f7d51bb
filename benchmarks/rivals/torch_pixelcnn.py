"""The PixelCNN in PyTorch: a module, a training loop and naive sampling, eager and compiled.

Its masked convolutions are those that PyTorch's users write: a kernel of k x k, multiplied by its
mask in each pass. kgen's have no rows below the pixel to begin with; beside it is a form in which
these are cropped as well. All else is what was found fastest: images channels last, and the loss
over rows of logits, which takes half the time of a loss over axis 1.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.cases import LeftOut
from benchmarks.rivals import torch_loop


class MaskedConv2d(nn.Conv2d):
    """A convolution that sees earlier pixels, and the pixel itself if `see_current` (mask B)."""

    def __init__(self, in_channels, out_channels, size, *, see_current):
        super().__init__(in_channels, out_channels, size, padding=size // 2)
        mask = torch.ones_like(self.weight)
        mask[:, :, size // 2, size // 2 + int(see_current) :] = 0.0
        mask[:, :, size // 2 + 1 :] = 0.0
        self.register_buffer("mask", mask)

    def forward(self, inputs):
        return functional.conv2d(inputs, self.weight * self.mask, self.bias, padding=self.padding)


class CroppedConv2d(MaskedConv2d):
    """The same without the rows below the pixel."""

    def forward(self, inputs):
        side = self.padding[0]
        kernel = (self.weight * self.mask)[:, :, : side + 1]
        return functional.conv2d(functional.pad(inputs, (side, side, side, 0)), kernel, self.bias)


def network(num_outputs, filters=64, num_blocks=7, convolution=MaskedConv2d):
    """The network of `kgen.networks.pixelcnn` for images with one channel."""
    half = filters // 2

    def block():
        return torch_loop.Residual(
            nn.ReLU(),
            nn.Conv2d(filters, half, 1),
            nn.ReLU(),
            convolution(half, half, 3, see_current=True),
            nn.ReLU(),
            nn.Conv2d(half, filters, 1),
        )

    layers = (
        torch_loop.Apply(lambda images: 2.0 * images - 1.0),
        convolution(1, filters, 7, see_current=False),
        *[block() for _ in range(num_blocks)],
        nn.ReLU(),
        nn.Conv2d(filters, 64, 1),
        nn.ReLU(),
        nn.Conv2d(64, num_outputs, 1),
    )
    return torch_loop.initialize(nn.Sequential(*layers)).to(memory_format=torch.channels_last)


def loss(pixelcnn, images):
    """-log p(x) in nats, mean over the batch, of images whose levels are categories."""
    logits = pixelcnn(images)
    num_levels = logits.shape[1]
    levels = (images * (num_levels - 1)).round().long().flatten()
    rows = logits.permute(0, 2, 3, 1).reshape(-1, num_levels)
    return functional.cross_entropy(rows, levels, reduction="sum") / len(images)


def draw(logits, uniforms):
    """Pixels by the inverse CDF, as `kgen.heads.Bernoulli` and `Categorical` draw them."""
    if logits.shape[1] == 1:
        return (uniforms > torch.sigmoid(-logits[:, 0])).float()
    # Doubles, so that the sums round to no other level than kgen's.
    masses = logits.double().softmax(dim=1).cumsum(dim=1)
    levels = torch.searchsorted(masses, uniforms.double()[:, None], right=True)[:, 0]
    return levels.clamp(max=logits.shape[1] - 1).float() / (logits.shape[1] - 1)


@torch.inference_mode()
def naive_sample(pixelcnn, uniforms):
    """Images `(batch, 1, height, width)`, each pixel from a pass over the whole image."""
    images = _blank_images(uniforms)
    for row in range(uniforms.shape[1]):
        for column in range(uniforms.shape[2]):
            logits = pixelcnn(images)[:, :, row, column]
            images[:, 0, row, column] = draw(logits, uniforms[:, row, column])
    return images


def _blank_images(uniforms):
    return torch.zeros_like(uniforms)[:, None].to(memory_format=torch.channels_last)


def full_kernel(layer, above, row):
    """Arrays of the shapes of a `CausalConv2D`'s kernels as one masked kernel of PyTorch's."""
    size = layer.kernel_size[1]
    kernel = np.zeros((size, size, *row.shape[2:]), np.float32)
    if above is not None:
        kernel[: size // 2] = above
    kernel[size // 2, : layer.num_taps] = row[0]
    return kernel.transpose(3, 2, 0, 1).copy()


def convolutions(ours, module):
    """Pairs of the convolutions of a network of `kgen.networks.pixelcnn` and of one of PyTorch."""
    layers = [layer for layer in ours.layers if hasattr(layer, "row_kernel")]
    modules = [part for part in module.modules() if isinstance(part, nn.Conv2d)]
    return list(zip(layers, modules, strict=True))


@torch.no_grad()
def copy_weights(ours, module):
    """Give the latter the weights of the former."""
    for layer, part in convolutions(ours, module):
        above = None if layer.above_kernel is None else layer.above_kernel.numpy()
        part.weight.copy_(torch.from_numpy(full_kernel(layer, above, layer.row_kernel.numpy())))
        part.bias.copy_(torch.from_numpy(layer.bias.numpy()))


def samplers(module, uniforms):
    """Yields `(name, draw)` of naive sampling, eager and compiled where that can be had."""
    uniforms = torch.from_numpy(uniforms[..., 0].copy()).to(torch.get_default_device())

    def draw(module):
        return naive_sample(module, uniforms).permute(0, 2, 3, 1).cpu().numpy()

    yield "PyTorch, naive", lambda: draw(module)
    first_pass = torch.inference_mode()(lambda compiled: compiled(_blank_images(uniforms)))
    try:
        (compiled,) = torch_loop.compiled(first_pass, module)
    except LeftOut as reason:
        print(f"torch.compile is left out: {reason}")
    else:
        yield "torch.compile, naive", lambda: draw(compiled)


def contenders(case, images, batch_size):
    """Yields PyTorch eager and `torch.compile`, each with whole and with cropped kernels."""
    batches = torch_loop.as_tensor(images, torch.channels_last).split(batch_size)
    for suffix, convolution in {"": MaskedConv2d, ", cropped kernels": CroppedConv2d}.items():

        def make(batches, loss, convolution=convolution):
            pixelcnn = network(case.num_levels, convolution=convolution)
            step = torch_loop.adam(pixelcnn), lambda images: loss(pixelcnn, images)
            return torch_loop.trainer(case, batches, step)

        yield from torch_loop.eager_and_compiled(make, batches, lambda: (loss,), suffix)
