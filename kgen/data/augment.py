"""Augmented views of images: pipelines that make them, and the presets of the papers."""

import functools

import keras
import tensorflow as tf

from kgen import checks
from kgen.data import pipeline
from kgen.data.row_draws import RowDraws, drawing_by_row, row_keys
from kgen.epochs import current_epoch
from kgen.layers import RandomApply, RandomBlur, RandomResizedCrop

# The names that the draws of a view start from: those of two views date from kgen 0.1.
_NAMES = ("first", "second")


def views(dataset, augmentations, *, seed=0, epoch=None):
    """Augmented views of each image, one per augmentation, for models that compare them.

    What is drawn for an image is a function of (seed, epoch, place of the image in the epoch,
    view): it depends neither on the batch size, nor on the other images, nor on whether training
    was resumed. `kgen.data.set_epoch` gives the epoch. Two kinds of layers are exceptions, and draw
    from (seed, epoch, place of the batch, view): those that draw one number for all images, as
    Keras' RandomCrop and the width of RandomGaussianBlur do, and those that are no image layers, as
    GaussianNoise. Layers that mix images (MixUp, CutMix) depend on the batch as a matter of course.

        views(dataset, [augmentation] * 2)                     two views, as SimCLR takes them
        views(dataset, [large, large, small, small])           four views of two kinds

    Args:
        dataset: tf.data.Dataset of batches of images, float `(batch, height, width, channels)` in
            [0, 1], or of tuples that begin with them, as `kgen.data.load` and `from_arrays` give.
        augmentations: list with an augmentation per view: `grey_augmentation(image_shape)`,
            `colour_augmentation(...)` or `imagenet_augmentation(...)`; or a list of Keras layers
            (or one layer, a Sequential), called with `training=True`; or a function of `(images,
            seeds)` with int32 `(batch, 2)` seeds for TensorFlow's stateless generators. What else
            such a function draws is its own: `tf.random.uniform` would make other views each time,
            which cannot be seen from here.
        seed: int.
        epoch: None for other views in each epoch; or an int for the views of that epoch in all of
            them, as images to validate on need.

    Returns:
        tf.data.Dataset of `((view_1, .., view_n),)`, or of `((view_1, .., view_n), labels)` with
        the labels as they were. Views are float32 `(batch, h, w, channels)`, clipped to [0, 1]. A
        known cardinality is kept.

    Raises:
        ValueError: for fewer than two augmentations, a data set of anything but batches of float
            images in [0, 1], of which the first batch is looked at, an augmentation that gives
            anything else, and layers made for pixels of another range.
    """
    if not isinstance(augmentations, (list, tuple)) or len(augmentations) < 2:
        raise ValueError(
            "views takes a list of at least two augmentations, one per view: [augmentation] * 2. "
            f"Received {augmentations!r}. For one view there is kgen.data.one_view."
        )
    functions = [
        functools.partial(_view, _as_function(each), checks.seed(seed), _name_of_view(place))
        for place, each in enumerate(augmentations)
    ]

    def finish(epoch, indices, images, *rest):
        # A bare pair would be images and labels to Keras.
        return (tuple(view(epoch, indices, images) for view in functions), *rest)

    return _pipeline(dataset, finish, epoch)


def _name_of_view(place):
    return _NAMES[place] if place < len(_NAMES) else f"view {place}"


def two_views(dataset, augmentation, *, seed=0, epoch=None):
    """Two views of each image by one augmentation: `views(dataset, [augmentation] * 2)`."""
    return views(dataset, [augmentation] * 2, seed=seed, epoch=epoch)


def one_view(dataset, augmentation, *, seed=0, epoch=None):
    """One augmented view of each image: as `views`, for supervised training.

    For instances as classes (ExemplarNetwork), let the label be the place of the image in the data:
    `kgen.data.from_arrays((images, numpy.arange(len(images))), shuffle=True)`.

    Args:
        dataset, seed, epoch: as in `views`.
        augmentation: one augmentation, as there.

    Returns:
        tf.data.Dataset of images, or of `(images, labels)` with the labels as they were.

    Raises:
        ValueError: as `views`.
    """
    view = functools.partial(_view, _as_function(augmentation), checks.seed(seed), "first")

    def finish(epoch, indices, images, *rest):
        images = view(epoch, indices, images)
        return (images, *rest) if rest else images

    return _pipeline(dataset, finish, epoch)


def grey_augmentation(image_shape, *, flip=False, scale=(0.25, 1.0), strength=0.5):
    """For small grey images: random resized crop, and brightness and contrast.

    As `colour_augmentation` without what needs colours, and with larger crops: 8 % of a digit is a
    stroke.

    Args:
        image_shape: `(height, width, channels)` of the views.
        flip: bool, whether to mirror left and right: for clothes, not for digits.
        scale: (low, high) in (0, 1], area of a crop over that of the image.
        strength: float in [0, 1.25], s in `colour_augmentation`; 0 for none.

    Returns:
        list of Keras layers.
    """
    reach = _jitter_reach(strength)
    jitter = [
        keras.layers.RandomBrightness(reach, value_range=(0, 1), dtype="float32"),
        keras.layers.RandomContrast((reach, reach), value_range=(0, 1), dtype="float32"),
    ]
    return _crop_and_flip(image_shape, scale, flip) + ([_sometimes(jitter, 0.8)] if reach else [])


def colour_augmentation(image_shape, *, flip=True, scale=(0.08, 1.0), strength=0.5):
    """For small colour images, as SimCLR's for CIFAR-10.

    Random resized crop, flip, colour jitter with probability 0.8, grey with probability 0.2. With
    strength s the jitter is

        brightness: x + U(-0.8 s, 0.8 s);     contrast: (x - mean) U(1 - 0.8 s, 1 + 0.8 s) + mean
        saturation, in HSV: times a factor of the same range;     hue: plus U(-0.2 s, 0.2 s) turns

    in this order, where the paper draws the order. The factor m of the saturation comes from
    Keras, with m / (1 + m) uniform. The layers are Keras' own, but for the crop and the choice of
    the jittered images.

    Args:
        image_shape: `(height, width, 3)` of the views.
        flip: bool, whether to mirror left and right, with probability 1/2.
        scale: (low, high) in (0, 1], area of a crop over that of the image.
        strength: float in [0, 1.25]; 0 for no jitter.

    Returns:
        list of Keras layers.

    Raises:
        ValueError: if the images have not three channels, or for arguments out of range.

    Reference: Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual
    Representations", appendices A and B.9.
    """
    if checks.image_shape(image_shape)[-1] != 3:
        raise ValueError(
            f"Colours need images (height, width, 3), received {tuple(image_shape)}: use "
            "grey_augmentation."
        )
    reach = _jitter_reach(strength)
    layers = _crop_and_flip(image_shape, scale, flip)
    if reach:
        jitter = keras.layers.RandomColorJitter(
            value_range=(0, 1),
            brightness_factor=reach,
            contrast_factor=(reach, reach),
            saturation_factor=((1 - reach) / (2 - reach), (1 + reach) / (2 + reach)),
            # Half of Keras' factor is the largest turn.
            hue_factor=(0.0, 0.5 * reach),
            dtype="float32",
        )
        layers.append(_sometimes([jitter], 0.8))
    return [*layers, keras.layers.RandomGrayscale(0.2, dtype="float32")]


def imagenet_augmentation(image_shape=(224, 224, 3)):
    """For photographs, as SimCLR's for ImageNet: full strength, and a blur.

    `colour_augmentation` with strength 1; then, with probability 1/2, a Gaussian blur of standard
    deviation U(0.1, 2) and a kernel of a tenth of the height. The images may be larger than
    `image_shape`, which is that of the views.

    Args:
        image_shape: `(height, width, 3)` of the views.

    Returns:
        list of Keras layers.

    Reference: Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual
    Representations", appendix A.
    """
    blur = RandomBlur((0.1, 2.0), max(1, image_shape[0] // 20), dtype="float32")
    return [*colour_augmentation(image_shape, strength=1.0), _sometimes([blur], 0.5)]


def _crop_and_flip(image_shape, scale, flip):
    height, width, _ = checks.image_shape(image_shape)
    crop = RandomResizedCrop(height, width, scale=scale, dtype="float32")
    return [crop, keras.layers.RandomFlip("horizontal", dtype="float32")] if flip else [crop]


def _sometimes(layers, probability):
    return RandomApply(layers, probability, dtype="float32")


def _jitter_reach(strength):
    if checks.at_least("strength", strength, 0.0) > 1.25:
        raise ValueError(f"strength must be in [0, 1.25], received {strength!r}.")
    return 0.8 * strength


def _pipeline(dataset, finish, epoch):
    """Number the images of an epoch and map `finish(epoch, indices, images, *rest)`."""
    _check_dataset(dataset)

    def number(start, batch):
        batch = batch if isinstance(batch, tuple) else (batch,)
        size = tf.shape(batch[0], out_type=tf.int64)[0]
        indices = tf.range(start, start + size)
        indices.set_shape(batch[0].shape[:1])
        return start + size, (indices, *batch)

    # Zipped, not nested in a flat_map: what is nested is optimized once more in each epoch.
    fixed = None if epoch is None else tf.constant(epoch, tf.int64)
    epochs = tf.data.Dataset.from_tensors(0).map(
        lambda _: current_epoch() if fixed is None else fixed
    )
    epochs = epochs.flat_map(lambda epoch: tf.data.Dataset.from_tensors(epoch).repeat())
    numbered = dataset.scan(tf.constant(0, tf.int64), number)
    viewed = tf.data.Dataset.zip(epochs, numbered).map(
        # Converting all that the layers call would double the time that tracing takes.
        tf.autograph.experimental.do_not_convert(lambda epoch, batch: finish(epoch, *batch)),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    cardinality = int(dataset.cardinality())
    if cardinality != tf.data.UNKNOWN_CARDINALITY:
        viewed = viewed.apply(tf.data.experimental.assert_cardinality(cardinality))
    return viewed.prefetch(2).with_options(pipeline.options())


def _view(augment, seed, name, epoch, indices, images):
    """One view of a batch: checked, float32, in [0, 1]."""
    images = tf.cast(images, tf.float32)
    keys = row_keys(("augmentation", seed, name), epoch=epoch, indices=indices)
    view = augment(keys, images)
    if not tf.is_tensor(view) or not view.dtype.is_floating or view.shape.rank not in (4, None):
        raise ValueError(
            "An augmentation must give float images (batch, height, width, channels), received "
            f"{view!r}."
        )
    # Both what the graph knows of the batch size and a check of it.
    view = tf.ensure_shape(view, (images.shape[0], None, None, None))
    return tf.clip_by_value(tf.cast(view, tf.float32), 0.0, 1.0)


def _as_function(augmentation):
    """What `augmentation` may be, as a function of (keys, images)."""
    if isinstance(augmentation, keras.layers.Layer):
        augmentation = [augmentation]
    if isinstance(augmentation, (list, tuple)):
        _check_layers(augmentation)
        return functools.partial(_call_layers, list(augmentation))
    if not callable(augmentation):
        raise ValueError(
            "augmentation must be a list of Keras layers, or a function of (images, seeds), "
            f"received {augmentation!r}."
        )

    def function(keys, images):
        size = images.shape[0] or tf.shape(images)[0]
        return tf.function(augmentation)(images, RowDraws((), keys).randint((size, 2), 0, 2**24))

    return function


def _call_layers(layers, keys, images):
    for place, layer in enumerate(layers):
        # Before drawing: building may trace a layer, and the traced draws would count.
        if not layer.built:
            layer.build(images.shape)
        with drawing_by_row(layer, (place,), keys):
            images = layer(images, training=True)
    return images


def _check_layers(layers):
    if not layers:
        raise ValueError("augmentation is an empty list: both views would be the image itself.")
    for layer in layers:
        if not isinstance(layer, keras.layers.Layer):
            raise ValueError(f"augmentation must hold Keras layers only, received {layer!r}.")
        for part in layer._flatten_layers():
            value_range = getattr(part, "value_range", (0, 1))
            if tuple(value_range) != (0, 1):
                raise ValueError(
                    f"{type(part).__name__} is made for pixels in {tuple(value_range)}, but images "
                    "are in [0, 1]: give it value_range=(0, 1)."
                )


def _check_dataset(dataset):
    if not isinstance(dataset, tf.data.Dataset):
        raise ValueError(
            f"Expected a tf.data.Dataset of batches of images, received {type(dataset).__name__}. "
            "Arrays become one by kgen.data.from_arrays."
        )
    spec = dataset.element_spec
    images = spec[0] if isinstance(spec, tuple) and spec else spec
    what = "Expected batches of float images (batch, height, width, channels), alone or in tuples"
    if not isinstance(images, tf.TensorSpec) or images.shape.rank != 4:
        rank = images.shape.rank if isinstance(images, tf.TensorSpec) else None
        hint = " Batch it first: dataset.batch(batch_size)." if rank == 3 else ""
        raise ValueError(f"{what} with labels, received {spec}.{hint}")
    if not images.dtype.is_floating:
        raise ValueError(
            f"{what} with labels, received dtype {images.dtype.name}. Divide integers by 255."
        )
    # Clipped views would no longer show that pixels were out of range.
    for batch in dataset.take(1):
        checks.images(batch[0] if isinstance(batch, tuple) else batch)
