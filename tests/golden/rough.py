"""Streams in, rougher streams out: repeated, shuffled, dropped, damaged and replayed items."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

import runstream
from runstream.testing import WireEvent

__all__ = ["conflicting", "damaged", "dropped", "late", "odd", "repeated", "replayed", "shuffled"]

_ODD_VALUES: Final[tuple[Any, ...]] = (
    *(None, True, 7, -1, 1.5, 2**60, "", "odd", "pondering"),
    *([], ["x"], {}, {"a": None}, [{"index": 0}]),
)


def _deep(levels: int) -> bytes:
    return b'{"event":"thread.run.created","data":' + b"[" * levels + b"]" * levels + b"}"


def _parts(id: str) -> bytes:
    """A fragment of two parts of a message."""
    parts = [{"index": index, "type": "text", "text": {"value": f"part {index}"}} for index in (0, 1)]
    return json.dumps({"id": id, "object": "thread.message.delta", "delta": {"content": parts}}).encode()


def _misfits() -> tuple[Any, ...]:
    """Items that are malformed, unknown or no input at all."""
    raw = runstream.RawEvent
    return (
        raw("thread.message.delta", b"{"),
        raw("thread.message.delta", b'{"id":"nobody","delta":{"content":[{"index":0,"type":"text"}]}}'),
        raw("thread.message.delta", b'{"id":"msg_run_1_1","delta":{"content":[{"index":9999,"type":"text"}]}}'),
        raw("thread.message.delta", b'{"id":"msg_run_1_1","delta":{"content":[{"index":1,"type":"poem","poem":7}]}}'),
        raw("thread.message.delta", _parts("msg_run_1_1")),
        raw("thread.message.delta", _parts("msg_run_2_1")),
        raw("thread.run.step.delta", b'{"id":"msg_run_1_1","delta":{"step_details":{"type":"tool_calls"}}}'),
        raw("thread.run.created", b"[]"),
        raw("thread.run.queued", b'{"id":"run_9"}', "odd_1", "odd_1"),
        raw("thread.run.queued", b'{"id":3,"status":"queued"}'),
        raw("thread.run.pondering", b'{"id":"run_1","status":"pondering"}'),
        raw(None, b"not json"),
        raw(None, b"\xff\xfe{}"),
        raw(None, b""),
        raw(None, b"[DONE]"),
        raw(None, b"[1,2]"),
        raw(None, _deep(200)),
        raw("done", b"garbage"),
        raw("done", b"{}"),
        raw("error", b'"plain words"'),
        raw("error", b'{"error":{"message":"too fast","code":"rate_limit_exceeded","type":7}}', "odd_2", "odd_2"),
        raw("vendor.ping", b'{"n":1}'),
        raw("vendor.ping", b"pong", "odd_3", "odd_3"),
        {"event": "thread.message.thinking", "data": {"id": "msg_run_1_1", "thought": "hm"}},
        {"event": 7, "data": {}},
        {"event": "thread.run.in_progress", "data": {"id": "run_1", "status": "pondering", "extra": [1]}},
        {"object": "thread.run", "id": "run_1", "status": "in_progress", "model": 5},
        {"object": "thread.run.step", "id": "step_x", "run_id": "run_8", "status": "completed"},
        {"object": None},
        {"error": {"message": "no"}},
        {"event": "thread.created", "data": {"id": "thread_1", "object": "thread"}},
        {"event": "done", "data": "[DONE]"},
        "{}",
        "\ud800",
        5,
        None,
        runstream.Malformed(line=3, reason="a line of no event", data=b"x y", event="thread.run.created"),
        runstream.Oversized(line=4, size=99, limit=9, event=None),
    )


def _stretch(chance: random.Random, size: int, most: int = 12) -> tuple[int, int]:
    start = chance.randrange(size)
    return start, min(size, start + chance.randint(1, most))


def repeated(chance: random.Random, items: Sequence[Any]) -> list[Any]:
    """Some stretches come twice: at once, or later."""
    out = list(items)
    for _ in range(chance.randint(1, 3)):
        start, end = _stretch(chance, len(out))
        place = chance.choice((end, end, chance.randint(end, len(out))))
        out[place:place] = out[start:end]
    return out


def shuffled(chance: random.Random, items: Sequence[Any]) -> list[Any]:
    """Some stretches, or everything, in another order."""
    out = list(items)
    if chance.random() < 0.2:
        chance.shuffle(out)
        return out
    for _ in range(chance.randint(1, 4)):
        start, end = _stretch(chance, len(out), 8)
        part = out[start:end]
        chance.shuffle(part)
        out[start:end] = part
    return out


def dropped(chance: random.Random, items: Sequence[Any]) -> list[Any]:
    """Single items, or a stretch, are missing."""
    if chance.random() < 0.5:
        start, end = _stretch(chance, len(items))
        return [*items[:start], *items[end:]]
    share = chance.choice((0.05, 0.2, 0.5))
    return [item for item in items if chance.random() >= share]


def late(chance: random.Random, items: Sequence[Any]) -> list[Any]:
    """The beginning is missing."""
    return list(items[chance.randrange(len(items)) :])


def odd(chance: random.Random, items: Sequence[Any]) -> list[Any]:
    """Malformed and unknown items stand between the others."""
    out, misfits = list(items), _misfits()
    for _ in range(chance.randint(1, 12)):
        out.insert(chance.randint(0, len(out)), chance.choice(misfits))
    return out


def replayed(chance: random.Random, items: Sequence[Any]) -> list[Any]:
    """The connection is lost, once or more; the next one begins anew, a bit earlier, there, or with a gap."""
    out: list[Any] = [runstream.ConnectionEvent(connected=True)]
    place = 0
    for attempt in range(1, chance.randint(2, 4)):
        cut = chance.randint(place, len(items))
        out += items[place:cut]
        out.append(runstream.ConnectionEvent(connected=False, reason=f"loss {attempt}", at=1_790_000_100.0))
        out.append(runstream.ConnectionEvent(connected=True, attempt=attempt))
        place = chance.choice((0, 0, max(0, cut - 5), cut, min(len(items), cut + 3)))
    return [*out, *items[place:]]


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a JSON value: its container, and its key or index."""
    found: list[tuple[Any, Any]] = []
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        found.append((value, key))
        found += _places(value[key])
    return found


def _remove(chance: random.Random, inner: Any, key: Any) -> None:
    del inner[key]


def _odd_value(chance: random.Random) -> Any:
    """A copy of an odd value: it may be damaged further, which no other case may see."""
    return json.loads(json.dumps(chance.choice(_ODD_VALUES)))


def _replace(chance: random.Random, inner: Any, key: Any) -> None:
    inner[key] = _odd_value(chance)


def _add(chance: random.Random, inner: Any, key: Any) -> None:
    if isinstance(inner, dict):
        inner[f"x_{key}"] = _odd_value(chance)
    else:
        inner.append(inner[key])


_DAMAGES: Final[tuple[Callable[[random.Random, Any, Any], None], ...]] = (_remove, _replace, _replace, _add)


def damaged(chance: random.Random, events: Sequence[WireEvent], share: float | None = None) -> list[WireEvent]:
    """Some events have other data: a value is missing, is of another type, or comes twice.

    Args:
        chance: Decides everything.
        events: The events.
        share: The share of those that are damaged; by default chance decides it too.
    """
    out = []
    if share is None:
        share = chance.choice((0.05, 0.2, 0.5))
    for event in events:
        if chance.random() >= share or not isinstance(event.data, dict):
            out.append(event)
            continue
        data = json.loads(json.dumps(event.data))
        for _ in range(chance.choice((1, 1, 2))):
            places = _places(data)
            if places:
                chance.choice(_DAMAGES)(chance, *chance.choice(places))
        name = event.name if chance.random() < 0.9 else f"{event.name}.x"
        out.append(event._replace(name=name, data=data))
    return out


def conflicting(chance: random.Random, events: Sequence[WireEvent]) -> list[WireEvent]:
    """Some events come again with other data, under the same ids."""
    out = list(events)
    for _ in range(chance.randint(1, 3)):
        start, end = _stretch(chance, len(out))
        out[end:end] = damaged(chance, out[start:end], 0.7)
    return out
