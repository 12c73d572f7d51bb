"""Pairs, targets, unpaired sets and any number of views: each epoch a function of (seed, epoch)."""

import numpy as np
import pytest
import tensorflow as tf

from kgen import data, specs

IMAGES = np.arange(10 * 4 * 4, dtype=np.uint8).reshape(10, 4, 4, 1)
OTHERS = 255 - IMAGES


def epoch_of(dataset, epoch):
    data.set_epoch(epoch)
    batches = list(dataset)
    data.set_epoch(0)
    return tf.nest.map_structure(lambda *parts: np.concatenate(parts), *batches)


def test_nested_arrays_keep_their_structure_and_their_rows():
    table, tokens = np.random.RandomState(0).normal(size=(10, 3)), np.arange(20).reshape(10, 2)
    structure = ({"a": IMAGES, "b": (table, tokens)}, OTHERS)
    spec = (
        {"a": specs.Images((4, 4, 1)), "b": (specs.Points(3), specs.Tokens(2, 20))},
        specs.Images((4, 4, 1)),
    )
    dataset = data.from_arrays(structure, spec=spec, batch_size=4, shuffle=True, seed=1)
    assert int(dataset.cardinality()) == 3
    x, y = epoch_of(dataset, 0)
    order = x["b"][1][:, 0] // 2
    assert sorted(order) == list(range(10)) and list(order) != list(range(10))
    np.testing.assert_allclose(x["a"], IMAGES[order] / np.float32(255))
    np.testing.assert_allclose(y, OTHERS[order] / np.float32(255))
    np.testing.assert_allclose(x["b"][0], table[order].astype("float32"))
    assert x["b"][1].dtype == np.int32
    again, other = epoch_of(dataset, 0), epoch_of(dataset, 1)
    np.testing.assert_array_equal(again[0]["b"][1], x["b"][1])
    assert not np.array_equal(other[0]["b"][1], x["b"][1])


def test_binarize_draws_each_image_of_a_structure_by_itself():
    dataset = data.from_arrays(((IMAGES, IMAGES),), binarize="dynamic", batch_size=10)
    ((first, second),) = epoch_of(dataset, 0)
    assert set(np.unique(first)) == {0.0, 1.0} and np.any(first != second)


@pytest.mark.parametrize(
    "structure, spec, message",
    [
        ((IMAGES, OTHERS[:9]), None, r"as many rows in each array, received {'x': 10, 'y': 9}"),
        (np.zeros((5, 100, 1)), None, r"spec=, such as kgen.specs.Signals"),
        (np.zeros((5, 4)), specs.Points(3), r"x: Expected points of shape \(batch, 3\)"),
        (np.full((5, 3), 7), specs.Tokens(3, 7), r"x: Expected tokens in 0 .. 6.* from 7 to 7"),
        (IMAGES, (specs.Images((4, 4, 1)), specs.Labels(2)), "received 1 parts"),
        (((IMAGES, OTHERS),), specs.Images((4, 4, 1)), "x: expected images"),
        ((IMAGES, np.full(10, 2)), (specs.Images((4, 4, 1)), specs.Labels(2)), "y: .* 0 .. 1"),
        (np.full((5, 8), 1.5), specs.Waveforms(8, 8000), r"waveforms in \[-1, 1\]"),
    ],
)
def test_errors_name_the_role(structure, spec, message):
    with pytest.raises(ValueError, match=message):
        data.from_arrays(structure, spec=spec)


def test_load_chooses_and_orders_features(data_dir):
    labels, (images, again) = next(
        iter(data.load("digits", "test", features=("label", ("image", "image")), data_dir=data_dir))
    )
    expected, expected_labels = next(
        iter(data.load("digits", "test", labels=True, data_dir=data_dir))
    )
    np.testing.assert_array_equal(images, expected)
    np.testing.assert_array_equal(again, expected)
    np.testing.assert_array_equal(labels, expected_labels)
    assert labels.dtype == tf.int32
    with pytest.raises(ValueError, match="no feature 'picture'. Its features: image: Tensor"):
        data.load("digits", features="picture", data_dir=data_dir)
    with pytest.raises(ValueError, match="labels=False"):
        data.load("digits", features="image", labels=True, data_dir=data_dir)


def unpaired(**kwargs):
    first = np.arange(8, dtype=np.float32)[:, None]
    second = 100 + np.arange(6, dtype=np.float32)[:, None]
    order = dict(batch_size=2, drop_remainder=True)
    return data.zip_unpaired(
        data.from_arrays(first, **order), data.from_arrays(second, **order), **kwargs
    )


def test_unpaired_sets():
    dataset = unpaired()
    assert int(dataset.cardinality()) == 4
    ((a, b),) = epoch_of(dataset, 0)
    np.testing.assert_array_equal(a[:, 0], np.arange(8))
    # The shorter set, whole, and its beginning again.
    assert sorted(b[:6, 0]) == [100, 101, 102, 103, 104, 105]
    np.testing.assert_array_equal(b[6:], b[:2])
    begins = [int(epoch_of(dataset, epoch)[0][1][0, 0]) for epoch in range(12)]
    assert set(begins) == {100, 102, 104}
    assert begins == [int(epoch_of(unpaired(), epoch)[0][1][0, 0]) for epoch in range(12)]
    assert begins != [int(epoch_of(unpaired(seed=1), epoch)[0][1][0, 0]) for epoch in range(12)]


def test_unpaired_sets_need_one_batch_size():
    images = data.from_arrays(IMAGES, batch_size=4)
    with pytest.raises(ValueError, match="first set may differ in size: .*drop_remainder=True"):
        data.zip_unpaired(images, images)
    small, large = (
        data.from_arrays(IMAGES, batch_size=size, drop_remainder=True) for size in (2, 5)
    )
    with pytest.raises(ValueError, match="one batch size, received 2 and 5"):
        data.zip_unpaired(small, large)
    with pytest.raises(ValueError, match="known number of batches"):
        data.zip_unpaired(small.repeat(), small)


def test_any_number_of_views():
    """The first two of four views are those of `two_views`; all four differ."""
    dataset = data.from_arrays(IMAGES, batch_size=5)
    augmentation = data.grey_augmentation((4, 4, 1))
    (four,) = epoch_of(data.views(dataset, [augmentation] * 4), 3)
    (two,) = epoch_of(data.two_views(dataset, augmentation), 3)
    np.testing.assert_array_equal(four[:2], two)
    for place, view in enumerate(four):
        assert all(np.any(view != other) for other in four[:place])
    (small,) = epoch_of(data.views(dataset, [augmentation, data.grey_augmentation((2, 2, 1))]), 0)
    assert [view.shape for view in small] == [(10, 4, 4, 1), (10, 2, 2, 1)]
    with pytest.raises(ValueError, match="at least two augmentations, one per view"):
        data.views(dataset, [augmentation])


def test_dicts_keep_their_keys():
    """Also where their keys are in another order than the alphabet's."""
    batches = data.from_arrays(
        {"b": np.ones((3, 2), np.float32), "a": np.zeros((3, 2), np.float32)}
    )
    (batch,) = batches.as_numpy_iterator()
    assert batch["a"].max() == 0 and batch["b"].min() == 1
    spec = {"b": specs.Points(2), "a": specs.Points(2)}
    (batch,) = data.from_arrays(
        {"a": np.zeros((3, 2), np.float32), "b": np.ones((3, 2), np.float32)}, spec=spec
    ).as_numpy_iterator()
    assert batch["a"].max() == 0 and batch["b"].min() == 1


@pytest.mark.parametrize("arguments", [dict(levels=8), dict(binarize="threshold")])
def test_levels_are_made_before_they_are_asked_for(arguments):
    images = np.random.default_rng(0).uniform(size=(4, 5, 5, 1)).astype("float32")
    num_levels = arguments.get("levels", 2)
    spec = specs.Images((5, 5, 1), num_levels)
    with pytest.raises(ValueError, match="levels"):
        data.from_arrays(images, spec=spec)
    (batch,) = data.from_arrays(images, spec=spec, **arguments)
    spec.check(batch)


def test_small_integers_that_are_no_pixels_stay_integers():
    column = data.pipeline.Column()
    assert column.read(tf.constant([3], tf.uint8)).numpy().tolist() == [3]
