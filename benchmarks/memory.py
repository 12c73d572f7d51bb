"""Resident memory of this process, as Linux reports it."""

import ctypes
import gc
import pathlib
import re

_STATUS = pathlib.Path("/proc/self/status")


def is_known():
    """Whether this system tells; only Linux does."""
    return _STATUS.exists()


def megabytes(field):
    """A field of `/proc/self/status` in MB.

    Args:
        field: "VmHWM", the peak of resident memory, "RssAnon", what the process has allocated, or
            "RssFile", the pages of libraries and other files.
    """
    return int(re.search(rf"{field}:\s+(\d+) kB", _STATUS.read_text())[1]) * 1024 / 1e6


def give_back():
    """Return to the system what is allocated no more: importing and compiling leave much of it."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def allocated():
    """What the process holds now, in MB, without what it could give back."""
    give_back()
    return megabytes("RssAnon")


def forget_peak():
    """Let VmHWM begin anew at the memory that is in use now."""
    give_back()
    pathlib.Path("/proc/self/clear_refs").write_text("5")


def allocated_peak():
    """The peak of allocated memory in MB: what is resident, without the pages of libraries.

    Which pages of a library are resident depends on what was called before; in a steady state they
    no longer change, so that they can be taken off the peak.
    """
    return megabytes("VmHWM") - megabytes("RssFile")
