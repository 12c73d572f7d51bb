"""Colours and depths that a file says in its profile or header, and Pillow's mode does not."""

import io
import re
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

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


def adobe_rgb(name=b"Adobe RGB", space=b"RGB "):
    """The bytes of a profile of ICC version 2 with three primaries, or of grey, and a gamma."""

    def fixed(values):
        return b"".join(struct.pack(">i", round(65536 * value)) for value in values)

    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 1 + len(name)) + name + bytes(79),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + fixed((0.9642, 1.0, 0.8249)),
    }
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(256 * GAMMA))
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        tags |= {key + b"TRC": curve for key in (b"r", b"g", b"b")}
        for key, primary in zip((b"r", b"g", b"b"), ADOBE.T, strict=True):
            tags[key + b"XYZ"] = b"XYZ " + bytes(4) + fixed(primary)
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for key, content in tags.items():
        table += key + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size = start + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02100000, b"mntr", space, b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + fixed((0.9642, 1.0, 0.8249)) + bytes(48)
    return header + struct.pack(">I", len(tags)) + table + body


def as_srgb(colour):
    """The same light in sRGB: a transcription of both standards."""
    light = np.linalg.solve(SRGB, ADOBE @ (np.array(colour) / 255) ** GAMMA)
    light = np.clip(light, 0.0, 1.0)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize("colour", [(100, 150, 100), (180, 120, 60)])
@pytest.mark.parametrize("name", [b"Adobe RGB", b"Not sRGB"])
def test_a_profile_is_heeded(folder, mode, colour, name):
    image = Image.new("RGB", (4, 4), colour)
    image = image.quantize() if mode == "P" else image.convert(mode)
    image.save(folder / "a.png", icc_profile=adobe_rgb(name))
    (images,) = kgen.data.load(read(folder))
    wanted = as_srgb(colour)
    assert np.abs(wanted - colour).max() > 5
    np.testing.assert_allclose(255 * images[0, 0, 0], wanted, atol=1.5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("profile", [adobe_rgb(space=b"GRAY"), adobe_rgb()], ids=["grey", "colour"])
def test_a_profile_of_a_grey_picture(folder, profile, channels):
    image = Image.fromarray(np.full((4, 4), 25, np.uint8))
    image.putalpha(Image.fromarray(np.tile(np.array([0, 0, 255, 255], np.uint8), (4, 1))))
    image.save(folder / "a.png", icc_profile=profile)
    (images,) = kgen.data.load(read(folder, channels=channels))
    wanted = as_srgb((25, 25, 25))[0]
    assert abs(wanted - 25) > 2
    np.testing.assert_allclose(255 * images[0, 0, 3], [wanted] * channels, atol=1.5)
    np.testing.assert_array_equal(images[0, 0, 0], [1.0] * channels)


def test_a_profile_of_other_channels(folder):
    """It does not count. Without one and without black, CMYK is 255 - C, 255 - M, 255 - Y."""
    image = Image.new("CMYK", (4, 4), (100, 150, 50, 0))
    image.save(folder / "a.tif", icc_profile=adobe_rgb())
    with pytest.warns(UserWarning, match="cannot be read for a picture of mode CMYK .* ignored"):
        (images,) = kgen.data.load(read(folder))
    np.testing.assert_allclose(255 * images[0, 0, 0], [155, 105, 205], atol=1e-3)


def test_no_profile_and_those_that_change_nothing(folder):
    image = Image.new("RGB", (4, 4), (100, 150, 100))
    image.save(folder / "a.png")
    image.save(folder / "b.png", icc_profile=b"no profile")
    same = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.save(folder / "c.png", icc_profile=same)
    with pytest.warns(UserWarning, match="A colour profile of 10 bytes cannot be read"):
        (images,) = kgen.data.load(read(folder))
    np.testing.assert_allclose(255 * images[:, 0, 0], [[100, 150, 100]] * 3, atol=1e-3)


def test_a_profile_of_16_bits_is_said(folder):
    tifffile = pytest.importorskip("tifffile")
    values = np.full((4, 4, 3), 25_700, np.uint16)
    tifffile.imwrite(folder / "a.tif", values, photometric="rgb", iccprofile=adobe_rgb())
    with pytest.warns(UserWarning, match="1 x more than 8 bits .* not sRGB, such as a.tif"):
        (images,) = kgen.data.load(read(folder))
    np.testing.assert_array_equal(np.round(65_535 * images[0].numpy()), values)


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
    with pytest.raises(ValueError, match="beyond 0 to 65535; value_range="):
        kgen.data.load(read(folder, channels=1))


def test_signed_integers_of_8_bits(folder):
    """Pillow reads them as unsigned ones."""
    tifffile = pytest.importorskip("tifffile")
    values = np.arange(-128, 128, 16, dtype=np.int8).reshape(4, 4)
    tifffile.imwrite(folder / "a.tif", values)
    (images,) = kgen.data.load(read(folder, channels=1, value_range=(-128, 127)))
    np.testing.assert_allclose(images[0, ..., 0] * 255, values + 128.0, atol=1e-3)
    with pytest.raises(ValueError, match="values go from -128 to 112, beyond 0 to 127"):
        kgen.data.load(read(folder, channels=1))


LEVELS = np.arange(16).reshape(4, 4) * 273  # 0 to 4095


def grey_ppm(path):
    path.write_bytes(b"P5 4 4 4095\n" + LEVELS.astype(">u2").tobytes())


def plain_ppm(path):
    path.write_text("P2 4 4 4095\n" + " ".join(map(str, LEVELS.ravel())))


def grey_jpeg_2000(path):
    """Of 16 bits, whose header then says 12: its decoder adds 2 ** 11, not 2 ** 15."""
    stream = io.BytesIO()
    levels = (LEVELS + 2**15 - 2**11).astype(np.uint16)
    Image.fromarray(levels).save(stream, "JPEG2000", irreversible=False)
    content = bytearray(stream.getvalue())
    content[content.index(b"ihdr") + 14] = 11
    content[content.index(b"\xff\x4f\xff\x51") + 42] = 11
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "write"),
    [("a.pgm", grey_ppm), ("b.pgm", plain_ppm), ("a.jp2", grey_jpeg_2000)],
)
def test_12_bits_by_the_header(folder, name, write):
    """Pillow scales them to 16 bits."""
    write(folder / name)
    for arguments in ({}, dict(value_range=(0, 4095))):
        (images,) = kgen.data.load(read(folder, channels=1, **arguments))
        np.testing.assert_allclose(images[0, ..., 0], LEVELS / 4095, atol=1e-5)


def test_few_levels_of_a_ppm_have_a_range(folder):
    (folder / "a.pgm").write_bytes(b"P5 4 4 15\n" + bytes(range(16)))
    for arguments in ({}, dict(value_range=(0, 15))):
        (images,) = kgen.data.load(read(folder, channels=1, **arguments))
        np.testing.assert_allclose(images[0, ..., 0].numpy().ravel(), np.arange(16) / 15, atol=1e-6)


def deep_ppm(path):
    path.write_bytes(b"P6 4 4 65535\n" + bytes(96))


def deep_jpeg_2000(path):
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "JPEG2000")
    content = bytearray(stream.getvalue())
    content[content.index(b"ihdr") + 14] = 15
    path.write_bytes(content)


def deep_sgi(path):
    Image.new("L", (4, 4)).save(path, bpc=2)


@pytest.mark.parametrize(
    ("name", "write"), [("a.ppm", deep_ppm), ("a.jp2", deep_jpeg_2000), ("a.sgi", deep_sgi)]
)
def test_deep_colour_that_pillow_would_cut_is_refused(folder, name, write):
    write(folder / name)
    message = re.escape("of its 16 bits per channel Pillow keeps 8: convert")
    with pytest.raises(ValueError, match=message):
        kgen.data.load(read(folder))
