"""The table of results says what the runs measured."""

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
