"""What `import kgen` loads beyond TensorFlow and Keras: scripts wait for it."""

import subprocess
import sys

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
