"""The arrows between packages point one way, and importing the library does nothing but import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "runstream"
# What each part may import of the package, by prefix; and what it may not import of the world.
ALLOWED = {
    "model": ("runstream.model", "runstream.errors"),
    "raw.py": (),
    "errors.py": (),
    "events.py": ("runstream.model", "runstream.raw"),
    "core": ("runstream.core", "runstream.model", "runstream.events", "runstream.raw", "runstream.errors"),
    "dialects": ("runstream.dialects", "runstream.model", "runstream.events", "runstream.raw", "runstream.errors"),
}
FORBIDDEN = ("reactivex", "asyncio", "websockets", "socket", "ssl", "http", "httpx", "threading", "structlog", "os")


def modules(part: str) -> list[Path]:
    path = PACKAGE / part
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """The modules that a file imports, those for type checking too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("part", ALLOWED)
def test_arrows_point_one_way(part: str) -> None:
    """A part imports of the package only what stands below it, and of the world no I/O, no loop and no Rx."""
    assert modules(part)
    for path in modules(part):
        for name in imports(path):
            if name.split(".")[0] == "runstream":
                assert name.startswith(ALLOWED[part]), f"{path.name} imports {name}"
            else:
                assert name.split(".")[0] not in FORBIDDEN, f"{path.name} imports {name}"


def test_nothing_imports_the_command_line() -> None:
    """Only the command line itself, and `python -m runstream`, import the command line."""
    for path in PACKAGE.rglob("*.py"):
        if "cli" not in path.parts and path.name != "__main__.py":
            assert not any(name.startswith("runstream.cli") for name in imports(path)), path


def test_importing_starts_nothing_and_reads_no_environment() -> None:
    """Importing the library starts no thread, configures no logging and reads no environment variable of its own."""
    code = """
import logging, os, threading
import asyncio, msgspec, reactivex, structlog, websockets
import websockets.asyncio.client, websockets.asyncio.server
read = []
class Spy(type(os.environ)):
    def __getitem__(self, key):
        read.append(key)
        return super().__getitem__(key)
os.environ.__class__ = Spy
handlers = list(logging.getLogger().handlers)
import runstream
mine = [key for key in read if "RUNSTREAM" in key.upper()]
assert not mine, mine
assert threading.active_count() == 1
assert logging.getLogger().handlers == handlers
assert not structlog.is_configured()
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


def test_the_http_client_is_imported_by_who_needs_it() -> None:
    """It is an extra: whoever has only the core imports everything else."""
    code = """
import sys
import runstream
assert not {"httpx", "httpx2", "httpcore2"} & set(sys.modules)
runstream.SseSource("https://gateway.example/runs")
assert "httpx2" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
