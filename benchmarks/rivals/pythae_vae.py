"""The VAE through Pythae: its `VAE`, its `BaseTrainer` and its data set, on the same networks.

Timed is its trainer's loop over an epoch; what it does around a whole training (copies of the best
model, files) is left out. Its posterior has a log variance where kgen's has a softplus.
"""

import contextlib
import io
import logging
import tempfile

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import nn

from benchmarks.cases import Contender, LeftOut
from benchmarks.rivals.torch_vae import NETWORKS


class Encoder(BaseEncoder):
    """To mean and log variance."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, images):
        mean, log_variance = self.layers(images).chunk(2, dim=-1)
        return ModelOutput(embedding=mean, log_covariance=log_variance)


class Decoder(BaseDecoder):
    """To probabilities."""

    def __init__(self, layers):
        super().__init__()
        self.layers = nn.Sequential(layers, nn.Sigmoid())

    def forward(self, latents):
        return ModelOutput(reconstruction=self.layers(latents))


def contenders(case, images, batch_size):
    yield Contender("Pythae", lambda: _trainer(case, images, batch_size), own_way=True)


def model(case, encoder, decoder):
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=case.latent_dim, reconstruction_loss="bce")
    return VAE(config, encoder=Encoder(encoder), decoder=Decoder(decoder))


def _trainer(case, images, batch_size):
    if case.mixed_precision:
        raise LeftOut("its trainer's mixed precision is for GPUs and scales no losses.")
    for name in list(logging.Logger.manager.loggerDict):
        if name.startswith("pythae"):
            logging.getLogger(name).setLevel(logging.WARNING)
    # Its loader shuffles with a generator of the processor; the trainer moves what it needs.
    with torch.device("cpu"):
        encoder, decoder = NETWORKS[case.networks](case.latent_dim)
        vae = model(case, encoder, decoder)
        folder = tempfile.TemporaryDirectory()
        adam = dict(learning_rate=1e-3, optimizer_params=dict(eps=1e-7))
        sizes = dict(per_device_train_batch_size=batch_size)
        settings = BaseTrainerConfig(output_dir=folder.name, **sizes, **adam)
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
        data = BaseDataset(pixels, torch.zeros(len(pixels)))
        trainer = BaseTrainer(vae, data, training_config=settings)
        trainer.prepare_training()

    def train():
        # Its progress bar.
        with torch.device("cpu"), contextlib.redirect_stderr(io.StringIO()):
            return trainer.train_step(epoch=1)

    # The folder is to live as long as the trainer.
    train.folder = folder
    return train
