"""Images as PyTorch holds them."""

import torch


def as_tensor(images, memory_format):
    """Images `(n, height, width, channels)` with the axes of PyTorch, in a memory format."""
    images = torch.from_numpy(images).to(torch.get_default_device())
    return images.permute(0, 3, 1, 2).contiguous(memory_format=memory_format)


def channels_last(images):
    """Images `(n, height, width, channels)` with the channels innermost in memory."""
    return as_tensor(images, torch.channels_last)


def channels_first(images):
    """Images `(n, height, width, channels)` as PyTorch holds them by default."""
    return as_tensor(images, torch.contiguous_format)
