"""The benchmark of folders: that it runs, and counts what it should."""

import json

from benchmarks import folders, sizes


def test_quick_run(tmp_path, capsys):
    output = tmp_path / "folders.json"
    folders.main(folders.Config(quick=True, output=str(output)))
    (content,) = json.loads(output.read_text())["folders"].values()
    assert content["num_pictures"] == 20
    assert all(len(values) == 1 for values in content["seconds"].values())
    assert "no verdict, --quick" in capsys.readouterr().out


def test_quick_run_of_sizes(tmp_path, capsys):
    output = tmp_path / "sizes.json"
    sizes.main(sizes.Config(quick=True, output=str(output)))
    (content,) = json.loads(output.read_text())["sizes"].values()
    assert content["rows"]["VAE 16"]["parameters"] > content["rows"]["VAE 8"]["parameters"] > 0
    assert "| `VAE` |" in capsys.readouterr().out
