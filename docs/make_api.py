"""Writes docs/api.md, the index of all public names, for readers of a clone. Run from anywhere.

The reference itself is a part of the site, made from the docstrings at each build: docs/site_hooks.py.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import runpy
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HEAD = """\
# Public names

<!-- Written by docs/make_api.py from the docstrings: change those, then run it. -->

Every public name with the first line of its docstring. Methods, fields, options and exceptions are in the docstrings,
and in the API reference of the site, which is made from them: `mkdocs build`, then `site/reference/index.html`.
"""


@cache
def docstrings_of_values(module: str) -> dict[str, str]:
    """The docstrings under the assignments of a module, and of those that it imports from the package."""
    body = ast.parse(inspect.getsource(importlib.import_module(module))).body
    found = {}
    for node in body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("runstream."):
            imported = {alias.name for alias in node.names}
            found |= {name: text for name, text in docstrings_of_values(str(node.module)).items() if name in imported}
    for node, following in pairwise(body):
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(following, ast.Expr):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            text = following.value.value if isinstance(following.value, ast.Constant) else None
            if isinstance(target, ast.Name) and isinstance(text, str):
                found[target.id] = inspect.cleandoc(text)
    return found


def docstring(path: str, origin: str) -> str:
    """The docstring of a public name."""
    package, _, name = path.rpartition(".")
    value: Any = getattr(importlib.import_module(package), name)
    if inspect.isclass(value) or inspect.isroutine(value):
        return inspect.getdoc(value) or ""
    return docstrings_of_values(origin).get(name, "")


def line(path: str, origin: str) -> str:
    """A row of a table: the name, and the first line of its docstring."""
    package, _, name = path.rpartition(".")
    text = docstring(path, origin)
    first = " ".join(text.partition("\n\n")[0].split()).removesuffix(" ::").replace("|", "\\|")
    first = re.sub(r":\w+:`~?(?:runstream\.)?([\w.]+)`", r"`\1`", first).replace("``", "`")
    shown = name if package == "runstream" else path
    file = origin.replace(".", "/")
    suffix = ".py" if (HERE.parent / f"{file}.py").exists() else "/__init__.py"
    return f"| [`{shown}`](../{file}{suffix}) | {first} |"


def page() -> str:
    """The whole page."""
    hooks = runpy.run_path(str(HERE / "site_hooks.py"))
    rows: dict[str, list[str]] = {part.title: [] for part in hooks["PARTS"]}
    for path, origin in sorted(hooks["public_names"]().items(), key=lambda item: item[0].lower()):
        rows[hooks["part_of"](origin).title].append(line(path, origin))
    parts = [f"## {title}\n\n| name | |\n|---|---|\n" + "\n".join(lines) + "\n" for title, lines in rows.items()]
    return "\n".join([HEAD, *parts])


if __name__ == "__main__":
    (HERE / "api.md").write_text(page(), encoding="utf-8")
