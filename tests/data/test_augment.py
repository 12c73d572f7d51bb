import hashlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgen.data import (
    colour_augmentation,
    from_arrays,
    grey_augmentation,
    imagenet_augmentation,
    one_view,
    set_epoch,
    two_views,
)
from kgen.data.row_draws import RowDraws, row_keys
from kgen.layers import RandomApply, RandomResizedCrop

NUM_IMAGES = 20
GREY = np.random.RandomState(0).rand(NUM_IMAGES, 8, 8, 1).astype("float32")
COLOUR = np.random.RandomState(1).rand(NUM_IMAGES, 8, 8, 3).astype("float32")
LABELS = np.arange(NUM_IMAGES)
# One sum of many may be ordered otherwise for another batch size.
ROUNDING = 1e-5


def data(images=GREY, **options):
    return from_arrays((images, LABELS[: len(images)]), **{"batch_size": 8, **options})


def views(dataset):
    """First and second views and labels of an epoch, as arrays."""
    batches = [(first, second, labels) for (first, second), labels in dataset]
    return [
        np.concatenate([part.numpy() for part in parts]) for parts in zip(*batches, strict=True)
    ]


def keras_layers():
    """Layers that draw for each image, some of them of the shapes (n, 2) and (n, 4, 2)."""
    layers, unit = keras.layers, dict(value_range=(0, 1))
    return [
        layers.RandomFlip(),
        layers.RandomRotation(0.1),
        layers.RandomTranslation(0.2, 0.2),
        layers.RandomZoom(0.3, 0.2),
        layers.RandomShear(0.2, 0.2),
        layers.RandomPerspective(1.0, 0.3),
        RandomApply([layers.RandomColorJitter(brightness_factor=0.3, hue_factor=0.2, **unit)], 0.7),
        layers.RandomColorDegeneration(0.5, **unit),
        layers.RandomSharpness((0.2, 0.8), **unit),
        layers.RandomPosterization(4, **unit),
        layers.RandomGrayscale(0.3),
        layers.RandomErasing(factor=0.5, **unit),
    ]


def test_views_are_a_function_of_seed_and_epoch():
    pipelines = [two_views(data(), grey_augmentation((8, 8, 1)), seed=seed) for seed in (0, 0, 1)]
    first, again, other = (views(pipeline) for pipeline in pipelines)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (np.abs(first[0] - other[0]).max(axis=(1, 2, 3)) > 1e-3).all()
    set_epoch(1)
    assert (np.abs(views(pipelines[0])[0] - first[0]).max(axis=(1, 2, 3)) > 1e-3).all()
    set_epoch(0)
    np.testing.assert_array_equal(views(pipelines[0])[1], first[1])


@pytest.mark.parametrize(
    ("images", "layers"),
    [
        (GREY, lambda: grey_augmentation((8, 8, 1), flip=True)),
        (COLOUR, lambda: imagenet_augmentation((8, 8, 3))),
        (COLOUR, keras_layers),
    ],
    ids=["grey", "imagenet", "keras"],
)
def test_each_image_is_drawn_for_itself(images, layers):
    layers = layers()
    whole = views(two_views(data(images, batch_size=20, drop_remainder=True), layers))
    for one, two in zip(whole, views(two_views(data(images, batch_size=6), layers)), strict=True):
        np.testing.assert_allclose(one, two, atol=ROUNDING)
    same = np.repeat(images[:1], NUM_IMAGES, axis=0)
    first, second, _ = views(two_views(data(same), layers))
    # All 40 views of one image differ.
    flat = np.concatenate([first, second]).reshape(40, -1)
    distances = np.abs(flat[:, None] - flat).max(axis=-1) + np.eye(40)
    assert distances.min() > 1e-3
    assert first.dtype == np.float32 and first.min() >= 0.0 and first.max() <= 1.0


def test_draws_do_not_depend_on_neighbours():
    layers = grey_augmentation((8, 8, 1))
    others = np.concatenate([np.zeros_like(GREY[:3]), GREY[3:]])
    changed, expected = (views(two_views(data(images), layers))[0] for images in (others, GREY))
    np.testing.assert_allclose(changed[3:], expected[3:], atol=ROUNDING)


def test_layers_are_left_as_they_were():
    layer = RandomApply([keras.layers.RandomBrightness(0.5, value_range=(0, 1), seed=1)], 1.0)
    inner = layer.layers[0]
    before = {part: dict(vars(part)) for part in (layer, inner)}
    two_views(data(), layer)
    for part, attributes in before.items():
        for name in ("generator", "backend"):
            assert vars(part).get(name) is attributes.get(name)
    again = keras.layers.RandomBrightness(0.5, value_range=(0, 1), seed=1)
    np.testing.assert_array_equal(layer(GREY), again(GREY))


def test_labels_stay_with_their_images():
    images = np.broadcast_to((LABELS / NUM_IMAGES)[:, None, None, None], (NUM_IMAGES, 8, 8, 1))
    dataset = data(images.astype("float32"), shuffle=True, seed=3)
    layers = grey_augmentation((8, 8, 1), strength=0)
    first, second, labels = views(two_views(dataset, layers))
    assert labels.dtype == np.int32 and sorted(labels) == LABELS.tolist() != labels.tolist()
    for view in (first, second):
        # A crop of a uniform image is uniform.
        np.testing.assert_allclose(view[:, 0, 0, 0] * NUM_IMAGES, labels, atol=1e-4)


def test_instances_as_classes():
    dataset = from_arrays((GREY, LABELS), shuffle=True, batch_size=8)
    identity = RandomResizedCrop(8, 8, scale=(1.0, 1.0), ratio=(1.0, 1.0))
    for images, indices in one_view(dataset, identity):
        np.testing.assert_allclose(images, GREY[indices.numpy()], atol=1e-6)


def test_one_view_is_the_first_of_two():
    layers = grey_augmentation((8, 8, 1))
    first, _, _ = views(two_views(data(), layers))
    batches = list(one_view(data(), layers))
    np.testing.assert_array_equal(np.concatenate([images for images, _ in batches]), first)
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in batches]), LABELS)
    bare = one_view(from_arrays(GREY, batch_size=8), layers)
    np.testing.assert_array_equal(np.concatenate(list(bare)), first)


def test_images_alone_and_what_keras_unpacks():
    dataset = two_views(from_arrays(GREY, batch_size=8), grey_augmentation((8, 8, 1)))
    x, y, weight = keras.utils.unpack_x_y_sample_weight(next(iter(dataset)))
    assert len(x) == 2 and y is None and weight is None


@pytest.mark.parametrize("drop", [True, False])
def test_cardinality_and_shapes_are_kept(drop):
    dataset = two_views(data(drop_remainder=drop), grey_augmentation((6, 5, 1)))
    assert int(dataset.cardinality()) == len(list(dataset)) == (2 if drop else 3)
    (first, second), labels = dataset.element_spec
    assert first == second == tf.TensorSpec((8 if drop else None, 6, 5, 1))
    assert labels.dtype == tf.int32
    endless = two_views(data().repeat(), grey_augmentation((8, 8, 1)))
    assert int(endless.cardinality()) == tf.data.INFINITE_CARDINALITY
    unknown = two_views(data().filter(lambda *_: True), grey_augmentation((8, 8, 1)))
    assert int(unknown.cardinality()) == tf.data.UNKNOWN_CARDINALITY


class SetEpoch(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        set_epoch(epoch)


def test_a_resumed_fit_sees_the_views_of_its_epochs():
    dataset = two_views(data(shuffle=True), grey_augmentation((8, 8, 1)), seed=5)

    def seen(**options):
        means = []

        class Recorder(keras.Model):
            def train_step(self, batch):
                (first, second), labels = batch
                means.append(np.stack([tf.reduce_mean(first), tf.reduce_mean(second)]))
                return {"loss": tf.constant(0.0)}

        model = Recorder()
        model.compile(run_eagerly=True)
        model.fit(dataset, callbacks=[SetEpoch()], shuffle=False, verbose=0, **options)
        return np.array(means)

    whole = seen(epochs=3)
    assert len(whole) == 9 and len(np.unique(whole)) == 18
    np.testing.assert_array_equal(seen(epochs=3, initial_epoch=1), whole[3:])


def test_replicas_share_the_views_of_one_device():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    dataset = two_views(data(drop_remainder=True), grey_augmentation((8, 8, 1)))
    expected = views(dataset)
    with strategy.scope():
        distributed = strategy.experimental_distribute_dataset(dataset)
    received = []
    for (_, second), _ in distributed:
        parts = strategy.experimental_local_results(second)
        assert [len(part) for part in parts] == [4, 4]
        received.extend(part.numpy() for part in parts)
    np.testing.assert_array_equal(np.concatenate(received), expected[1])


def test_presets_change_what_they_should():
    same = np.repeat(COLOUR[:1], NUM_IMAGES, axis=0)
    layers = colour_augmentation((8, 8, 3))
    first, second, _ = views(two_views(data(same), layers))
    grey = np.ptp(np.concatenate([first, second]), axis=-1).max(axis=(1, 2)) < 1e-6
    # 40 draws with probability 0.2: outside of 1 to 18 once in 7,000 times.
    assert 1 <= grey.sum() <= 18
    names = [type(layer).__name__ for layer in grey_augmentation((8, 8, 1))]
    assert names == ["RandomResizedCrop", "RandomApply"]
    assert any(isinstance(layer, keras.layers.RandomFlip) for layer in layers)
    saturation = layers[2].layers[0].random_saturation.factor
    # Keras multiplies the saturation by f / (1 - f); strength 0.5 is from 0.6 to 1.4.
    np.testing.assert_allclose([f / (1 - f) for f in saturation], [0.6, 1.4])
    assert layers[2].layers[0].random_hue.factor == (0.0, 0.2)
    for preset in (layers, imagenet_augmentation(), grey_augmentation((8, 8, 1))):
        for layer in preset:
            keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))


def test_flips_are_left_to_right_and_half_of_them():
    ramp = np.repeat(np.linspace(0, 1, 8, dtype="float32")[None, None, :, None], 8, axis=1)
    same = np.repeat(ramp, NUM_IMAGES, axis=0)
    first, second, _ = views(two_views(data(same), keras.layers.RandomFlip("horizontal")))
    both = np.concatenate([first, second])
    flipped = np.abs(both - ramp[:, :, ::-1]).max(axis=(1, 2, 3)) < 1e-6
    kept = np.abs(both - ramp).max(axis=(1, 2, 3)) < 1e-6
    # 40 fair coins: outside of 8 to 32 once in 10,000 times.
    assert (flipped ^ kept).all() and 8 <= flipped.sum() <= 32


def test_a_function_takes_seeds():
    def noisy(images, seeds):
        noise = tf.map_fn(
            lambda seed: tf.random.stateless_uniform((8, 8, 1), seed),
            seeds,
            fn_output_signature=tf.float32,
        )
        return images + noise - 0.5

    pairs = [views(two_views(data(batch_size=size), noisy)) for size in (8, 20)]
    np.testing.assert_array_equal(pairs[0][0], pairs[1][0])
    assert (np.abs(pairs[0][0] - pairs[0][1]).max(axis=(1, 2, 3)) > 0.1).all()
    np.testing.assert_array_equal(pairs[0][0].min(), 0.0)


def test_draws_for_a_whole_batch_follow_seed_and_epoch():
    layers = keras.Sequential(
        [
            keras.layers.RandomCrop(6, 6),
            keras.layers.GaussianNoise(0.1),
            keras.layers.Dropout(0.1),
            keras.layers.RandomGaussianBlur(value_range=(0, 1)),
            keras.layers.Rescaling(0.5),
        ]
    )
    first, again = (views(two_views(data(), layers)) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    assert first[0].shape == (NUM_IMAGES, 6, 6, 1)
    assert (first[0] != first[1]).any()
    set_epoch(1)
    assert (views(two_views(data(), layers))[0] != first[0]).any()


def test_row_draws_have_the_laws_of_keras_random():
    keys = row_keys((0,), epoch=tf.constant(0, tf.int64), indices=tf.range(3000, dtype=tf.int64))
    draws = RowDraws((), keys)
    uniform = draws.uniform((3000, 2), 2.0, 5.0).numpy()
    normal = draws.normal((3000, 2), 1.0, 2.0).numpy()
    integers = draws.randint((3000,), 3, 7).numpy()
    assert 2.0 <= uniform.min() < 2.01 and 4.99 < uniform.max() < 5.0
    # Five standard errors of 6,000 draws.
    np.testing.assert_allclose(uniform.mean(), 3.5, atol=5 * 0.87 / 6000**0.5)
    np.testing.assert_allclose([normal.mean(), normal.std()], [1, 2], atol=5 * 2 / 6000**0.5)
    assert np.isfinite(normal).all()
    # Five standard deviations of a count of 3,000 with probability 1/4.
    np.testing.assert_allclose(np.bincount(integers)[3:], 750, atol=5 * 23.7)
    assert np.abs(np.corrcoef(uniform.T)[0, 1]) < 0.1
    fixed = draws.uniform((2,)), draws.uniform(()), draws.normal((2,)), draws.randint((2,), 0, 9)
    assert [value.shape.as_list() for value in fixed] == [[2], [], [2], [2]]


def test_row_draws_match_splitmix64_in_python():
    mask, gamma = 2**64 - 1, 0x9E3779B97F4A7C15

    def mix(z):
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    def hashed(name):
        return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")

    key = mix((hashed("('augmentation', 7)") + gamma * 4) & mask)
    keys = [mix((key + gamma * (index + 1)) & mask) for index in (0, 5)]
    # The second draw of the layer at place (3, 0), three elements for each image.
    offsets = [(hashed("(3, 0, 2)") + gamma * (element + 1)) & mask for element in range(3)]
    expected = [[(mix((key + offset) & mask) >> 40) / 2**24 for offset in offsets] for key in keys]
    epoch, indices = tf.constant(3, tf.int64), tf.constant([0, 5], tf.int64)
    draws = RowDraws((3, 0), row_keys(("augmentation", 7), epoch=epoch, indices=indices))
    first, second = draws.uniform((2, 3)), draws.uniform((2, 3))
    assert (first.numpy() != second.numpy()).all()
    # Both sides hold 24 bits, which float32 represents exactly.
    np.testing.assert_array_equal(second, np.array(expected, np.float32))


def test_an_epoch_that_has_begun_stays_what_it_is():
    dataset = two_views(data(batch_size=1), grey_augmentation((8, 8, 1)))
    expected, _, _ = views(dataset)
    received = []
    for (first, _), _ in dataset:
        received.append(first.numpy())
        set_epoch(4)
    np.testing.assert_array_equal(np.concatenate(received), expected)


def test_mixed_precision_does_not_round_the_presets():
    expected = views(two_views(data(), grey_augmentation((8, 8, 1))))
    keras.config.set_dtype_policy("mixed_bfloat16")
    received = views(two_views(data(), grey_augmentation((8, 8, 1))))
    np.testing.assert_array_equal(received[0], expected[0])


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (GREY, "kgen.data.from_arrays"),
        (tf.data.Dataset.from_tensor_slices(GREY), r"dataset.batch\(batch_size\)"),
        (tf.data.Dataset.from_tensors({"image": GREY}), "received {'image'"),
        (tf.data.Dataset.from_tensors(GREY[:, 0, 0]), "Expected batches of float images"),
        (tf.data.Dataset.from_tensors((GREY * 255).astype("uint8")), "Divide integers by 255"),
    ],
)
def test_bad_data(dataset, message):
    with pytest.raises(ValueError, match=message):
        two_views(dataset, grey_augmentation((8, 8, 1)))


@pytest.mark.parametrize(
    ("augmentation", "message"),
    [
        ([], "empty list"),
        ("grey", "list of Keras layers, or a function"),
        ([tf.identity], "Keras layers only"),
        ([keras.layers.RandomBrightness(0.5)], r"value_range=\(0, 1\)"),
        ([keras.layers.Flatten()], r"must give float images \(batch, height"),
        (lambda images, seeds: tf.cast(images, tf.int32), "must give float images"),
        (lambda images, seeds: None, "must give float images"),
    ],
)
def test_bad_augmentations(augmentation, message):
    with pytest.raises(ValueError, match=message):
        two_views(data(), augmentation)


def test_bad_arguments():
    with pytest.raises(ValueError, match="seed must be an integer"):
        two_views(data(), grey_augmentation((8, 8, 1)), seed=0.5)
    with pytest.raises(ValueError, match="use grey_augmentation"):
        colour_augmentation((8, 8, 1))
    with pytest.raises(ValueError, match="strength must be"):
        grey_augmentation((8, 8, 1), strength=-1)


def test_pixels_out_of_range_are_refused_before_they_are_clipped():
    images = tf.data.Dataset.from_tensor_slices(255.0 * GREY).batch(2)
    with pytest.raises(ValueError, match="Divide by 255"):
        two_views(images, grey_augmentation((8, 8, 1)))


def test_views_of_a_fixed_epoch_are_the_same_in_all():
    views = two_views(data(), grey_augmentation((8, 8, 1)), epoch=3)
    seen = []
    for epoch in (0, 3):
        set_epoch(epoch)
        (first, _), _ = next(iter(views))
        seen.append(first.numpy())
    set_epoch(0)
    np.testing.assert_array_equal(*seen)
