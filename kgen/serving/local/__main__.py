"""`python -m kgen.serving.local saved_models/`: the development server.

The server must not hold Python's TensorFlow: it is slow to start, takes much memory, and repairs
what TF Serving cannot load. But the stubs of TF Serving import `tensorflow.core`, and the name of
this package imports `kgen`, and either runs the `__init__` of TensorFlow. So this file runs by its
path, with packages of these names that have a folder and nothing else; `python -m` starts it anew
that way.
"""

import importlib.machinery
import importlib.util
import os
import pathlib
import sys


def _bare_package(name: str, spec: importlib.machinery.ModuleSpec | None) -> None:
    if spec is None:
        sys.exit(f"{name} is not installed in this Python environment.")
    sys.modules[name] = importlib.util.module_from_spec(spec)


def _main() -> None:
    folder = pathlib.Path(__file__).resolve().parent
    if __package__:
        os.execv(sys.executable, [sys.executable, str(folder), *sys.argv[1:]])
    # The folder of this file, whose modules are no top-level ones.
    sys.path[:] = [path for path in sys.path if pathlib.Path(path or ".").resolve() != folder]
    _bare_package("tensorflow", importlib.util.find_spec("tensorflow"))
    for name, path in (("kgen", folder.parents[1]), ("kgen.serving", folder.parents[0])):
        _bare_package(
            name,
            importlib.util.spec_from_file_location(
                name, path / "__init__.py", submodule_search_locations=[str(path)]
            ),
        )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Else the first model would take all the memory of a GPU.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    from kgen.serving.local import program

    sys.exit(program.main(sys.argv[1:]))


if __name__ == "__main__":
    _main()
