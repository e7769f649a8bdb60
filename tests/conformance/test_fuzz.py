"""Parser, decoder and reducer under random input: nothing raises, and what must hold holds.

In the suite a bounded, seeded part runs; RUNSTREAM_FUZZ=100 makes it that many times as much.
"""

from __future__ import annotations

import json
import os
import random
from typing import Any, Final

import pytest

from runstream.core.state import RunState
from runstream.dialects.assistants import AssistantsDialect
from runstream.dialects.assistants_wire import EVENT_TYPES
from runstream.engine.engine import Engine
from runstream.model.events import Reject
from runstream.model.raw import RawEvent
from runstream.sources.sse_parser import SSEParser
from tests.conformance.mutations import WEIRD
from tests.support.wire import dumps

pytestmark = pytest.mark.slow

TIMES: Final = int(os.environ.get("RUNSTREAM_FUZZ", "1"))

_PIECES: Final = (
    *(b"data:", b"data: ", b"event:", b"event: ", b"id:", b"id: 7", b"retry: 5", b"retry", b":", b": note", b"..."),
    *(b"\n", b"\n", b"\n\n", b"\r", b"\r\n", b"\r\r", b" ", b"\t", b"\0", b"\xef\xbb\xbf", b"\xff", b"\xe2\x80\xa8"),
    *(
        b"thread.run.created",
        b"done",
        b"[DONE]",
        b"{",
        b"}",
        b'{"id":"a"}',
        b"Data: x",
        b"field: y",
        b"x",
        "ü🙂".encode(),
    ),
)


def _bytes(choose: random.Random) -> bytes:
    return b"".join(choose.choices(_PIECES, k=choose.randint(0, 14)))


def _parsed(body: bytes, cuts: list[int], *, lenient: bool, limit: int) -> list[Any]:
    parser = SSEParser(lenient=lenient, max_event_bytes=limit)
    out: list[Any] = []
    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        out += parser.feed(body[start:end])
    return [*out, *parser.close(), parser.last_id, parser.retry, parser.discarded]


def test_the_parser_takes_any_bytes_in_any_pieces() -> None:
    """No bytes raise, and how they are cut changes nothing."""
    choose = random.Random(1)
    for _ in range(15_000 * TIMES):
        body = _bytes(choose)
        lenient, limit = choose.random() < 0.5, choose.choice((12, 2**20))
        cuts = sorted(choose.choices(range(len(body) + 1), k=choose.randint(0, 4)))
        assert _parsed(body, cuts, lenient=lenient, limit=limit) == _parsed(body, [], lenient=lenient, limit=limit)


_NAMES: Final = (*EVENT_TYPES, "thread.run.paused", "", "nobody", "x" * 40)
_KEYS: Final = (
    *("id", "status", "object", "run_id", "thread_id", "content", "delta", "step_details", "tool_calls", "type"),
    *("index", "text", "value", "annotations", "function", "arguments", "code_interpreter", "input", "outputs", "logs"),
    *("required_action", "submit_tool_outputs", "usage", "metadata", "created_at", "tools", "event", "data", "error"),
    *("file_search", "results", "last_error", "role", "x", "", "$runstream.wire", "$runstream.origin"),
)
_WORDS: Final = (
    *("a", "b", "run_1", "text", "function", "queued", "in_progress", "completed", "requires_action", "thread.run"),
    *("thread.message", "code_interpreter", "file_search", "tool_calls", "message_creation", "", "assistant"),
)


def _value(choose: random.Random, depth: int) -> Any:
    what = choose.random()
    if depth and what < 0.45:
        return {choose.choice(_KEYS): _value(choose, depth - 1) for _ in range(choose.randint(0, 4))}
    if depth and what < 0.6:
        return [_value(choose, depth - 1) for _ in range(choose.randint(0, 2))]
    return choose.choice(_WORDS) if what < 0.85 else choose.choice(WEIRD)


def _frame(choose: random.Random) -> RawEvent:
    data = _value(choose, 4)
    if isinstance(data, dict) and choose.random() < 0.7:
        data.setdefault("id", "a")
        data.setdefault("status", choose.choice(_WORDS))
    name = choose.choice(_NAMES)
    id = choose.choice((None, None, "1", "2"))
    if choose.random() < 0.5:
        raw = RawEvent(name or None, json.dumps(data).encode(), id)
    else:
        raw = RawEvent(
            None, json.dumps({"event": name, "data": data, "id": choose.choice((1, "a", None))}).encode(), id
        )
    if choose.random() < 0.2:
        at = choose.randrange(len(raw.data) + 1)
        damage = choose.choice((b"", b"\xff", b"\\ud800", b"{", b"]", b'"', b"1e999", b"\x00"))
        raw = RawEvent(raw.event, raw.data[:at] + damage + raw.data[at + 1 :], raw.id)
    return raw


def test_the_decoder_takes_any_frame() -> None:
    """Every frame is one event or one reject; rejects say why."""
    choose = random.Random(2)
    dialect = AssistantsDialect(max_nesting=24)
    for _ in range(15_000 * TIMES):
        found = dialect.decode(_frame(choose))
        if isinstance(found, Reject):
            assert found.reason
        else:
            assert found.event or found.data is not None
        repr(found)


def test_parser_and_decoder_together_take_anything() -> None:
    """Random streams of random frames: as many rejects as there is bad input, and no exception."""
    choose = random.Random(3)
    for _ in range(3_000 * TIMES):
        engine = Engine()
        intake = engine.intake("fuzz")
        parser = SSEParser(lenient=True, max_event_bytes=4096)
        for _ in range(3):
            raw = _frame(choose)
            body = b"event: %s\ndata: %s\n%s\n" % ((raw.event or "").encode(), raw.data, _bytes(choose))
            for item in parser.feed(body):
                intake.feed(item)
        for item in parser.close():
            intake.feed(item)
        intake.end()


_RUNS: Final = ("run_1", "run_2")
_OBJECTS: Final = ("m_1", "m_2", "s_1", "s_2", "s_3")
_STATUS: Final = (
    *("queued", "in_progress", "in_progress", "requires_action", "cancelling", "completed", "failed", "expired"),
    *("incomplete", "cancelled", "generating"),
)


_NOTE: Final = {"index": 0, "type": "logs", "logs": "x"}


def _object_event(choose: random.Random, *, mixed: bool) -> dict[str, Any]:
    """One plausible event over very few ids, so that they meet.

    `mixed`: runs may claim each other's messages and steps.
    """
    id = choose.choice(_OBJECTS)
    run_id = choose.choice(_RUNS)
    kind = choose.random()
    if kind < 0.3:
        status = choose.choice(_STATUS)
        calls = [
            {"id": f"{run_id}_{choose.choice('abc')}", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ]
        action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}
        data: dict[str, Any] = {
            "id": run_id,
            "status": status,
            **({"started_at": choose.choice((None, 1, 2, 3))} if choose.random() < 0.7 else {}),
            **({"required_action": action} if status == "requires_action" else {}),
            **({"usage": {"total_tokens": choose.randint(0, 2)}} if choose.random() < 0.2 else {}),
        }
        return {"event": choose.choice((f"thread.run.{status}", "thread.run.created", "thread.run")), "data": data}
    if not mixed:
        run_id = "run_1" if id in {"m_1", "s_1"} else "run_2"
    text = choose.choice(("a", "ha", "", "🙂"))
    index = choose.choice((0, 0, 0, 1, 2, 5000, -1))
    if id.startswith("m"):
        if kind < 0.75:
            part = choose.choice(
                (
                    {"index": index, "type": "text", "text": {"value": text}},
                    {"index": index, "type": "text", "text": {"value": text}},
                    {
                        "index": index,
                        "type": "text",
                        "text": {"value": text, "annotations": [{"index": 0, "type": "x"}]},
                    },
                    {"index": index, "type": "image_file", "image_file": {"file_id": "f"}},
                    {"index": index, "type": "refusal", "refusal": text},
                )
            )
            return {"event": "thread.message.delta", "data": {"id": id, "delta": {"content": [part]}}}
        status = choose.choice(("in_progress", "completed", "incomplete"))
        content = [{"type": "text", "text": {"value": text * 3, "annotations": []}}][: choose.randint(0, 1)]
        data = {"id": id, "run_id": choose.choice((run_id, run_id, None)), "status": status, "content": content}
        name = "created" if choose.random() < 0.4 else status
        return {"event": f"thread.message.{name}", "data": data}
    if kind < 0.75:
        call = choose.choice(
            (
                {
                    "index": index,
                    "id": f"c_{id}_{index}",
                    "type": "function",
                    "function": {"name": "f", "arguments": ""},
                },
                {"index": index, "type": "function", "function": {"arguments": text}},
                {"index": index, "type": "code_interpreter", "code_interpreter": {"input": text}},
                {
                    "index": index,
                    "type": "code_interpreter",
                    "code_interpreter": {"outputs": [{"index": 0, "type": "logs"}]},
                },
                {"index": index, "type": "file_search", "file_search": {"results": [text]}},
                {"index": index, "type": "browser", "browser": {}},
            )
        )
        details = {"type": "tool_calls", "tool_calls": [call]}
        return {"event": "thread.run.step.delta", "data": {"id": id, "delta": {"step_details": details}}}
    status = choose.choice(("in_progress", "completed", "failed"))
    made = {"type": "message_creation", "message_creation": {"message_id": id.replace("s", "m")}}
    called = {
        "type": "tool_calls",
        "tool_calls": [{"id": f"c_{id}_0", "type": "function", "function": {"arguments": text}}],
    }
    data = {"id": id, "run_id": run_id, "status": status, "step_details": choose.choice((made, called))}
    return {"event": f"thread.run.step.{choose.choice(('created', status))}", "data": data}


def _sequence(choose: random.Random) -> None:
    engine = Engine()
    seen: list[tuple[RunState | None, RunState]] = []
    keys: list[str] = []
    engine.on_change = lambda before, after, at: seen.append((before, after))
    engine.on_signal = lambda signal: keys.append(signal.key)
    intake = engine.intake("fuzz")
    intake.connected()
    mixed = choose.random() < 0.3
    for _ in range(choose.randint(1, 12)):
        if choose.random() < 0.05:
            intake.connected(1)
        intake.feed(RawEvent(data=dumps(_object_event(choose, mixed=mixed)).encode()))
    intake.end()
    # Progress apart: snapshots that take text back and give it again tell the same offset again.
    facts = [key for key in keys if "/text" not in key and "/arguments/" not in key]
    assert mixed or sorted(set(facts)) == sorted(facts)
    written = [after.to_dict() for _, after in seen]
    ended: dict[str, str] = {}
    for (before, after), then in zip(seen, written, strict=True):
        assert before is not after
        assert after.to_dict() == then  # a state that was kept is what it was
        assert ended.setdefault(after.run_id, after.status.value) == after.status.value or not after.is_terminal
        if not after.is_terminal:
            del ended[after.run_id]


def test_the_reducer_takes_any_sequence() -> None:
    """Plausible events over few ids, in any order: no exception, no changed state, no signal twice, one ending."""
    choose = random.Random(4)
    for _ in range(2_500 * TIMES):
        _sequence(choose)
