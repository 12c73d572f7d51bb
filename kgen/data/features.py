"""Which features of a TFDS data set are the images (or points) and the labels."""

import math

import numpy as np


def find_images(builder):
    """The name and the feature of a data set's images.

    Args:
        builder: tfds.core.DatasetBuilder.

    Returns:
        (name, feature). The feature is uint8, uint16, or float32 in [0, 1], `(height, width,
        channels)`, or float32 `(dim,)` for points such as those of `gaussian_ring`.

    Raises:
        ValueError: if there is no such feature, or several, or if images differ in size.
    """
    features = _top_level(builder)
    candidates = [name for name, feature in features.items() if is_image(feature)]
    if hasattr(builder, "max_value") and builder.max_value is None:
        candidates = ["image"]
    candidates = candidates or [name for name in features if name == "point"]
    supervised = builder.info.supervised_keys
    preferred = ("image", supervised[0] if supervised else None)
    chosen = next((name for name in preferred if name in candidates), None)
    if chosen is None and len(candidates) == 1:
        chosen = candidates[0]
    if chosen is None:
        number = "several image features" if candidates else "no image feature"
        raise ValueError(
            f"'{builder.name}' has {number}. Its features: {_listing(features)}. "
            "kgen.data.from_arrays takes what you read yourself."
        )
    feature = features[chosen]
    _check_size(builder, chosen, feature)
    if chosen != "point" and not has_known_range(builder, feature):
        raise ValueError(
            f"Expected images of uint8 or uint16, received feature '{chosen}' of dtype "
            f"{np.dtype(feature.np_dtype).name} in '{builder.name}', whose range is not known. "
            "Scale them to [0, 1] and use kgen.data.from_arrays."
        )
    return chosen, feature


def find_feature(builder, name):
    """A feature by its name, of fixed shape.

    Raises:
        ValueError: if there is none of this name, or its size differs from example to example.
    """
    features = _top_level(builder)
    if name not in features:
        raise ValueError(
            f"'{builder.name}' has no feature '{name}'. Its features: {_listing(features)}."
        )
    feature = features[name]
    if feature.shape is None or not hasattr(feature, "np_dtype"):
        raise ValueError(
            f"Feature '{name}' of '{builder.name}' is a {type(feature).__name__}: only images, "
            "numbers and arrays of one shape make batches."
        )
    _check_size(builder, name, feature)
    return feature


def find_labels(builder):
    """The name and the feature of a data set's integer labels, or (None, None)."""
    features = _top_level(builder)
    supervised = builder.info.supervised_keys
    if supervised and supervised[1] in features and _is_integer(features[supervised[1]]):
        return supervised[1], features[supervised[1]]
    classes = [name for name, feature in features.items() if hasattr(feature, "num_classes")]
    classes = [name for name in classes if features[name].shape == ()]
    name = "label" if "label" in classes else classes[0] if len(classes) == 1 else None
    return name, features.get(name)


def require_labels(builder):
    """The name of the label feature, or a ValueError that lists the features."""
    name, _ = find_labels(builder)
    if name is None and hasattr(builder, "folder"):
        folder = builder.folder.name
        raise ValueError(
            f"The folder '{folder}' has no classes (no single integer label): put the pictures of "
            f"each class into a folder of its own, {folder}/cat, {folder}/dog."
        )
    if name is None:
        raise ValueError(
            f"labels=True, but '{builder.name}' has no single integer label. Its features: "
            f"{_listing(_top_level(builder))}."
        )
    return name


def decoded_bytes(feature):
    """Bytes of one decoded example of a feature."""
    return math.prod(feature.shape) * np.dtype(feature.np_dtype).itemsize


def _top_level(builder):
    features = builder.info.features
    return dict(features.items()) if hasattr(features, "items") else {"": features}


def is_image(feature):
    """Whether a feature is pixels to model; masks are images to TFDS, but not data to model."""
    import tensorflow_datasets as tfds

    if isinstance(feature, tfds.features.Image):
        return not isinstance(feature, tfds.features.LabeledImage)
    return (
        isinstance(feature, tfds.features.Tensor)
        and len(feature.shape) == 3
        and feature.np_dtype in (np.uint8, np.uint16)
    )


def has_known_range(builder, feature):
    """Whether values that are no bytes lie in [0, 1]: then they are pixels."""
    if feature.np_dtype in (np.uint8, np.uint16):
        return True
    # A folder of float pictures, which its builder scaled.
    return hasattr(builder, "max_value") and builder.max_value is None


def _check_size(builder, name, feature):
    if None in feature.shape:
        raise ValueError(
            f"The images of '{builder.name}' differ in size: feature '{name}' has shape "
            f"{feature.shape}. Write them to a folder and load that with "
            "kgen.data.builders.ImageFolder(source=folder, size=64), which resizes and crops."
        )


def _is_integer(feature):
    return feature.shape == () and np.issubdtype(np.dtype(feature.np_dtype), np.integer)


def _listing(features):
    return ", ".join(f"{name}: {type(feature).__name__}" for name, feature in features.items())
