"""docs/serving.md: what it says to type, from top to bottom."""

import ast
import builtins
import dataclasses
import re
import shlex
import sys

import pytest

from benchmarks import serving as load_test
from kgen.serving import configuration
from tests.serving.proxy import ROOT

TEXT = (ROOT / "docs/serving.md").read_text()
# (language, code), in order; a shell's blocks have no language.
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line
    for language, code in BLOCKS
    if not language
    for line in code.replace("\\\n", " ").splitlines()
]


def test_each_path_of_a_version_exists_when_it_is_named():
    versions = []
    for command in COMMANDS:
        if command.startswith("python recipes/vae.py"):
            versions.append(len(versions) + 1)
        named = {int(number) for number in re.findall("saved_models/vae/([0-9]+)", command)}
        assert named <= set(versions), command
        if "serving.rollback" in command:
            versions.pop()
    assert versions == [1]


def test_the_container_finds_the_files_that_it_mounts(tmp_path, monkeypatch):
    """The last files that were written before it starts are for its folder, as the committed."""
    (tmp_path / "saved_models/vae/1").mkdir(parents=True)
    start = next(i for i, command in enumerate(COMMANDS) if command.startswith("docker compose"))
    written = [command for command in COMMANDS if "kgen.serving.configuration" in command]
    assert written and all(command in COMMANDS[:start] for command in written)
    monkeypatch.chdir(tmp_path)
    for command in written:
        _, _, *arguments = shlex.split(command.replace("$PWD", str(tmp_path)))
        monkeypatch.setattr(sys, "argv", arguments)
        configuration._main()
    for path in (ROOT / "saved_models").glob("*.config"):
        assert (tmp_path / "saved_models" / path.name).read_text() == path.read_text()


def test_ports_are_open_when_they_are_called():
    """Those of the development server until it is stopped; Compose publishes the proxy's alone."""
    published = {"8500", "8501"}
    for language, code in BLOCKS:
        if "docker compose" in code and " up " in code:
            published = {"8443"}
        published |= set(re.findall(r"-p 127\.0\.0\.1:(\d+):", code))
        ports = set(re.findall(r"localhost:(\d+)", code))
        assert ports <= published, (language, code)


@pytest.mark.parametrize("code", [code for language, code in BLOCKS if language == "python"])
def test_snippets_of_python_run_alone(code):
    tree = ast.parse(code)
    known = set(dir(builtins))
    used = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            known |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Name):
            (known if isinstance(node.ctx, ast.Store) else used).add(node.id)
    assert used <= known


def test_the_flags_of_the_load_test_exist():
    fields = {field.name for field in dataclasses.fields(load_test.Config)}
    commands = [command for command in COMMANDS if "benchmarks.serving" in command]
    assert commands
    for command in commands:
        flags = re.findall(r"--([a-z_]+)", command)
        assert set(flags) <= fields, command
