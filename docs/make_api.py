"""Writes docs/api.md from the docstrings of the public names. Run from anywhere."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import runstream
import runstream.model
import runstream.testing

HERE = Path(__file__).parent
HEAD = """\
# API reference

<!-- Written by docs/make_api.py from the docstrings: change those, then run it. -->

Every public name of `runstream`, of `runstream.model` and of `runstream.testing`, in alphabetical order. What each is
for, with examples: [quickstart](quickstart.md), [the Run](run.md), [the conversation](conversation.md),
[the pipeline](pipeline.md).
"""


def entry(name: str, value: Any) -> str:
    """One name: what it is called with, and what it says of itself."""
    text = inspect.getdoc(value) or ""
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return f"### `{name}`\n"
    try:
        signature = str(inspect.signature(value)) if inspect.isroutine(value) else ""
    except ValueError:
        signature = ""
    return f"### `{name}{signature}`\n\n```text\n{text}\n```\n"


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    shown: set[int] = set()
    for module in (runstream, runstream.model, runstream.testing):
        parts.append(f"## `{module.__name__}`\n")
        for name in module.__all__:
            value = getattr(module, name)
            if name.startswith("__") or id(value) in shown:
                continue
            shown.add(id(value))
            parts.append(entry(name, value))
    return "\n".join(parts)


if __name__ == "__main__":
    (HERE / "api.md").write_text(page(), encoding="utf-8")
