"""The IDX format of the MNIST family."""

import gzip
import math
import pathlib
import zlib

import numpy as np

_DTYPES = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}


def read_idx(path):
    """Read an IDX file, compressed if its name ends in `.gz`.

        0 0 type rank | rank x uint32 lengths | values        all big-endian

    Args:
        path: the file.

    Returns:
        NumPy array in native byte order.

    Raises:
        ValueError: if the file is not IDX, is cut short, or goes on after its last value.

    Reference:
        LeCun, Cortes and Burges, "The MNIST database of handwritten digits", file formats.
    """
    content = _read_bytes(pathlib.Path(path))
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _DTYPES:
        raise ValueError(
            f"{path} is no IDX file: expected two zero bytes and a type of "
            f"{', '.join(f'0x{code:02x}' for code in _DTYPES)}, received 0x{content[:4].hex()}."
        )
    dtype, rank = _DTYPES[content[2]], content[3]
    start = 4 + 4 * rank
    if len(content) < start:
        raise ValueError(f"{path} is cut short: it ends within its header of {start} bytes.")
    shape = tuple(int(length) for length in np.frombuffer(content, ">u4", count=rank, offset=4))
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        problem = "is cut short" if len(content) < expected else "goes on after its last value"
        raise ValueError(
            f"{path} {problem}: shape {shape} makes {expected} bytes, received {len(content)}."
        )
    values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="))


def _read_bytes(path):
    content = path.read_bytes()
    if path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is cut short or no gzip file: {error}.") from error
