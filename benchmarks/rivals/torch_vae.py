"""The VAE in PyTorch: a module and a training loop, eager and through `torch.compile`."""

import functools

import torch
from torch import nn
from torch.nn import functional

from benchmarks.rivals import torch_compile, torch_images
from benchmarks.rivals.torch_precision import Precision


class VAE(nn.Module):
    """The networks and the loss of `kgen.VAE` with `DiagonalNormal` and `Bernoulli` heads.

    Args:
        encoder: module from images `(batch, 1, 28, 28)` to `(batch, 2 * latent_dim)`.
        decoder: module from `(batch, latent_dim)` to logits `(batch, 1, 28, 28)`.
    """

    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                # Keras' initial weights; PyTorch's own are smaller.
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def posterior(self, images):
        """The posterior's mean and standard deviation, each `(batch, latent_dim)`."""
        loc, raw_scale = self.encoder(images).chunk(2, dim=-1)
        # A threshold at which softplus and the identity agree in float32.
        return loc, 1e-5 + functional.softplus(raw_scale, threshold=30.0)

    def reconstruction(self, latents, images):
        """-log p(x|z), `(batch,)`, in nats."""
        logits = self.decoder(latents)
        cross_entropy = functional.binary_cross_entropy_with_logits(
            logits, images, reduction="none"
        )
        return cross_entropy.sum(dim=(1, 2, 3))

    def forward(self, images):
        """The negative ELBO, mean over the batch, from one draw of the posterior."""
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
        nn.Linear(64 * 7 * 7, 256),
        nn.ReLU(),
        nn.Linear(256, 2 * latent_dim),
    )
    decoder = nn.Sequential(
        nn.Linear(latent_dim, 256),
        nn.ReLU(),
        nn.Linear(256, 64 * 7 * 7),
        nn.ReLU(),
        nn.Unflatten(1, (64, 7, 7)),
        nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 4, stride=2, padding=1),
    )
    return encoder, decoder


def dense_networks(latent_dim):
    """The dense networks of `kgen.networks` for 28 x 28 images with one channel."""
    encoder = nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 512),
        nn.ReLU(),
        nn.Linear(512, 256),
        nn.ReLU(),
        nn.Linear(256, 2 * latent_dim),
    )
    decoder = nn.Sequential(
        nn.Linear(latent_dim, 256),
        nn.ReLU(),
        nn.Linear(256, 512),
        nn.ReLU(),
        nn.Linear(512, 784),
        nn.Unflatten(1, (1, 28, 28)),
    )
    return encoder, decoder


def contenders(case, images, batch_size):
    """Yields PyTorch eager and `torch.compile`; of convolutions channels last as well."""
    forms = {"": torch.contiguous_format}
    if case.networks == "convolutional":
        forms[", channels last"] = torch.channels_last
    for suffix, form in forms.items():
        batches = torch_images.as_tensor(images, form).split(batch_size)
        yield from torch_compile.eager_and_compiled(
            functools.partial(_trainer, case.mixed_precision),
            batches,
            lambda form=form: (model(case).to(memory_format=form),),
            suffix,
        )


def model(case):
    """The VAE of a case."""
    networks = {"dense": dense_networks, "convolutional": convolutional_networks}[case.networks]
    return VAE(*networks(case.latent_dim))


def _trainer(mixed_precision, batches, model):
    # Measured, with one thread: fused takes 10 to 20 % off an eager step.
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7, fused=True)
    precision = Precision(mixed_precision)

    def train():
        total = torch.zeros(())
        for images in batches:
            optimizer.zero_grad(set_to_none=True)
            with precision.autocast():
                loss = model(images)
            precision.backward(loss)
            precision.step(optimizer)
            precision.update()
            total += loss.detach()
        return total.item() / len(batches)

    return train
