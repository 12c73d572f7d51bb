"""The classifier of the digits: accuracy, cache, seeds; and Inception's inputs."""

import json
import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kgen import data, evaluation
from kgen.data import builders
from kgen.epochs import current_epoch
from kgen.evaluation import classifier_features, extractors, inception_features


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of data and of a classifier of the digits, trained as by default."""
    data_dir, cache_dir = (str(tmp_path_factory.mktemp(name)) for name in ("tfds", "cache"))
    classifier_features("digits", cache_dir=cache_dir, data_dir=data_dir)
    return dict(data_dir=data_dir, cache_dir=cache_dir)


def test_the_classifier_knows_digits(folders):
    result = classifier_features("digits", **folders)
    assert result.test_accuracy > 0.95
    batches = data.load("digits", "test", labels=True, data_dir=folders["data_dir"])
    images, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
    logits = result.classifier(images).numpy()
    assert logits.shape == (297, 10)
    assert np.mean(logits.argmax(axis=1) == labels) == pytest.approx(result.test_accuracy)
    features = result.extractor(images).numpy()
    assert features.shape == (297, 128)
    # The last layer is linear in the features; sums of 128 float32 products.
    kernel, bias = result.classifier.get_layer("logits").get_weights()
    np.testing.assert_allclose(features @ kernel + bias, logits, atol=1e-4)
    assert "digits" in result.extractor.name
    accuracy = f"classifier of digits, test accuracy {result.test_accuracy:.4f}"
    assert accuracy in result.extractor.protocol and accuracy in result.classifier.protocol


def untrainable(*arguments, **keywords):
    raise AssertionError("It should have been read from the cache.")


def test_it_is_trained_once(folders, monkeypatch):
    monkeypatch.setattr(extractors, "_train", untrainable)
    first, second = (classifier_features("digits", **folders) for _ in range(2))
    images = np.full((2, 8, 8, 1), 0.5, "float32")
    np.testing.assert_array_equal(first.extractor(images), second.extractor(images))


def test_a_cache_of_another_training_or_a_torn_one_is_not_used(folders, tmp_path, monkeypatch):
    trained = []

    def train(classifier, *splits, **keywords):
        trained.append(keywords["epochs"])
        return 0.5

    monkeypatch.setattr(extractors, "_train", train)
    monkeypatch.setattr(extractors, "_FILTERS", (2,))
    options = dict(data_dir=folders["data_dir"], cache_dir=tmp_path)
    classifier_features("digits", **options)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["digits.json", "digits.keras"]
    assert json.loads((tmp_path / "digits.json").read_text())["test_accuracy"] == 0.5
    assert classifier_features("digits", **options).test_accuracy == 0.5
    assert trained == [5]
    classifier_features("digits", epochs=1, **options)
    classifier_features("digits", epochs=1, seed=1, **options)
    classifier_features("digits", epochs=1, seed=1, image_shape=(6, 9, 1), **options)
    assert trained == [5, 1, 1, 1]
    with open(tmp_path / "digits.keras", "ab") as file:
        file.write(b"torn")
    shape = dict(epochs=1, seed=1, image_shape=(6, 9, 1))
    classifier_features("digits", **shape, **options)
    assert len(trained) == 5
    (tmp_path / "digits.json").write_text("{")
    classifier_features("digits", **shape, **options)
    assert len(trained) == 6


def generators():
    """What the global generators give next, and the epoch of the pipelines."""
    return [
        random.random(),
        float(np.random.random()),
        float(tf.random.uniform(())),
        float(keras.random.uniform(())),
        int(current_epoch()),
    ]


def test_training_depends_on_its_seed_alone_and_leaves_the_global_ones(
    folders, tmp_path, monkeypatch
):
    # Tracing a step takes most of the time: one convolution in place of two.
    monkeypatch.setattr(extractors, "_FILTERS", (8,))

    def train(global_seed, seed=0):
        keras.utils.set_random_seed(global_seed)
        keras.config.set_dtype_policy("mixed_float16")
        options = dict(epochs=1, seed=seed, data_dir=folders["data_dir"])
        result = classifier_features(
            "digits", cache_dir=tmp_path / f"{global_seed}_{seed}", **options
        )
        assert keras.config.dtype_policy().name == "mixed_float16"
        assert result.extractor.compute_dtype == result.classifier.compute_dtype == "float32"
        return result.classifier.get_weights(), generators()

    data.set_epoch(3)
    try:
        keras.utils.set_random_seed(1)
        untouched = generators()
        first, after = train(1)
        second, _ = train(2)
        third, _ = train(1, seed=1)
    finally:
        data.set_epoch(0)
    assert after == untouched and after[-1] == 3
    for one, other in zip(first, second, strict=True):
        # The same operations; threads may sum in another order.
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
    assert np.abs(first[0] - third[0]).max() > 0.1


def test_images_of_another_size(folders, tmp_path):
    options = dict(epochs=2, cache_dir=tmp_path, data_dir=folders["data_dir"])
    result = classifier_features("digits", image_shape=(16, 12, 1), **options)
    assert result.extractor.input_shape == (None, 16, 12, 1)
    assert result.test_accuracy > 0.95
    assert "resized to 16x12" in result.extractor.protocol


def test_a_builder_of_ones_own(folders, tmp_path, monkeypatch):
    """A folder of white and of black images, which one epoch tells apart."""
    monkeypatch.setattr(extractors, "_FILTERS", (8,))
    for split in ("train", "test"):
        for name, level in (("black", 0), ("white", 255)):
            write_images(tmp_path / "images" / split / name, level, count=64)
    options = dict(size=8, channels=1, data_dir=folders["data_dir"])
    builder = builders.ImageFolder(source=tmp_path / "images", **options)
    result = classifier_features(builder, cache_dir=tmp_path / "cache", epochs=1)
    name = builder.info.full_name
    assert name.startswith("image_folder/images_")
    # Shown by its folder's name, kept by its full one.
    assert "classifier of images, test accuracy" in result.extractor.protocol
    assert result.classifier.output_shape == (None, 2)
    monkeypatch.setattr(extractors, "_train", untrainable)
    again = classifier_features(builder, cache_dir=tmp_path / "cache", epochs=1)
    black = np.zeros((1, 8, 8, 1), "float32")
    np.testing.assert_array_equal(again.extractor(black), result.extractor(black))


def test_a_single_class(folders, tmp_path):
    for split in ("train", "test"):
        write_images(tmp_path / "images" / split / "cat", 9, count=1)
    builder = builders.ImageFolder(source=tmp_path / "images", size=8, data_dir=folders["data_dir"])
    with pytest.raises(ValueError, match="single class, 'cat'"):
        classifier_features(builder, cache_dir=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def write_images(folder, level, count):
    folder.mkdir(parents=True)
    for index in range(count):
        Image.new("L", (8, 8), level).save(folder / f"{index}.png")


def test_wrong_data_sets(folders, tmp_path):
    options = dict(cache_dir=tmp_path, data_dir=folders["data_dir"])
    with pytest.raises(ValueError, match="other channels"):
        classifier_features("digits", image_shape=(8, 8, 3), **options)
    with pytest.raises(ValueError, match="Unknown data set"):
        classifier_features("digitz", **options)
    with pytest.raises(ValueError, match="name of a data set"):
        classifier_features(np.zeros(3), **options)
    with pytest.raises(ValueError, match="image_shape must be"):
        classifier_features("gaussian_ring", **options)


def test_inception_gets_what_it_was_trained_on(monkeypatch):
    def stand_in(*, include_top, weights, pooling, input_shape):
        assert (include_top, weights, pooling) == (False, "imagenet", "avg")
        inputs = keras.Input(input_shape)
        return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))

    monkeypatch.setattr(keras.applications, "InceptionV3", stand_in)
    keras.config.set_dtype_policy("mixed_bfloat16")
    grey = inception_features((28, 20, 1))
    # Pixels 0, 1/4 and 1 become -1, -1/2 and 1, on three channels; means of 299^2 in float32.
    levels = np.array([0.0, 0.25, 1.0], "float32")
    images = np.broadcast_to(levels[:, None, None, None], (3, 28, 20, 1))
    expected = np.array([[-1.0] * 3, [-0.5] * 3, [1.0] * 3])
    np.testing.assert_allclose(grey(images), expected, atol=1e-5)
    colour = inception_features((32, 32, 3))
    images = np.broadcast_to(levels, (1, 32, 32, 3))
    np.testing.assert_allclose(colour(images), [[-1.0, -0.5, 1.0]], atol=1e-5)
    assert colour.name == "inception_v3" and "32x32 to 299x299" in colour.protocol
    assert keras.config.dtype_policy().name == "mixed_bfloat16"


def test_inception_without_weights(monkeypatch):
    def offline(**keywords):
        raise OSError("no route to host")

    monkeypatch.setattr(keras.applications, "InceptionV3", offline)
    with pytest.raises(RuntimeError, match="no route to host.*classifier_features"):
        inception_features((28, 28, 1))
    with pytest.raises(ValueError, match="3 channels or 1"):
        inception_features((28, 28, 2))


def test_random_features_depend_on_their_seed_alone():
    images = np.random.default_rng(0).uniform(size=(4, 9, 7, 3)).astype("float32")
    keras.utils.set_random_seed(5)
    first = extractors.random_features((9, 7, 3))
    keras.utils.set_random_seed(6)
    second, other = (
        extractors.random_features((9, 7, 3)),
        extractors.random_features((9, 7, 3), seed=1),
    )
    np.testing.assert_array_equal(first(images), second(images))
    assert np.abs(first(images) - other(images)).max() > 0.01
    assert "untrained convolutional network, seed 1" in other.protocol


def test_random_features_tell_pictures_from_noise():
    """The distance of noise from pictures is far above that of other pictures."""
    draws = np.random.default_rng(0)
    smooth = np.repeat(np.repeat(draws.uniform(size=(400, 2, 2, 3)), 4, 1), 4, 2).astype("float32")
    noise = draws.uniform(size=(200, 8, 8, 3)).astype("float32")
    extractor = extractors.random_features((8, 8, 3))
    near = evaluation.frechet_distance(smooth[:200], smooth[200:], extractor)["value"]
    far = evaluation.frechet_distance(smooth[:200], noise, extractor)["value"]
    assert far > 10 * near
