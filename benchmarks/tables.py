"""Rebuild the tables of README.md from results.json.

    python -m benchmarks.tables

A table stands between the lines `<!-- measured: training / vae -->` and `<!-- end -->`, where
`training` is a section of the file and `vae` a part of it; `scaling / *` is all its parts that were
measured without a GPU.
"""

import contextlib
import io
import json
import pathlib
import re
import types

from benchmarks import changes, results, sampling_tables, scaling, training_table
from kgen import plots

PAGE = pathlib.Path(__file__).parent / "README.md"
FIGURES = PAGE.parents[1] / results.COMMITTED
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
        parts = {part: everything[section].get(part)}
        if part == "*":
            parts = {k: v for k, v in everything[section].items() if not v["machine"]["gpu"]}
        if None in parts.values():
            raise KeyError(f"No {section} of {part} was measured.")
        return f"{begin}{_where(parts)}\n\n```text\n{_printed(section, parts)}\n```\n{end}"

    return _BLOCK.sub(block, text)


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


def main():
    """Rewrite the page."""
    text = updated(PAGE.read_text(), json.loads(FIGURES.read_text()))
    with plots.replace_atomically(PAGE) as stream:
        stream.write(text.encode())


if __name__ == "__main__":
    main()
