"""Reads the graph of an endpoint, with every function that it calls."""

import functools
import inspect
from collections.abc import Iterable, Iterator

import tensorflow as tf
from tensorflow.core.framework import graph_pb2

_PYTHON_OPS = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})
_GENERATOR_OPS = frozenset({"RngReadAndSkip", "RngSkip", "NonDeterministicInts"})
_STATELESS_RANDOM_PREFIXES = (
    "StatelessRandom",
    "StatelessTruncated",
    "StatelessParameterizedTruncated",
    "StatelessMultinomial",
)
_HALF_DTYPES = frozenset({tf.float16.as_datatype_enum, tf.bfloat16.as_datatype_enum})


def used_part(graph_def, tensor_names: Iterable[str]) -> graph_pb2.GraphDef:
    """The nodes and functions that some tensors are computed with.

    A SavedModel holds more, such as the functions that save and restore its variables.

    Args:
        graph_def: the `GraphDef` of a SavedModel.
        tensor_names: "operation:index" of the tensors.
    """
    nodes = {node.name: node for node in graph_def.node}
    functions = {function.signature.name: function for function in graph_def.library.function}
    used_nodes, used_functions = {}, {}
    waiting = [name.partition(":")[0] for name in tensor_names]
    called = []
    while waiting:
        name = waiting.pop()
        if name in nodes and name not in used_nodes:
            used_nodes[name] = nodes[name]
            waiting += [item.lstrip("^").partition(":")[0] for item in nodes[name].input]
            called += _called_functions(nodes[name])
    while called:
        name = called.pop()
        if name in functions and name not in used_functions:
            used_functions[name] = functions[name]
            for node in functions[name].node_def:
                called += _called_functions(node)
    part = graph_pb2.GraphDef(node=used_nodes.values())
    part.library.function.extend(used_functions.values())
    return part


def _called_functions(node) -> list[str]:
    called = [node.op]  # A function may be called by its name, as an operation.
    for value in node.attr.values():
        called += [function.name for function in (value.func, *value.list.func) if function.name]
    return called


def check_servable(name: str, graph_def) -> None:
    """Refuses ops that TF Serving rejects, or whose result depends on more than the inputs.

    Args:
        name: name of the endpoint, for the message.
        graph_def: its `GraphDef`.

    Raises:
        ValueError: stateful randomness, a write to a variable, a Python function, or forced XLA
            compilation.
    """
    for node in _nodes(graph_def):
        where = f"Endpoint {name!r}, operation {node.name!r} ({node.op})"
        if _is_stateful_random(node):
            raise ValueError(
                f"{where}: stateful random numbers change with every call and with the batch. "
                "Take an input seed: int32[None, 2], one row per sample, and use the functions "
                "tf.random.stateless_*."
            )
        if _is_write(node):
            raise ValueError(
                f"{where}: an endpoint may not write to a variable. Call layers with "
                "training=False, and replace a keras.random.SeedGenerator by an input "
                "seed: int32[None, 2]."
            )
        if node.op in _PYTHON_OPS:
            raise ValueError(
                f"{where}: tf.py_function and tf.numpy_function need this Python process, and no "
                "server has it. Write the step with TensorFlow operations."
            )
    for attributes in _all_attributes(graph_def):
        if "_XlaMustCompile" in attributes and attributes["_XlaMustCompile"].b:
            raise ValueError(
                f"Endpoint {name!r} calls a function with jit_compile=True, which TF Serving "
                "refuses ('XLA compilation disabled'). Call it without jit_compile in an endpoint."
            )


def is_random(graph_def) -> bool:
    """Whether an endpoint draws (stateless) random numbers."""
    return any(node.op.startswith(_STATELESS_RANDOM_PREFIXES) for node in _nodes(graph_def))


def is_ranking(graph_def) -> bool:
    """Whether an endpoint sorts or searches values, so that a rounding may exchange indices."""
    return any(node.op.startswith("TopK") for node in _nodes(graph_def))


def is_half_precision(graph_def) -> bool:
    """Whether an endpoint computes in float16 or bfloat16."""
    return any(
        value.type in _HALF_DTYPES for node in _nodes(graph_def) for value in node.attr.values()
    )


def _nodes(graph_def) -> Iterator:
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def


def _all_attributes(graph_def) -> Iterator:
    for node in _nodes(graph_def):
        yield node.attr
    for function in graph_def.library.function:
        yield function.attr


@functools.cache
def _has_seed_attribute(op: str) -> bool:
    # Asked of the op, not of the node: a SavedModel leaves out attributes that have their default.
    raw_op = getattr(tf.raw_ops, op, None)
    return raw_op is not None and "seed2" in inspect.signature(raw_op).parameters


def _is_stateful_random(node) -> bool:
    # Stateless random ops take their seed as a tensor; only stateful ones hold it as attributes.
    return (
        _has_seed_attribute(node.op)
        or "seed2" in node.attr
        or node.op in _GENERATOR_OPS
        or (node.op.startswith("Stateful") and "PartitionedCall" not in node.op)
    )


def _is_write(node) -> bool:
    return node.op.startswith(("Assign", "ResourceScatter", "ResourceApply", "ResourceSparse")) or (
        node.op.startswith("Resource") and node.op.endswith("Assign")
    )
