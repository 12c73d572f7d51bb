"""The pipeline of `load` over NumPy arrays."""

import keras
import numpy as np

from kgen import specs
from kgen.data import pipeline


def from_arrays(
    structure,
    *,
    spec=None,
    batch_size=128,
    shuffle=False,
    seed=0,
    binarize=None,
    levels=None,
    drop_remainder=False,
):
    """Batches from arrays in memory, in the structure that a model's `data_spec` has.

        from_arrays(images)                                    x alone
        from_arrays((images, labels))                          x and y
        from_arrays(((first, second),))                        x is a pair
        from_arrays((table, targets), spec=(Points(8), Points(1)))

    Args:
        structure: an array, or a tuple or dict of arrays, nested as Keras takes `(x, y)`. Arrays
            have one row per example. Images are uint8 or float in [0, 1], of shape `(n, height,
            width, channels)`.
        spec: the same structure of `kgen.specs`, such as `model.data_spec`. Without it arrays of
            rank 4 are images, of rank 5 clips, float arrays of rank 2 points, integers of rank 1
            labels; what else there is needs a spec.
        batch_size, shuffle, seed, drop_remainder: as in `kgen.data.load`.
        binarize, levels: as there, for all images.

    Returns:
        tf.data.Dataset of the structure, with known cardinality: images, clips and other floats
        float32, integers int32. An epoch is a function of (seed, epoch).

    Raises:
        ValueError: for wrong shapes, dtypes or ranges, empty arrays, NaN, arrays of unlike lengths,
            a structure that the spec does not have, or arguments that would give no batch.
    """
    if isinstance(structure, tuple) and structure[-1] is None:
        structure = structure[0] if len(structure) == 2 else structure[:-1]
    structure = keras.tree.map_structure(np.asarray, structure)
    if spec is None:
        spec = keras.tree.map_structure(_inferred, structure)
    leaves = _checked(spec, structure, are_rounded=binarize is not None or levels is not None)
    lengths = {role: len(array) for role, _, array in leaves}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"Expected as many rows in each array, received {lengths}.")
    count = next(iter(lengths.values()))
    pipeline.check_arguments(
        count,
        batch_size=batch_size,
        drop_remainder=drop_remainder,
        binarize=binarize,
        levels=levels,
    )
    columns = [_column(leaf, levels) for _, leaf, _ in leaves]
    are_images = [column.is_image for column in columns]
    for argument, value in (("binarize", binarize), ("levels", levels)):
        if value is not None and not any(are_images):
            raise ValueError(f"{argument}={value!r} needs images, received {specs.describe(spec)}.")
    is_x_and_y = isinstance(structure, tuple)

    def pack(values):
        packed = specs.pack(spec if isinstance(spec, tuple) else (spec,), values)
        return packed if is_x_and_y else packed[0]

    batches_of_epoch = pipeline.batches_in_memory(
        tuple(array for _, _, array in leaves),
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        drop_remainder=drop_remainder,
    )
    return pipeline.assemble(
        batches_of_epoch,
        count,
        batch_size=batch_size,
        drop_remainder=drop_remainder,
        seed=seed,
        binarize=binarize,
        columns=columns,
        pack=pack,
    )


def _column(spec, levels):
    is_image = isinstance(spec, specs.Images)
    is_clip = isinstance(spec, specs.Clips)
    return pipeline.Column(is_image=is_image, is_pixels=is_image or is_clip, levels=levels)


def _inferred(array):
    """The spec of an array that nobody described; its checks do not depend on its sizes."""
    if array.size == 0:
        raise ValueError(f"The data set is empty: received an array of shape {array.shape}.")
    is_pixels = array.dtype == np.uint8 or np.issubdtype(array.dtype, np.floating)
    if array.ndim == 4 and is_pixels:
        return specs.Images(array.shape[1:])
    if array.ndim == 5 and is_pixels:
        return specs.Clips(array.shape[1:])
    if array.ndim == 2 and np.issubdtype(array.dtype, np.floating):
        return specs.Points(array.shape[1])
    if array.ndim == 1 and np.issubdtype(array.dtype, np.integer):
        # Labels of any classes: how many there are is for the model to check.
        return None
    hint = ""
    if array.ndim == 3:
        hint = " Grey images need their channel axis: images[..., None]."
    elif array.ndim == 4:
        hint = " Pixels are uint8, or float in [0, 1]."
    raise ValueError(
        f"An array of shape {array.shape} and dtype {array.dtype} may be many things: say what it "
        f"is by spec=, such as kgen.specs.Signals(100, 1) or kgen.specs.Tokens(20, 1000).{hint}"
    )


def _checked(spec, structure, are_rounded):
    """`(role, spec, array)` of each leaf, the arrays of the dtype that is kept in memory."""
    parts = (structure,) if not isinstance(structure, tuple) else structure
    x_and_y = (spec,) if not isinstance(spec, tuple) else spec
    if len(parts) != len(x_and_y):
        raise ValueError(
            f"Expected the structure {specs.describe(spec)}, received {len(parts)} parts."
        )
    leaves = []
    for role, part, array in zip("xy", x_and_y, parts, strict=False):
        try:
            leaves += specs.pairs(part, array, role)
        except TypeError as error:
            raise ValueError(
                f"{error}: expected {specs.describe(part)}, received another structure."
            ) from None
    if are_rounded:
        # Pixels come to their levels in the pipeline.
        leaves = [
            (role, specs.Images(part.shape) if isinstance(part, specs.Images) else part, array)
            for role, part, array in leaves
        ]
    return [(role, part, _kept(part, array, role)) for role, part, array in leaves]


def _kept(spec, array, role):
    if spec is None:
        return array.astype(np.int32)
    if array.dtype == np.uint8 and isinstance(spec, (specs.Images, specs.Clips)):
        # Bytes stay bytes in memory, and are divided by 255 in the pipeline: only shapes can fail.
        type(spec)(spec.shape).check(array[:1].astype(np.float32) / 255.0, role)
        return array
    if spec.dtype == "float32" and np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float32, copy=False)
    spec.check(array, role)
    return array.astype(spec.dtype, copy=False)
