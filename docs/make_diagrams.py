"""Writes the diagrams of the documentation from the code: flow.svg, imports.svg and statuses.svg. Run from anywhere."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import runstream
from runstream.core.status import TRANSITIONS, Transition
from runstream.model.run import RunStatus

HERE: Final = Path(__file__).parent
PACKAGE: Final = Path(str(runstream.__file__)).parent

STYLE: Final = """\
<style>
  rect.ground { fill: #ffffff } rect.box { fill: #eef0fb; stroke: #3f51b5 } rect.end { fill: #e7f4ea; stroke: #2e7d32 }
  path { fill: none; stroke: #5c6370; stroke-width: 1.3 } path.rare { stroke-dasharray: 4 4; stroke: #9aa0aa }
  text { font: 13px system-ui, sans-serif; fill: #22252b; text-anchor: middle }
  text.small { font-size: 11px; fill: #5c6370 }
</style>
<defs><marker id="a" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" orient="auto">
  <polygon points="0,0 8,4 0,8" fill="#5c6370"/></marker></defs>
"""


class Box(NamedTuple):
    """A box of a diagram: its centre, its size, and its lines of text; the first is its name."""

    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]
    kind: str = "box"


def svg(width: int, height: int, title: str, parts: Iterable[str]) -> str:
    """A whole picture."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img"><title>{escape(title)}</title>\n{STYLE}<rect class="ground" width="{width}" height="{height}" '
        f'rx="8"/>\n{"".join(parts)}</svg>\n'
    )


def draw(box: Box) -> str:
    """A box with its text."""
    left, top = box.x - box.width / 2, box.y - box.height / 2
    first = box.y + 4.5 - 8 * (len(box.lines) - 1)
    text = "".join(
        f'<text class="{"small" if number else "name"}" x="{box.x:g}" y="{first + 16 * number:g}">{escape(line)}</text>'
        for number, line in enumerate(box.lines)
    )
    return (
        f'<rect class="{box.kind}" x="{left:g}" y="{top:g}" width="{box.width:g}" height="{box.height:g}" rx="6"/>'
        f"{text}\n"
    )


def edge(start: Box, end: Box, *, rare: bool = False, bend: float = 0.0) -> str:
    """An arrow from the border of one box to that of another.

    Args:
        start: Where it begins.
        end: Where it ends.
        rare: True for a dotted line.
        bend: How far the middle of the line is from a straight one (pixels), to its left.
    """
    dx, dy = end.x - start.x, end.y - start.y
    length = max((dx * dx + dy * dy) ** 0.5, 1.0)
    middle_x, middle_y = (start.x + end.x) / 2 + bend * dy / length, (start.y + end.y) / 2 - bend * dx / length
    x1, y1 = border(start, middle_x, middle_y)
    x2, y2 = border(end, middle_x, middle_y)
    name = ' class="rare"' if rare else ""
    return (
        f'<path{name} marker-end="url(#a)" d="M{x1:.1f},{y1:.1f} Q{middle_x:.1f},{middle_y:.1f} {x2:.1f},{y2:.1f}"/>\n'
    )


def border(box: Box, x: float, y: float) -> tuple[float, float]:
    """The point of a box's border on the way from its centre to a point outside."""
    dx, dy = x - box.x, y - box.y
    scale = min(
        (box.width / 2 + 2) / abs(dx) if dx else float("inf"), (box.height / 2 + 2) / abs(dy) if dy else float("inf")
    )
    return box.x + dx * scale, box.y + dy * scale


def flow() -> str:
    """The way of a datum; each stage is a folder of the package."""
    stages = (
        ("sources", "connect, read"),
        ("dialects", "decode"),
        ("core", "dedupe, reduce,", "derive"),
        ("stream", "deliver"),
    )
    for name, *_ in (*stages, ("sinks",), ("clients",)):
        assert (PACKAGE / name).is_dir(), name
    boxes = [Box(240 + 175 * number, 100, 112, 64, lines) for number, lines in enumerate(stages)]
    wires = [
        Box(70, 40 + 40 * number, 100, 30, (name,))
        for number, name in enumerate(("WebSocket", "HTTP, SSE", "poll", "file, iterable"))
    ]
    outs = [
        Box(925, 40 + 40 * number, 120, 30, (name,), "end")
        for number, name in enumerate(("callbacks", "async for", "RxPY", "sinks"))
    ]
    clients = Box(502, 205, 300, 40, ("clients: tools, approvals, cancel",))
    parts = [edge(wire, boxes[0]) for wire in wires] + [edge(boxes[-1], out) for out in outs]
    parts += [edge(left, right) for left, right in pairwise(boxes)]
    parts += [edge(boxes[-1], clients, bend=-20), edge(clients, boxes[0], bend=-20)]
    labels = [(327, "raw items"), (502, "events"), (677, "signals")]
    words = [f'<text class="small" x="{x}" y="86">{label}</text>\n' for x, label in labels]
    return svg(1000, 240, "The flow of a datum", [*parts, *words, *map(draw, [*wires, *boxes, *outs, clients])])


def imports() -> dict[str, set[str]]:
    """The folders of the package, and which others each imports."""
    found: dict[str, set[str]] = {}
    for folder in sorted(path for path in PACKAGE.iterdir() if (path / "__init__.py").exists()):
        used: set[str] = set()
        for path in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("runstream."):
                    used.add(str(node.module).split(".")[1])
        found[folder.name] = used - {folder.name}
    return {name: used & found.keys() for name, used in found.items()}


def without_detours(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """A graph without the edges that a longer way has too."""

    def reach(name: str) -> set[str]:
        return graph[name].union(*map(reach, graph[name]))

    return {
        name: {to for to in used if not any(to in reach(via) for via in used - {to})} for name, used in graph.items()
    }


def import_diagram() -> str:
    """The folders in layers: each imports only folders below it."""
    graph = imports()
    level: dict[str, int] = {}
    while len(level) < len(graph):
        ready = [name for name in graph if name not in level and graph[name] <= level.keys()]
        assert ready, "a circle of imports"
        level |= {name: 1 + max((level[used] for used in graph[name]), default=-1) for name in ready}
    rows = [[name for name in graph if level[name] == row] for row in range(max(level.values()) + 1)]
    height = 80 * len(rows) + 20
    boxes = {
        name: Box(760 * (column + 1) / (len(row) + 1), height - 50 - 80 * number, 110, 36, (f"{name}/",))
        for number, row in enumerate(rows)
        for column, name in enumerate(row)
    }
    arrows = [
        edge(boxes[name], boxes[used], bend=70 * (level[name] - level[used] - 1))
        for name, targets in without_detours(graph).items()
        for used in sorted(targets)
    ]
    return svg(760, height, "The folders of the package and their imports", [*arrows, *map(draw, boxes.values())])


def status_diagram() -> str:
    """The changes of a run's status: expected ones, and dotted those that suggest a missing event."""
    places = {
        RunStatus.QUEUED: (90, 150),
        RunStatus.IN_PROGRESS: (300, 70),
        RunStatus.REQUIRES_ACTION: (300, 230),
        RunStatus.CANCELLING: (520, 300),
        RunStatus.COMPLETED: (760, 40),
        RunStatus.INCOMPLETE: (760, 100),
        RunStatus.FAILED: (760, 160),
        RunStatus.EXPIRED: (760, 220),
        RunStatus.CANCELLED: (760, 280),
    }
    boxes = {
        status: Box(*places[status], 130, 34, (status.value,), "end" if status.is_terminal else "box")
        for status in dict.fromkeys(new for _, new in TRANSITIONS)
    }
    changes = [
        (current, new, transition is not Transition.EXPECTED)
        for (current, new), transition in TRANSITIONS.items()
        if current != new and transition is not Transition.STALE
    ]
    changes.sort(key=lambda change: not change[2])
    arrows = [edge(boxes[current], boxes[new], rare=rare, bend=12) for current, new, rare in changes]
    return svg(860, 340, "How a run's status changes", [*arrows, *map(draw, boxes.values())])


DIAGRAMS: Final = {"flow.svg": flow, "imports.svg": import_diagram, "statuses.svg": status_diagram}

if __name__ == "__main__":
    for name, diagram in DIAGRAMS.items():
        (HERE / name).write_text(diagram(), encoding="utf-8")
