"""One picture in each format, depth, mode and orientation: the pixels that a person sees."""

import numpy as np
import pytest
from PIL import Image

import kgen

# A corner that tells the eight orientations apart.
PIXELS = np.zeros((6, 4, 3), np.uint8)
PIXELS[0] = (255, 0, 0)
PIXELS[:, 0] = (0, 0, 255)


def read(folder, **arguments):
    arguments = dict(source=folder, size=(6, 4), data_dir=folder.parent / "tfds") | arguments
    builder = kgen.data.builders.ImageFolder(**arguments)
    (images,) = kgen.data.load(builder)
    return images[0].numpy(), kgen.data.info(builder)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.mark.parametrize("suffix", "png bmp tif tiff gif webp ppm tga qoi apng".split())
def test_formats_that_lose_nothing(folder, suffix):
    lossless = dict(lossless=True) if suffix == "webp" else {}
    Image.fromarray(PIXELS).save(folder / f"a.{suffix}", **lossless)
    image, _ = read(folder)
    np.testing.assert_allclose(image * 255, PIXELS, atol=1e-3)


@pytest.mark.parametrize("suffix", "jpg jpeg jfif jpe JPG avif jp2".split())
def test_formats_that_lose(folder, suffix):
    smooth = np.full((6, 4, 3), (250, 120, 10), np.uint8)
    Image.fromarray(smooth).save(folder / f"a.{suffix}")
    image, _ = read(folder)
    np.testing.assert_allclose(image * 255, smooth, atol=6)


def turned(pixels, orientation):
    """What a camera stores that writes the mark beside it."""
    return {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.swapaxes(0, 1),
        6: np.rot90(pixels, 1),
        7: np.rot90(pixels, 2).swapaxes(0, 1),
        8: np.rot90(pixels, -1),
    }[orientation]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["RGB png", "RGB tiff", "L tiff", "I;16 tiff", "F tiff"])
def test_orientation(folder, orientation, kind):
    mode, suffix = kind.split()
    grey = np.arange(24).reshape(6, 4)
    pixels = dict(
        RGB=PIXELS,
        L=(10 * grey).astype(np.uint8),
        F=(grey / 24).astype(np.float32),
        **{"I;16": (2000 * grey).astype(np.uint16)},
    )[mode]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(turned(pixels, orientation))
    Image.fromarray(stored).save(folder / f"a.{suffix}", exif=exif)
    image, _ = read(folder, channels=3 if mode == "RGB" else 1)
    top = {"I;16": 65535, "F": 1}.get(mode, 255)
    np.testing.assert_allclose(image * top, pixels.reshape(image.shape), atol=2e-3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_deep_colour(folder, orientation):
    tifffile = pytest.importorskip("tifffile")
    levels = np.random.default_rng(0).integers(65536, size=(6, 4, 3), dtype=np.uint16)
    stored = np.ascontiguousarray(turned(levels, orientation))
    mark = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(folder / "a.tif", stored, photometric="rgb", extratags=mark)
    image, _ = read(folder)
    np.testing.assert_array_equal(np.round(image * 65535), levels)


def test_a_16_bit_negative(folder):
    tifffile = pytest.importorskip("tifffile")
    levels = np.linspace(0, 65535, 24).round().astype(np.uint16).reshape(6, 4)
    tifffile.imwrite(folder / "a.tif", 65535 - levels, photometric="miniswhite")
    image, _ = read(folder, channels=1)
    np.testing.assert_array_equal(np.round(image[..., 0] * 65535), levels)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr"])
@pytest.mark.parametrize("channels", [1, 3])
def test_modes(folder, mode, channels):
    white = Image.new("RGB", (4, 6), "white").convert(mode)
    white.save(folder / ("a.tif" if mode in ("CMYK", "YCbCr") else "a.png"))
    image, _ = read(folder, channels=channels)
    np.testing.assert_allclose(image, np.ones((6, 4, channels)), atol=1e-6)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_keeps_its_levels(folder, suffix):
    levels = np.linspace(0, 65535, 24).round().astype(np.uint16).reshape(6, 4)
    Image.fromarray(levels).save(folder / f"a.{suffix}")
    image, info = read(folder, channels=1)
    assert info.num_levels == 65536
    np.testing.assert_array_equal(np.round(image[..., 0] * 65535), levels)
    colour, _ = read(folder)
    np.testing.assert_array_equal(colour, np.repeat(image, 3, axis=2))


def test_12_bits_in_16(folder):
    levels = np.linspace(0, 4095, 24).round().astype(np.uint16).reshape(6, 4)
    Image.fromarray(levels).save(folder / "a.png")
    image, info = read(folder, channels=1, value_range=(0, 4095))
    assert info.num_levels == 4096
    np.testing.assert_array_equal(np.round(image[..., 0] * 4095), levels)
    with pytest.raises(ValueError, match="values go from 0 to 4095, beyond 0 to 1023"):
        read(folder, channels=1, value_range=(0, 1023))


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_colour_keeps_its_levels(folder, channels):
    import tensorflow as tf

    levels = np.random.default_rng(0).integers(65536, size=(6, 4, channels), dtype=np.uint16)
    (folder / "a.png").write_bytes(tf.io.encode_png(levels).numpy())
    image, info = read(folder, background="keep" if channels == 4 else "white")
    assert info.num_levels == 65536 and image.shape == (6, 4, channels)
    np.testing.assert_array_equal(np.round(image * 65535), levels)


def test_float_tiff(folder):
    values = np.linspace(0, 1, 24, dtype=np.float32).reshape(6, 4)
    Image.fromarray(values).save(folder / "a.tif")
    image, info = read(folder, channels=1)
    assert info.num_levels is None
    np.testing.assert_allclose(image[..., 0], values, atol=1e-6)
    Image.fromarray(values * 300 - 100).save(folder / "a.tif")
    with pytest.raises(ValueError, match="from -100 to 200, beyond 0 to 1; value_range="):
        read(folder, channels=1)
    image, _ = read(folder, channels=1, value_range=(-100, 200))
    np.testing.assert_allclose(image[..., 0], values, atol=1e-6)


def test_8_bits_beside_16(folder):
    Image.fromarray(np.full((6, 4), 128, np.uint8)).save(folder / "a.png")
    Image.fromarray(np.full((6, 4), 128 * 257, np.uint16)).save(folder / "b.png")
    builder = kgen.data.builders.ImageFolder(
        source=folder, size=(6, 4), channels=1, data_dir=folder.parent / "tfds"
    )
    (images,) = kgen.data.load(builder)
    np.testing.assert_allclose(images, np.full((2, 6, 4, 1), 128 / 255), rtol=1e-6)


@pytest.mark.parametrize(
    ("background", "seen"), [("white", 1.0), ("black", 0.0), ("#808080", 128 / 255)]
)
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_alpha_lies_on_a_background(folder, background, seen, mode):
    pixels = np.zeros((6, 4, 4), np.uint8)
    pixels[..., :3] = np.random.default_rng(0).integers(256, size=(6, 4, 3))
    pixels[:3, :, :3], pixels[:3, :, 3] = 255, 255
    picture = Image.fromarray(pixels)
    if mode == "LA":
        picture = picture.convert("LA")
    if mode == "P":
        picture = Image.new("P", (4, 6), 1)
        picture.putpalette([200, 30, 30, 255, 255, 255])
        picture.paste(0, (0, 3, 4, 6))
        picture.info["transparency"] = 0
    picture.save(folder / "a.png")
    image, _ = read(folder, background=background)
    expected = np.ones((6, 4, 3))
    expected[3:] = seen
    np.testing.assert_allclose(image, expected, atol=1e-6)


@pytest.mark.parametrize(("channels", "shape"), [(3, (6, 4, 4)), (1, (6, 4, 2))])
def test_alpha_may_be_kept(folder, channels, shape):
    pixels = np.full((6, 4, 4), 255, np.uint8)
    pixels[3:, :, 3] = 51
    Image.fromarray(pixels).save(folder / "a.png")
    image, _ = read(folder, channels=channels, background="keep")
    assert image.shape == shape
    np.testing.assert_allclose(image[3:, :, -1], 0.2, atol=1e-6)
    np.testing.assert_allclose(image[..., :-1], 1.0, atol=1e-6)


def test_the_first_of_several_pictures(folder):
    first, second = Image.new("RGB", (4, 6), "red"), Image.new("RGB", (4, 6), "blue")
    for suffix in ("gif", "tif"):
        first.save(folder / f"a.{suffix}", save_all=True, append_images=[second])
    builder = kgen.data.builders.ImageFolder(
        source=folder, size=(6, 4), data_dir=folder.parent / "tfds"
    )
    (images,) = kgen.data.load(builder)
    np.testing.assert_allclose(images, np.broadcast_to([1.0, 0.0, 0.0], (2, 6, 4, 3)))


def test_any_number_of_channels(folder):
    tifffile = pytest.importorskip("tifffile")
    values = np.random.default_rng(0).integers(65536, size=(6, 4, 5), dtype=np.uint16)
    tifffile.imwrite(folder / "a.tif", values, photometric="minisblack", planarconfig="contig")
    image, info = read(folder, channels=5)
    assert info.image_shape == (6, 4, 5) and info.num_levels == 65536
    np.testing.assert_array_equal(np.round(image * 65535), values)
    with pytest.raises(ValueError, match="it has 5 channels, not 4"):
        read(folder, channels=4)


def test_one_deeper_picture_among_many(folder):
    for row in range(50):
        Image.fromarray(np.full((6, 4), 200, np.uint8)).save(folder / f"{row:03}.png")
    Image.fromarray(np.full((6, 4), 30_001, np.uint16)).save(folder / "007.png")
    (batch,), info = read_all(folder, channels=1)
    assert info.num_levels == 65536
    levels = sorted(set(np.round(batch.numpy()[:, 0, 0, 0] * 65535).astype(int).tolist()))
    assert levels == [30_001, 200 * 257]


def read_all(folder, **arguments):
    builder = kgen.data.builders.ImageFolder(
        source=folder, size=(6, 4), data_dir=folder.parent / "tfds", **arguments
    )
    return [batch for batch in kgen.data.load(builder)], kgen.data.info(builder)


def test_a_range_that_leaves_all_black_is_said(folder):
    levels = np.linspace(0, 4095, 24).round().astype(np.uint16).reshape(6, 4)
    Image.fromarray(levels).save(folder / "a.png")
    with pytest.warns(UserWarning, match="largest value of all pictures is 4095 of 65535"):
        read(folder, channels=1)
    Image.fromarray((levels // 16).astype(np.uint8)).save(folder / "a.png")
    with pytest.warns(UserWarning, match="largest value of all pictures is 255 of 4095"):
        read(folder, channels=1, value_range=(0, 4095))


def test_tiffs_that_pillow_does_not_know(folder):
    tifffile = pytest.importorskip("tifffile")
    values = np.random.default_rng(0).uniform(size=(6, 4, 3)).astype(np.float32)
    tifffile.imwrite(folder / "a.tif", values, photometric="rgb")
    image, info = read(folder)
    assert info.num_levels is None
    np.testing.assert_allclose(image, values, atol=1e-6)
    five = dict(photometric="minisblack", planarconfig="contig")
    tifffile.imwrite(folder / "a.tif", np.zeros((6, 4, 5), np.uint8), **five)
    with pytest.raises(ValueError, match="it has 5 channels, not 3"):
        read(folder)


def test_16_bit_colour_tiff(folder):
    tifffile = pytest.importorskip("tifffile")
    values = np.random.default_rng(0).integers(65536, size=(6, 4, 3), dtype=np.uint16)
    tifffile.imwrite(folder / "a.tif", values, photometric="rgb")
    image, info = read(folder)
    assert info.num_levels == 65536
    np.testing.assert_array_equal(np.round(image * 65535), values)


def test_what_tifffile_is_needed_for_is_said(folder, monkeypatch):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(folder / "a.tif", np.zeros((6, 4, 5), np.uint8), photometric="minisblack")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install kgen\[tiff\]"):
        read(folder, channels=5)
