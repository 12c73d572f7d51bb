"""The reference for the VAE's test ELBO: the same VAE in PyTorch, with a loop written by hand.

    python -m benchmarks.reference_vae_torch --epochs=20 --seed=0

Fashion-MNIST with pixels of at least 1/2 set to 1, else 0; convolutional networks, 16 latents.
kgen's counterpart: `recipes/vae.py --dataset=fashion_mnist --binarize=threshold --epochs=20
--likelihood=bernoulli`. It needs PyTorch and NumPy alone.
"""

import argparse
import gzip
import json
import math
import pathlib
import time

import numpy as np
import torch

from benchmarks.rivals.torch_vae import VAE, convolutional_networks


def parse_arguments(arguments=None):
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20, help="passes over the training images")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and noise")
    parser.add_argument("--batch_size", type=int, default=128, help="images a step")
    parser.add_argument("--latent_dim", type=int, default=16, help="size of the latent vector")
    parser.add_argument("--learning_rate", type=float, default=1e-3, help="Adam's")
    parser.add_argument("--num_draws", type=int, default=10, help="of the posterior, a test image")
    parser.add_argument("--threads", type=int, default=0, help="0: PyTorch's own choice")
    parser.add_argument(
        "--data_dir",
        type=pathlib.Path,
        default=pathlib.Path("/usr/share/datasets/fashion-mnist"),
        help="folder of the four IDX files; the default is that of Debian's dataset-fashion-mnist",
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path("runs/benchmarks/reference_vae_torch.json"),
        help="where the figures go",
    )
    return parser.parse_args(arguments)


def read_images(path):
    """Binarized images of a gzipped IDX file: float32 `(n, 1, rows, columns)` in {0, 1}.

    Raises:
        ValueError: if the file is not an IDX file of images.
    """
    with gzip.open(path) as stream:
        content = stream.read()
    magic, count, rows, columns = np.frombuffer(content, ">u4", count=4).tolist()
    if magic != 2051:
        raise ValueError(f"{path} is no IDX file of images: it begins with {magic}, not with 2051.")
    pixels = np.frombuffer(content, np.uint8, offset=16).reshape(count, 1, rows, columns)
    return torch.from_numpy((pixels >= 127.5).astype(np.float32))


def train(model, images, *, epochs, batch_size, learning_rate):
    """Minimize the negative ELBO; a new order each epoch, the last batch may be smaller."""
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, eps=1e-7)
    for epoch in range(epochs):
        start, total = time.perf_counter(), 0.0
        for indices in torch.randperm(len(images)).split(batch_size):
            optimizer.zero_grad()
            loss = model(images[indices])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(indices)
        seconds = time.perf_counter() - start
        print(f"epoch {epoch + 1}: loss {total / len(images):.3f}, {seconds:.1f} s", flush=True)


@torch.no_grad()
def test_figures(model, images, *, num_draws, batch_size):
    """The one-sample ELBO, mean of `num_draws` an image, and the KL; nats an image."""
    elbos, kls = [], []
    for batch in images.split(batch_size):
        loc, scale = model.posterior(batch)
        kls.append((0.5 * (loc.square() + scale.square() - 1.0) - scale.log()).sum(dim=-1))
        draws = []
        for _ in range(num_draws):
            noise = torch.randn_like(loc)
            latents = loc + scale * noise
            # log p(z) - log q(z|x): the normal constants cancel.
            log_ratio = 0.5 * (noise.square() - latents.square()) + scale.log()
            draws.append(log_ratio.sum(dim=-1) - model.reconstruction(latents, batch))
        elbos.append(torch.stack(draws).mean(dim=0))
    elbos, kls = torch.cat(elbos).double(), torch.cat(kls).double()
    return dict(
        test_elbo=elbos.mean().item(),
        standard_error=(elbos.std(correction=0) / math.sqrt(len(elbos))).item(),
        test_kl=kls.mean().item(),
        protocol=f"one-sample ELBO, mean of {num_draws} draw(s) an image, {len(elbos)} images, "
        "nats an image",
    )


def main():
    """Train, evaluate, print and write the figures."""
    config = parse_arguments()
    torch.manual_seed(config.seed)
    if config.threads:
        torch.set_num_threads(config.threads)
    train_images = read_images(config.data_dir / "train-images-idx3-ubyte.gz")
    test_images = read_images(config.data_dir / "t10k-images-idx3-ubyte.gz")
    model = VAE(*convolutional_networks(config.latent_dim))
    start = time.perf_counter()
    train(
        model,
        train_images,
        epochs=config.epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
    )
    seconds = time.perf_counter() - start
    figures = test_figures(
        model, test_images, num_draws=config.num_draws, batch_size=config.batch_size
    )
    content = dict(
        **figures,
        training_seconds=round(seconds, 2),
        config=vars(config),
        torch=torch.__version__,
    )
    text = json.dumps(content, indent=2, default=str)
    print(text)
    config.output.parent.mkdir(parents=True, exist_ok=True)
    temporary = config.output.with_name(f".{config.output.name}.partial")
    temporary.write_text(text + "\n")
    temporary.replace(config.output)


if __name__ == "__main__":
    main()
