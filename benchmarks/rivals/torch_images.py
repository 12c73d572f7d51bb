"""Images as PyTorch holds them."""

import torch


def channels_last(images):
    """Images `(n, height, width, channels)` with the channels innermost in memory."""
    images = torch.from_numpy(images).to(torch.get_default_device())
    return images.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def channels_first(images):
    """Images `(n, height, width, channels)` as PyTorch holds them by default."""
    return torch.from_numpy(images).to(torch.get_default_device()).permute(0, 3, 1, 2).contiguous()
