"""References in docstrings and comments of the package resolve to existing objects."""

from __future__ import annotations

import ast
import builtins
import importlib
import io
import keyword
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

import runstream
import runstream.model

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = ROOT / "runstream"

ROLE: Final = re.compile(r":(?:class|meth|func|attr|data|exc|mod|obj):`~?([\w.]+)`")
DOTTED: Final = re.compile(r"(?<![`:])``?([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)(?:\(\))?``?(?!`)")
NAME: Final = re.compile(r"(?<![`:])``?([A-Za-z_]\w*)(?:\(\))?``?(?!`)")

WIRE: Final = ("thread", "run", "message", "step", "tool_call", "source")
"""The first parts of the names of events and signals, which are texts and no objects."""

ATTRIBUTES: Final = {
    name
    for module in ("tracing", "run_metrics")
    for name in re.findall(r'"(runstream\.[a-z_.]+)"', (PACKAGE / "sinks" / f"{module}.py").read_text(encoding="utf-8"))
}
"""The names of attributes and instruments of OpenTelemetry, which look like modules."""

FOREIGN: Final = {
    "COLUMNS",
    "Live",
    "Subject",
    "aiohttp",
    "args.command",
    "args.parser",
    "processUIMessageStream",
    "rate_limit_exceeded",
    "requests",
    "response.content.iter_any",
    "stats.waiting_sources",
    "stream.latest",
    "uiMessageChunkSchema",
    "useChat",
    "with_raw_response",
}
"""Names of other libraries and of the environment, and expressions with a variable."""


class Place:
    """A docstring or comment: its text, its line, and the classes and functions around it."""

    def __init__(self, text: str, line: int, scopes: tuple[ast.AST, ...]) -> None:
        self.text = text
        self.line = line
        self.scopes = scopes


def places(source: str) -> Iterator[Place]:
    """The docstrings and comments of a module."""
    tree = ast.parse(source)
    scopes = [
        node for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    texts = {
        node.value.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        line = token.start[0]
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and line in texts):
            around = [scope for scope in scopes if scope.lineno <= line <= (scope.end_lineno or 0)]
            yield Place(token.string, line, tuple(around))


def members(scope: ast.AST) -> set[str]:
    """The names that a class or function defines: methods, fields, attributes of ``self``, parameters, variables."""
    found: set[str] = set()
    for node in ast.walk(scope):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            found.add(node.attr)
    return found


@cache
def definitions() -> dict[str, list[ast.ClassDef]]:
    """The classes of the package by name."""
    found: dict[str, list[ast.ClassDef]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(node)
    return found


@cache
def has_member(kind: str, name: str) -> bool:
    """True if a class of the package, or a base of it, has an attribute of this name."""
    for node in definitions().get(kind, []):
        if name in members(node):
            return True
        bases = [getattr(base, "id", getattr(base, "attr", "")) for base in node.bases]
        if any(base != kind and has_member(base, name) for base in bases):
            return True
    return False


def imported(name: str) -> bool:
    """True if a dotted name is a module, or an attribute of one."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for number, part in enumerate(parts[end:], end):
            if not hasattr(value, part):
                return number == len(parts) - 1 and isinstance(value, type) and has_member(value.__name__, part)
            value = getattr(value, part)
        return True
    return False


def resolves(name: str, module: Any, scopes: tuple[ast.AST, ...]) -> bool:
    """True if a name in a docstring or comment stands for an object.

    Args:
        name: The name, which may be dotted.
        module: The module of the text.
        scopes: The classes and functions around the text.
    """
    first, _, rest = name.partition(".")
    if not rest:
        kinds = [scope.name for scope in scopes if isinstance(scope, ast.ClassDef)]
        return (
            any(name in members(scope) for scope in scopes)
            or any(has_member(kind, name) for kind in kinds)
            or any(hasattr(space, name) for space in (module, runstream, runstream.model, builtins))
        )
    if first in definitions():
        return "." not in rest and has_member(first, rest)
    if first == "runstream" or not hasattr(module, first):
        return imported(name)
    value = getattr(module, first)
    return all(hasattr(value := getattr(value, part, None), "__class__") for part in rest.split("."))


@cache
def vocabulary() -> set[str]:
    """The identifiers of the package, and the words of its string literals: docstrings and comments do not count."""
    found = {*keyword.kwlist, *dir(builtins)}
    for path in PACKAGE.rglob("*.py"):
        found |= set(path.relative_to(ROOT).with_suffix("").parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found |= members(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                node.value.value = None
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
                text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
                found |= set(re.findall(r"\w+", text))
            elif isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.alias):
                found |= set(node.name.split("."))
            elif isinstance(node, ast.keyword):
                found.add(node.arg or "")
    return found


def references(place: Place) -> Iterator[str]:
    """The names that a text refers to: of roles, and dotted names in backticks."""
    for found in ROLE.finditer(place.text):
        yield found[1]
    for found in DOTTED.finditer(place.text):
        name = found[1]
        if name.split(".")[0] not in WIRE and name not in FOREIGN and not name.endswith((".py", ".md")):
            yield name


def unresolved(source: str, module: Any) -> list[str]:
    """The references of a module that name no object, each with its line.

    A plain name in backticks may also be one of another module, or of the wire: it must occur in the code.
    """
    found = []
    for place in places(source):
        found += [f"{place.line}: {name}" for name in references(place) if not resolves(name, module, place.scopes)]
        plain = {name[1] for name in NAME.finditer(place.text)} - vocabulary() - FOREIGN
        found += [f"{place.line}: {name}" for name in sorted(plain)]
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_references_resolve(path: Path) -> None:
    """A docstring or comment names no module, class, function or attribute that does not exist."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    module = importlib.import_module(".".join(parts[:-1] if parts[-1] in ("__init__", "__main__") else parts))
    assert unresolved(path.read_text(encoding="utf-8"), module) == []


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        (":class:`RunStream`, :meth:`RunStream.on`, :mod:`runstream.core.merge`, `feed`", []),
        (":class:`RunStreem`", ["RunStreem"]),
        (":meth:`RunStream.hold`", ["RunStream.hold"]),
        (":func:`~runstream.core.merge.accumulate`", ["runstream.core.merge.accumulate"]),
        ("``runstream.damage``", ["runstream.damage"]),
        ("`mark_damaged`", ["mark_damaged"]),
    ],
)
def test_the_check(text: str, missing: list[str]) -> None:
    """A name that does not exist is found; a name that exists is not."""
    assert unresolved(f'"""{text}"""\n', runstream) == [f"1: {name}" for name in missing]


@pytest.mark.parametrize(
    "path",
    [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_pages_name_existing_modules(path: Path) -> None:
    """A page names no module of the package, and no Python file, that does not exist."""
    text = path.read_text(encoding="utf-8")
    names = {name[1] for name in re.finditer(r"`(runstream(?:\.\w+)+)(?:\([^`]*\))?`", text)}
    files = {file[1] for file in re.finditer(r"`([\w/]+/\w+\.py)`", text)}
    assert sorted(name for name in names - ATTRIBUTES if not imported(name)) == []
    assert sorted(file for file in files if not any((base / file).exists() for base in (ROOT, PACKAGE))) == []


@pytest.mark.parametrize("folder", ["engine", "stream"])
def test_the_page_on_the_pipeline_lists_all_modules(folder: str) -> None:
    """The two large folders have a table of their modules, so that a reader finds the place of a change."""
    page = (ROOT / "docs" / "pipeline.md").read_text(encoding="utf-8")
    modules = sorted(path.name for path in (PACKAGE / folder).glob("*.py") if path.name != "__init__.py")
    assert [module for module in modules if f"`{module}`" not in page] == []
