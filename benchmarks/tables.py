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

from benchmarks import goals, harness, sampling, scaling

ROOT = pathlib.Path(__file__).parents[1]
PAGES = (ROOT / "benchmarks/README.md", ROOT / "docs/performance.md")
FIGURES = ROOT / harness.COMMITTED
_BLOCK = re.compile(r"(<!-- measured: (.+?) / (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
_PACKAGES = {"tensorflow": "TensorFlow", "keras": "Keras", "torch": "PyTorch"}


def updated(text, everything):
    """A page with its tables made anew from what results.json holds.

    Raises:
        KeyError: for a table of a section or part that was not measured.
        ValueError: for a table of parts that were measured on several machines.
    """

    def block(match):
        begin, section, part, end = match.groups()
        parts = everything[section]
        parts = {name: found for name, found in parts.items() if not found["machine"]["gpu"]}
        if part == "goals":
            return f"{begin}{_goals(parts)}\n{end}"
        parts = parts if part == "*" else {part: everything[section][part]}
        where = {_where(found["machine"]) for found in parts.values()}
        if len(where) > 1:
            raise ValueError(f"{list(parts)} were measured on several machines: {where}.")
        return f"{begin}{where.pop()}\n\n```text\n{_printed(section, parts)}\n```\n{end}"

    return _BLOCK.sub(block, text)


def _where(machine):
    versions = [f"{name} {machine['versions'][key]}" for key, name in _PACKAGES.items()]
    where = f"Measured on {machine['gpu'] or machine['processor']}, {machine['num_cores']} cores, "
    return f"{where}{', '.join(versions)}:"


def _printed(section, parts):
    """What the command printed of its results."""
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        for name, part in parts.items():
            if section == "training":
                for case, result in part["results"].items():
                    goals.print_case(case, result)
            elif section == "sampling":
                config = types.SimpleNamespace(**part["config"])
                for print_part in [
                    sampling.PARTS[k] for k in sampling.PARTS if k in part["results"]
                ]:
                    print_part(part["results"], config)
            else:
                scaling.print_axis(name, part["results"], part["hindrance"])
    return stream.getvalue().strip("\n")


_JUDGED = ("PyTorch's fastest form", "bare Keras", "as its users write it")


def _goals(parts):
    """One row a case in Markdown: what has a goal, and kgen's defaults beside PyTorch."""
    lines = [
        "| | kgen's fastest form / PyTorch's fastest | kgen's defaults / the same | "
        "kgen / bare Keras | kgen's defaults / Pythae, lightly | "
        "memory / PyTorch eager, defaults; fastest form |",
        "|---|---|---|---|---|---|",
    ]
    for name, result in (row for part in parts.values() for row in part["results"].items()):
        rows, cells = result["ratios"], dict.fromkeys(_JUDGED, "")
        for row in rows:
            for text, goal in row["goals"].items():
                (judged,) = [judged for judged in _JUDGED if judged in text]
                if not row["of"].startswith("kgen, XLA") or judged == _JUDGED[0]:
                    cells[judged] = _cell(row, goal)
                if judged == _JUDGED[0]:
                    best = row["to"]
        (defaults,) = [row for row in rows if (row["of"], row["to"]) == ("kgen", best)]
        fastest, bare, own_way = cells.values()
        ratio, memory = f"{defaults['median']:.3f}", _memory(result["memory_ratios"])
        line = " | ".join((name, fastest, ratio, bare, own_way, memory))
        lines.append(f"| {line} |".replace("|  |", "| |"))
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
            ranges.setdefault(row["of"], []).extend((row["smallest"], row["largest"]))
    words = "met" if max(map(max, ranges.values())) <= 1.0 else "**missed**"
    text = "; ".join(f"{min(found):.2f} - {max(found):.2f}" for found in ranges.values())
    return f"{text}, goal at most 1: {words}"


def main():
    """Rewrite the pages."""
    everything = json.loads(FIGURES.read_text())
    for page in PAGES:
        harness.write(page, updated(page.read_text(), everything))


if __name__ == "__main__":
    main()
