"""Structures of specs: nested tuples and dicts, in Keras' `(x, y)` form."""

from kgen.specs.conditions import Attributes, Labels
from kgen.specs.kinds import Clips, Images, Points, Signals


def of_shape(shape, *, unit_interval=False, num_levels=None):
    """The spec of what a network takes or makes, by its shape without the batch.

    A model that is built from networks learns here what it takes or generates: images of rank 3,
    clips or volumes of rank 4, signals of rank 2, points of rank 1.

    Args:
        shape: without the batch.
        unit_interval: bool, whether points and signals lie in [0, 1], as images and clips do.
        num_levels: int or None, on how many levels of [0, 1] values lie.

    Raises:
        ValueError: for another rank, or a size below 1.
    """
    shape = tuple(shape)
    if len(shape) in (1, 2):
        of_numbers = dict(unit_interval=unit_interval, num_levels=num_levels)
        return (Points if len(shape) == 1 else Signals)(*shape, **of_numbers)
    if len(shape) in (3, 4):
        return (Images if len(shape) == 3 else Clips)(shape, num_levels)
    raise ValueError(
        "Expected images (height, width, channels), clips (frames, height, width, channels), "
        f"signals (length, channels) or points (dim,), received shape {shape}."
    )


def x_and_y(data_spec):
    """The specs of x and of y, None where there is no y.

    A list is read as a tuple: saving a model makes lists of the tuples among its arguments.

    Raises:
        ValueError: if `data_spec` is a tuple of none, or of more than two.
    """
    if not isinstance(data_spec, (tuple, list)):
        return data_spec, None
    if len(data_spec) not in (1, 2):
        raise ValueError(
            f"A data_spec is x, (x,) or (x, y), received {len(data_spec)} parts. Where x has "
            "several parts, nest them: ((a, b, c),)."
        )
    return tuple(data_spec) if len(data_spec) == 2 else (*data_spec, None)


def condition_parts(condition):
    """The specs of what a model generates given: a tuple, empty for None.

    Raises:
        ValueError: unless `condition` is `Labels`, `Attributes`, or a tuple of them.
    """
    if condition is None:
        return ()
    parts = tuple(condition) if isinstance(condition, (tuple, list)) else (condition,)
    if not parts or not all(isinstance(part, (Labels, Attributes)) for part in parts):
        raise ValueError(
            "condition must be kgen.specs.Labels, kgen.specs.Attributes, or a tuple of them; "
            f"received {condition!r}."
        )
    return parts


def pairs(structure, values, role="x"):
    """Each spec of a structure with its role and its value: `(role, spec, value)`.

    Raises:
        TypeError: if the values have another structure.
    """
    if isinstance(structure, dict):
        if not isinstance(values, dict) or set(values) != set(structure):
            raise TypeError(role)
        parts = [(key, part, values[key]) for key, part in structure.items()]
    elif isinstance(structure, (tuple, list)):
        if not isinstance(values, (tuple, list)) or len(values) != len(structure):
            raise TypeError(role)
        both = zip(structure, values, strict=True)
        parts = [(index, part, value) for index, (part, value) in enumerate(both)]
    else:
        if isinstance(values, (dict, tuple, list)):
            raise TypeError(role)
        return [(role, structure, values)]
    return [each for key, part, value in parts for each in pairs(part, value, f"{role}[{key!r}]")]


def pack(structure, values):
    """The inverse of `pairs`: values in its order, as the structure of specs."""
    values = iter(values)

    def packed(part):
        if isinstance(part, dict):
            return {key: packed(inner) for key, inner in part.items()}
        if isinstance(part, (tuple, list)):
            return tuple(packed(inner) for inner in part)
        return next(values)

    return packed(structure)


def describe(structure):
    """A structure in words: "(images (8, 8, 1), labels 0 .. 9)"."""
    if isinstance(structure, dict):
        return (
            "{" + ", ".join(f"{key!r}: {describe(part)}" for key, part in structure.items()) + "}"
        )
    if isinstance(structure, (tuple, list)):
        inside = ", ".join(describe(part) for part in structure)
        return f"({inside},)" if len(structure) == 1 else f"({inside})"
    return str(structure)


def example(structure, count, seed=0):
    """A valid batch of a structure: one array per spec, each drawn from a seed of its own."""
    leaves = _leaves(structure)
    return pack(structure, (spec.example(count, seed + i) for i, spec in enumerate(leaves)))


def _leaves(structure):
    parts = structure.values() if isinstance(structure, dict) else structure
    if not isinstance(structure, (dict, tuple, list)):
        return [structure]
    return [leaf for part in parts for leaf in _leaves(part)]
