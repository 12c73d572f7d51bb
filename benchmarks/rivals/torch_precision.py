"""Mixed precision in PyTorch, as its users write it: autocast, and scaled losses in float16."""

import contextlib

import torch


class Precision:
    """How a trainer computes and minimizes its loss.

    Args:
        mixed: bool; float16 on a GPU, bfloat16 on a CPU.
    """

    def __init__(self, mixed):
        self.device = torch.get_default_device().type
        self.mixed = mixed
        scaled = mixed and self.device == "cuda"
        self.scaler = torch.amp.GradScaler(self.device) if scaled else None

    def autocast(self):
        """The context in which the loss is computed."""
        if not self.mixed:
            return contextlib.nullcontext()
        dtype = torch.float16 if self.device == "cuda" else torch.bfloat16
        return torch.autocast(self.device, dtype)

    def backward(self, loss):
        """The gradients of the loss, scaled where that is needed."""
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()

    def step(self, optimizer):
        """One step of an optimizer on the gradients."""
        if self.scaler is None:
            optimizer.step()
        else:
            self.scaler.step(optimizer)

    def update(self):
        """Choose the next scale, once all optimizers have taken their steps."""
        if self.scaler is not None:
            self.scaler.update()
