"""The arrows between packages point one way, and importing the library does nothing but import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from runstream.names import NAMES_IN

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


@pytest.mark.parametrize("args", [["--help"], ["watch", "--help"], ["--version"], ["replay"]], ids=" ".join)
def test_help_loads_no_command(args: list[str]) -> None:
    """Help, the version and usage errors come at once: what a command needs is loaded once it is run."""
    alone(f"""
import sys
from runstream.cli import main
assert main({args!r}) == {2 if args == ["replay"] else 0}
loaded = {{"asyncio", "msgspec", "reactivex", "websockets", "structlog", "rich"}} & sys.modules.keys()
assert not loaded, loaded
""")


# What a public name may load of these, by the module that holds it: no more than it needs.
HEAVY = {"asyncio", "reactivex", "websockets", "structlog", "rich", "httpx", "httpx2", "http", "email", "sqlite3"}
LOADS: dict[frozenset[str], tuple[str, ...]] = {
    frozenset(): (
        "runstream.core.derive",
        "runstream.core.limits",
        "runstream.core.reduce",
        "runstream.core.signals",
        "runstream.core.state",
        "runstream.dialects.assistants",
        "runstream.dialects.base",
        "runstream.engine",
        "runstream.errors",
        "runstream.events",
        "runstream.folding",
        "runstream.intake",
        "runstream.model",
        "runstream.raw",
        "runstream.sinks.records",
        "runstream.sources.base",
        "runstream.sources.reconnect",
        "runstream.sources.recording_reader",
        "runstream.sources.recording_writer",
        "runstream.sources.redaction",
        "runstream.sources.sse_chunks",
        "runstream.sources.sse_parser",
        "runstream.store.base",
        "runstream.store.codec",
        "runstream.store.memory",
        "runstream.stream.matching",
    ),
    frozenset({"sqlite3"}): ("runstream.store.sqlite",),
    frozenset({"asyncio"}): (
        "runstream.sources.attempts",
        "runstream.sources.poll",
        "runstream.stream.handle",
        "runstream.stream.repairs",
    ),
    # The proxies of the system are the standard library's, which reads them with its own client.
    frozenset({"asyncio", "http", "email"}): ("runstream.sources.sse",),
    frozenset({"asyncio", "http", "email", "websockets"}): ("runstream.server", "runstream.sources.websocket"),
    frozenset({"asyncio", "reactivex"}): (
        "runstream.blocking",
        "runstream.conflation",
        "runstream.connecting",
        "runstream.filters",
        "runstream.operators",
        "runstream.sinks.live",
        "runstream.sinks.log",
        "runstream.sinks.page.feed",
        "runstream.sources.recorded",
        "runstream.sources.recording_source",
        "runstream.stream.handling",
        "runstream.stream.run_stream",
        "runstream.stream.run_view",
        "runstream.watchdogs",
    ),
    frozenset({"asyncio", "reactivex", "http"}): ("runstream.sinks.page.asgi",),
    frozenset({"asyncio", "reactivex", "http", "email", "websockets"}): ("runstream.sinks.page.server",),
}


def alone(code: str) -> None:
    """Run code in a process that has loaded nothing yet."""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


def test_of_every_public_name_it_is_said_what_it_loads() -> None:
    """A new one has to say so too."""
    said = [module for modules in LOADS.values() for module in modules]
    assert sorted(said) == sorted(NAMES_IN)


@pytest.mark.parametrize("heavy", LOADS, ids=lambda heavy: "+".join(sorted(heavy)) or "nothing")
def test_a_public_name_loads_no_more_than_it_needs(heavy: frozenset[str]) -> None:
    """Whoever folds a file waits for no event loop; whoever reads event streams, for no WebSocket library."""
    names = [name for module in LOADS[heavy] for name in NAMES_IN[module]]
    alone(f"""
import sys
import runstream
assert not {HEAVY - {"http", "email"}} & set(sys.modules)
for name in {names}:
    getattr(runstream, name)
found = {HEAVY} & set(sys.modules)
assert found == {set(heavy)}, found
""")


@pytest.mark.parametrize(
    ("url", "wanted", "others"),
    [("ws://gateway.example/runs", "websockets", {"httpx2"}), ("https://gateway.example/", "httpx2", {"websockets"})],
    ids=["websocket", "http"],
)
def test_a_url_loads_its_own_transport(url: str, wanted: str, others: set[str]) -> None:
    """`connect` loads the library that the URL asks for, and not the other."""
    alone(f"""
import sys
import runstream
runstream.connect({url!r})
assert {wanted!r} in sys.modules
assert not {others | {"structlog", "rich"}} & set(sys.modules)
""")


def test_the_logging_library_is_loaded_with_the_first_line() -> None:
    """A stream that goes well writes none; one whose subscriber fails writes it as ever."""
    alone("""
import sys
from runstream import BlockingStream, RunStream, demo, read_recording
def items():
    return read_recording(demo.load("text.sse"))
with BlockingStream(RunStream(items())) as stream:
    assert stream.result().status == "completed"
assert "structlog" not in sys.modules
with BlockingStream(RunStream(items())) as stream:
    stream.stream.signals.subscribe(lambda signal: 1 / 0)
    stream.result()
assert "structlog" in sys.modules
from structlog.testing import capture_logs
with capture_logs() as lines, BlockingStream(RunStream(items())) as stream:
    stream.stream.signals.subscribe(lambda signal: 1 / 0)
    stream.result()
assert lines[0]["event"] == "subscriber_failed", lines
""")


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
from runstream import *
mine = [key for key in read if "RUNSTREAM" in key.upper()]
assert not mine, mine
assert threading.active_count() == 1
assert logging.getLogger().handlers == handlers
assert not structlog.is_configured()
"""
    alone(code)


def test_the_http_client_is_imported_by_who_needs_it() -> None:
    """It is an extra: whoever has only the core imports everything else."""
    code = """
import sys
import runstream
from runstream import *
assert not {"httpx", "httpx2", "httpcore2"} & set(sys.modules)
runstream.SseSource("https://gateway.example/runs")
assert "httpx2" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
