"""SimCLR on lightly's loss: with its views, as its tutorials have it, and with views by hand.

A `DataLoader` with a worker a core makes both views of each image with torchvision's transforms;
the network is that of `torch_simclr.py`. Transforms of a whole batch are faster, but draw once for
all of its images: such views are another, weaker augmentation, so that contender has no goal. The
views by hand are those of `torch_simclr.py`.
"""

import functools
import importlib
import sys

import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks import harness
from benchmarks.cases import Contender
from benchmarks.rivals import torch_loop
from benchmarks.rivals.torch_simclr import TEMPERATURE, trainer, views


def _import_torchvision():
    # Beside a PyTorch of another build, such as that for CPUs, its compiled operations cannot be
    # loaded, and must be declared for its import to succeed. The transforms use none of them.
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in ("torchvision::nms", "torchvision::qnms"):
            torch.library.define(
                name, "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]


_import_torchvision()

from lightly.loss import NTXentLoss  # noqa: E402
from lightly.transforms.multi_view_transform import MultiViewTransform  # noqa: E402
from torchvision.transforms import v2  # noqa: E402


def transforms():
    """Both views: `kgen.data.grey_augmentation(image_shape, flip=True)` in torchvision.

    Its crops are rounded to whole pixels, and its brightness multiplies.
    """
    crop = v2.RandomResizedCrop(28, scale=(0.25, 1.0), antialias=False)
    jitter = v2.RandomApply([v2.ColorJitter(brightness=0.4, contrast=0.4)], p=0.8)
    return MultiViewTransform([v2.Compose([crop, v2.RandomHorizontalFlip(), jitter])] * 2)


class Views(Dataset):
    """Two views of an image at a time, of float32 images `(n, height, width, 1)` in [0, 1]."""

    def __init__(self, images):
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
        self.transforms = transforms()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.transforms(self.images[index])


def contenders(case, images, batch_size):
    """Yields views by image, by hand and by batch, eager and through `torch.compile`."""
    criterion, device = NTXentLoss(temperature=TEMPERATURE), torch.get_default_device()
    batches = torch_loop.as_tensor(images).split(batch_size)
    by_hand = functools.partial(trainer, case)
    compiled = torch_loop.compiled_trainer

    def loss(network, first, second):
        return criterion(*network(torch.cat([first, second])).chunk(2))

    def by_image(batches, loss):
        return trainer(case, batches, loss, lambda pair: [part.to(device) for part in pair])

    def load():
        workers = dict(num_workers=harness.num_cores(), persistent_workers=True)
        # Where the main process computes on a GPU; a forked worker cannot.
        workers["worker_init_fn"] = lambda worker: torch.set_default_device("cpu")
        return DataLoader(Views(images), batch_size, pin_memory=device.type == "cuda", **workers)

    def compiled_by_image():
        return compiled(by_image, load(), [[batches[0], batches[0]]], loss)

    def compiled_by_hand():
        return compiled(by_hand, batches, batches[:1], loss, views)

    hand, compiler = "lightly's loss, views by hand", dict(compiled=True)
    by_batch = functools.partial(by_hand, batches, loss)
    yield Contender("lightly", lambda: by_image(load(), loss), own_way=True)
    yield Contender("lightly, torch.compile", compiled_by_image, own_way=True, **compiler)
    yield Contender(hand, lambda: by_hand(batches, loss, views))
    yield Contender(f"{hand}, torch.compile", compiled_by_hand, **compiler)
    yield Contender("lightly, one draw a batch", lambda: by_batch(transforms()), same_work=False)
