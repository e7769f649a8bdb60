"""A real stream in, the same stream damaged out: seeded, so that every damage can be had again."""

from __future__ import annotations

import json
import random
from typing import Any, Final

from runstream.engine.fold import Folded
from runstream.model.raw import RawEvent

__all__ = ["WEIRD", "mutated", "read_everything"]

_NAMES: Final = (
    *(f"thread.run.{name}" for name in ("created", "queued", "in_progress", "requires_action", "completed", "expired")),
    *(f"thread.run.step.{name}" for name in ("created", "delta", "completed", "failed")),
    *(f"thread.message.{name}" for name in ("created", "delta", "completed", "incomplete")),
    *(
        "thread.created",
        "thread",
        "thread.run",
        "thread.run.step",
        "thread.message",
        "error",
        "done",
        "",
        "nobody.knows",
    ),
)
_STATUSES: Final = (
    *("queued", "in_progress", "requires_action", "cancelling", "cancelled", "failed", "completed", "incomplete"),
    *("expired", "generating", "", "COMPLETED", "$unknown"),
)
_TYPES: Final = (
    *("text", "image_file", "image_url", "refusal", "function", "code_interpreter", "file_search", "mcp", "logs"),
    *("image", "message_creation", "tool_calls", "activities", "submit_tool_outputs", "submit_tool_approval"),
    *("file_citation", "file_path", "url_citation", "connected_agent", "$unknown", "", "made_up"),
)
WEIRD: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 1, 1.5, 4097, 10**9, 1_790_000_000_000, 1e308, 2**63, 2**64, 10**30, -(2**63)),
    *(
        "",
        "x",
        "🙂\u0000",
        "[DONE]",
        "12",
        "null",
        [],
        [None],
        [[]],
        [{}],
        {},
        {"": None},
        {"id": 1},
        {"type": "text"},
    ),
    *(
        {"event": "thread.run.created", "data": {}},
        {"index": -1},
        {"index": 10**6},
        {"value": 1},
        [1, "x", {"a": []}],
    ),
)
_BYTES: Final = (
    b"",
    b"\xff",
    b"\x00",
    b'"\\ud800"',
    b"}",
    b"{",
    b"\\",
    b'"',
    b"1e999",
    b"NaN",
    b"\xed\xa0\x80",
    b"\n",
)


def _nodes(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    if isinstance(value, dict | list):
        for key, item in list(value.items()) if isinstance(value, dict) else list(enumerate(value)):
            found.append((value, key))
            _nodes(item, found)
    return found


def _damage(data: Any, choose: random.Random) -> Any:
    """One field of a JSON value damaged, in place where that is possible."""
    nodes = _nodes(data, [])
    if not nodes or choose.random() < 0.02:
        return choose.choice(WEIRD)
    named = [(holder, key) for holder, key in nodes if key in {"status", "type", "index", "id", "run_id"}]
    holder, key = choose.choice(named if named and choose.random() < 0.4 else nodes)
    what = choose.random()
    if key == "status" and what < 0.8:
        holder[key] = choose.choice(_STATUSES)
    elif key == "type" and what < 0.8:
        holder[key] = choose.choice(_TYPES)
    elif what < 0.55:
        holder[key] = choose.choice(WEIRD)
    elif what < 0.7:
        del holder[key]
    elif what < 0.8 and isinstance(holder, dict):
        holder[f"{key}_"] = holder.pop(key)
    elif what < 0.9 and isinstance(holder, dict):
        holder[choose.choice(("x_new", "index", "id", "type", "data", "content", "$runstream.wire"))] = choose.choice(
            WEIRD
        )
    else:
        holder[key] = [holder[key]] if choose.random() < 0.5 else {"x": holder[key]}
    return data


def mutated(raws: list[RawEvent], choose: random.Random) -> list[RawEvent]:
    """The stream with one to six damages."""
    out = list(raws)
    for _ in range(choose.randint(1, 6)):
        place = choose.randrange(len(out)) if out else 0
        what = choose.random()
        if not out:
            break
        raw = out[place]
        if what < 0.08:
            del out[place]
        elif what < 0.14:
            out.insert(choose.randrange(len(out)), raw)
        elif what < 0.2:
            other = choose.randrange(len(out))
            out[place], out[other] = out[other], raw
        elif what < 0.3:
            out[place] = RawEvent(choose.choice(_NAMES) or None, raw.data, raw.id)
        elif what < 0.4:
            at = choose.randrange(len(raw.data) + 1)
            out[place] = RawEvent(raw.event, raw.data[:at] + choose.choice(_BYTES) + raw.data[at + 1 :], raw.id)
        elif what < 0.45:
            out[place] = RawEvent(raw.event, raw.data[: choose.randrange(len(raw.data) + 1)], raw.id)
        elif what < 0.5:
            data = b'{"event":"%s","id":%s,"data":%s}' % (
                (raw.event or "").encode(),
                choose.choice((b"1", b'"a"', b"[]")),
                raw.data,
            )
            out[place] = RawEvent(None, data, choose.choice((None, "a", "")))
        else:
            try:
                data = _damage(json.loads(raw.data), choose)
            except ValueError:
                continue
            out[place] = RawEvent(raw.event, json.dumps(data).encode(), raw.id)
    return out


def read_everything(folded: Folded) -> None:
    """Read all that a folded stream offers: nothing of it may raise."""
    for state in folded.runs:
        json.dumps(state.to_dict())
        assert isinstance(state.text, str)
        for call in state.tool_calls:
            assert isinstance(call.id, str)
            assert call.arguments is None or isinstance(call.arguments, str)
        for message in state.messages:
            assert isinstance(message.text + message.refusal, str)
            assert isinstance(message.annotations, tuple)
            assert isinstance(message.image_file_ids, tuple)
            assert state.message(message.id) is not None
        for step in state.steps:
            assert isinstance(step.tool_calls, tuple)
            assert state.step(step.id) is not None
        assert state == state
        hash(state)
        repr(state)
        assert state.timings is not None
        assert isinstance(state.partial, frozenset)
        assert state.run.is_terminal == state.is_terminal
    for signal in folded.signals:
        assert signal.key
        json.loads(signal.to_json())
    for reject in folded.rejects:
        assert reject.reason
        assert reject.where
    assert folded.stats.rejected == len(folded.rejects)
