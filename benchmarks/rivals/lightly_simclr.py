"""SimCLR on lightly's loss: with its views, as its tutorials have it, and with views by hand.

A `DataLoader` with a worker a core makes both views of each image with torchvision's transforms;
the network is that of `torch_simclr.py`. Transforms of a whole batch are faster, but draw once for
all of its images: such views are another, weaker augmentation, so that contender has no goal. The
views by hand are those of `torch_simclr.py`, and need no torchvision.
"""

import functools

import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks import libraries, machine
from benchmarks.rivals import Contender, LeftOut, torch_compile, torch_images
from benchmarks.rivals.torch_simclr import TEMPERATURE, trainer, views


def transforms():
    """Both views: `kgen.data.grey_augmentation(image_shape, flip=True)` in torchvision.

    Its crops are rounded to whole pixels, and its brightness multiplies.

    Raises:
        LeftOut: without torchvision.
    """
    try:
        v2 = libraries.import_rival("torchvision.transforms.v2")
        module = libraries.import_rival("lightly.transforms.multi_view_transform")
    except (ImportError, RuntimeError, OSError) as error:
        raise LeftOut(
            f"lightly's transforms need torchvision ({libraries.first_line(error)})."
        ) from error
    view = v2.Compose(
        [
            v2.RandomResizedCrop(28, scale=(0.25, 1.0), antialias=False),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(brightness=0.4, contrast=0.4)], p=0.8),
        ]
    )
    return module.MultiViewTransform([view, view])


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
    """Yields views by image, by hand and by batch, eager and through `torch.compile`."""
    criterion = libraries.import_rival("lightly.loss").NTXentLoss(temperature=TEMPERATURE)

    def loss(network, first, second):
        return criterion(*network(torch.cat([first, second])).chunk(2))

    def by_image(batches, loss):
        return trainer(case, batches, loss, lambda pair: [part.to(device) for part in pair])

    def by_batch():
        return trainer(case, batches, loss, transforms())

    def compiled_by_image():
        return _compiled(by_image, loader(images, batch_size), batches[:1], loss)

    def compiled_by_hand():
        return torch_compile.compiled_trainer(by_hand, batches, loss, views)

    device = torch.get_default_device()
    batches = torch_images.channels_first(images).split(batch_size)
    by_hand = functools.partial(trainer, case)
    yield Contender("lightly", lambda: by_image(loader(images, batch_size), loss), own_way=True)
    yield Contender("lightly, torch.compile", compiled_by_image, own_way=True, compiled=True)
    yield Contender("lightly's loss, views by hand", lambda: by_hand(batches, loss, views))
    yield Contender("lightly's loss, views by hand, torch.compile", compiled_by_hand, compiled=True)
    yield Contender("lightly, one draw a batch", by_batch, same_work=False)


def loader(images, batch_size):
    """Batches of pairs of views, made by a worker a core on the CPU."""
    return DataLoader(
        Views(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()),
        batch_size,
        num_workers=machine.num_cores(),
        persistent_workers=True,
        pin_memory=torch.get_default_device().type == "cuda",
        worker_init_fn=_on_the_cpu,
    )


def _on_the_cpu(worker):
    # Where the main process computes on a GPU; a forked worker cannot.
    torch.set_default_device("cpu")


def _compiled(make_trainer, loader, first, loss):
    """As `torch_compile.compiled_trainer`, for batches that cannot be cut."""
    results = torch_compile.compiled(
        lambda compiled: make_trainer([[*first, *first]], compiled)(), loss
    )
    return make_trainer(loader, *results)
