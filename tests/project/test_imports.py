"""Imports of the package: one direction between folders, no circles, and no more loaded than a name needs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from runstream import NAMES

PACKAGE: Final = Path(__file__).resolve().parents[2] / "runstream"

LAYERS: Final[dict[str, frozenset[str]]] = {
    "errors": frozenset(),
    "logs": frozenset(),
    "model": frozenset({"errors"}),
    "core": frozenset({"model"}),
    "dialects": frozenset({"errors", "model"}),
    "store": frozenset({"core", "errors", "model"}),
    "engine": frozenset({"core", "dialects", "errors", "model", "store"}),
    "sources": frozenset({"dialects", "errors", "model"}),
    "recordings": frozenset({"dialects", "errors", "logs", "model", "sources"}),
    "checker": frozenset({"core", "dialects", "engine", "errors", "model", "recordings", "sources"}),
    "rx": frozenset({"core", "dialects", "engine", "model"}),
    "stream": frozenset({"core", "dialects", "engine", "errors", "logs", "model", "sources", "store"}),
    "clients": frozenset({"core", "dialects", "engine", "errors", "logs", "model", "sources", "store", "stream"}),
    "testing": frozenset({"core", "model", "recordings", "sources"}),
    "sinks": frozenset({"clients", "core", "errors", "logs", "model", "recordings", "stream"}),
    "cluster": frozenset({"core", "dialects", "engine", "errors", "logs", "model", "sources", "store"}),
    "cli": frozenset(
        {
            "checker",
            "clients",
            "cluster",
            "core",
            "dialects",
            "engine",
            "errors",
            "model",
            "recordings",
            "sinks",
            "sources",
            "stream",
            "testing",
        }
    ),
    "__main__": frozenset({"cli"}),
}
"""The folders and modules at the top, and of which others each may import. A later one never imports an earlier one
in the wrong direction: the table itself has no circle."""

PURE: Final = ("model", "core", "dialects")
"""Parts without I/O, event loop, threads and Rx."""

IMPURE_MODULES: Final = frozenset(
    {"reactivex", "asyncio", "websockets", "socket", "ssl", "http", "httpx", "httpx2", "threading", "structlog", "os"}
)

WIRE_NAMES: Final = re.compile(
    r"\b(?:thread\.(?:run|message|created)|response\.(?:created|completed|failed|output|steer)"
    r"|(?:RUN|STEP|TEXT_MESSAGE|TOOL_CALL)_(?:STARTED|FINISHED|ERROR|START|CONTENT|ARGS|END|CHUNK))\b"
)
"""Names of events of a wire, which only the parts of ``SPEAKERS`` may contain."""

SPEAKERS: Final = (
    "dialects",
    "checker",
    "clients",
    "testing",
    "recordings/demo",
    "sources/responses_lanes",
    "sinks/ag_ui/",
)
"""Parts that know a wire: dialects, the checkers of protocols (one file each, beside the dialect, whose tolerance they
must not share), clients, scripted servers for tests, the bundled recordings, the source whose lanes are found by the
names of events, and the sink that writes AG-UI."""


@cache
def modules() -> dict[str, Path]:
    """The modules of the package by dotted name, without the packages' own ``__init__``."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[-1] != "__init__":
            found[".".join(("runstream", *parts))] = path
        elif len(parts) > 1:
            found[".".join(("runstream", *parts[:-1]))] = path
    return found


@cache
def imports(path: Path) -> frozenset[str]:
    """The modules that a file imports, inside functions and for type checking too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            for alias in node.names:
                full = f"{module}.{alias.name}"
                found.add(full if full in modules() else module)
    return frozenset(found)


def top(module: str) -> str:
    """The folder or module at the top in which a module of the package is."""
    return module.split(".")[1]


def test_the_table_names_everything_at_the_top() -> None:
    """A new folder takes its place in the table; there are at most 17 beside ``__main__``.

    The checker is a folder of its own, since no stage imports it; so is the cluster, which needs a broker.
    """
    found = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert found - {"__init__"} == set(LAYERS)
    assert len(found - {"__init__", "__main__"}) <= 17


def test_the_table_has_no_circle() -> None:
    """Every folder stands after all that it may import."""
    seen: set[str] = set()
    order = dict(LAYERS)
    while order:
        ready = [name for name, allowed in order.items() if allowed <= seen]
        assert ready, f"a circle within {sorted(order)}"
        for name in ready:
            del order[name]
        seen |= set(ready)


@pytest.mark.parametrize("part", LAYERS)
def test_imports_point_one_way(part: str) -> None:
    """A part imports of the package only itself and what the table allows."""
    for name, path in modules().items():
        if top(name) != part:
            continue
        for target in imports(path):
            if target.startswith("runstream.") and top(target) != part:
                assert top(target) in LAYERS[part], f"{name} imports {target}"
            assert target != "runstream", f"{name} imports the package's own face"


def test_every_allowed_import_is_used() -> None:
    """The table allows nothing that no module needs."""
    used: dict[str, set[str]] = {part: set() for part in LAYERS}
    for name, path in modules().items():
        used[top(name)] |= {top(target) for target in imports(path) if target.startswith("runstream.")} - {top(name)}
    assert used == {part: set(allowed) for part, allowed in LAYERS.items()}


@pytest.mark.parametrize("part", PURE)
def test_pure_parts_import_no_world(part: str) -> None:
    """The parts from bytes to signals have no I/O, no event loop, no thread and no Rx."""
    paths = [path for name, path in modules().items() if top(name) == part]
    assert paths
    for path in paths:
        heavy = {name for name in imports(path) if name.split(".")[0] in IMPURE_MODULES}
        assert not heavy, f"{path} imports {heavy}"


def circles() -> Iterator[frozenset[str]]:
    """The circles among the modules: the strongly connected components with more than one member (Tarjan)."""
    edges = {name: [target for target in imports(path) if target in modules()] for name, path in modules().items()}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []

    def visit(name: str) -> Iterator[frozenset[str]]:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in edges[name]:
            if target not in index:
                yield from visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            component = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(component) > 1:
                yield frozenset(component)

    for name in edges:
        if name not in index:
            yield from visit(name)


def test_no_circles() -> None:
    """No module imports itself by way of others; imports for types and inside functions count too."""
    assert not set(circles())


def wire_names(path: Path) -> set[str]:
    """The strings of a module's code that contain a name of a wire; docstrings and comments don't count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in prose]
    return {node.value for node in strings if isinstance(node.value, str) and WIRE_NAMES.search(node.value)}


def test_only_dialects_know_a_wire() -> None:
    """No event name of a wire stands outside the parts that speak it."""
    found = set()
    for name, path in modules().items():
        place = path.relative_to(PACKAGE).as_posix()
        if not place.startswith(SPEAKERS) and wire_names(path):
            found.add(name)
    assert not found


def test_the_scan_for_wire_names_finds_one(tmp_path: Path) -> None:
    """A comparison is found, a docstring is not."""
    module = tmp_path / "module.py"
    module.write_text('"""Of `thread.run.created`."""\nSAME = "thread.run.created" == "x"\n', encoding="utf-8")
    assert wire_names(module) == {"thread.run.created"}
    assert wire_names(PACKAGE / "dialects" / "assistants_wire.py")


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
        "runstream.clients.answer_schemas",
        "runstream.cluster.topology",
        "runstream.clients.answers",
        "runstream.clients.outputs",
        "runstream.clients.tools",
        "runstream.store.calls",
        "runstream.checker.check",
        "runstream.checker.report",
        "runstream.checker.rules",
        "runstream.checker.session",
        "runstream.core.derive",
        "runstream.model.limits",
        "runstream.core.reduce",
        "runstream.model.signals",
        "runstream.core.state",
        "runstream.core.state_snapshot",
        "runstream.dialects.assistants",
        "runstream.dialects.assistants_wire",
        "runstream.dialects.base",
        "runstream.dialects.redaction_rules",
        "runstream.dialects.registry",
        "runstream.engine.engine",
        "runstream.errors",
        "runstream.model.events",
        "runstream.engine.fold",
        "runstream.engine.intake",
        "runstream.model",
        "runstream.model.raw",
        "runstream.sinks.ag_ui.encoder",
        "runstream.sinks.ag_ui.events",
        "runstream.sinks.ag_ui.run_input",
        "runstream.sinks.ag_ui.waiting",
        "runstream.sinks.log",
        "runstream.sinks.tracing",
        "runstream.sources.base",
        "runstream.sources.reconnect",
        "runstream.recordings.reader",
        "runstream.recordings.writer",
        "runstream.recordings.redaction",
        "runstream.sources.sse_chunks",
        "runstream.sources.sse_parser",
        "runstream.store.base",
        "runstream.store.codec",
        "runstream.store.memory",
        "runstream.core.run_filter",
        "runstream.sinks.ui_message_stream.chat",
        "runstream.sinks.ui_message_stream.chunks",
        "runstream.sinks.ui_message_stream.encoder",
    ),
    frozenset({"sqlite3"}): ("runstream.store.sqlite",),
    frozenset({"asyncio"}): (
        "runstream.sinks.notebook",
        "runstream.cluster.broker",
        "runstream.cluster.embedded",
        "runstream.cluster.ingest_handle",
        "runstream.cluster.recorded",
        "runstream.sources.connection_loop",
        "runstream.sources.poll",
        "runstream.stream.source_handle",
        "runstream.stream.repairs",
        "runstream.stream.handler_options",
    ),
    # The proxies of the system are the standard library's, which reads them with its own client.
    frozenset({"asyncio", "http", "email"}): (
        "runstream.checker.live",
        "runstream.sources.ag_ui",
        "runstream.sources.langgraph",
        "runstream.sources.responses",
        "runstream.sources.sse",
    ),
    frozenset({"asyncio", "http", "email", "websockets"}): (
        "runstream.recordings.server",
        "runstream.sources.langgraph_thread",
        "runstream.sources.responses_websocket",
        "runstream.sources.websocket",
    ),
    frozenset({"asyncio", "reactivex"}): (
        "runstream.cluster.cluster",
        "runstream.cluster.groups",
        "runstream.cluster.ingest",
        "runstream.cluster.operations",
        "runstream.cluster.source",
        "runstream.cluster.worker",
        "runstream.stream.blocking",
        "runstream.rx.conflation",
        "runstream.stream.connect",
        "runstream.clients.options",
        "runstream.clients.session",
        "runstream.rx.filters",
        "runstream.rx.operators",
        "runstream.sinks.ag_ui.threads",
        "runstream.sinks.terminal.live_view",
        "runstream.sinks.page.feed",
        "runstream.sinks.sse.relay",
        "runstream.recordings.tee",
        "runstream.recordings.source",
        "runstream.stream.handler_methods",
        "runstream.stream.run_stream",
        "runstream.stream.run_view",
        "runstream.engine.watchdogs",
    ),
    frozenset({"asyncio", "reactivex", "http"}): ("runstream.sinks.ag_ui.asgi",),
    frozenset({"asyncio", "reactivex", "http", "email"}): (
        "runstream.clients.ag_ui",
        "runstream.clients.assistants",
        "runstream.clients.base",
        "runstream.clients.blocking",
        "runstream.clients.langgraph",
        "runstream.clients.responses",
        "runstream.sinks.ag_ui.asgi",
        "runstream.sinks.ui_message_stream.asgi",
        "runstream.sinks.ui_message_stream.chats",
    ),
    frozenset({"asyncio", "reactivex", "http"}): ("runstream.sinks.page.asgi", "runstream.sinks.sse.asgi"),
    frozenset({"asyncio", "reactivex", "http", "email", "websockets"}): ("runstream.sinks.page.server",),
}


def alone(code: str) -> None:
    """Run code in a process that has loaded nothing yet."""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


def test_of_every_public_name_it_is_said_what_it_loads() -> None:
    """A new one has to say so too."""
    said = [module for modules in LOADS.values() for module in modules]
    assert sorted(said) == sorted(NAMES)


@pytest.mark.parametrize("heavy", LOADS, ids=lambda heavy: "+".join(sorted(heavy)) or "nothing")
def test_a_public_name_loads_no_more_than_it_needs(heavy: frozenset[str]) -> None:
    """Whoever folds a file waits for no event loop; whoever reads event streams, for no WebSocket library."""
    names = [name for module in LOADS[heavy] for name in NAMES[module].split()]
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


def test_the_logging_library_is_loaded_only_where_it_is_configured() -> None:
    """Lines go to the standard library's logger where the application has not configured structlog."""
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
assert "structlog" not in sys.modules
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
