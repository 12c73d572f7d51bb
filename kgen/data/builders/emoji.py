"""Colour pictures that any Debian or Ubuntu machine can install: the emoji of a font."""

import hashlib
import os
import pathlib
import re

import numpy as np
import tensorflow_datasets as tfds

from kgen.data.quiet import quiet_warnings

FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
LIST = "/usr/share/unicode/emoji/emoji-test.txt"
INSTALL = "apt-get install fonts-noto-color-emoji unicode-data libfribidi0"

# The font holds bitmaps of this one size.
_FONT_SIZE, _CANVAS = 109, 160
_LINE = re.compile(r"(?P<codes>[0-9A-F ]+?)\s*; fully-qualified\s*# \S+ E[\d.]+ (?P<name>.+)")
_GENDERED = "man woman person men women people boy girl child and with in".split()


class Emoji(tfds.core.GeneratorBasedBuilder):
    """Some 3,600 emoji on white, each with its name and its category.

    Features: `image`, uint8 `(size, size, 3)`; `label`, one of Unicode's nine categories such as
    "Animals & Nature"; `name`, text such as "red heart". Emoji that differ in skin tone or gender
    alone have one base: about a sixth of the bases, with all that belongs to them, are the test
    split, drawn from the hash of the base's name.

        kgen.data.load("emoji", features=("image", "name"))

    Args:
        size: height and width of the pictures, int >= 1.
        kwargs: as in tfds.core.GeneratorBasedBuilder: `data_dir`.

    Raises:
        RuntimeError: when it is prepared, if the font or the list of emoji is not installed.

    Source: Noto Color Emoji (SIL Open Font License); Unicode's emoji-test.txt, UTS #51.
    """

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, size=32, **kwargs):
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"size must be an int >= 1, received {size!r}.")
        self._size = size
        kwargs.setdefault("config", tfds.core.BuilderConfig(name=f"{size}"))
        with quiet_warnings():
            super().__init__(**kwargs)

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description="The emoji of the font Noto Color Emoji on white.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Tensor(
                        shape=(self._size, self._size, 3),
                        dtype=np.uint8,
                        encoding=tfds.features.Encoding.BYTES,
                    ),
                    "label": tfds.features.ClassLabel(names=CATEGORIES),
                    "name": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        check_installed()
        rows = read_list(pathlib.Path(LIST).read_text(encoding="utf-8"))
        return {
            "train": self._generate_examples([row for row in rows if not is_test(row[2])]),
            "test": self._generate_examples([row for row in rows if is_test(row[2])]),
        }

    def _generate_examples(self, rows):
        from PIL import ImageFont

        layout = ImageFont.Layout.RAQM
        font = ImageFont.truetype(FONT, _FONT_SIZE, layout_engine=layout)
        for text, category, name in rows:
            picture = draw(text, font, self._size)
            if picture is not None:
                yield text, {"image": picture, "label": category, "name": name}


CATEGORIES = (
    "Smileys & Emotion",
    "People & Body",
    "Animals & Nature",
    "Food & Drink",
    "Travel & Places",
    "Activities",
    "Objects",
    "Symbols",
    "Flags",
)


def check_installed():
    """Raise RuntimeError, with what to install, if the emoji cannot be drawn."""
    from PIL import features

    missing = [path for path in (FONT, LIST) if not os.path.isfile(path)]
    if not features.check("raqm"):
        missing.append("Pillow's raqm layout")
    if missing:
        raise RuntimeError(f"The data set 'emoji' needs {', '.join(missing)}: {INSTALL}.")


def read_list(text):
    """Triples (emoji, category, name) of Unicode's list, in its order."""
    rows, category = [], None
    for line in text.splitlines():
        if line.startswith("# group: "):
            category = line.removeprefix("# group: ").strip()
        match = _LINE.fullmatch(line)
        if match:
            emoji = "".join(chr(int(code, 16)) for code in match["codes"].split())
            rows.append((emoji, category, match["name"]))
    return rows


def base(name):
    """What emoji of different skin tones, hair and genders share: "woman cook: dark skin tone" and
    "man cook" have the base "cook"."""
    kind = name.partition(": ")[0]
    if kind in ("flag", "keycap"):
        return name
    words = [word for word in kind.split() if word not in _GENDERED]
    return " ".join(words) or "person"


def is_test(name):
    """Whether an emoji belongs to the test split: about one in six bases does."""
    return hashlib.sha256(base(name).encode()).digest()[0] % 6 == 0


def draw(text, font, size):
    """An emoji in the middle of a white square, uint8; None if the font has no picture of it."""
    from PIL import Image, ImageDraw

    canvas = Image.new("RGBA", (2 * _CANVAS, _CANVAS), (255, 255, 255, 0))
    ImageDraw.Draw(canvas).text((12, 12), text, font=font, embedded_color=True)
    box = canvas.getchannel("A").getbbox()
    # A sequence that the font does not know becomes several pictures side by side.
    if box is None or box[2] - box[0] > _CANVAS:
        return None
    side = max(box[2] - box[0], box[3] - box[1])
    square = Image.new("RGBA", (side, side), "white")
    at = ((side - (box[2] - box[0])) // 2, (side - (box[3] - box[1])) // 2)
    square.alpha_composite(canvas.crop(box), at)
    margin = max(1, size // 16)
    inner = square.convert("RGB").resize(2 * (max(1, size - 2 * margin),), Image.Resampling.LANCZOS)
    picture = Image.new("RGB", (size, size), "white")
    picture.paste(inner, (margin, margin) if size > 2 * margin else (0, 0))
    return np.asarray(picture)
