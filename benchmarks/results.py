"""The committed file of figures: each run replaces its own part and keeps the others."""

import dataclasses
import json
import pathlib

from kgen import checks, recipe

COMMITTED = "benchmarks/results.json"
QUICK = "runs/benchmarks/quick.json"
SPOILED = "runs/benchmarks/spoiled.json"
UNFINISHED = "runs/benchmarks/unfinished.json"
OTHER = "runs/benchmarks/other_settings.json"


def path(config, free=(), *, spoiled=False, finished=True):
    """Where a run writes: `--output`, else the committed file.

    That holds whole runs with the default settings alone: one that is quick, not yet at its end,
    spoiled (on a busy machine, say) or of other settings writes to a file of its own kind.

    Args:
        config: the configuration, as the flags gave it.
        free: names of the settings that may differ from their defaults.
        spoiled: bool.
        finished: bool.
    """
    if config.output:
        return config.output
    if config.quick:
        return QUICK
    if not finished:
        return UNFINISHED
    if spoiled:
        return SPOILED
    settings = [field for field in dataclasses.fields(config) if field.name not in free]
    by_default = all(getattr(config, field.name) == field.default for field in settings)
    return COMMITTED if by_default else OTHER


def part(name, machine, *, mixed_precision=False):
    """The name of a run's part: what is computed differently stands beside it, not in its place.

    Args:
        name: the family, or whatever the benchmark varies.
        machine: what `machine.start` returned.
        mixed_precision: bool.
    """
    precision = "mixed precision" if mixed_precision else None
    return ", ".join(filter(None, (name, precision, machine["gpu"])))


def check(config, **least):
    """Refuse sizes that cannot be measured and a file that cannot be written, before any work.

    Args:
        config: the configuration.
        **least: the smallest value of each setting.

    Raises:
        ValueError: names the flag.
    """
    for name, smallest in least.items():
        checks.integer_at_least(f"--{name}", getattr(config, name), smallest)
    output = pathlib.Path(config.output or QUICK)
    if output.is_dir():
        raise ValueError(f"--output={output} is a folder: name a file in it.")
    if config.output and output.exists():
        try:
            json.loads(output.read_text())
        except ValueError as error:
            raise ValueError(
                f"--output={output} holds no JSON to add to ({error}): name another file."
            ) from error


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
