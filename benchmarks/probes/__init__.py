"""What is measured in a process of its own, since it is about the process: memory, devices.

Each probe is a module whose `measure(...)` returns what JSON can hold.
"""

import json
import pathlib
import subprocess
import sys

_CALL = (
    "import importlib, json, sys; module, arguments = sys.argv[1:]; "
    "result = importlib.import_module(module).measure(**json.loads(arguments)); "
    "print(); print(json.dumps(result))"
)


def call(name, **arguments):
    """`measure(**arguments)` of the probe `name`, in a process of its own.

    Raises:
        RuntimeError: if the process fails, with what it said last.
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _CALL, f"benchmarks.probes.{name}"]
        + [json.dumps(arguments)],
        capture_output=True,
        text=True,
        cwd=pathlib.Path(__file__).parents[2],
    )
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise RuntimeError(f"The probe '{name}' with {arguments} failed:\n{last}")
    return json.loads(done.stdout.splitlines()[-1])
