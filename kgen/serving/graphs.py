"""Reads the graph of a traced endpoint, with every function that it calls."""

from collections.abc import Iterator

import tensorflow as tf

_PYTHON_OPS = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})
_GENERATOR_OPS = frozenset({"RngReadAndSkip", "RngSkip", "NonDeterministicInts"})
_STATELESS_RANDOM_PREFIXES = (
    "StatelessRandom",
    "StatelessTruncated",
    "StatelessParameterizedTruncated",
    "StatelessMultinomial",
)
_HALF_DTYPES = frozenset({tf.float16.as_datatype_enum, tf.bfloat16.as_datatype_enum})


def check_servable(name: str, graph: tf.Graph) -> None:
    """Refuses ops that TF Serving rejects, or whose result depends on more than the inputs.

    Args:
        name: name of the endpoint, for the message.
        graph: its graph.

    Raises:
        ValueError: stateful randomness, a write to a variable, a Python function, or forced XLA
            compilation.
    """
    graph_def = graph.as_graph_def()
    for node in _nodes(graph_def):
        where = f"Endpoint {name!r}, operation {node.name!r} ({node.op})"
        if _is_stateful_random(node):
            raise ValueError(
                f"{where}: stateful random numbers change with every call and with the batch. "
                "Take an input seed: int32[None, 2], one row a sample, and use the functions "
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


def is_random(graph: tf.Graph) -> bool:
    """Whether an endpoint draws (stateless) random numbers."""
    return any(
        node.op.startswith(_STATELESS_RANDOM_PREFIXES) for node in _nodes(graph.as_graph_def())
    )


def is_ranking(graph: tf.Graph) -> bool:
    """Whether an endpoint sorts or searches values, so that a rounding may exchange indices."""
    return any(node.op.startswith("TopK") for node in _nodes(graph.as_graph_def()))


def is_half_precision(graph: tf.Graph) -> bool:
    """Whether an endpoint computes in float16 or bfloat16."""
    return any(
        value.type in _HALF_DTYPES
        for node in _nodes(graph.as_graph_def())
        for value in node.attr.values()
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


def _is_stateful_random(node) -> bool:
    # Stateless random ops take their seed as a tensor; only stateful ones hold it as attributes.
    return (
        "seed2" in node.attr
        or node.op in _GENERATOR_OPS
        or (node.op.startswith("Stateful") and "PartitionedCall" not in node.op)
    )


def _is_write(node) -> bool:
    return node.op.startswith(("Assign", "ResourceScatter", "ResourceApply", "ResourceSparse")) or (
        node.op.startswith("Resource") and node.op.endswith("Assign")
    )
