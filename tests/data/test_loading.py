import gzip
import socket
import struct

import numpy as np
import pytest

from kgen.data import catalog, from_arrays, info, load


def gather(dataset):
    parts = zip(*[(x.numpy(), y.numpy()) for x, y in dataset], strict=True)
    return [np.concatenate(part) for part in parts]


def write_fashion_mnist(folder, count=20):
    for prefix in ("train", "t10k"):
        images = np.full((count, 28, 28), 51, np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        for name, code, array in [("images-idx3", 3, images), ("labels-idx1", 1, labels)]:
            header = bytes([0, 0, 8, code]) + struct.pack(f">{array.ndim}I", *array.shape)
            path = folder / f"{prefix}-{name}-ubyte.gz"
            path.write_bytes(gzip.compress(header + array.tobytes()))


def test_images_are_float32_in_the_unit_interval(data_dir):
    images = next(iter(load("digits", batch_size=10, data_dir=data_dir)))
    assert images.shape == (10, 8, 8, 1) and images.dtype == "float32"
    assert 0 <= images.numpy().min() and images.numpy().max() == 1


def test_digits_are_those_of_scikit_learn(data_dir):
    from sklearn.datasets import load_digits

    parts = [
        gather(load("digits", split, labels=True, data_dir=data_dir)) for split in ("train", "test")
    ]
    images, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    levels, classes = load_digits(return_X_y=True)

    def table(pixels, labels):
        rows = np.column_stack([np.asarray(pixels).reshape(len(labels), 64), labels])
        return sorted(map(tuple, rows.tolist()))

    # Sixteenths are exact in float32.
    assert table(images * 16, labels) == table(levels, classes)
    assert np.bincount(parts[1][1]).tolist() == pytest.approx([29.7] * 10, abs=1.3)


@pytest.mark.parametrize("cache", [True, False])
def test_cached_and_streamed_data_are_equal(data_dir, cache):
    options = dict(labels=True, binarize="dynamic", batch_size=100, data_dir=data_dir)
    images, labels = gather(load("digits", "test", cache=cache, **options))
    expected_images, expected_labels = gather(load("digits", "test", **options))
    np.testing.assert_array_equal(images, expected_images)
    np.testing.assert_array_equal(labels, expected_labels)
    assert labels.dtype == np.int32


def test_part_of_a_split(data_dir):
    assert int(load("digits", "train[:10%]", batch_size=50, data_dir=data_dir).cardinality()) == 3


def test_info_of_digits(data_dir):
    summary = info("digits", data_dir=data_dir)
    assert summary.image_shape == (8, 8, 1)
    assert (summary.num_levels, summary.num_classes) == (17, 10)
    assert summary.num_examples == {"train": 1500, "test": 297}
    assert summary.class_names == tuple("0123456789")


def test_info_downloads_nothing(tmp_path):
    summary = info("cifar10", data_dir=str(tmp_path))
    assert summary.image_shape == (32, 32, 3)
    assert summary.num_classes == 10
    assert summary.num_examples == {}
    assert info("binarized_mnist", data_dir=str(tmp_path)).num_levels == 2


def test_own_data_need_no_network(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert len(list(load("digits", "test", data_dir=str(tmp_path)))) == 3
    with pytest.raises(ValueError, match="Unknown"):
        load("no_such_name", data_dir=str(tmp_path))


def test_fashion_mnist_from_local_files(tmp_path, monkeypatch):
    write_fashion_mnist(tmp_path)
    monkeypatch.setattr(catalog, "FASHION_MNIST_FOLDER", str(tmp_path))
    options = dict(data_dir=str(tmp_path / "tfds"))
    images, labels = gather(load("fashion_mnist", "test", labels=True, **options))
    np.testing.assert_allclose(images, 0.2, rtol=1e-6)
    assert sorted(labels) == sorted([*range(10)] * 2)
    summary = info("fashion_mnist", **options)
    assert summary.name == "fashion_mnist" and summary.class_names[9] == "ankle boot"
    assert summary.num_examples == {"train": 20, "test": 20}


def test_fashion_mnist_offline_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "FASHION_MNIST_FOLDER", str(tmp_path / "none"))
    monkeypatch.setattr(catalog, "_is_offline", lambda host: True)
    with pytest.raises(RuntimeError, match="apt-get install dataset-fashion-mnist"):
        load("fashion_mnist", data_dir=str(tmp_path))


def test_failed_download_says_what_needs_no_network(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def fail(*args, **kwargs):
        raise ConnectionError("no route to host.")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(
        RuntimeError, match="no route to host. Data sets that need no network: digits"
    ):
        load("cifar10", data_dir=str(tmp_path))


def test_another_process_prepared_first(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    late = catalog.find_builder("digits", str(tmp_path))
    catalog.prepare(catalog.find_builder("digits", str(tmp_path)))
    assert catalog.prepare(late).info.splits["test"].num_examples == 297

    later = catalog.find_builder("digits", str(tmp_path))
    later.info.set_splits(tfds.core.SplitDict([]))
    answers = iter([False, True])
    monkeypatch.setattr(catalog, "_is_prepared", lambda builder: next(answers))

    def fail(*args, **kwargs):
        raise OSError("Directory not empty")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    assert catalog.prepare(later).info.splits["test"].num_examples == 297


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RuntimeError, match="digits.*data_dir chooses another folder"):
        load("digits", data_dir=str(tmp_path / "file"))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(name="digit"), "Unknown data set 'digit'. Near names: digits"),
        (dict(name="fashon_mnist"), "Near names: fashion_mnist"),
        (dict(name=3), "received 3"),
        (dict(name="image_folder"), "needs its folder"),
        (
            dict(name="imdb_reviews"),
            "no image feature. Its features: text: Text, label: ClassLabel",
        ),
        (
            dict(name="coco"),
            r"differ in size.*\(None, None, 3\).*ImageFolder\(source=folder, size=64",
        ),
        (dict(name="binarized_mnist", labels=True), "no single integer label. Its features: image"),
        (dict(split="valid"), "Unknown split 'valid'.* Its splits: train, test"),
        (dict(split="train[:0%]"), r"'train\[:0%\]' of 'digits' is empty"),
        (dict(batch_size=0), "batch_size must be an integer of at least 1, received 0"),
        (dict(batch_size=2000, drop_remainder=True), "is more than all 1500 examples"),
        (dict(binarize="static"), "binarize must be one of .* received 'static'"),
        (dict(cache="memory"), "cache must be True, False or 'auto', received 'memory'"),
        (
            dict(name="gaussian_ring", binarize="dynamic"),
            "needs images, which gaussian_ring has not",
        ),
    ],
)
def test_errors_of_load(data_dir, arguments, message):
    with pytest.raises(ValueError, match=message):
        load(**{"name": "digits", "data_dir": data_dir, **arguments})


IMAGES = np.zeros((6, 4, 4, 1), np.uint8)


@pytest.mark.parametrize(
    "images, options, message",
    [
        (IMAGES[..., 0], {}, "need their channel axis"),
        (IMAGES[:0], {}, "is empty"),
        (IMAGES.astype(np.int32), {}, "dtype int32 may be many things"),
        (IMAGES + np.float32(2), {}, "from 2 to 2"),
        (IMAGES + np.float32(np.nan), {}, "NaN"),
        (np.full((3, 2), np.inf), {}, "infinite"),
        (np.zeros((3, 2)), dict(binarize="fixed"), "needs images"),
        ((IMAGES, np.array([1, 2])), {}, "as many rows in each array.*'x': 6, 'y': 2"),
        ((IMAGES, np.zeros(6)), {}, "dtype float64 may be many things"),
        (IMAGES, dict(batch_size=7, drop_remainder=True), "is more than all 6 examples"),
        (IMAGES, dict(batch_size=-1), "at least 1, received -1"),
    ],
)
def test_errors_of_from_arrays(images, options, message):
    with pytest.raises(ValueError, match=message):
        from_arrays(images, **options)


def test_from_arrays_scales_uint8_and_keeps_floats():
    images = np.array([0, 51, 255, 102], np.uint8).reshape(1, 2, 2, 1)
    scaled = next(iter(from_arrays(images)))
    np.testing.assert_array_equal(scaled, images.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(next(iter(from_arrays(scaled.numpy()))), scaled)
