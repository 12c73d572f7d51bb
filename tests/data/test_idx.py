import gzip
import pathlib
import struct

import numpy as np
import pytest

from kgen.data.idx import read_idx

DEBIAN = pathlib.Path("/usr/share/datasets/fashion-mnist")


def idx_bytes(array, code):
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize(
    "dtype, code",
    [("u1", 0x08), ("i1", 0x09), ("i2", 0x0B), ("i4", 0x0C), ("f4", 0x0D), ("f8", 0x0E)],
)
def test_reads_every_type_in_native_order(tmp_path, dtype, code):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    (tmp_path / "a").write_bytes(idx_bytes(array, code))
    read = read_idx(tmp_path / "a")
    assert read.dtype == array.dtype and read.dtype.isnative
    np.testing.assert_array_equal(read, array)


def test_reads_gzip(tmp_path):
    array = np.arange(6, dtype=np.uint8)
    (tmp_path / "a.gz").write_bytes(gzip.compress(idx_bytes(array, 0x08)))
    np.testing.assert_array_equal(read_idx(tmp_path / "a.gz"), array)


GOOD = idx_bytes(np.arange(6, dtype=np.uint8).reshape(2, 3), 0x08)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "no IDX file"),
        (b"\x89PNG" + GOOD, "no IDX file"),
        (b"\0\0\x07" + GOOD[3:], "no IDX file"),
        (GOOD[:7], "ends within its header of 12 bytes"),
        (GOOD[:-1], r"cut short: shape \(2, 3\) makes 18 bytes, received 17"),
        (GOOD + b"\0", r"goes on after its last value: .* received 19"),
    ],
)
def test_refuses_what_is_not_idx(tmp_path, content, message):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_idx(tmp_path / "a")


@pytest.mark.parametrize("content", [gzip.compress(GOOD, mtime=0)[:-9], GOOD])
def test_refuses_bad_gzip(tmp_path, content):
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(ValueError, match="cut short or no gzip"):
        read_idx(tmp_path / "a.gz")


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's dataset-fashion-mnist")
def test_reads_debian_fashion_mnist():
    images = read_idx(DEBIAN / "t10k-images-idx3-ubyte.gz")
    labels = read_idx(DEBIAN / "t10k-labels-idx1-ubyte.gz")
    assert images.shape == (10_000, 28, 28) and images.dtype == np.uint8
    np.testing.assert_array_equal(np.bincount(labels), [1_000] * 10)
