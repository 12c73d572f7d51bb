"""The WGAN-GP in PyTorch: two modules and a training loop, eager and through `torch.compile`.

At even sizes, strided by 2, TensorFlow's "same" padding of a 5 x 5 kernel is one pixel at the top
and left and two at the bottom and right; PyTorch's `padding=2` is the other way round. So these
networks are those of `kgen.networks` turned by half a turn, kernels and images alike, and need no
padding by hand.
"""

import functools

import torch
from torch import nn

from benchmarks.rivals import torch_compile, torch_images
from benchmarks.rivals.torch_precision import Precision

PENALTY_WEIGHT = 10.0


class Critic(nn.Module):
    """Three convolutions of stride 2 and a dense layer, without normalization.

    From images `(batch, 1, 28, 28)` in [0, 1] to `(batch,)`.
    """

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, 5, stride=2, padding=2),
            nn.LeakyReLU(0.2),
            nn.Conv2d(32, 64, 5, stride=2, padding=2),
            nn.LeakyReLU(0.2),
            nn.Conv2d(64, 128, 5, stride=2, padding=2),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(128 * 4 * 4, 1),
        )
        initialize(self)

    def forward(self, images):
        """The critic's values."""
        return self.layers(2.0 * images - 1.0).squeeze(1)


class Crop(nn.Module):
    """Leaves out two rows at the top and two columns at the left."""

    def forward(self, images):
        """The cropped images."""
        return images[:, :, 2:, 2:]


class Generator(nn.Module):
    """A projection and three transposed convolutions of stride 2, with batch normalization.

    From latents `(batch, latent_dim)` to images `(batch, 1, 28, 28)` in [0, 1].
    """

    def __init__(self, latent_dim):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, 128 * 4 * 4, bias=False),
            nn.Unflatten(1, (128, 4, 4)),
            nn.BatchNorm2d(128, eps=1e-3),
            nn.ReLU(),
            # 9 x 9, of which kgen keeps 7 x 7.
            nn.ConvTranspose2d(128, 64, 5, stride=2, padding=1, bias=False),
            Crop(),
            nn.BatchNorm2d(64, eps=1e-3),
            nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 5, stride=2, padding=2, output_padding=1, bias=False),
            nn.BatchNorm2d(32, eps=1e-3),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 1, 5, stride=2, padding=2, output_padding=1),
            nn.Tanh(),
        )
        initialize(self)

    def forward(self, latents):
        """The images."""
        return 0.5 * self.layers(latents) + 0.5


def initialize(network):
    """DCGAN's initial weights, N(0, 0.02^2), and zero biases."""
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def slope_by_autograd(critic, points):
    """The critic's gradient by the images, as PyTorch's users write it."""
    points = points.detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return slope


def slope_by_func(critic, points):
    """The same by `torch.func`: `torch.compile` does not differentiate autograd's a second time."""
    return torch.func.grad(lambda points: critic(points).sum())(points)


def critic_loss(slope_of, generator, critic, images, latents, mixing):
    """`D(G(z)) - D(x) + 10 (|grad D(x^)| - 1)^2`, mean over the batch.

    Args:
        slope_of: one of the functions above.
        generator: module.
        critic: module.
        images: `(batch, 1, 28, 28)`.
        latents: `(batch, latent_dim)`.
        mixing: `(batch, 1, 1, 1)`, in [0, 1], the share of the real image in x^.
    """
    with torch.no_grad():
        fake = generator(latents)
    distance = critic(fake) - critic(images)
    between = mixing * images + (1.0 - mixing) * fake
    slope = slope_of(critic, between)
    penalty = (slope.float().flatten(1).norm(dim=1) - 1.0).square()
    return (distance + PENALTY_WEIGHT * penalty).mean()


def generator_loss(generator, critic, latents):
    """`-D(G(z))`, mean over the batch."""
    return -critic(generator(latents)).mean()


def contenders(case, images, batch_size):
    """Yields PyTorch eager and `torch.compile`, each with channels first and last."""
    for suffix, form in (
        ("", torch.contiguous_format),
        (", channels last", torch.channels_last),
    ):
        batches = torch_images.as_tensor(images, form).split(batch_size)
        make = functools.partial(_trainer, case, form)
        eager, compiled = (
            (functools.partial(critic_loss, slope_of), generator_loss)
            for slope_of in (slope_by_autograd, slope_by_func)
        )
        yield from torch_compile.eager_and_compiled(
            make, batches, lambda eager=eager: eager, suffix, to_compile=lambda c=compiled: c
        )


def _trainer(case, form, batches, critic_loss, generator_loss):
    latent_dim = case.latent_dim
    generator = Generator(latent_dim).to(memory_format=form)
    critic = Critic().to(memory_format=form)
    settings = dict(lr=2e-4, betas=(0.0, 0.9), eps=1e-7, fused=True)
    generator_optimizer = torch.optim.Adam(generator.parameters(), **settings)
    critic_optimizer = torch.optim.Adam(critic.parameters(), **settings)
    precision = Precision(case.mixed_precision)

    def train():
        critic_total, generator_total = torch.zeros(()), torch.zeros(())
        for images in batches:
            latents, mixing = torch.randn(len(images), latent_dim), torch.rand(len(images), 1, 1, 1)
            critic_optimizer.zero_grad(set_to_none=True)
            with precision.autocast():
                loss = critic_loss(generator, critic, images, latents, mixing)
            precision.backward(loss)
            precision.step(critic_optimizer)
            critic_total += loss.detach()
            generator_optimizer.zero_grad(set_to_none=True)
            # Else the generator's step would compute gradients of the critic's weights as well.
            critic.requires_grad_(False)
            with precision.autocast():
                loss = generator_loss(generator, critic, torch.randn(len(images), latent_dim))
            precision.backward(loss)
            precision.step(generator_optimizer)
            precision.update()
            critic.requires_grad_(True)
            generator_total += loss.detach()
        return critic_total.item() / len(batches), generator_total.item() / len(batches)

    return train
