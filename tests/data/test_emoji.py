"""The emoji: what belongs together, what is drawn, what is said where they are not installed."""

import os

import numpy as np
import pytest

import kgen
from kgen.data.builders import emoji

IS_INSTALLED = os.path.isfile(emoji.FONT) and os.path.isfile(emoji.LIST)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("grinning face", "grinning face"),
        ("thumbs up: medium skin tone", "thumbs up"),
        ("woman cook: dark skin tone", "cook"),
        ("man cook", "cook"),
        ("person: light skin tone, beard", "person"),
        ("woman: red hair", "person"),
        ("flag: Kenya", "flag: Kenya"),
        ("keycap: 7", "keycap: 7"),
        ("family: man, woman, boy", "family"),
        ("men holding hands", "holding hands"),
    ],
)
def test_what_belongs_together(name, base):
    assert emoji.base(name) == base


def test_the_list():
    text = (
        "# group: Smileys & Emotion\n# subgroup: face\n"
        "1F600    ; fully-qualified     # \U0001f600 E1.0 grinning face\n"
        "263A     ; unqualified         # x E0.6 smiling face\n"
        "# group: Flags\n"
        "1F1E9 1F1EA ; fully-qualified # \U0001f1e9\U0001f1ea E0.6 flag: Germany\n"
    )
    assert emoji.read_list(text) == [
        ("\U0001f600", "Smileys & Emotion", "grinning face"),
        ("\U0001f1e9\U0001f1ea", "Flags", "flag: Germany"),
    ]


def test_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(emoji, "FONT", str(tmp_path / "nothing.ttf"))
    with pytest.raises(RuntimeError, match="nothing.ttf.*apt-get install fonts-noto-color-emoji"):
        kgen.data.load("emoji", data_dir=str(tmp_path))


@pytest.mark.skipif(not IS_INSTALLED, reason=f"needs {emoji.INSTALL}")
def test_emoji(data_dir):
    summary = kgen.data.info("emoji", data_dir=data_dir)
    assert summary.num_classes == 9 and summary.image_shape == (32, 32, 3)
    train, test = summary.num_examples["train"], summary.num_examples["test"]
    assert train + test > 3000 and 0.1 < test / (train + test) < 0.25
    names = {
        split: {
            emoji.base(name.decode())
            for batch in kgen.data.load("emoji", split, features="name", data_dir=data_dir)
            for name in batch.numpy()
        }
        for split in ("train", "test")
    }
    assert not names["train"] & names["test"]
    # All of both splits.
    features = ("image", ("label", "name"))
    batches = kgen.data.load("emoji", "train+test", features=features, data_dir=data_dir)
    for images, (labels, texts) in batches:
        for image, label, text in zip(images.numpy(), labels.numpy(), texts.numpy(), strict=True):
            # Red, somewhere in the middle, on white.
            if text == b"red heart":
                assert summary.class_names[label] == "Smileys & Emotion"
                np.testing.assert_array_equal(image[0, 0], 1.0)
                assert image[16, 16, 0] > 0.6 and image[16, 16, 1:].max() < 0.4
                return
    raise AssertionError("no red heart among them")
