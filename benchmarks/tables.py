"""Rebuild the tables of README.md and of docs/performance.md from results.json.

    python -m benchmarks.tables

A table stands between the lines `<!-- measured: training / vae -->` and `<!-- end -->`, where
`training` is a section of the file and `vae` a part of it; `scaling / *` is all its parts that were
measured without a GPU, and `training / goals` one row a case.
"""

import contextlib
import io
import json
import pathlib
import re
import types

from benchmarks import changes, results, sampling_tables, scaling, training_table
from kgen import plots

ROOT = pathlib.Path(__file__).parents[1]
PAGES = (ROOT / "benchmarks/README.md", ROOT / "docs/performance.md")
FIGURES = ROOT / results.COMMITTED
_BLOCK = re.compile(r"(<!-- measured: (.+?) / (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
_PACKAGES = {"tensorflow": "TensorFlow", "keras": "Keras", "torch": "PyTorch"}


def updated(text, everything):
    """A page with its tables made anew.

    Args:
        text: of the page.
        everything: what results.json holds.

    Raises:
        KeyError: for a table of a section or part that was not measured.
    """

    def block(match):
        begin, section, part, end = match.groups()
        if part == "goals":
            return f"{begin}{_goals(_without_a_gpu(everything[section]))}\n{end}"
        parts = {part: everything[section].get(part)}
        if part == "*":
            parts = _without_a_gpu(everything[section])
        if None in parts.values():
            raise KeyError(f"No {section} of {part} was measured.")
        return f"{begin}{_where(parts)}\n\n```text\n{_printed(section, parts)}\n```\n{end}"

    return _BLOCK.sub(block, text)


def _without_a_gpu(parts):
    return {name: part for name, part in parts.items() if not part["machine"]["gpu"]}


def _where(parts):
    """The machine and the versions; all parts are of one."""
    found = {json.dumps(_machine(part), sort_keys=True) for part in parts.values()}
    if len(found) > 1:
        raise ValueError(f"{list(parts)} were measured on several machines: {found}.")
    return json.loads(found.pop())


def _machine(part):
    about = part["machine"]
    versions = [f"{name} {about['versions'][key]}" for key, name in _PACKAGES.items()]
    return f"Measured on {about['gpu'] or about['processor']}, {about['num_cores']} cores, " + (
        ", ".join(versions) + ":"
    )


def _printed(section, parts):
    """What the command printed of its results."""
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        if section == "changes":
            changes.print_head()
        for name, part in parts.items():
            _PRINTERS[section](name, part)
    return stream.getvalue().strip("\n")


def _training(_, part):
    for name, result in part["results"].items():
        training_table.print_case(name, result)


def _sampling(_, part):
    found, config = part["results"], types.SimpleNamespace(**part["config"])
    sampling_tables.print_all(found, config)


def _scaling(axis, part):
    scaling.print_axis(axis, part["results"], part["hindrance"])


def _changes(name, part):
    changes.print_change(name, part["results"])


_PRINTERS = dict(training=_training, sampling=_sampling, scaling=_scaling, changes=_changes)


GOALS = ("PyTorch's fastest form", "bare Keras", "as its users write it")


def _goals(parts):
    """One row a case in Markdown: what has a goal, and kgen's defaults beside PyTorch."""
    lines = [
        "| | kgen's fastest form / PyTorch's fastest | kgen's defaults / the same | "
        "kgen / bare Keras | kgen's defaults / Pythae, lightly | "
        "memory / PyTorch eager, defaults; fastest form |",
        "|---|---|---|---|---|---|",
    ]
    for part in parts.values():
        for name, result in part["results"].items():
            rows = result["ratios"]
            cells = {judged: "" for judged in GOALS}
            for row in rows:
                for text, goal in row["goals"].items():
                    (judged,) = [judged for judged in GOALS if judged in text]
                    if not row["of"].startswith("kgen, XLA") or judged == GOALS[0]:
                        cells[judged] = _cell(row, goal)
                    if judged == GOALS[0]:
                        best = row["to"]
            (defaults,) = [row for row in rows if (row["of"], row["to"]) == ("kgen", best)]
            ratio = f"{defaults['median']:.3f}"
            fastest, bare, own_way = cells.values()
            cells = (name, fastest, ratio, bare, own_way, _memory(result["memory_ratios"]))
            lines.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
    return "\n".join(lines)


def _cell(row, goal):
    """A median, its quartiles, and which side of the goal they are on."""
    lower, middle, upper = row["lower_quartile"], row["median"], row["upper_quartile"]
    words = "met" if middle >= goal else "**missed**"
    if lower < goal <= upper:
        words = f"median {'above' if middle >= goal else '**below**'}, within the quartiles"
    return f"{middle:.3f} ({lower:.3f} - {upper:.3f}), goal {goal:g}: {words}"


def _memory(rows):
    """The ranges of kgen's forms beside PyTorch's eager ones."""
    ranges = {}
    for row in rows:
        if row["goal"] is not None:
            low, high = ranges.get(row["of"], (row["smallest"], row["largest"]))
            ranges[row["of"]] = min(low, row["smallest"]), max(high, row["largest"])
    words = "met" if max(high for _, high in ranges.values()) <= 1.0 else "**missed**"
    text = "; ".join(f"{low:.2f} - {high:.2f}" for low, high in ranges.values())
    return f"{text}, goal at most 1: {words}"


def main():
    """Rewrite the pages."""
    everything = json.loads(FIGURES.read_text())
    for page in PAGES:
        text = updated(page.read_text(), everything)
        with plots.replace_atomically(page) as stream:
            stream.write(text.encode())


if __name__ == "__main__":
    main()
