"""Folders of pictures as people have them: splits, classes, hidden files, links, damaged files."""

import re

import numpy as np
import pytest
from PIL import Image

import kgen


def write(path, colour="red", size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "photos"


@pytest.fixture
def build(tmp_path, folder):
    def build(**arguments):
        arguments = dict(source=folder, size=8, data_dir=tmp_path / "tfds") | arguments
        return kgen.data.builders.ImageFolder(**arguments)

    return build


def names_of(builder, split="train"):
    batches = kgen.data.load(builder, split, features="filename").as_numpy_iterator()
    return sorted(name.decode() for batch in batches for name in batch)


@pytest.mark.parametrize(
    ("train", "other", "split"),
    [
        ("train", "val", "validation"),
        ("Train", "Valid", "validation"),
        ("TRAINING", "validation", "validation"),
        ("train", "dev", "validation"),
        ("training", "Testing", "test"),
        ("train", "TEST", "test"),
    ],
)
def test_splits_are_no_classes(folder, build, train, other, split):
    for path in (f"{train}/cat/a.png", f"{train}/dog/b.png", f"{other}/cat/c.png"):
        write(folder / path)
    summary = kgen.data.info(build())
    assert summary.num_examples == {"train": 2, split: 1}
    assert summary.class_names == ("cat", "dog") and summary.name == "photos"
    assert names_of(build(), split) == [f"{other}/cat/c.png"]
    # Also by the folder's own name, and parts of it.
    assert names_of(build(), other.lower() + "[:100%]") == [f"{other}/cat/c.png"]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["train/a.png", "cat/b.png"], r"train is a split, but cat is not .*cat: 1, train: 1"),
        (["train/a.png", "test/a.png", "b.png"], "are splits, but files beside them are not"),
        (["val/a.png", "dev/b.png"], "dev, val .* would be one split, 'validation'"),
        (
            ["cat/train/a.png", "cat/val/b.png", "dog/train/c.png"],
            "train, val lie inside the class",
        ),
        (["train/cat/a.png", "test/b.png"], r"some do not \(1 in test, such as test/b.png\)"),
        (["cat/a.png", "b.png"], r"some do not \(1 in train, such as b.png\)"),
    ],
)
def test_what_is_neither_is_refused(folder, build, paths, message):
    for path in paths:
        write(folder / path)
    with pytest.raises(ValueError, match=message):
        build()


def test_splits_may_be_named(folder, build):
    for path in ("fold1/cat/a.png", "fold2/cat/b.png"):
        write(folder / path)
    assert kgen.data.info(build()).class_names == ("fold1", "fold2")
    splits = kgen.data.info(build(splits=("fold1", "fold2"))).num_examples
    assert splits == {"fold1": 1, "fold2": 1}
    write(folder / "train" / "cat" / "c.png")
    assert len(kgen.data.info(build(splits=())).class_names) == 3
    with pytest.raises(ValueError, match=r"no pictures in \['Fold2'\].* fold1: 1, fold2: 1, train"):
        build(splits=("fold1", "Fold2"))
    with pytest.raises(ValueError, match=r"holds \['fold2', 'train'\] besides"):
        build(splits="fold1")
    for splits in (5, {"fold1": "train"}, ("fold1", 2)):
        with pytest.raises(ValueError, match="splits must be names of folders"):
            build(splits=splits)


def test_splits_that_cannot_be_read_are_refused_at_once(folder, build):
    write(folder / "part-1" / "a.png")
    write(folder / "all" / "b.png")
    with pytest.raises(ValueError, match="A split cannot be called 'all': rename the folder"):
        build(splits=("part-1", "all"))
    (folder / "all").rename(folder / "2")
    builder = build(splits=("part-1", "2"))
    assert names_of(builder, "part-1") == ["part-1/a.png"] and names_of(builder, "2") == ["2/b.png"]
    for split in ("train", "3"):
        with pytest.raises(ValueError, match=rf"Unknown split '{split}' of 'photos'.* part-1, 2"):
            kgen.data.load(builder, split)
    with pytest.raises(ValueError, match="split must be one of part-1, 2, received None"):
        kgen.data.load(builder, None)


def test_hidden_files_are_no_data(folder, build):
    for path in (
        "cat/a.png",
        "cat/._a.png",
        ".git/b.png",
        "cat/.ipynb_checkpoints/a.png",
        "__MACOSX/cat/a.png",
    ):
        write(folder / path)
    assert names_of(build()) == ["cat/a.png"]
    assert kgen.data.info(build()).class_names == ("cat",)


def test_links_are_followed_once(folder, build, tmp_path):
    write(tmp_path / "pool" / "a.png")
    write(folder / "cat" / "b.png")
    (folder / "cat" / "linked").symlink_to(tmp_path / "pool")
    (folder / "cat" / "again").symlink_to(tmp_path / "pool")
    (folder / "cat" / "circle").symlink_to(folder / "cat")
    (folder / "cat" / "a_second_b.png").symlink_to(folder / "cat" / "b.png")
    (folder / "cat" / "lost.png").symlink_to(folder / "nowhere.png")
    with pytest.warns(UserWarning, match="4 links left out, .*cat/a_second_b.png, cat/circle"):
        assert names_of(build()) == ["cat/again/a.png", "cat/b.png"]


def test_a_file_itself_comes_before_a_link_to_it(folder, build):
    write(folder / "real" / "b.png")
    (folder / "other").symlink_to(folder / "real")
    (folder / "best").mkdir()
    (folder / "best" / "a.png").symlink_to(folder / "real" / "b.png")
    with pytest.warns(UserWarning) as said:
        assert names_of(build()) == ["real/b.png"]
    messages = " ".join(str(each.message) for each in said)
    assert "2 links left out" in messages and "no pictures in best" in messages


def test_classes_without_pictures_are_said(folder, build):
    for path in ("train/cat/a.png", "val/cat/b.png", "val/fox/c.png"):
        write(folder / path)
    (folder / "train" / "dog").mkdir()
    with pytest.warns(UserWarning) as said:
        assert kgen.data.info(build()).class_names == ("cat", "fox")
    messages = " ".join(str(each.message) for each in said)
    assert "no pictures of the classes fox in train" in messages
    assert "no pictures in train/dog" in messages


def test_labels_of_a_folder_without_classes(folder, build):
    write(folder / "a.png")
    with pytest.raises(ValueError, match="The folder 'photos' has no classes.*photos/cat"):
        kgen.data.load(build(), labels=True)


def test_a_folder_that_was_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flat").mkdir()
    with pytest.raises(ValueError, match=r"There is a folder of this name: '\./flat'"):
        kgen.data.load("flat")


def test_other_files_are_counted(folder, build):
    write(folder / "a.png")
    for name in ("b.txt", "c.TXT", "notes"):
        (folder / name).write_text("text")
    with pytest.warns(UserWarning, match="2 x .txt, 1 x no ending left out, endings that Pillow"):
        kgen.data.info(build())


def test_damaged_files_are_named_at_once(folder, build):
    for row in range(20):
        write(folder / f"{row:02}.png")
    (folder / "03.png").write_text("no picture")
    (folder / "07.png").write_bytes((folder / "00.png").read_bytes()[:48])
    (folder / "11.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"(?s)3 of 20 pictures .*03\.png.*07\.png.*11\.png"):
        kgen.data.info(build())
    with pytest.warns(UserWarning, match=r"(?s)3 of 20 pictures .*left out.*03\.png"):
        summary = kgen.data.info(build(on_error="skip"))
    assert summary.num_examples == {"train": 17}
    # What was skipped before is refused when it shall be.
    with pytest.raises(ValueError, match="3 of 20"):
        kgen.data.info(build())


def test_decompression_bombs_are_damaged(folder, build, monkeypatch):
    write(folder / "a.png")
    write(folder / "large.png", size=(100, 100))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match=r"(?s)1 of 2 .*large\.png: .*decompression bomb"):
        kgen.data.info(build())


def test_a_new_file_leaves_no_second_copy(folder, build, tmp_path):
    for count in (1, 2):
        write(folder / f"{count}.png")
        assert kgen.data.info(build()).num_examples == {"train": count}
        assert kgen.data.info(build(size=4)).num_examples == {"train": count}
    # One for each size.
    assert len(list((tmp_path / "tfds" / "image_folder").iterdir())) == 2


def test_a_folder_is_a_name(folder, tmp_path):
    write(folder / "train" / "cat" / "a.png")
    data_dir = str(tmp_path / "tfds")
    (images, labels) = next(iter(kgen.data.load(str(folder), labels=True, data_dir=data_dir)))
    assert images.shape == (1, 64, 64, 3) and labels.numpy().tolist() == [0]
    assert kgen.data.info(folder, data_dir=data_dir).image_shape == (64, 64, 3)
    with pytest.raises(ValueError, match="There is no folder"):
        kgen.data.load(str(tmp_path / "nothing"))


def test_builders_of_tfds_work_as_given(folder, tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path / "tfds"))
    for path in ("fold1/cat/a.jpg", "fold1/dog/b.jpg", "fold2/cat/c.jpg"):
        write(folder / path, size=(20, 10))
    builder = tfds.ImageFolder(str(folder), shape=(8, 8, 3))
    images, labels = next(iter(kgen.data.load(builder, "fold1", labels=True)))
    assert images.shape == (2, 8, 8, 3) and sorted(labels.numpy()) == [0, 1]
    with pytest.warns(UserWarning, match="scaled and cropped to 64 x 64"):
        assert kgen.data.info(tfds.ImageFolder(str(folder))).image_shape == (64, 64, 3)

    text = tmp_path / "text"
    text.mkdir()
    (text / "en.train.txt").write_text("one\ntwo\n")
    (text / "fr.train.txt").write_text("un\ndeux\n")
    (x, y) = next(iter(kgen.data.load(tfds.TranslateFolder(str(text)), features=("en", "fr"))))
    assert x.numpy().tolist() == [b"one", b"two"] and y.numpy().tolist() == [b"un", b"deux"]


def test_levels_of_any_images(folder, build):
    gradient = np.tile(np.arange(0, 256, dtype=np.uint8)[:, None, None], (1, 8, 3))
    folder.mkdir()
    Image.fromarray(gradient).save(folder / "a.png")
    builder = build(size=(256, 8))
    image = next(iter(kgen.data.load(builder, levels=4)))[0, :, 0, 0].numpy()
    np.testing.assert_allclose(image, np.round(gradient[:, 0, 0] / 255 * 3) / 3, atol=1e-6)
    assert kgen.data.info(builder, levels=4).num_levels == 4
    (arrays,) = kgen.data.from_arrays(gradient[None], levels=4)
    np.testing.assert_array_equal(arrays[0, :, 0, 0], image)
    with pytest.raises(ValueError, match="give one"):
        kgen.data.load(builder, levels=2, binarize="fixed")
    with pytest.raises(ValueError, match="at least 2"):
        kgen.data.load(builder, levels=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(size=0), "size must be"),
        (dict(size="16"), "size must be"),
        (dict(size=16.5), "size must be"),
        (dict(size=True), "size must be"),
        (dict(size=(4, 4, 3)), "size must be"),
        (dict(value_range=4095), "value_range must be"),
        (
            dict(channels=4),
            "a.png is not. Pictures with transparency: channels=3, background='keep'",
        ),
        (dict(channels=0), "channels must be"),
        (dict(background="blueish"), re.escape("'white' or '#404040', or 'keep'")),
        (dict(background="keep", channels=5), "needs channels=1 or channels=3"),
        (dict(value_range=(5, 5)), "value_range must be"),
        (dict(on_error="ignore"), "'raise' or 'skip'"),
    ],
)
def test_arguments(folder, build, arguments, message):
    write(folder / "a.png")
    with pytest.raises(ValueError, match=message):
        build(**arguments)


def test_options_in_a_name(folder, tmp_path):
    place = folder / "a, b"
    for path in ("fold1/cat/a.png", "fold2/cat/b.png"):
        write(place / path)
    name = f"image_folder/size=16x24,splits=fold1+fold2,background=black,source={place}"
    summary = kgen.data.info(name, data_dir=str(tmp_path / "tfds"))
    assert summary.image_shape == (16, 24, 3) and list(summary.num_examples) == ["fold1", "fold2"]
    name = f"image_folder/value_range=0:255,source={place},splits=,size=8"
    summary = kgen.data.info(name, data_dir=str(tmp_path / "tfds"))
    assert summary.image_shape == (8, 8, 3) and summary.class_names == ("fold1", "fold2")
    for text in ("sizes=3", "size=big", "value_range=0"):
        with pytest.raises(ValueError, match="cannot be read|value_range must be"):
            kgen.data.info(f"image_folder/{text},source={place}")


def test_a_configuration_of_ones_own_is_not_cleaned_up(folder, build, tmp_path):
    import tensorflow_datasets as tfds

    write(folder / "a.png")
    for size in (4, 8):
        config = tfds.core.BuilderConfig(name=f"mine_{size}")
        kgen.data.info(build(size=size, config=config))
    kept = {path.name for path in (tmp_path / "tfds" / "image_folder").iterdir()}
    assert kept == {"mine_4", "mine_8"}
