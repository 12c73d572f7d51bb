"""TFDS without its messages on what is no concern of kgen's users."""

import contextlib
import io

from absl import logging


@contextlib.contextmanager
def quiet_warnings():
    """Hide TFDS' warnings on its own deprecations and on folders that it has yet to create."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


@contextlib.contextmanager
def quiet_preparation():
    """Hide TFDS' announcement of a download where there is none; its progress bars stay."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
