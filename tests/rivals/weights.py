"""Weights of Keras in PyTorch's order, for the networks of the benchmarks."""


def turn(images):
    """Images `(batch, height, width, channels)` turned by half a turn."""
    return images[:, ::-1, ::-1]


def copy_weights(network, module):
    """Give a PyTorch module the trainable weights of a Keras network, half a turn apart."""
    import torch

    with torch.no_grad():
        for variable, parameter in zip(
            network.trainable_variables, module.parameters(), strict=True
        ):
            parameter.copy_(torch.from_numpy(as_torch(variable, variable.numpy(), network)))


def as_torch(variable, values, network):
    """Values of a Keras variable in PyTorch's order of axes, half a turn apart."""
    if values.ndim == 4:
        # Height, width, then in, out; of a transposed convolution out, in: reversed both times.
        return values[::-1, ::-1].transpose(3, 2, 0, 1).copy()
    if values.ndim == 1:
        return values.copy()
    if network.name == "discriminator":
        rows = values.reshape(4, 4, 128)[::-1, ::-1].transpose(2, 0, 1)
        return rows.reshape(1, -1).copy()
    columns = values.reshape(-1, 4, 4, 128)[:, ::-1, ::-1].transpose(3, 1, 2, 0)
    return columns.reshape(-1, len(values)).copy()
