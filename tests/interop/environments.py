"""The environments that have other people's packages: their paths, or a skip with the reason."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

__all__ = ["APPS", "NODE_VARIABLE", "PYTHON_VARIABLE", "interop_command", "interop_node", "interop_python"]

APPS = Path(__file__).parent / "apps"
"""The folder of the applications."""
PYTHON_VARIABLE = "RUNSTREAM_INTEROP_PYTHON"
"""The environment variable with the path of the Python that has the packages."""
NODE_VARIABLE = "RUNSTREAM_INTEROP_NODE"
"""The environment variable with the path of the folder that contains `node_modules`."""


def interop_python(*modules: str) -> str:
    """The path of the Python that has other people's packages.

    Args:
        modules: Names of modules that the test needs; the test is skipped where one is missing.
    """
    python = os.environ.get(PYTHON_VARIABLE)
    if not python:
        pytest.skip(f"{PYTHON_VARIABLE} is not set; tests/interop/README.md says how to make the environment")
    for module in modules:
        if not _has_module(python, module):
            pytest.skip(f"the environment of {PYTHON_VARIABLE} has no module {module}")
    return python


def interop_command(name: str) -> str:
    """The path of a command that a package of the Python environment installs; skips the test where it is missing."""
    command = Path(interop_python()).with_name(name)
    if not command.exists():
        pytest.skip(f"the environment of {PYTHON_VARIABLE} has no command {name}")
    return str(command)


def interop_node(*packages: str) -> tuple[str, Path]:
    """The path of Node's command and of the folder with `node_modules`.

    Args:
        packages: Names of npm packages that the test needs; the test is skipped where one is missing.
    """
    node, folder = shutil.which("node"), os.environ.get(NODE_VARIABLE)
    if node is None:
        pytest.skip("the command node is not installed")
    if not folder:
        pytest.skip(f"{NODE_VARIABLE} is not set; tests/interop/README.md says how to make the environment")
    for package in packages:
        if not (Path(folder) / "node_modules" / package).is_dir():
            pytest.skip(f"the folder of {NODE_VARIABLE} has no package {package}")
    return node, Path(folder)


@cache
def _has_module(python: str, module: str) -> bool:
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([python, "-c", code], check=False, capture_output=True, timeout=60).returncode == 0
