"""The arithmetic of a training step: its convolutions and matrix products."""

import math

import tensorflow as tf

from benchmarks.rivals import keras as bare
from benchmarks.rivals import kgen as ours

# Where among an operation's inputs and outputs the kernel and the output, forwards, are.
_CONVOLUTIONS = {
    "Conv2D": (1, 2),
    "Conv2DBackpropInput": (1, 2),
    "Conv2DBackpropFilter": (3, 2),
}


def gigaflops_of_step(case, images, batch_size):
    """Of a training step of bare Keras, forwards and backwards.

    All contenders of a case train the same function, so it is the arithmetic of all of them; what
    another one computes beyond that, such as taps that a mask hides, is not counted.
    """
    spec = tf.nest.map_structure(
        lambda part: tf.TensorSpec((batch_size, *part.shape[1:]), part.dtype),
        ours.batches(case, images[:batch_size], batch_size).element_spec,
    )
    with ours.precision(case.mixed_precision):
        model = bare.model(case, images.shape[1:])
        step = tf.function(model.train_step, autograph=False).get_concrete_function(spec)
    return 1e-9 * of_graph(step.graph)


def of_graph(graph):
    """The operations of a graph; a multiplication and an addition count as two."""
    return sum(_of_operation(operation) for operation in graph.get_operations())


def _of_operation(operation):
    kind = operation.type
    if kind in ("MatMul", "BatchMatMulV2", "BatchMatMulV3"):
        transposed = operation.get_attr("transpose_a" if kind == "MatMul" else "adj_x")
        terms = operation.inputs[0].shape[-2 if transposed else -1]
        return 2 * math.prod(operation.outputs[0].shape) * terms
    if kind in _CONVOLUTIONS:
        # Each pixel of the output, forwards, is a sum over the kernel's window.
        tensors = [*operation.inputs, *operation.outputs]
        kernel, pixels = (tensors[place].shape for place in _CONVOLUTIONS[kind])
        return 2 * math.prod(pixels) * math.prod(kernel[:3])
    if "Conv" in kind or "MatMul" in kind or kind == "Einsum":
        raise ValueError(f"The arithmetic of '{kind}' is not known.")
    return 0
