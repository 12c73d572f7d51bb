"""The WGAN-GP in PyTorch: two modules and a training loop, eager and through `torch.compile`.

At even sizes, strided by 2, TensorFlow's "same" padding of a 5 x 5 kernel is one pixel at the top
and left and two at the bottom and right; PyTorch's `padding=2` is the other way round. So these
networks are those of `kgen.networks` turned by half a turn, kernels and images alike, and need no
padding by hand.
"""

import functools

import torch
from torch import nn

from benchmarks.rivals import torch_loop

PENALTY_WEIGHT = 10.0
# DCGAN's.
INITIAL = functools.partial(nn.init.normal_, std=0.02)


def critic():
    """Three convolutions of stride 2 and a dense layer, without normalization."""
    layers = [torch_loop.Apply(lambda images: 2.0 * images - 1.0)]
    for channels, filters in ((1, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(channels, filters, 5, stride=2, padding=2), nn.LeakyReLU(0.2)]
    layers += [nn.Flatten(), nn.Linear(128 * 4 * 4, 1), nn.Flatten(0)]
    return torch_loop.initialize(nn.Sequential(*layers), INITIAL)


def generator(latent_dim):
    """A projection and three transposed convolutions of stride 2, with batch normalization."""

    def normalized(filters):
        return nn.BatchNorm2d(filters, eps=1e-3), nn.ReLU()

    layers = (
        nn.Linear(latent_dim, 128 * 4 * 4, bias=False),
        nn.Unflatten(1, (128, 4, 4)),
        *normalized(128),
        # 9 x 9, of which kgen keeps 7 x 7.
        nn.ConvTranspose2d(128, 64, 5, stride=2, padding=1, bias=False),
        torch_loop.Apply(lambda images: images[:, :, 2:, 2:]),
        *normalized(64),
        nn.ConvTranspose2d(64, 32, 5, stride=2, padding=2, output_padding=1, bias=False),
        *normalized(32),
        nn.ConvTranspose2d(32, 1, 5, stride=2, padding=2, output_padding=1),
        nn.Tanh(),
        torch_loop.Apply(lambda images: 0.5 * images + 0.5),
    )
    return torch_loop.initialize(nn.Sequential(*layers), INITIAL)


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

    `slope_of` is one of the functions above, `mixing` the share of the real image in x^.
    """
    with torch.no_grad():
        fake = generator(latents)
    distance = critic(fake) - critic(images)
    slope = slope_of(critic, mixing * images + (1.0 - mixing) * fake)
    penalty = (slope.float().flatten(1).norm(dim=1) - 1.0).square()
    return (distance + PENALTY_WEIGHT * penalty).mean()


def generator_loss(generator, critic, latents):
    return -critic(generator(latents)).mean()


def contenders(case, images, batch_size):
    """Yields PyTorch eager and `torch.compile`, each with channels first and last."""
    eager, to_compile = (
        lambda slope=slope: (functools.partial(critic_loss, slope), generator_loss)
        for slope in (slope_by_autograd, slope_by_func)
    )
    for suffix, form in torch_loop.FORMATS.items():
        batches = torch_loop.as_tensor(images, form).split(batch_size)
        make = functools.partial(_trainer, case, form)
        yield from torch_loop.eager_and_compiled(make, batches, eager, suffix, to_compile)


def _trainer(case, form, batches, critic_loss, generator_loss):
    players = generator(case.latent_dim), critic()
    maker, judge = (player.to(memory_format=form) for player in players)
    settings = dict(lr=2e-4, betas=(0.0, 0.9))

    def latents(images):
        return torch.randn(len(images), case.latent_dim)

    def critic_step(images):
        judge.requires_grad_(True)
        mixing = torch.rand(len(images), 1, 1, 1)
        return critic_loss(maker, judge, images, latents(images), mixing)

    def generator_step(images):
        # Else it would compute gradients of the critic's weights as well.
        judge.requires_grad_(False)
        return generator_loss(maker, judge, latents(images))

    steps = (judge, critic_step), (maker, generator_step)
    steps = [(torch_loop.adam(player, **settings), step) for player, step in steps]
    return torch_loop.trainer(case, batches, *steps)
