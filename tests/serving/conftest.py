"""One export of the stand-in, for the tests that only read it."""

import pytest

from kgen import serving
from tests.serving.stand_in import StandIn


@pytest.fixture(scope="session")
def model():
    return StandIn()


@pytest.fixture(scope="session")
def version_dir(model, tmp_path_factory):
    return serving.export(model, tmp_path_factory.mktemp("served") / "stand_in")
