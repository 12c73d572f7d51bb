"""SimCLR on lightly's loss and views, with torchvision's transforms, as its tutorials have it.

A `DataLoader` with a worker a core makes both views of each image; the network is that of
`torch_simclr.py`. Transforms of a whole batch are faster, but draw once for all of its images: such
views are another, weaker augmentation, so that contender has no goal.
"""

import os

import torch
from lightly.loss import NTXentLoss
from lightly.transforms.multi_view_transform import MultiViewTransform
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks.rivals import torch_compile, torch_images
from benchmarks.rivals.torch_simclr import TEMPERATURE, trainer

ONE_DRAW = "one draw a batch"


def transforms():
    """Both views: `kgen.data.grey_augmentation(image_shape, flip=True)` in torchvision.

    Its crops are rounded to whole pixels, and its brightness multiplies.
    """
    view = v2.Compose(
        [
            v2.RandomResizedCrop(28, scale=(0.25, 1.0), antialias=False),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(brightness=0.4, contrast=0.4)], p=0.8),
        ]
    )
    return MultiViewTransform([view, view])


class Views(Dataset):
    """Two views of an image at a time.

    Args:
        images: float32 `(n, 1, height, width)` in [0, 1].
    """

    def __init__(self, images):
        self.images = images
        self.transforms = transforms()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        """`[first, second]`."""
        return self.transforms(self.images[index])


def contenders(case, images, batch_size):
    """Yields views by image and by batch, eager, and `torch.compile` where it can be had."""
    criterion = NTXentLoss(temperature=TEMPERATURE)

    def loss(network, first, second):
        return criterion(*network(torch.cat([first, second])).chunk(2))

    def loader():
        return DataLoader(
            Views(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()),
            batch_size,
            num_workers=os.cpu_count(),
            persistent_workers=True,
        )

    def by_image(batches, loss):
        return trainer(batches, loss, lambda pair: [part.to(device) for part in pair])

    def by_batch(batches, loss):
        return trainer(batches, loss, transforms())

    device = torch.get_default_device()
    batches = torch_images.channels_first(images).split(batch_size)
    yield "lightly", lambda: by_image(loader(), loss)
    yield "lightly, torch.compile", lambda: _compiled(by_image, loader(), batches[:1], loss)
    yield f"lightly, {ONE_DRAW}", lambda: by_batch(batches, loss)


def _compiled(make_trainer, loader, first, loss):
    """As `torch_compile.compiled_trainer`, for batches that cannot be cut."""
    results = torch_compile.compiled(
        lambda compiled: make_trainer([[*first, *first]], compiled)(), loss
    )
    return make_trainer(loader, *results) if results else None
