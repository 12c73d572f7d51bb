import struct

import numpy as np
import pytest
from PIL import Image

from kgen.data import info, load


@pytest.fixture
def builders():
    from kgen.data import builders

    return builders


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.tobytes())


def write_image(path, colour, size=(12, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def gather(dataset):
    parts = zip(*[(x.numpy(), y.numpy()) for x, y in dataset], strict=True)
    return [np.concatenate(part) for part in parts]


def test_tfds_knows_them_by_name(data_dir, builders):
    import tensorflow_datasets as tfds

    assert set(builders.NAMES) <= set(tfds.list_builders(with_community_datasets=False))
    assert len(tfds.load("digits", split="test", data_dir=data_dir, try_gcs=False)) == 297


@pytest.mark.parametrize(
    "name, num_modes, scale", [("gaussian_ring", 8, 0.02), ("gaussian_grid", 25, 0.05)]
)
def test_gaussian_modes(data_dir, builders, name, num_modes, scale):
    summary = info(name, data_dir=data_dir)
    assert (summary.image_shape, summary.num_classes) == ((2,), num_modes)
    assert summary.num_levels is None
    points, labels = gather(load(name, labels=True, data_dir=data_dir))
    assert points.shape == (20_000, 2) and points.dtype == np.float32
    builder = {"gaussian_ring": builders.GaussianRing, "gaussian_grid": builders.GaussianGrid}[name]
    distances = points - builder(data_dir=data_dir).means()[labels]
    # Five standard deviations of an estimate from 40,000 draws.
    assert distances.std() == pytest.approx(scale, rel=5 / np.sqrt(2 * 40_000))
    assert np.bincount(labels).min() > 0.8 * 20_000 / num_modes


def test_idx_images(tmp_path, builders):
    images = np.arange(4 * 3 * 5, dtype=np.uint8).reshape(4, 3, 5)
    write_idx(tmp_path / "train-images.idx3-ubyte", images)
    write_idx(tmp_path / "train-labels.idx1-ubyte", np.array([2, 0, 1, 0], np.uint8))
    builder = builders.IdxImages(source=tmp_path, data_dir=tmp_path / "tfds")
    received, labels = gather(load(builder, labels=True))
    order = np.argsort(received[:, 0, 0, 0])
    np.testing.assert_allclose(received[order] * 255, images[..., None], rtol=1e-6)
    assert labels[order].tolist() == [2, 0, 1, 0]
    assert info(builder).class_names == ("0", "1", "2")


def test_idx_images_without_labels(tmp_path, builders):
    write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros((4, 3, 5), np.uint8))
    name = f"idx_images/source={tmp_path}"
    assert info(name, data_dir=str(tmp_path / "tfds")).num_classes is None
    with pytest.raises(ValueError, match="no single integer label"):
        load(name, labels=True, data_dir=str(tmp_path / "tfds"))


def test_idx_images_errors(tmp_path, builders):
    with pytest.raises(ValueError, match="must be a folder"):
        builders.IdxImages(source=tmp_path / "none")
    with pytest.raises(ValueError, match="No IDX images"):
        builders.IdxImages(source=tmp_path)
    write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros((4, 3, 5), np.uint8))
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(3, np.uint8))
    with pytest.raises(ValueError, match=r"Expected 4 labels .* received shape \(3,\)"):
        load(builders.IdxImages(source=tmp_path, data_dir=tmp_path / "tfds"))


def test_image_folder_with_classes(tmp_path, builders):
    write_image(tmp_path / "in" / "cat" / "a.png", (255, 0, 0))
    write_image(tmp_path / "in" / "dog" / "deep" / "b.jpg", (0, 0, 255), size=(5, 30))
    builder = builders.ImageFolder(source=tmp_path / "in", size=(6, 4), data_dir=tmp_path / "tfds")
    images, labels = gather(load(builder, labels=True))
    assert images.shape == (2, 6, 4, 3)
    assert info(builder).class_names == ("cat", "dog")
    np.testing.assert_array_equal(images[labels == 0][0, 0, 0], [1, 0, 0])
    # JPEG keeps colours to a few levels of 255.
    np.testing.assert_allclose(images[labels == 1][0, 0, 0], [0, 0, 1], atol=4 / 255)


def test_image_folder_with_splits_in_grey(tmp_path):
    write_image(tmp_path / "in" / "train" / "a.png", (255, 255, 255))
    write_image(tmp_path / "in" / "test" / "b.png", (0, 0, 0))
    name = f"image_folder/size=4,channels=1,source={tmp_path / 'in'}"
    summary = info(name, data_dir=str(tmp_path / "tfds"))
    assert summary.image_shape == (4, 4, 1) and summary.num_classes is None
    assert summary.num_examples == {"train": 1, "test": 1}
    image = next(iter(load(name, "train", data_dir=str(tmp_path / "tfds"))))
    np.testing.assert_array_equal(image, np.ones((1, 4, 4, 1)))


def test_image_folder_crops_the_centre(tmp_path, builders):
    pixels = np.zeros((4, 12, 3), np.uint8)
    pixels[:, 4:8] = 255
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels).save(tmp_path / "in" / "a.png")
    builder = builders.ImageFolder(source=tmp_path / "in", size=4, data_dir=tmp_path / "tfds")
    np.testing.assert_array_equal(next(iter(load(builder))), np.ones((1, 4, 4, 3)))


def test_image_folder_sees_new_files(tmp_path, builders):
    for count in (1, 2):
        write_image(tmp_path / "in" / f"{count}.png", (9, 9, 9))
        builder = builders.ImageFolder(source=tmp_path / "in", size=4, data_dir=tmp_path / "tfds")
        assert info(builder).num_examples == {"train": count}


def test_image_folder_errors(tmp_path, builders):
    with pytest.raises(ValueError, match="No images that Pillow reads in .*: it is empty"):
        builders.ImageFolder(source=tmp_path)
    write_image(tmp_path / "a.png", (0, 0, 0))
    with pytest.raises(ValueError, match="size must be"):
        builders.ImageFolder(source=tmp_path, size=0)
    with pytest.raises(ValueError, match="channels must be"):
        builders.ImageFolder(source=tmp_path, channels=0)
    with pytest.raises(ValueError, match="not beside it"):
        load(builders.ImageFolder(source=tmp_path, data_dir=tmp_path / "t"), data_dir=str(tmp_path))
    (tmp_path / "b.png").write_text("no image")
    with pytest.raises(ValueError, match=r"(?s)1 of 2 pictures .*b\.png: cannot identify"):
        load(builders.ImageFolder(source=tmp_path, data_dir=tmp_path / "tfds"))
    write_image(tmp_path / "cat" / "c.png", (0, 0, 0))
    with pytest.raises(ValueError, match="Some images .* and some do not"):
        builders.ImageFolder(source=tmp_path)
