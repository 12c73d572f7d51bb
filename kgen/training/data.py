"""What `fit`, `evaluate` and `predict` are given: one walk over the model's `data_spec`."""

import contextlib
import numbers
import types
import warnings

import keras
import numpy as np
import tensorflow as tf

from kgen import checks, specs

_OTHER_PIXELS = (
    "Expected pixels in [0, 1] in every batch, but a batch after the first has others. Divide all "
    "by 255."
)


def check(model, x, y=None, *, batch_size=None, is_batch=False, training=True):
    """Check the data that `fit` or `evaluate` was given, before any step.

    Arrays are checked whole, data sets and `PyDataset`s by their first batch. Distributed data sets
    pass: reading them would consume them. Of a model without a `data_spec`, the size is checked.

    Args:
        model: a kgen model.
        x: what `fit` received as `x`, or the x of a generator's first batch.
        y: what `fit` received as `y`, or the y of that batch.
        batch_size: int or None.
        is_batch: bool, whether x and y are one batch of many, whatever `batch_size` says.
        training: bool; evaluation takes no slices of a batch.

    Returns:
        The first batch, `(x, y)`, or None.

    Raises:
        ValueError: for empty data, another structure than `data_spec`, a wrong rank, size, dtype or
            range, parts of unlike lengths, labels of one class alone in arrays to train on, a
            target that the model does not use, and what its `check_batch` refuses.
    """
    batch = _peek(x, y)
    if batch is None:
        return None
    values, targets = batch
    is_whole = not (is_batch or isinstance(x, (tf.data.Dataset, keras.utils.PyDataset)))
    if model.data_spec is not None:
        _check_parts(model, values, targets, several_classes=is_whole and training)
    count = len(keras.tree.flatten(values)[0])
    if count == 0:
        raise ValueError("The data set is empty: x has no rows.")
    size = min(batch_size or 32, count) if is_whole else count
    model.check_batch(values, targets, size=size, count=count, training=training)
    return keras.tree.map_structure(lambda part: None if part is None else part[:size], batch)


def first_batch(model, x, y, *, batch_size=None, training=True):
    """Check the data that `fit` or `evaluate` was given; see `check`.

    Returns:
        The first batch `(x, y)`, or None, and the x to go on with: of a generator, one of all.
    """
    first, x = _see_first(x)
    is_batch = first is not x
    seen = unpack(first)[:2] if is_batch else (x, y)
    return check(model, *seen, batch_size=batch_size, is_batch=is_batch, training=training), x


def examples(x, batch, *, count=10_000):
    """Enough of the x of `fit` for means and variances: all of arrays, batches of a data set.

    Args:
        x: what `fit` received, a generator in the form that `first_batch` gave it.
        batch: its first batch, `(x, y)`, or None.
        count: int, so many rows of a data set are enough.

    Returns:
        the structure of x, as arrays; or None.
    """
    if not isinstance(x, tf.data.Dataset):
        is_arrays = not isinstance(x, (keras.utils.PyDataset, types.GeneratorType))
        return x if is_arrays and batch is not None else batch and batch[0]
    parts, rows = [], 0
    for element in x:
        parts.append(keras.tree.map_structure(np.asarray, unpack(element)[0]))
        rows += len(keras.tree.flatten(parts[-1])[0])
        if rows >= count:
            break
    return keras.tree.map_structure(lambda *each: np.concatenate(each), *parts)


def check_replicas(model, x, batch_size):
    """Raise ValueError for what several replicas cannot train on."""
    replicas = model.distribute_strategy.num_replicas_in_sync
    if replicas == 1:
        return
    if model.compiled and model.steps_per_execution > 1:
        raise ValueError(
            "steps_per_execution > 1 does not work with several replicas. "
            f"Received steps_per_execution={model.steps_per_execution}: use 1."
        )
    array = x[0] if isinstance(x, (tuple, list)) else x
    if hasattr(array, "shape"):
        count = len(array)
        left_over = count % (batch_size or 32)
        if 0 < left_over < replicas:
            raise ValueError(
                f"The last batch has {left_over} of {count} images, too few for {replicas} "
                "replicas: one would get none. Leave them out, or choose another batch_size."
            )


def check_scope(model):
    """Raise ValueError for weights that were made outside the strategy's scope."""
    made_in_scope = model.distribute_strategy.extended.variable_created_in_scope
    outside = [v.path for v in model.variables if not made_in_scope(v.value)]
    if outside:
        raise ValueError(
            f"{type(model).__name__} has weights that were made outside strategy.scope(), such as "
            f"'{outside[0]}': make the model and its networks inside it."
        )


def check_class_weight(x, y, class_weight):
    """Raise ValueError for weights of classes where no label can be seen to come."""
    brings_labels = isinstance(x, (tf.data.Dataset, keras.utils.PyDataset, types.GeneratorType))
    if class_weight is not None and y is None and not brings_labels:
        raise ValueError("class_weight weighs examples by their labels: give them as y.")


def _check_parts(model, values, targets, *, several_classes):
    x_spec, y_spec = specs.x_and_y(model.data_spec)
    found = _matched(model, "x", x_spec, values, _hint(x_spec, y_spec, values, targets))
    if y_spec is not None:
        if targets is None:
            raise ValueError(_missing_targets(model, y_spec))
        found += _matched(model, "y", y_spec, targets)
    for role, spec, value in found:
        spec.check(value, role)
    if y_spec is None:
        _check_unused(model, targets)
    lengths = {role: len(value) for role, _, value in found}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"{type(model).__name__} takes as many rows in each part, received {lengths}."
        )
    if several_classes:
        for _, spec, value in found:
            if isinstance(spec, specs.Labels):
                checks.several_classes(value)


def unpack(batch, model=None):
    """The x, y and weights of a batch; y is None where `with_stand_in` made it.

    With a model, pixels of x are looked at in the graph too: `check` sees a first batch alone.
    """
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    shape = tf.TensorShape(getattr(y, "shape", None))
    is_stand_in = shape.rank == 2 and shape[1] == 0
    # Steps by hand may be of other numbers.
    if model is not None and model._looks_at_pixels and model.data_spec is not None:
        x_spec, _ = specs.x_and_y(model.data_spec)
        if isinstance(x_spec, (specs.Images, specs.Clips)):
            x = _in_unit_interval(x)
    return x, None if is_stand_in else y, sample_weight


def _in_unit_interval(x):
    """x, with an assertion that fails for pixels of another range, such as 0 .. 255."""
    least, largest = tf.reduce_min(x), tf.reduce_max(x)
    # NaN passes: it is a missing pixel, or the loss says so.
    is_other = (least < -1e-3) | (largest > 1.0 + 1e-3)
    with tf.control_dependencies([tf.debugging.Assert(~is_other, [_OTHER_PIXELS])]):
        return tf.identity(x)


@contextlib.contextmanager
def looking_at_pixels(model):
    """While `fit` and `evaluate` run: a batch of other pixels is a ValueError."""
    model._looks_at_pixels = True
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if _OTHER_PIXELS in str(error):
            raise ValueError(f"x: {_OTHER_PIXELS}") from None
        raise
    finally:
        model._looks_at_pixels = False


def with_stand_in(x, y, sample_weight):
    """`y`; where weights come without it, an array of no width: Keras would drop the weights."""
    if y is not None or sample_weight is None or not hasattr(sample_weight, "__len__"):
        return y
    return np.zeros((len(keras.tree.flatten(x)[0]), 0), np.float32)


def as_array(values):
    """Labels or weights as an array where they are a list or a pandas Series."""
    is_list = isinstance(values, list) and all(isinstance(each, numbers.Number) for each in values)
    return np.asarray(values) if is_list or hasattr(values, "to_numpy") else values


def check_prediction(model, x):
    """Check what `predict` was given against the model's `predict_spec`; see `check`."""
    batch = _peek(x)
    if batch is None or model.predict_spec is None:
        return
    values, targets = batch
    spec = model.predict_spec
    has_parts = isinstance(spec, (tuple, list))
    if has_parts and not isinstance(values, (tuple, list)) and targets is not None:
        values = (values, targets)
    for role, part, value in _matched(model, "x", spec, values, _hint(spec, None, values, None)):
        part.check(value, role)


def check_validation(model, data, batch_size=None):
    """Check the first batch of what `fit` was given as `validation_data`; see `check`.

    Returns:
        The same for Keras: labels and weights as arrays, a stand-in for a missing y beside weights.
    """
    parts = data if isinstance(data, (tuple, list)) else (data,)
    x, y, sample_weight = (*parts, None, None)[:3]
    y, sample_weight = as_array(y), as_array(sample_weight)
    check(model, x, y, batch_size=batch_size, training=False)
    if len(parts) < 2:
        return data
    y = with_stand_in(x, y, sample_weight)
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def _see_first(x):
    """A generator's first batch and a generator of all; of anything else, itself twice."""
    if not isinstance(x, types.GeneratorType):
        return x, x
    first = next(x, None)
    if first is None:
        raise ValueError("The generator is empty: it gave no batch.")

    def rest():
        yield first
        yield from x

    return first, rest()


def _peek(x, y=None):
    """The x and y that can be seen without consuming them, as arrays; None where there are none."""
    if isinstance(x, tf.data.Dataset):
        first = next(iter(x.take(1)), None)
        if first is None:
            raise ValueError("The data set is empty: it gave no batch.")
        x, y, _ = unpack(first)
    elif isinstance(x, keras.utils.PyDataset):
        x, y, _ = unpack(x[0])
    try:
        parts = keras.tree.flatten((x, y))
    except (TypeError, ValueError):
        return None
    if x is None or not all(part is None or hasattr(part, "shape") for part in parts):
        return None
    return keras.tree.map_structure(lambda part: None if part is None else np.asarray(part), (x, y))


def _matched(model, role, spec, values, hint=""):
    """Each spec with its role and its array; ValueError if the values have another structure."""
    try:
        return specs.pairs(spec, values, role)
    except TypeError:
        raise ValueError(
            f"{type(model).__name__} takes {role} = {specs.describe(spec)}, received "
            f"{_received(values)}.{hint}"
        ) from None


def _hint(x_spec, y_spec, values, targets):
    """What to do where x has another structure, as far as it can be guessed."""
    if not isinstance(x_spec, (tuple, list)):
        is_pair = isinstance(values, (tuple, list)) and len(values) == 2
        if is_pair and y_spec is not None and targets is None:
            return " Give x and y as two arguments, or a data set of pairs (x, y)."
        if isinstance(values, dict):
            wanted = "image" if "image" in values else next(iter(values), "image")
            both = f"(e['{wanted}'], e['label'])" if y_spec is not None else f"e['{wanted}']"
            return (
                f" Choose the features: dataset.map(lambda e: {both}); or let kgen.data.load(name, "
                "features=...) read the TFDS data set, which scales pixels too."
            )
        return ""
    if hasattr(values, "ndim") and getattr(targets, "ndim", None) == values.ndim:
        return " A bare pair is read as (x, y): give ((first, second),)."
    is_views = len(x_spec) > 1 and all(part == x_spec[0] for part in x_spec)
    if is_views and isinstance(x_spec[0], specs.Images):
        return " Make views with kgen.data.views(dataset, [augmentation, ...])."
    return ""


def _received(values):
    if isinstance(values, dict):
        parts = (f"{key!r}: {_received(part)}" for key, part in values.items())
        return "{" + ", ".join(parts) + "}"
    if isinstance(values, (tuple, list)):
        return f"({', '.join(map(_received, values))})"
    return f"{values.dtype} {values.shape}"


def _missing_targets(model, y_spec):
    name, x_spec = type(model).__name__, specs.describe(specs.x_and_y(model.data_spec)[0])
    if isinstance(y_spec, specs.Labels):
        hint = "pass (images, labels), or kgen.data.load(..., labels=True)"
        if y_spec.meaning != "class":
            hint = "such as numpy.arange(len(images)); pass (images, numbers)"
        return (
            f"{name} needs labels beside {x_spec}: y is missing. It takes the {y_spec.meaning}, "
            f"integers (batch,) in 0 .. {y_spec.num_classes - 1}: {hint}."
        )
    return f"{name} takes ({x_spec}, {specs.describe(y_spec)}), received x alone: y is missing."


def _check_unused(model, targets):
    """Labels that a model does not use are said once; targets are refused."""
    if targets is None:
        return
    name = type(model).__name__
    if model.target_spec is not None and targets.ndim == 1 + len(model.target_spec.shape):
        model.target_spec.check(targets, "y")
        return
    parts = keras.tree.flatten(targets)
    if any(part.ndim > 1 and part.shape[1:] != (1,) for part in parts):
        raise ValueError(
            f"{name} takes {specs.describe(model.data_spec)} without targets, received y = "
            f"{_received(targets)}. Leave y out."
        )
    if not getattr(model, "_said_labels_are_ignored", False):
        model._said_labels_are_ignored = True
        # Beyond `_check_parts`, `check`, `first_batch` and `fit`, to the caller's line.
        warnings.warn(f"{name} learns without labels: those given are not used.", stacklevel=6)
