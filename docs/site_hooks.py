"""Hooks of the documentation site: pages that are made from the code, and links that leave the folder of the pages.

Made at each build, never stored: a page for each example, the pages of the API reference (one for each part of the
package, with every public name on exactly one of them), the changelog and the licence.
"""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final, NamedTuple

import runstream
import runstream.model
import runstream.testing

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parents[1]


class Part(NamedTuple):
    """A page of the API reference: its file, its title, what it is for, and the modules whose names it has."""

    file: str
    title: str
    text: str
    modules: tuple[str, ...]


PARTS: Final = (
    Part(
        "stream",
        "Streams",
        "Connect, subscribe, wait for a result. Programs: [in an application](../apps.md), "
        "[quickstart](../quickstart.md).",
        ("runstream.stream",),
    ),
    Part(
        "signals",
        "Signals",
        "A signal is a fact that a program may act on, emitted once for each fact. Each class says when it is emitted, "
        "and what its fields have. Concepts: [guarantees](../guarantees.md), [the pipeline](../pipeline.md).",
        ("runstream.model.signals", "runstream.model.signal_base", "runstream.model.progress_signals"),
    ),
    Part(
        "state",
        "State and fold",
        "The latest state of a run, and recordings read in one call. Concepts: [the conversation](../conversation.md), "
        "[documents](../documents.md).",
        ("runstream.core", "runstream.engine", "runstream.model.limits"),
    ),
    Part(
        "model",
        "Run, messages, steps",
        "The objects that a state has. Concepts: [the Run](../run.md).",
        ("runstream.model",),
    ),
    Part(
        "tools",
        "Tools and tool calls",
        "The tools of a run, the calls of its steps, and what it waits for. Concepts: "
        "[the conversation](../conversation.md).",
        ("runstream.model.tools", "runstream.model.tool_calls", "runstream.model.actions"),
    ),
    Part(
        "deltas",
        "Deltas",
        "Fragments of messages and steps, for dialects. Concepts: [the pipeline](../pipeline.md).",
        ("runstream.model.deltas", "runstream.model.fragments"),
    ),
    Part(
        "clients",
        "Clients and tools",
        "Start runs, execute tools, approve, cancel, rejoin. Programs: [acting on runs](../clients.md).",
        ("runstream.clients",),
    ),
    Part(
        "checker",
        "The checker",
        "Which rules of its protocol a stream breaks, and where. All rules: [check a server's streams](../check.md).",
        ("runstream.checker",),
    ),
    Part(
        "sources",
        "Sources",
        "Read a stream from a server, a socket, a file or an iterable. Concepts: [sources](../sources.md), "
        "[polling](../polling.md).",
        ("runstream.sources",),
    ),
    Part(
        "dialects",
        "Dialects and events",
        "A dialect decodes the events of one protocol. How to write one: [write a dialect](../dialects.md).",
        ("runstream.dialects", "runstream.model.events", "runstream.model.raw"),
    ),
    Part(
        "sinks",
        "Sinks",
        "Where signals and states go: logs, the terminal, browsers, other protocols.",
        ("runstream.sinks",),
    ),
    Part(
        "recordings",
        "Recordings",
        "Record, redact, replay. Programs: [recordings](../recordings.md).",
        ("runstream.recordings",),
    ),
    Part(
        "store",
        "Stores",
        "What a restarted process knows. Concepts: [after a restart](../store.md).",
        ("runstream.store",),
    ),
    Part(
        "cluster",
        "Cluster",
        "Ingests, workers and consumers over NATS JetStream. Concepts: [beyond one machine](../cluster.md).",
        ("runstream.cluster",),
    ),
    Part("rx", "Rx operators", "The stages of the pipeline as RxPY operators.", ("runstream.rx",)),
    Part(
        "errors",
        "Exceptions",
        "Every exception of the library. What to do: [failures](../failures.md).",
        ("runstream.errors",),
    ),
    Part(
        "testing",
        "Testing",
        "Made-up runs, and a server with a scripted model, for tests of applications.",
        ("runstream.testing",),
    ),
)
"""The pages of the reference. A name belongs to the part with the longest prefix of its module."""


def part_of(module: str) -> Part:
    """The part that has the names of a module.

    Raises:
        LookupError: No part has them.
    """
    candidates = [
        (len(prefix), part)
        for part in PARTS
        for prefix in part.modules
        if module == prefix or module.startswith(f"{prefix}.")
    ]
    if not candidates:
        raise LookupError(f"no part of the API reference has {module}: add it to PARTS in {__file__}")
    return max(candidates, key=lambda candidate: candidate[0])[1]


def origins(package: ModuleType) -> Iterator[tuple[str, str]]:
    """The public names of a package, each with the module that defines it, from the imports of its stub or source."""
    source = Path(str(package.__file__))
    stub = source.with_suffix(".pyi")
    tree = ast.parse((stub if stub.exists() else source).read_text(encoding="utf-8"))
    imported = {
        alias.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module is not None
        for alias in node.names
    }
    for name in package.__all__:
        if name != "__version__":
            yield name, imported.get(name, package.__name__)


def public_names() -> dict[str, str]:
    """The paths of all public names, such as ``runstream.Run``, each with the module that defines it.

    A name that two packages export stands here once, under the shorter path.
    """
    paths: dict[tuple[str, str], str] = {}
    for package in (runstream, runstream.model, runstream.testing):
        for name, module in origins(package):
            origin = module
            if module == "runstream.model":
                origin = dict(origins(runstream.model))[name]
            paths.setdefault((name, origin), f"{package.__name__}.{name}")
    return {path: origin for (_, origin), path in paths.items()}


def reference() -> dict[str, str]:
    """The pages of the API reference: paths and texts."""
    names: dict[Part, list[str]] = {part: [] for part in PARTS}
    for path, module in public_names().items():
        names[part_of(module)].append(path)
    pages = {}
    index = ["# API reference\n", "Every public name, by part; the search finds each of them.\n"]
    for part, paths in names.items():
        lines = [f"# {part.title}\n", f"{part.text}\n"]
        lines += [f"::: {path}\n" for path in sorted(paths, key=lambda path: (path.rpartition(".")[2].lower(), path))]
        pages[f"reference/{part.file}.md"] = "\n".join(lines)
        index.append(f"## [{part.title}]({part.file}.md)\n")
        index.append(
            " · ".join(f"[`{path.rpartition('.')[2]}`][{path}]" for path in sorted(paths, key=str.lower)) + "\n"
        )
    return {"reference/index.md": "\n".join(index), **pages}


def examples() -> dict[str, str]:
    """A page for each example: the first lines of its docstring, and the program."""
    folder = ROOT / "examples"
    pages = {"examples/index.md": (folder / "README.md").read_text(encoding="utf-8")}
    for path in sorted(folder.glob("*.py")):
        source = path.read_text(encoding="utf-8")
        title, _, rest = (ast.get_docstring(ast.parse(source)) or path.stem).partition("\n")
        pages[f"examples/{path.stem}.md"] = (
            f"# {title.rstrip('.')}\n\n{rest.strip()}\n\n`examples/{path.name}`\n\n````python\n{source}````\n"
        )
    return pages


def made_pages() -> dict[str, str]:
    """All pages that are made from the code: paths in the folder of the pages, and texts."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    return {
        **reference(),
        **examples(),
        "changelog.md": changelog,
        "contributing.md": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
        "security.md": (ROOT / "SECURITY.md").read_text(encoding="utf-8"),
        "license.md": f"# Licence\n\n```text\n{licence}```\n",
    }


MOVED: Final[Mapping[str, str]] = {
    "../README.md": "index.md",
    "../CHANGELOG.md": "changelog.md",
    "../CONTRIBUTING.md": "contributing.md",
    "../SECURITY.md": "security.md",
    "../LICENSE": "license.md",
    "../tests/faults/README.md": "contributing.md",
    "../tests/interop/README.md": "contributing.md",
    "../examples": "examples/index.md",
    "../examples/README.md": "examples/index.md",
    "api.md": "reference/index.md",
}
"""Links of the pages as they stand in a clone, and where they lead in the site."""

TOP: Final = frozenset({"changelog.md", "contributing.md", "security.md"})
"""Pages that stand at the top of a clone."""

_LINK: Final = re.compile(r"\]\((?!https?://|#)([^)#\s]+)(#[^)\s]*)?\)")


def site_link(link: str, anchor: str, page: str) -> str:
    """Where a link of a page leads in the site.

    Args:
        link: The target, relative to the page, as it stands in a clone.
        anchor: ``#`` and the name of a heading, or "".
        page: The path of the page in the site.
    """
    if page in TOP:
        link = link.removeprefix("docs/") if link.startswith("docs/") else f"../{link}"
    if page == "examples/index.md":
        return re.sub(r"\.py$", ".md", link) + anchor if "/" not in link else link + anchor
    if link in MOVED:
        return MOVED[link] + ("" if link == "../README.md" else anchor)
    if match := re.fullmatch(r"\.\./examples/(\w+)\.py", link):
        return f"examples/{match[1]}.md{anchor}"
    return link + anchor


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds the made pages to the navigation."""
    entries = {
        "Examples": ["examples/index.md", *[path for path in sorted(examples()) if path != "examples/index.md"]],
        "API reference": ["reference/index.md", *[{part.title: f"reference/{part.file}.md"} for part in PARTS]],
    }
    for entry in config.nav or []:
        for title in entries.keys() & entry.keys():
            entry[title] = entries[title]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the made pages."""
    from mkdocs.structure.files import File

    for path, text in made_pages().items():
        files.append(File.generated(config, path, content=text))
    return files


RAW_REFERENCE: Final = re.compile(r":(?:attr|class|data|exc|func|meth|mod|obj):")
"""A reference of a docstring that did not become a link (docs/griffe_structs.py makes them)."""


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> None:
    """Warns of references that readers would see in the notation of docstrings; a strict build fails then."""
    if page.file.src_uri.startswith("reference/") and (found := RAW_REFERENCE.search(html)):
        logging.getLogger("mkdocs.hooks").warning("%s shows %s", page.file.src_uri, html[found.start() :][:80])


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns links that lead out of the folder of the pages into links of the site."""
    path = page.file.src_uri
    return _LINK.sub(lambda match: f"]({site_link(match[1], match[2] or '', path)})", markdown)
