"""The arithmetic of a training step: its convolutions and matrix products."""

import importlib
import math

import tensorflow as tf

from benchmarks import precision

# Where among an operation's inputs and outputs the kernel and the output, forwards, are.
_CONVOLUTIONS = {
    "Conv2D": (1, 2),
    "Conv2DBackpropInput": (1, 2),
    "Conv2DBackpropFilter": (3, 2),
}
_PRODUCTS = ("MatMul", "BatchMatMulV2", "BatchMatMulV3")


def of_step(family, case, images, batch_size):
    """Floating-point operations of a training step of bare Keras.

    All contenders of a case train the same function, so it is the arithmetic of all of them; what
    another one computes beyond that, such as taps that a mask hides, is not counted.

    Args:
        family: a name of `cases.FAMILIES`.
        case: the model.
        images: float32 `(num_batches * batch_size, height, width, channels)`.
        batch_size: int.

    Returns:
        int, a multiplication and an addition counting as two.

    Raises:
        ValueError: if the step holds a product of a kind or size that is not known.
    """
    rival = importlib.import_module(f"benchmarks.rivals.keras_{family}")
    batches = rival.batches(images[:batch_size], batch_size)
    spec = tf.nest.map_structure(
        lambda part: tf.TensorSpec((batch_size, *part.shape[1:]), part.dtype), batches.element_spec
    )
    with precision.of_keras(case.mixed_precision):
        model = rival.model(case, images.shape[1:])
        step = tf.function(model.train_step).get_concrete_function(spec)
    return of_graph(step.graph)


def of_graph(graph):
    """The operations of the convolutions and matrix products of a graph, forwards and backwards."""
    return sum(_of_operation(operation) for operation in graph.get_operations())


def _of_operation(operation):
    kind = operation.type
    if kind in _PRODUCTS:
        left, result = operation.inputs[0].shape, operation.outputs[0].shape
        transposed = operation.get_attr("transpose_a" if kind == "MatMul" else "adj_x")
        return 2 * _size(result, operation) * left[-2 if transposed else -1]
    if kind in _CONVOLUTIONS:
        # Each pixel of the output, forwards, is a sum over the kernel's window.
        tensors = [*operation.inputs, *operation.outputs]
        kernel, pixels = (tensors[place].shape for place in _CONVOLUTIONS[kind])
        return 2 * _size(pixels, operation) * _size(kernel[:3], operation)
    if "Conv" in kind or "MatMul" in kind or kind == "Einsum":
        raise ValueError(f"The arithmetic of '{kind}' is not known.")
    return 0


def _size(shape, operation):
    if not shape.is_fully_defined():
        raise ValueError(f"The sizes of '{operation.name}' are not known: {shape}.")
    return math.prod(shape)
