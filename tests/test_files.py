"""What `kgen.files` writes appears whole or not at all."""

import os
import stat

import pytest

from kgen.files import replace_atomically


def test_replacement_keeps_the_old_file_until_the_end(tmp_path):
    path = tmp_path / "a.bin"
    with replace_atomically(path) as stream:
        stream.write(b"old")
    with pytest.raises(RuntimeError), replace_atomically(path) as stream:
        stream.write(b"new, half")
        assert path.read_bytes() == b"old"
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]
    umask = os.umask(0)
    os.umask(umask)
    # Other users, such as a server's, can read it where the umask lets them.
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
