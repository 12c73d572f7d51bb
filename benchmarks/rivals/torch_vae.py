"""The VAE in PyTorch: a module and a training loop, eager and through `torch.compile`."""

import torch
from torch import nn
from torch.nn import functional

from benchmarks.rivals import torch_loop


class VAE(nn.Module):
    """The loss of `kgen.VAE` with `DiagonalNormal` and `Bernoulli` heads: the negative ELBO."""

    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        torch_loop.initialize(self)

    def posterior(self, images):
        loc, raw_scale = self.encoder(images).chunk(2, dim=-1)
        # A threshold at which softplus and the identity agree in float32.
        return loc, 1e-5 + functional.softplus(raw_scale, threshold=30.0)

    def reconstruction(self, latents, images):
        cross_entropy = functional.binary_cross_entropy_with_logits
        return cross_entropy(self.decoder(latents), images, reduction="none").sum(dim=(1, 2, 3))

    def forward(self, images):
        loc, scale = self.posterior(images)
        reconstruction = self.reconstruction(loc + scale * torch.randn_like(scale), images)
        kl = 0.5 * loc.square() + 0.5 * scale.square() - 0.5 - scale.log()
        return (reconstruction + kl.sum(dim=-1)).mean()


def convolutional_networks(latent_dim):
    """The default networks of `kgen.networks` for 28 x 28 images with one channel.

    Strided by 2 at even sizes, TensorFlow's "same" padding of a 4 x 4 kernel is one pixel a side.
    """
    encoder = nn.Sequential(
        nn.Conv2d(1, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        *_dense(64 * 7 * 7, 256, 2 * latent_dim),
    )
    decoder = nn.Sequential(
        *_dense(latent_dim, 256, 64 * 7 * 7),
        nn.ReLU(),
        nn.Unflatten(1, (64, 7, 7)),
        nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 4, stride=2, padding=1),
    )
    return encoder, decoder


def dense_networks(latent_dim):
    """The dense networks of `kgen.networks` for 28 x 28 images with one channel."""
    encoder = nn.Sequential(nn.Flatten(), *_dense(784, 512, 256, 2 * latent_dim))
    return encoder, nn.Sequential(*_dense(latent_dim, 256, 512, 784), nn.Unflatten(1, (1, 28, 28)))


def _dense(*sizes):
    layers = []
    for size, next_size in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Linear(size, next_size), nn.ReLU()]
    return layers[:-1]


NETWORKS = {"dense": dense_networks, "convolutional": convolutional_networks}


def model(case):
    return VAE(*NETWORKS[case.networks](case.latent_dim))


def contenders(case, images, batch_size):
    """Yields PyTorch eager and `torch.compile`; of convolutions channels last as well."""

    def make(batches, model):
        return torch_loop.trainer(case, batches, (torch_loop.adam(model), model))

    num_formats = 2 if case.networks == "convolutional" else 1
    for suffix, form in list(torch_loop.FORMATS.items())[:num_formats]:
        batches = torch_loop.as_tensor(images, form).split(batch_size)
        yield from torch_loop.eager_and_compiled(
            make, batches, lambda form=form: (model(case).to(memory_format=form),), suffix
        )
