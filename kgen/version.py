"""The version, apart from the package so that setup.py can read it."""

__version__ = "0.2.0"
