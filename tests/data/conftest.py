import pytest


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    """One folder of prepared data sets for all tests of a process."""
    return str(tmp_path_factory.mktemp("tfds"))


@pytest.fixture(autouse=True)
def first_epoch():
    from kgen.data import set_epoch

    set_epoch(0)
    yield
    set_epoch(0)
