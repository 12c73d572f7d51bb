"""The table of results says what the runs measured."""

import dataclasses
import importlib
import json

import pytest

from recipes import table
from recipes.table_rows import ROWS, Row


def test_committed_table_is_what_the_metrics_make():
    page = (table.FOLDER / "README.md").read_text()
    assert table.updated(page, table.table()) == page, "Run python -m recipes.table."


def test_every_result_has_a_row():
    files = {path.stem for path in (table.FOLDER / "results").glob("*.json")}
    assert files == {row.file for row in ROWS}
    for row in ROWS:
        assert (table.FOLDER / f"{row.recipe}.py").exists()


def configured(row):
    """The configuration of a row's command: the recipe's defaults, and the flags of the row."""
    config = importlib.import_module(f"recipes.{row.recipe}").Config()
    given = {}
    for flag in row.flags.split():
        name, found, text = flag.removeprefix("--").partition("=")
        default = getattr(config, name)
        given[name] = type(default)(text) if found else True
    return dataclasses.asdict(dataclasses.replace(config, **given))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.file)
def test_command_is_that_of_the_run(row):
    path = table.FOLDER / "results" / f"{row.file}.json"
    assert path.exists(), "Run the row's command, then python -m recipes.table --add."
    config, commanded = json.loads(path.read_text())["config"], configured(row)
    # Older runs lack the flags that came after them.
    assert config == {name: commanded[name] for name in config}
    assert not set(config) & set(table.FOLDERS_OF_RUNS)


def test_metrics_of_a_run_are_taken_in_without_its_folders(tmp_path, monkeypatch):
    source, folder = tmp_path / "metrics.json", tmp_path / "results"
    folder.mkdir()
    content = dict(metrics={}, config=dict(epochs=3, run_dir="/a", export_dir="/b"), seconds={})
    source.write_text(json.dumps(content))
    table.add(source, "vae_digits", folder)
    (written,) = folder.iterdir()
    assert written.name == "vae_digits.json"
    assert json.loads(written.read_text()) == content | dict(config=dict(epochs=3))
    with pytest.raises(ValueError, match="no row in table_rows.py.*vae_digits"):
        table.add(source, "vae_numbers", folder)
    source.write_text('{"metrics": {}}')
    with pytest.raises(ValueError, match=r"lacks \['config', 'seconds'\]"):
        table.add(source, "vae_digits", folder)
    with pytest.raises(SystemExit):
        table.main(["--add", str(source)])


def test_page_is_never_half_written(tmp_path, monkeypatch):
    page = tmp_path / "README.md"
    page.write_text("old")

    def fail(*paths):
        raise OSError("disk full")

    monkeypatch.setattr(table.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        table._write(page, "new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_accuracy_of_a_classifier_is_read_from_the_protocol(tmp_path):
    protocol = "features of 'c' (penultimate layer of c, test accuracy 0.9237, 5 epochs)"
    metrics = {"frechet_distance": dict(value=1.0, protocol=protocol)}
    content = dict(metrics=metrics, seconds=dict(training=1.0))
    (tmp_path / "run.json").write_text(json.dumps(content))
    row = Row("run", "vae", "", "", "", "{frechet_distance.classifier_accuracy:.1%}")
    assert "92.4 % ([metrics]" in table.table([row], tmp_path)


def test_figures_are_formatted_from_the_metrics(tmp_path):
    metrics = {
        "share": dict(value=0.9765, standard_deviation=0.0123, num_draws=5),
        "test_negative_log_likelihood": dict(value=1234.567, bits_per_dim=1.2344),
    }
    seconds = dict(training=90.0, supervised=50.0, evaluation=1000.0)
    content = dict(metrics=metrics, seconds=seconds)
    (tmp_path / "run.json").write_text(json.dumps(content))
    figure = "{share:.1%}, {share:+-.2f} of {share.num_draws:.0f}; {test_nll:,.1f}"
    row = Row("run", "vae", "--epochs=1", "A 2000", "digits", figure, "7")
    *_, line = table.table([row], tmp_path).splitlines()
    assert line == (
        "| `vae.py` | A 2000 | digits | 97.7 %, 0.98 +- 0.01 of 5; 1,234.6 "
        "([metrics](results/run.json)) | 7 | 90 s | `python recipes/vae.py --epochs=1` |"
    )


def test_figures_that_do_not_exist_are_errors(tmp_path):
    (tmp_path / "run.json").write_text('{"metrics": {"a": {"value": 1.0}}, "seconds": {}}')
    for figure, error in (("{b:.1f}", KeyError), ("{a.error:.1f}", AttributeError)):
        with pytest.raises(error):
            table.table([Row("run", "vae", "", "", "", figure)], tmp_path)
    with pytest.raises(FileNotFoundError):
        table.table([Row("none", "vae", "", "", "", "")], tmp_path)


def test_only_what_is_between_the_markers_is_replaced():
    page = f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n"
    assert table.updated(page, "new") == page.replace("old", "new")
    with pytest.raises(ValueError, match="markers"):
        table.updated(f"{table.END} {table.BEGIN}", "new")
