"""Redaction: what people and tools said is gone, what happened is not, and the signals are the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream import Redaction, demo, fold, read_recording
from runstream.model.raw import RawEvent
from runstream.model.signals import RunSignal, Signal
from runstream.testing import Conversation, conversations
from tests.support.raws import json_values, raw_events

redact = Redaction()


def blanked(value: Any, event: str | None = "thread.run.created", **options: Any) -> Any:
    return json.loads(Redaction(**options)(RawEvent(event, json.dumps(value).encode())).data)


def strings(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text of a JSON value, and where it stands."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from strings(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from strings(item, (*path, str(number)))
    elif isinstance(value, str):
        yield path, value


RUN = {
    "id": "run_1",
    "object": "thread.run",
    "status": "requires_action",
    "thread_id": "thread_1",
    "model": "gpt-4o",
    "instructions": "Be kind.",
    "created_at": 5,
    "temperature": 0.5,
    "usage": {"total_tokens": 7},
    "last_error": {"code": "rate_limit_exceeded", "message": "You, Jo, are out of quota."},
    "incomplete_details": {"reason": "max_prompt_tokens"},
    "metadata": {"id": "Jo", "usage": '{"total_tokens": 3}', "note": "ümläut"},
    "tools": [
        {
            "type": "function",
            "function": {"name": "mail", "description": "Mails Jo", "parameters": {"type": "object", "name": "Jo"}},
        },
        {"type": "mcp", "server_label": "jo", "server_url": "https://jo.example"},
    ],
    "required_action": {
        "type": "submit_tool_outputs",
        "submit_tool_outputs": {
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "mail", "arguments": '{"to":"Jo"}'}}
            ]
        },
    },
    "tool_choice": "auto",
    "customer": {"id": "Jo", "status": "vip", "mails": ["jo@example.org"], "age": 44},
}


def test_a_run() -> None:
    """Ids, statuses, error codes, models, function names, numbers and usage stay; the rest is as long as it was."""
    found = blanked(RUN)
    kept = {
        **RUN,
        "instructions": "xxxxxxxx",
        "last_error": {"code": "rate_limit_exceeded", "message": "x" * 26},
        "metadata": {"id": "xx", "usage": '{"total_tokens": 3}', "note": "x" * 6},
        "tools": [
            {
                "type": "function",
                "function": {"name": "mail", "description": "x" * 8, "parameters": {"type": "x" * 6, "name": "xx"}},
            },
            {"type": "mcp", "server_label": "xx", "server_url": "x" * 18},
        ],
        "required_action": {
            "type": "submit_tool_outputs",
            "submit_tool_outputs": {
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "mail", "arguments": "x" * 11}}
                ]
            },
        },
        "customer": {"id": "xx", "status": "xxx", "mails": ["x" * 14], "age": 44},
    }
    assert found == kept
    envelope = blanked({"event": "thread.run.created", "data": RUN, "id": "e 1", "trace": "Jo"}, None)
    assert envelope == {"event": "thread.run.created", "data": kept, "id": "e 1", "trace": "xx"}
    assert blanked(RUN, None) == kept


def test_a_message_and_a_step() -> None:
    """Texts, annotations, names of files, URLs, code, logs, outputs."""
    message = {
        "id": "msg_1",
        "role": "assistant",
        "content": [
            {
                "type": "text",
                "text": {
                    "value": "See [1] 🙂",
                    "annotations": [
                        {"type": "url_citation", "text": "[1]", "start_index": 4, "end_index": 7,
                         "url_citation": {"url": "https://x.example", "title": "Jo"}},
                        {"type": "file_citation", "text": "[1]", "file_citation": {"file_id": "file_1", "quote": "Jo"}},
                    ],
                },
            },
            {"type": "image_url", "image_url": {"url": "https://x.example", "detail": "auto"}},
            {"type": "refusal", "refusal": "No, Jo."},
        ],
    }  # fmt: skip
    found = blanked(message, "thread.message.completed")
    assert dict(strings(found)) == {
        path: text if path[-1] in {"id", "role", "type", "file_id", "detail"} else "x" * len(text)
        for path, text in strings(message)
    }
    calls = [
        {"id": "c1", "type": "code_interpreter",
         "code_interpreter": {"input": "print(1)", "outputs": [{"type": "logs", "logs": "1"}]}},
        {"id": "c2", "type": "file_search",
         "file_search": {"ranking_options": {"ranker": "auto"}, "results": [{"file_id": "f", "file_name": "jo.md"}]}},
        {"id": "c3", "type": "mcp", "name": "look up", "arguments": "{}", "output": "Jo"},
        {"id": "c4", "type": "browser", "browser": {"id": "Jo", "type": "Jo"}},
    ]  # fmt: skip
    step = {"id": "step_1", "step_details": {"type": "tool_calls", "tool_calls": calls}}
    kept = {"id", "type", "ranker", "file_id"}
    for path, text in strings(blanked(step, "thread.run.step.completed")):
        stays = path[-1] in kept and "browser" not in path
        assert text == dict(strings(step))[path] if stays else set(text) == {"x"}, path


@pytest.mark.parametrize(
    ("raw", "data"),
    [
        (RawEvent("done", b"[DONE]"), b"[DONE]"),
        (RawEvent(None, b'{"event":"done","data":"[DONE]"}'), b'{"event":"done","data":"[DONE]"}'),
        (RawEvent("done", b"said Jo"), b"xxxxxxx"),
        (RawEvent("error", b'{"code":"no_quota","message":"Jo"}'), b'{"code":"no_quota","message":"xx"}'),
        (RawEvent("error", b'{"error":{"code":"a Jo","message":"Jo"}}'), b'{"error":{"code":"xxxx","message":"xx"}}'),
        (RawEvent(None, b'{"error":{"code":"a","message":"Jo"}}'), b'{"error":{"code":"a","message":"xx"}}'),
        (RawEvent("error", b"Jo is out"), b"xxxxxxxxx"),
        (RawEvent("error", b'"Jo"'), b'"xx"'),
        (RawEvent("custom", b'{"id":"Jo","type":"Jo"}'), b'{"id":"xx","type":"xx"}'),
        (RawEvent(None, b'{"event":"a","data":{"id":"Jo"},"id":7}'), b'{"event":"a","data":{"id":"xx"},"id":7}'),
        (RawEvent(None, b'{"id":"Jo","status":"Jo"}'), b'{"id":"xx","status":"xx"}'),
        (RawEvent(None, b'["Jo",1,null,true]'), b'["xx",1,null,true]'),
        (RawEvent("thread.run.created", b'{"id":"Jo'), b"xxxxxxxxx"),
        (RawEvent("a", b"\xff\xfe"), b"xx"),
        (RawEvent("a", b"[" * 5000), b"x" * 5000),
        (RawEvent("a", b""), b""),
    ],
)  # fmt: skip
def test_events_of_all_kinds(raw: RawEvent, data: bytes) -> None:
    """Ends, errors, events nobody knows, input that is no JSON: never raw, always of equal size."""
    assert redact(raw) == RawEvent(raw.event, data)


def test_calls_of_an_action_of_a_new_type_keep_their_ids() -> None:
    """They tell one request from the next, whatever the new type is called."""
    action = {"type": "new", "new": {"tool_calls": [{"id": "call_1", "text": "Jo"}]}}
    found = blanked({"id": "run_1", "required_action": action})["required_action"]
    assert found == {"type": "new", "new": {"tool_calls": [{"id": "call_1", "text": "xx"}]}}


def test_ids_times_and_places_stay() -> None:
    """All that is not the payload; a name that is none is blanked."""
    assert redact(RawEvent("a", b'"Jo"', "1", "2", 3.0, 4)) == RawEvent("a", b'"xx"', "1", "2", 3.0, 4)
    assert redact(RawEvent("Jo said", b'"Jo"')) == RawEvent("xxxxxxx", b'"xx"')
    assert blanked({"event": "Jo said", "data": 1}, None) == {"event": "xxxxxxx", "data": 1}


def test_more_or_less_may_be_kept() -> None:
    """Keys that another protocol needs; names that are confidential; another character."""
    value = {"id": "r", "item_id": "i", "inner": {"item_id": "i", "text": "Jo"}, "model": "jo-7b"}
    assert blanked(value, keep=["item_id"], blank=["model"], fill="#") == {
        "id": "r",
        "item_id": "i",
        "inner": {"item_id": "i", "text": "##"},
        "model": "#####",
    }
    for fill in ("", "xx", "é", "\n"):
        with pytest.raises(ValueError, match="one printable ASCII character"):
            Redaction(fill=fill)


@given(raw_events())
def test_any_event_keeps_its_shape(raw: RawEvent) -> None:
    """No input raises; redacting twice changes nothing more."""
    once = redact(raw)
    assert (once.id, once.last_id, once.at, once.event is None) == (raw.id, raw.last_id, raw.at, raw.event is None)
    assert redact(once) == once


@given(st.sampled_from([None, "thread.run.created", "thread.message.delta", "custom"]), json_values)
def test_under_unknown_keys_no_text_is_left(event: str | None, value: Any) -> None:
    """Structure, numbers and lengths stay, and not one character of a text."""
    found = blanked({"id": "r", "secret_things": value}, event)["secret_things"]
    assert dict(strings(found)) == {path: "x" * len(text) for path, text in strings(value)}


def facts(signals: Sequence[Signal]) -> list[tuple[str, str]]:
    """The signals by type and key; a text that was replaced has a digest of the text in its key."""
    return [
        (found.type, "" if found.type == "message.text_replaced" else found.key)
        for found in signals
        if isinstance(found, RunSignal)
    ]


@pytest.mark.slow
@given(conversations(max_runs=2))
def test_a_redacted_stream_tells_the_same(conversation: Conversation) -> None:
    """Fragments and snapshots still agree: the same signals, in the same order, and texts of equal length."""
    raws = conversation.raw_events(interleaved=True)
    plain, blank = fold(raws), fold([redact(raw) for raw in raws])
    assert facts(blank.signals) == facts(plain.signals)
    assert not blank.rejects
    for before, after in zip(plain.runs, blank.runs, strict=True):
        assert (after.run_id, after.status, after.run.usage) == (before.run_id, before.status, before.run.usage)
        assert [len(message.text) for message in after.messages] == [len(message.text) for message in before.messages]
        assert set(after.text) <= {"x", "\n"}


@pytest.mark.parametrize("name", demo.recordings())
def test_a_redacted_demo_tells_the_same(name: str) -> None:
    """The bundled recordings: same signals, and no word of their texts."""
    raws = [item for item in read_recording(demo.load(name)) if isinstance(item, RawEvent)]
    kept = [redact(raw) for raw in raws]
    plain, blank = fold(raws), fold(kept)
    assert facts(blank.signals) == facts(plain.signals)
    words = {
        word for state in plain.runs for message in state.messages for word in message.text.split() if len(word) > 6
    }
    written = b"".join(raw.data for raw in kept)
    assert words or name in {"cancelled.sse", "expired.sse", "function_call_1.sse"}
    assert not [word for word in words if word.encode() in written]


ODD_CALL = {"card": 4111, "big": True, "rate": 0.625, "to": ["Ann", {"n": 7}], "none": None}


def test_arguments_and_outputs_of_any_shape_are_blanked() -> None:
    """What a tool was asked and what it answered is content: its structure alone stays, numbers do not."""
    calls = [
        {"id": "c", "type": "function", "function": {"name": "pay", "arguments": ODD_CALL, "output": [1, ODD_CALL]}},
        {"id": "m", "type": "mcp", "name": "pay", "arguments": ODD_CALL, "output": 987654},
        {"id": "x", "type": "exotic", "exotic": {"arguments": ODD_CALL, "output": True}},
    ]
    step = {"id": "s", "object": "thread.run.step", "step_details": {"type": "tool_calls", "tool_calls": calls}}
    action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}
    for name, data in (
        ("thread.run.step.completed", step),
        ("thread.run.requires_action", {**RUN, "required_action": action}),
    ):
        text = json.dumps(blanked(data, name))
        for left in ("4111", "true", "0.625", "Ann", '"n": 7', "987654"):
            assert left not in text
        assert text.count('"card": 0') == 4
        assert text.count('"none": null') == 4


@pytest.mark.parametrize("name", ["message", None])
def test_other_forms_are_redacted_as_the_usual_one(name: str | None) -> None:
    """With the default name, with data that is JSON text, and with bytes that are not UTF-8: runs are still seen."""
    run = {"id": "run_1", "status": "in_progress", "model": "m", "metadata": {"place": "Caf$"}}
    for data in (run, json.dumps(run)):
        raw = json.dumps({"event": "thread.run.in_progress", "data": data}).encode().replace(b"$", b"\xe9")
        redacted = redact(RawEvent(name, raw))
        assert b"Caf" not in redacted.data
        (state,) = fold([redacted]).runs
        assert (state.run_id, state.run.model, dict(state.run.metadata)) == ("run_1", "m", {"place": "xxxx"})


def test_an_index_that_is_text_is_kept() -> None:
    """The place of a call is structure."""
    call = {"index": "1", "id": "c", "type": "function", "function": {"arguments": "{}"}}
    delta = {"id": "s", "delta": {"step_details": {"type": "tool_calls", "tool_calls": [call]}}}
    kept = blanked(delta, "thread.run.step.delta")
    assert kept["delta"]["step_details"]["tool_calls"][0] == {**call, "function": {"arguments": "xx"}}


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({"question": "Buy for Ann?", "tool_call_id": "call_1"}, "book"),
        ({"action_requests": [{"name": "book", "args": {"who": "Ann"}, "description": "For Ann"}]}, "book"),
        ([{"action_request": {"action": "book", "args": {"who": "Ann"}}, "description": "For Ann"}], "book"),
        ({"action_requests": [{"name": "Ann asks"}]}, "xxxxxxxx"),
        ({"id": "Ann", "name": "Ann", "tool_call_id": ["Ann"], "status": "Ann"}, None),
        ("Ann", None),
    ],
)
@pytest.mark.parametrize("is_thread", [False, True])
def test_an_interrupt_keeps_the_name_of_its_call(value: Any, name: str | None, is_thread: bool) -> None:
    """The value of an interrupt is an application's: only the call that it asks about, and its tool, are kept."""
    call = {"id": "call_1", "name": "book", "args": {}}
    message = {"type": "ai", "id": "m1", "content": "", "tool_calls": [call]}
    if is_thread:
        events: list[tuple[str, Any]] = [
            ("lifecycle", {"event": "running"}),
            ("values", {"messages": [message]}),
            ("input.requested", {"interrupt_id": "i1", "payload": value}),
            ("lifecycle", {"event": "interrupted"}),
        ]
        raws = [
            RawEvent(method, json.dumps({"method": method, "event_id": f"synth:r1:{at}", "params": params}).encode())
            for at, (method, data) in enumerate(events)
            for params in ({"namespace": [], "data": data},)
        ]
    else:
        events = [
            ("metadata", {"run_id": "r1", "attempt": 1}),
            ("updates", {"agent": {"messages": [message]}}),
            ("updates", {"__interrupt__": [{"id": "i1", "value": value}]}),
        ]
        raws = [RawEvent(event, json.dumps(data).encode()) for event, data in events]
    dialect = "langgraph-thread" if is_thread else "langgraph"
    redacted = [Redaction(dialect=dialect)(raw) for raw in raws]
    (state,) = fold(redacted, dialect=dialect).runs
    assert [(each.id, each.name) for each in state.run.pending_tool_calls] == [("i1", name)]
    if not is_thread:
        assert b"Ann" not in b"".join(raw.data for raw in redacted)
