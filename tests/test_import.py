"""What `import kgen` loads, for which scripts wait, and which room imports which."""

import ast
import pathlib
import subprocess
import sys

import kgen

SCRIPT = """
import sys, tensorflow, keras
before = set(sys.modules)
import kgen
new = set(sys.modules) - before
print(*(new & {"tensorflow_datasets", "matplotlib", "sklearn", "scipy", "grpc"}))
print("tensorflow_probability" in new)
"""


def test_import_leaves_heavy_libraries_for_later():
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.splitlines() == ["", "True"]


FAMILIES = {"adversarial", "autoencoding", "autoregressive", "classical", "contrastive"}
# What no file of a room may import; see "The house" in the design.
CLOSED = {family: FAMILIES - {family} for family in FAMILIES}
CLOSED |= {room: FAMILIES for room in ("callbacks", "data", "plots", "serving", "verbs")}
CLOSED["evaluation"] = FAMILIES | {"plots"}


def imported_rooms(path):
    """The modules directly below `kgen` that a file names in its imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("kgen."))


def test_imports_run_one_way():
    root = pathlib.Path(kgen.__file__).parent
    read = set()
    for room, closed in CLOSED.items():
        for path in (root / room).rglob("*.py"):
            rooms = set(imported_rooms(path))
            assert not rooms & closed, path
            read |= rooms
    # The walk sees imports.
    assert {"specs", "checks", "training", "verbs"} <= read
