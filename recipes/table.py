"""Rebuild the table of results in README.md from the metrics that the recipes wrote.

    python -m recipes.table
    python -m recipes.table --add saved_models/vae/metrics.json --name vae_digits

`results/<file>.json` is the `metrics.json` of a run, which `--add` copies there without the folders
of its machine; `rivals/<file>.json` has a rival's metrics on the same data. What they lack, a row,
is in `table_rows.py`: write it first. In a row's figure
`{name:.2f}` is the value of a metric, `{name:+-.2f}` the value and its standard deviation over
draws, `{name:.1%}` a share in percent, and `{name.field:.2f}` another figure of it.
"""

import argparse
import json
import os
import pathlib
import re

from recipes.table_rows import ROWS

FOLDER = pathlib.Path(__file__).parent
# Of the configuration: where a run's files went on the machine that it ran on.
FOLDERS_OF_RUNS = ("run_dir", "export_dir", "data_dir", "classifier_dir")
BEGIN, END = "<!-- table -->", "<!-- end of table -->"
HEADER = (
    "recipe",
    "paper",
    "data",
    "figure (test set)",
    "others on the same data",
    "training",
    "command",
)


class Number(float):
    """A number that writes percent as `97.7 %`."""

    def __format__(self, how):
        text = super().__format__(how)
        return text.replace("%", " %") if how.endswith("%") else text


class Metric:
    """A metric of `metrics.json` in a figure: its value, and its other fields by name."""

    def __init__(self, fields):
        self._fields = fields

    def __getattr__(self, name):
        try:
            return Number(self._fields[name])
        except KeyError:
            raise AttributeError(name) from None

    def __format__(self, how):
        if how.startswith("+-"):
            how = how[2:]
            return f"{self.value:{how}} +- {self.standard_deviation:{how}}"
        return format(self.value, how)


def table(rows=ROWS, folder=FOLDER / "results"):
    """The table as Markdown.

    Args:
        rows: list of `Row`.
        folder: where the rows' files are.

    Raises:
        FileNotFoundError: for a row whose file does not exist.
        KeyError, AttributeError: for a figure that the file does not have.
    """
    lines = [HEADER, ["---"] * len(HEADER)]
    for row in rows:
        content = json.loads((folder / f"{row.file}.json").read_text())
        metrics = {k: Metric(fields) for k, fields in _metrics(content).items()}
        figure = f"{row.figure.format(**metrics)} ([metrics](results/{row.file}.json))"
        command = f"python recipes/{row.recipe}.py {row.flags}".strip()
        lines.append(
            [
                f"`{row.recipe}.py`",
                row.paper,
                row.data,
                figure,
                _others(row),
                _training_time(content["seconds"]),
                f"`{command}`",
            ]
        )
    return "\n".join(f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in lines)


def _others(row):
    """What others reach, from the rival's metrics where there are some."""
    if not row.rival:
        return row.others
    path = FOLDER / "rivals" / f"{row.rival}.json"
    metrics = _metrics(json.loads(path.read_text()))
    text = row.others.format(**{name: Metric(fields) for name, fields in metrics.items()})
    return f"{text} ([metrics](rivals/{row.rival}.json))"


def _metrics(content):
    """The metrics; the longest name, and its form in earlier files, in short."""
    metrics = {name: _with_accuracy(fields) for name, fields in content["metrics"].items()}
    exact = metrics.pop("test_negative_log_likelihood", None) or metrics.get("test_nll")
    if exact:
        bits = metrics.get("test_bits_per_dim", {}).get("value")
        metrics["test_nll"] = dict(bits_per_dim=bits) | exact
    return metrics


def _with_accuracy(fields):
    """The same, with the test accuracy of the classifier that its protocol names as a figure."""
    found = re.search(r"test accuracy (\d\.\d+)", fields.get("protocol", ""))
    return fields | dict(classifier_accuracy=float(found[1])) if found else fields


def updated(text, new_table):
    """A page whose table, between the two markers, is the new one.

    Raises:
        ValueError: if it has not both markers.
    """
    before, found, rest = text.partition(BEGIN)
    _, found_end, after = rest.partition(END)
    if not found or not found_end:
        raise ValueError(f"The page needs the markers {BEGIN} and {END} around its table.")
    return f"{before}{BEGIN}\n{new_table}\n{END}{after}"


def _training_time(seconds):
    """Of the model, or of all models where a run trains several."""
    if "training" in seconds:
        total = seconds["training"]
    else:
        total = sum(v for k, v in seconds.items() if k != "evaluation")
    return f"{total:.0f} s" if total < 100 else f"{total / 60:.0f} min"


def add(source, name, folder=FOLDER / "results"):
    """Copy a run's `metrics.json` to `results/<name>.json`, without the folders of its machine.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not one of a recipe, or no row is called so.
    """
    names = [row.file for row in ROWS]
    if name not in names:
        raise ValueError(
            f"--name={name} has no row in table_rows.py: write one, or use one of "
            f"{', '.join(names)}."
        )
    content = json.loads(pathlib.Path(source).read_text())
    missing = [key for key in ("metrics", "config", "seconds") if key not in content]
    if missing:
        raise ValueError(f"{source} is no metrics.json of a recipe: it lacks {missing}.")
    for key in FOLDERS_OF_RUNS:
        content["config"].pop(key, None)
    _write(folder / f"{name}.json", json.dumps(content, indent=2) + "\n")


def _write(path, text):
    """Under a temporary name, then renamed: readers never see half a file."""
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        temporary.write_text(text)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def main(arguments=None):
    """Take in a run's metrics, if asked to, and rewrite the table of README.md."""
    parser = argparse.ArgumentParser(description="Rebuild the table of results.")
    parser.add_argument("--add", metavar="FILE", help="a run's metrics.json, to be taken in")
    parser.add_argument("--name", help="the row's name, under which it goes into results/")
    given = parser.parse_args(arguments)
    if bool(given.add) != bool(given.name):
        parser.error("--add and --name go together.")
    if given.add:
        add(given.add, given.name)
    path = FOLDER / "README.md"
    _write(path, updated(path.read_text(), table()))


if __name__ == "__main__":
    main()
