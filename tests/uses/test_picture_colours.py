"""Colours and depths that a file says in its profile or header, and Pillow's mode does not."""

import io
import re
import struct

import numpy as np
import pytest
from PIL import Image

import kgen

# Adobe RGB (1998) and sRGB, red, green and blue as columns, adapted to D50 (IEC 61966-2-1 and
# Adobe's specification by Bradford's transform).
ADOBE = np.array(
    [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]
)
SRGB = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)
GAMMA = 563 / 256


def read(folder, **arguments):
    arguments = dict(source=folder, size=4, data_dir=folder.parent / "tfds") | arguments
    return kgen.data.builders.ImageFolder(**arguments)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def adobe_rgb():
    """The bytes of a profile of ICC version 2 with three primaries and a gamma."""

    def fixed(values):
        return b"".join(struct.pack(">i", round(65536 * value)) for value in values)

    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 10) + b"Adobe RGB\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + fixed((0.9642, 1.0, 0.8249)),
    }
    for name, primary in zip((b"r", b"g", b"b"), ADOBE.T, strict=True):
        tags[name + b"XYZ"] = b"XYZ " + bytes(4) + fixed(primary)
        tags[name + b"TRC"] = b"curv" + bytes(4) + struct.pack(">IH", 1, round(256 * GAMMA))
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size = start + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + fixed((0.9642, 1.0, 0.8249)) + bytes(48)
    return header + struct.pack(">I", len(tags)) + table + body


def as_srgb(colour):
    """The same light in sRGB: a transcription of both standards."""
    light = np.linalg.solve(SRGB, ADOBE @ (np.array(colour) / 255) ** GAMMA)
    light = np.clip(light, 0.0, 1.0)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("colour", [(100, 150, 100), (180, 120, 60)])
def test_a_profile_is_heeded(folder, mode, colour):
    image = Image.new(mode, (4, 4), colour + (255,) * (mode == "RGBA"))
    image.save(folder / "a.png", icc_profile=adobe_rgb())
    (images,) = kgen.data.load(read(folder))
    wanted = as_srgb(colour)
    assert np.abs(wanted - colour).max() > 5
    np.testing.assert_allclose(255 * images[0, 0, 0], wanted, atol=1.5)


def test_no_profile_and_a_damaged_one_change_nothing(folder):
    image = Image.new("RGB", (4, 4), (100, 150, 100))
    image.save(folder / "a.png")
    image.save(folder / "b.png", icc_profile=b"no profile")
    (images,) = kgen.data.load(read(folder))
    np.testing.assert_allclose(255 * images[:, 0, 0], [[100, 150, 100]] * 2, atol=1e-3)


def test_float_pictures_have_levels_and_are_binarized(folder):
    values = np.random.RandomState(0).uniform(size=(4, 4)).astype("float32")
    Image.fromarray(values).save(folder / "a.tif")
    builder = read(folder, channels=1)
    (images,) = kgen.data.load(builder, levels=5)
    np.testing.assert_allclose(images[0, ..., 0], np.round(values * 4) / 4, atol=1e-6)
    (images,) = kgen.data.load(builder, binarize="threshold")
    np.testing.assert_array_equal(images[0, ..., 0], values >= 0.5)
    (images,) = kgen.data.load(builder)
    np.testing.assert_array_equal(images[0, ..., 0], values)


def test_unsigned_integers_of_32_bits(folder):
    """Pillow reads them as signed ones."""
    tifffile = pytest.importorskip("tifffile")
    values = np.array([[0, 2**31], [3 * 2**30, 2**32 - 1]], "uint32").repeat(2, 0).repeat(2, 1)
    tifffile.imwrite(folder / "a.tif", values)
    (images,) = kgen.data.load(read(folder, channels=1, value_range=(0, 2**32 - 1)))
    np.testing.assert_allclose(images[0, ::2, ::2, 0], [[0.0, 0.5], [0.75, 1.0]], atol=1e-6)


def deep_ppm(path):
    path.write_bytes(b"P6 4 4 65535\n" + bytes(96))


def deep_jpeg_2000(path):
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "JPEG2000")
    content = bytearray(stream.getvalue())
    content[content.index(b"ihdr") + 14] = 15
    path.write_bytes(content)


@pytest.mark.parametrize(("name", "write"), [("a.ppm", deep_ppm), ("a.jp2", deep_jpeg_2000)])
def test_deep_colour_that_pillow_would_cut_is_refused(folder, name, write):
    write(folder / name)
    message = re.escape("of its 16 bits per channel Pillow keeps 8: convert")
    with pytest.raises(ValueError, match=message):
        kgen.data.load(read(folder))
