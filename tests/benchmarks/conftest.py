"""All tests of this folder have the marker `benchmarks`."""

import pathlib

import pytest

from benchmarks import cases

FOLDER = pathlib.Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.benchmarks)


@pytest.fixture
def rival():
    """A library's module for a family; the test is skipped without that library."""

    def load(library, family):
        reason = cases.why_missing(library, family)
        if reason:
            pytest.skip(f"{library}: {reason}")
        return cases.rival(library, family)

    return load
