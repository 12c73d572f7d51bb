"""The tables of benchmarks/README.md are those of the committed figures."""

import json

import pytest

from benchmarks import tables


@pytest.mark.parametrize("path", tables.PAGES, ids=lambda path: path.name)
def test_committed_tables_are_what_was_measured(path):
    everything = json.loads(tables.FIGURES.read_text())
    page = path.read_text()
    assert page.count("<!-- measured: ") == len(tables._BLOCK.findall(page)) > 0
    assert tables.updated(page, everything) == page, "Run python -m benchmarks.tables."


def test_a_table_names_its_machine_and_nothing_that_was_not_measured():
    versions = dict(tensorflow="2.21.0", keras="3.15.1", torch="2.13.0")
    about = dict(processor="a processor", num_cores=2, gpu=None, versions=versions)
    row = dict(label="a row", images_per_second=[4.0, 6.0], milliseconds_a_step=2.0)
    row |= dict(step_megabytes=1.0, process_megabytes=3.0)
    axis = dict(results=dict(rows=[row]), machine=about, hindrance="")
    everything = dict(scaling={"batch": axis}, training={})
    page = "before\n<!-- measured: scaling / * -->\nold\n<!-- end -->\nbehind\n"
    found = tables.updated(page, everything)
    assert found.startswith("before\n") and found.endswith("<!-- end -->\nbehind\n")
    assert "Measured on a processor, 2 cores, TensorFlow 2.21.0" in found
    assert "5  (4 - 6)" in found and "2.00 ms a step" in found and "old" not in found
    assert tables.updated(found, everything) == found
    with pytest.raises(KeyError):
        tables.updated(page.replace("scaling / *", "training / vae"), everything)
    everything["scaling"]["on a GPU"] = dict(axis, machine=about | dict(gpu="a GPU"))
    assert tables.updated(page, everything) == found
    everything["scaling"]["side"] = dict(axis, machine=about | dict(num_cores=8))
    with pytest.raises(ValueError, match="several machines"):
        tables.updated(page, everything)


def test_goals_say_on_which_side_the_median_is():
    def row(of, to, median, **goals):
        quartiles = dict(lower_quartile=median - 0.1, upper_quartile=median + 0.1)
        return dict(of=of, to=to, goals=goals, median=median, **quartiles)

    rows = [
        row("kgen", "bare Keras", 0.95, **{"bare Keras": 0.97}),
        row("kgen, 10 steps a call", "PyTorch eager", 1.5, **{"PyTorch's fastest form": 1.3}),
        row("kgen", "PyTorch eager", 1.25),
        row("kgen", "Pythae", 1.7, **{"Pythae, as its users write it": 2.0}),
    ]
    memory = dict(of="kgen", to="PyTorch eager", goal=1.0, smallest=0.8, largest=0.9)
    case = dict(ratios=rows, memory_ratios=[memory, memory | dict(largest=9.0, goal=None)])
    part = dict(machine=dict(gpu=None), results={"a VAE": case})
    page = "<!-- measured: training / goals -->\n<!-- end -->\n"
    table = tables.updated(page, dict(training=dict(vae=part)))
    (line,) = [line for line in table.splitlines() if "a VAE" in line]
    assert line.split(" | ")[1:] == [
        "1.500 (1.400 - 1.600), goal 1.3: met",
        "1.250",
        "0.950 (0.850 - 1.050), goal 0.97: median **below**, within the quartiles",
        "1.700 (1.600 - 1.800), goal 2: **missed**",
        "0.80 - 0.90, goal at most 1: met |",
    ]
