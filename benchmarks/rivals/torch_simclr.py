"""SimCLR in PyTorch: network, views and loss by hand, eager and through `torch.compile`.

The views of a batch are made at once, with a draw for each image. At even sizes, strided by 2,
TensorFlow's "same" padding of a 3 x 3 kernel is one pixel at the bottom and right; PyTorch's
`padding=1` is one at the top and left. So the network is that of `kgen.networks` turned by half a
turn, kernels and images alike, as in `torch_wgan_gp.py`.
"""

import functools

import torch
from torch import nn
from torch.nn import functional

from benchmarks.rivals import torch_loop

TEMPERATURE = 0.5


def normalized(in_channels, out_channels, size, stride):
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, size, stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.1),
    )


def every_other(images):
    """Every other row and column, the second first where their number is even.

    These are the pixels that a 1 x 1 convolution of stride 2 sees in TensorFlow, half a turn away.
    """
    start = 1 - images.shape[-1] % 2
    return images[:, :, start::2, start::2]


def block(channels, filters, stride):
    """`relu(h + norm(conv(relu(norm(conv(h))))))`, 3 x 3, the first of the given stride."""
    shortcut = None
    if stride > 1:
        shortcut = nn.Sequential(torch_loop.Apply(every_other), normalized(channels, filters, 1, 1))
    layers = normalized(channels, filters, 3, stride), nn.ReLU(), normalized(filters, filters, 3, 1)
    return nn.Sequential(torch_loop.Residual(*layers, shortcut=shortcut), nn.ReLU())


class SimCLR(nn.Module):
    """Encoder and projector of the benchmark's case, from `(batch, 1, 28, 28)` to `(batch, 64)`."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            normalized(1, 32, 3, 2),
            nn.ReLU(),
            block(32, 32, 1),
            block(32, 64, 2),
            block(64, 128, 2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.projector = nn.Sequential(
            nn.Linear(128, 128, bias=False),
            nn.BatchNorm1d(128, eps=1e-3, momentum=0.1),
            nn.ReLU(),
            nn.Linear(128, 64),
        )
        torch_loop.initialize(self)
        self.to(memory_format=torch.channels_last)

    def forward(self, images):
        return self.projector(self.encoder(2.0 * images - 1.0))


def nt_xent(first, second):
    """NT-Xent in nats, mean over both views of all images."""
    vectors = functional.normalize(torch.cat([first, second]), dim=-1)
    logits = vectors @ vectors.T / TEMPERATURE
    itself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    logits = logits.masked_fill(itself, -torch.inf)
    others = torch.arange(len(vectors), device=vectors.device).roll(len(first))
    return functional.cross_entropy(logits, others)


def loss(network, first, second):
    """The loss of a batch of pairs, from one pass over both views."""
    return nt_xent(*network(torch.cat([first, second])).chunk(2))


def view(images, scale=(0.25, 1.0), strength=0.4, jittered=0.8):
    """One view of each image: `kgen.data.grey_augmentation(image_shape, flip=True)`.

    A crop of a share in `scale` of the area and an aspect ratio in [3/4, 4/3] at a random place,
    resized bilinearly and mirrored with probability 1/2; with probability `jittered` brightness,
    plus U(-0.4, 0.4), and contrast, times U(0.6, 1.4) around the mean.
    """
    size = len(images)

    def uniform(low, high):
        return torch.empty(size, device=images.device).uniform_(low, high)

    area, log_ratio = uniform(*scale), uniform(-1.0, 1.0) * torch.tensor(4 / 3).log()
    width = (area * log_ratio.exp()).sqrt().clamp(max=1.0)
    height = (area / log_ratio.exp()).sqrt().clamp(max=1.0)
    sign = torch.where(uniform(0.0, 1.0) < 0.5, -1.0, 1.0)
    transforms = torch.zeros(size, 2, 3, device=images.device)
    transforms[:, 0, 0], transforms[:, 1, 1] = width * sign, height
    transforms[:, 0, 2] = (1.0 - width) * uniform(-1.0, 1.0)
    transforms[:, 1, 2] = (1.0 - height) * uniform(-1.0, 1.0)
    grid = functional.affine_grid(transforms, list(images.shape), align_corners=False)
    images = functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    chosen = uniform(0.0, 1.0) < jittered
    brightness = torch.where(chosen, uniform(-strength, strength), 0.0)
    contrast = torch.where(chosen, 1.0 + uniform(-strength, strength), 1.0)
    images = images + brightness[:, None, None, None]
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return ((images - mean) * contrast[:, None, None, None] + mean).clamp(0.0, 1.0)


def views(images):
    return view(images), view(images)


def contenders(case, images, batch_size):
    """Yields PyTorch eager, and `torch.compile` of loss and views."""
    batches = torch_loop.as_tensor(images).split(batch_size)
    make = functools.partial(trainer, case)
    yield from torch_loop.eager_and_compiled(make, batches, lambda: (loss, views))


def trainer(case, batches, loss, views):
    """`train` of a new network: its loss is a function of the network and both views of a batch."""
    network = SimCLR()

    def prepare(batch):
        return [part.contiguous(memory_format=torch.channels_last) for part in views(batch)]

    step = torch_loop.adam(network), lambda pair: loss(network, *pair)
    return torch_loop.trainer(case, batches, step, prepare=prepare)
