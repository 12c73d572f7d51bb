"""The tables of benchmarks/README.md are those of the committed figures."""

import json

import pytest

from benchmarks import tables


def test_committed_tables_are_what_was_measured():
    everything = json.loads(tables.FIGURES.read_text())
    page = tables.PAGE.read_text()
    assert page.count("<!-- measured: ") == len(tables._BLOCK.findall(page)) > 0
    assert tables.updated(page, everything) == page, "Run python -m benchmarks.tables."


def test_a_table_names_its_machine_and_nothing_that_was_not_measured():
    versions = dict(tensorflow="2.21.0", keras="3.15.1", torch="2.13.0")
    about = dict(processor="a processor", num_cores=2, gpu=None, versions=versions)
    change = dict(
        milliseconds_a_step=dict(before=[4.0, 6.0], after=[2.0, 3.0]),
        ratio=dict(median=2.0, lower_quartile=1.9, upper_quartile=2.1),
    )
    everything = dict(changes={"faster": dict(results=change, machine=about)})
    page = "before\n<!-- measured: changes / * -->\nold\n<!-- end -->\nbehind\n"
    found = tables.updated(page, everything)
    assert found.startswith("before\n") and found.endswith("<!-- end -->\nbehind\n")
    assert "Measured on a processor, 2 cores, TensorFlow 2.21.0" in found
    assert "5.00     2.50   2.000  (1.900 - 2.100)" in found
    assert "old" not in found
    assert tables.updated(found, everything) == found
    with pytest.raises(KeyError):
        tables.updated(page.replace("changes", "training"), everything)
    everything["changes"]["on a GPU"] = dict(results=change, machine=about | dict(gpu="a GPU"))
    assert tables.updated(page, everything) == found
    everything["changes"]["slower"] = dict(results=change, machine=about | dict(num_cores=8))
    with pytest.raises(ValueError, match="several machines"):
        tables.updated(page, everything)
