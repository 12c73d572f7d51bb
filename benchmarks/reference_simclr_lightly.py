"""The reference for SimCLR's probes: lightly's loss and views, PyTorch's loop, the same network.

    python -m benchmarks.reference_simclr_lightly --epochs=6 --seed=0

Fashion-MNIST; kgen's counterpart: `recipes/simclr.py --dataset=fashion_mnist --flip
--stem_strides=2 --epochs=6`. Its crops are rounded to whole pixels, and its brightness multiplies;
the probes are those of the recipe.
"""

import dataclasses
import json
import pathlib
import time

import numpy as np
import torch
from torch.utils.data import DataLoader

from benchmarks import harness
from benchmarks.harness import option
from benchmarks.rivals.lightly_simclr import NTXentLoss, Views
from benchmarks.rivals.torch_simclr import SimCLR
from kgen import data, evaluation


@dataclasses.dataclass(frozen=True)
class Config:
    """The flags, with the defaults of the recipe."""

    epochs: int = option(6, "passes over the training images")
    seed: int = option(0, "of weights, order and views")
    batch_size: int = option(256, "images a step; those left over are skipped")
    learning_rate: float = option(2e-3, "Adam's at the start; it falls to 0 along a cosine")
    temperature: float = option(0.2, "of NT-Xent")
    data_dir: str = option("", "folder of prepared data sets; TFDS' own by default")
    output: str = option("runs/benchmarks/reference_simclr_lightly.json", "where the figures go")


def train(images, config):
    """The network after `epochs` passes.

    Args:
        images: float32 array `(n, 28, 28, 1)` in [0, 1].
        config: the configuration.
    """
    criterion = NTXentLoss(config.temperature)
    loader = DataLoader(
        Views(images),
        config.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=harness.num_cores(),
        persistent_workers=True,
    )
    network = SimCLR()
    optimizer = torch.optim.Adam(
        network.parameters(), lr=config.learning_rate, eps=1e-7, fused=True
    )
    num_steps = config.epochs * len(loader)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    for epoch in range(config.epochs):
        start, total = time.perf_counter(), 0.0
        for first, second in loader:
            optimizer.zero_grad()
            pair = torch.cat([first, second]).contiguous(memory_format=torch.channels_last)
            loss = criterion(*network(pair).chunk(2))
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        seconds = time.perf_counter() - start
        print(f"epoch {epoch + 1}: loss {total / len(loader):.3f}, {seconds:.1f} s", flush=True)
    return network


@torch.no_grad()
def features(network, images, batch_size=500):
    """The encoder's features, with the moving statistics: float32 `(n, 128)`."""
    network.eval()
    turned = torch.from_numpy(images).permute(0, 3, 1, 2)
    parts = [network.encoder(2.0 * part - 1.0) for part in turned.split(batch_size)]
    return torch.cat(parts).numpy()


def main(config):
    """Train, probe, print and write the figures. Returns them."""
    torch.manual_seed(config.seed)
    sets = {}
    for split in ("train", "test"):
        batches = data.load(
            "fashion_mnist", split, data_dir=config.data_dir or None, labels=True
        ).as_numpy_iterator()
        sets[split] = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
    start = time.perf_counter()
    network = train(sets["train"][0], config)
    seconds = time.perf_counter() - start
    arrays = []
    for images, labels in sets.values():
        arrays += [features(network, images), labels]
    curve = evaluation.low_shot_curve(*arrays, seed=config.seed)
    figures = {f"linear_probe_{100 * fraction:g}_percent": curve[fraction] for fraction in curve}
    figures["neighbours"] = evaluation.knn_probe(*arrays)
    for name, figure in figures.items():
        print(f"{name}: {figure['value']:.1%}")
    content = dict(
        metrics=figures,
        training_seconds=round(seconds, 2),
        config=dataclasses.asdict(config),
        versions=harness.description()["versions"],
    )
    output = pathlib.Path(config.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    harness.write(output, json.dumps(content, indent=2) + "\n")
    return content


if __name__ == "__main__":
    harness.run(main, Config)
