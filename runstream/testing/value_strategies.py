"""Hypothesis strategies for documents and activities: canonical events, as a dialect makes them."""

from __future__ import annotations

from typing import Any

try:
    from hypothesis import strategies as st
    from hypothesis.strategies import DrawFn, SearchStrategy
except ImportError as error:  # pragma: no cover - the test suite has it
    raise ImportError("runstream.testing's strategies need Hypothesis: pip install hypothesis") from error

from runstream.core.json_patch import PatchError, apply_patch, make_value
from runstream.model.events import ActivityEvent, DocumentPatch, DocumentSnapshot
from runstream.model.frozen import thaw
from runstream.testing.strategies import texts

__all__ = ["json_values", "value_events"]

_NAMES = st.sampled_from(["a", "b", "c", "", "~", "/", "0", "-"])
_PATHS = st.sampled_from([(), (), ("helper",), ("helper", "search")])
_IDS = st.sampled_from(["plan", "search/1", "ü"])
_KINDS = st.sampled_from(["PLAN", "SEARCH", ""])


def json_values() -> SearchStrategy[Any]:
    """Any JSON value, small."""
    scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | texts(6)
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
        max_leaves=8,
    )


def value_events(run_id: str = "run_1") -> SearchStrategy[list[Any]]:
    """Events of documents and activities: most patches can be applied, and some can't."""

    @st.composite
    def draw_events(draw: DrawFn) -> list[Any]:
        known: dict[Any, Any] = {}
        events: list[Any] = []
        for number in range(draw(st.integers(1, 12))):
            path, id, is_activity = draw(_PATHS), draw(_IDS), draw(st.booleans())
            key = id if is_activity else path
            is_patch = draw(st.booleans())
            data = _operations(draw, known.get(key, {})) if is_patch else draw(json_values())
            replace = is_patch or not is_activity or draw(st.booleans())
            if is_activity:
                content = {"operations": data} if is_patch else {"data": data, "replace": replace}
                event: Any = ActivityEvent(
                    id=number, run_id=run_id, activity_id=id, kind=draw(_KINDS), path=path, **content
                )
            else:
                kind: Any = DocumentPatch if is_patch else DocumentSnapshot
                event = kind(data, number, run_id=run_id, path=path)
            events.append(event)
            if not is_patch:
                known[key] = data if replace else known.get(key, data)
                continue
            try:
                known[key] = thaw(apply_patch(make_value(known.get(key, {})), data).value)
            except PatchError:
                continue
        return events

    return draw_events()


def _operations(draw: DrawFn, value: Any) -> list[Any]:
    found = []
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(["add", "add", "add", "replace", "remove", "copy", "move", "test"]))
        places = _places(value, "")
        place = draw(st.sampled_from(places))
        if name == "add" or draw(st.sampled_from([False, False, True])):
            place += f"/{_escape(draw(_NAMES))}"
        operation = {"op": name, "path": place}
        if name in ("add", "replace", "test"):
            operation["value"] = draw(json_values())
        elif name != "remove":
            operation["from"] = draw(st.sampled_from(places))
        found.append(operation)
    return found


def _places(value: Any, path: str) -> list[str]:
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *[place for key, item in items for place in _places(item, f"{path}/{_escape(str(key))}")]]


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
