"""The reason why no run was seen: counts, and the first reason of a reject, without the text of a message."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runstream.engine.engine import Engine
from runstream.engine.fold import fold
from runstream.engine.unused_input import UnusedInput
from runstream.model.raw import RawEvent
from tests.checker.streams import ag_ui_events, assistants_events, langgraph_events, responses_events, thread_events

SECRET = "Sesame 4711"
STREAMS: dict[str, Callable[[], list[tuple[str, Any]]]] = {
    "assistants": lambda: [(event["event"], event["data"]) for event in assistants_events()],
    "responses": lambda: [(event["type"], event) for event in responses_events()],
    "ag-ui": lambda: [("", event) for event in ag_ui_events()],
    "langgraph": lambda: [(name or "", data) for name, data, _ in langgraph_events()],
    "langgraph-thread": lambda: [("", event) for event in thread_events()],
}


def damaged(value: Any, damage: Any) -> Iterator[Any]:
    """The value with the damage in each place, one at a time."""
    yield damage
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from ({**value, key: each} for each in damaged(inner, damage))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from ([*value[:index], each, *value[index + 1 :]] for each in damaged(inner, damage))


@pytest.mark.parametrize(
    "damage", [SECRET, [SECRET], {SECRET: SECRET}, 4711.5], ids=["text", "list", "object", "number"]
)
@pytest.mark.parametrize("protocol", STREAMS)
def test_reasons_have_no_text_of_a_message(protocol: str, damage: Any) -> None:
    """A reason is in words of the library, whatever stands where in an event."""
    events = STREAMS[protocol]()
    raws = [
        RawEvent(name or None, json.dumps(each).encode()) for name, data in events for each in damaged(data, damage)
    ]
    raws += [RawEvent(SECRET, data) for data in (SECRET.encode(), b"data: " + SECRET.encode(), b"{" + SECRET.encode())]
    for dialect in (protocol, None):
        found = fold(raws, dialect=dialect)
        assert found.rejects
        assert not [each.reason for each in found.rejects if SECRET in each.reason or len(each.reason) > 300]


def test_the_first_reason_is_kept() -> None:
    engine = Engine()
    assert engine.unused == UnusedInput()
    engine.intake("a", dialect="responses").feed_all(["{", {"type": "RUN_STARTED"}, b"data: {}"])
    assert (engine.unused.rejected, engine.unused.unknown) == (2, 1)
    assert engine.unused.reason.startswith("Not JSON: ")


@pytest.mark.parametrize(
    ("unused", "text"),
    [
        (UnusedInput(), ""),
        (UnusedInput(1, 0, "Not JSON"), "1 input was rejected: Not JSON"),
        (UnusedInput(2, 0, "Not JSON"), "2 inputs were rejected, the first: Not JSON"),
        (UnusedInput(0, 1), "1 event is unknown in the dialect of its source"),
        (
            UnusedInput(1, 2, "Not JSON"),
            "1 input was rejected: Not JSON; 2 events are unknown in the dialect of their source",
        ),
    ],
)
def test_in_words(unused: UnusedInput, text: str) -> None:
    assert unused.describe() == text
