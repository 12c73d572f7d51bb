"""The committed file of figures: each run replaces its own part and keeps the others."""

import json
import pathlib

from kgen import recipe

COMMITTED = "benchmarks/results.json"
QUICK = "runs/benchmarks/quick.json"
SPOILED = "runs/benchmarks/spoiled.json"


def path(config, *, spoiled=False):
    """Where a run writes: `--output`, else the committed file.

    A `--quick` run leaves that alone, and so does one that is spoiled, on a busy machine say.
    """
    if config.output:
        return config.output
    if config.quick:
        return QUICK
    return SPOILED if spoiled else COMMITTED


def update(output, section, part, content):
    """Replace one part of one section of a JSON file.

    Args:
        output: path; a file that does not exist is begun.
        section: name of the benchmark.
        part: name within it, such as the family.
        content: what JSON can hold; numbers are rounded to four digits.
    """
    output = pathlib.Path(output)
    everything = json.loads(output.read_text()) if output.exists() else {}
    parts = {**everything.get(section, {}), part: rounded(content)}
    everything[section] = dict(sorted(parts.items()))
    output.parent.mkdir(parents=True, exist_ok=True)
    recipe.write_json(output, dict(sorted(everything.items())))


def rounded(content):
    """The same with all floats rounded to four significant digits."""
    if isinstance(content, dict):
        return {key: rounded(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [rounded(value) for value in content]
    return float(f"{content:.4g}") if isinstance(content, float) else content
