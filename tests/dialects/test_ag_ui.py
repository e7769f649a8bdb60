"""The AG-UI dialect: texts, calls, reasoning, steps, subagents and runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runstream.dialects.ag_ui import AgUiDialect
from runstream.dialects.ag_ui_wire import EVENT_TYPES, time_of
from runstream.dialects.registry import dialect_names
from runstream.engine.fold import fold
from runstream.model.events import EmptyEvent, TextAppend, UnknownEvent
from runstream.model.frozen import thaw
from runstream.model.raw import ConnectionEvent, Idle, RawEvent
from runstream.model.signals import CustomReceived, SourceError
from tests.dialects.agui import (
    args,
    call,
    content,
    decode,
    event,
    finished,
    flat,
    folded,
    request,
    result,
    run_of,
    started,
    text,
    violations,
)


def calls_of(state: Any) -> list[tuple[str | None, str | None, str | None, str | None]]:
    """The calls of a state: id, name, arguments, output."""
    return [(each.id, each.name, each.arguments, each.output) for step in state.steps for each in step.tool_calls]


def test_it_is_registered_by_name() -> None:
    """Every door finds it."""
    assert "ag-ui" in dialect_names()


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_it_recognises_its_events(name: str) -> None:
    """An event of the wire decides for this dialect; also in an envelope."""
    assert AgUiDialect.recognises(event(name))
    assert AgUiDialect.recognises(RawEvent(data=json.dumps({"event": None, "data": {"type": name}}).encode()))


@pytest.mark.parametrize("data", [b"{}", b"[]", b"[DONE]", b'{"type": "response.created"}', b'{"type": 3}', b"{"])
def test_it_recognises_nothing_else(data: bytes) -> None:
    """Other messages do not decide."""
    assert not AgUiDialect.recognises(RawEvent(data=data))


# texts


def test_a_text() -> None:
    """A message is created, grows and ends; the run has the ids of the wire."""
    found = folded(started(), text("The ferry leaves"), finished())
    (state,) = found.runs
    assert (state.run_id, state.run.thread_id, state.status, state.text) == (
        "r1",
        "t1",
        "completed",
        "The ferry leaves ",
    )
    assert [signal.key for signal in found.signals] == [
        "r1/created",
        "r1/status/in_progress/0",
        "r1/message/m1/created",
        "r1/message/m1/text/0/0",
        "r1/message/m1/text/0/4",
        "r1/message/m1/text/0/10",
        "r1/message/m1/completed",
        "r1/completed",
        "stream/ended/1",
    ]


def test_fragments_take_the_fast_path() -> None:
    """A fragment of an open text is one `TextAppend`, and an empty one is nothing new."""
    items = [started(), event("TEXT_MESSAGE_START", messageId="m1"), content("a"), content(""), content("b")]
    _, events = decode(*items)
    assert [type(each) for each in events[2:]] == [TextAppend, EmptyEvent, TextAppend]
    assert {each.run_id for each in events} == {"r1"}


def test_a_message_without_its_start() -> None:
    """Content of a message that was never opened opens it."""
    state = run_of(started(), content("a"), content("b"), finished())
    assert (state.text, state.messages[0].status) == ("ab", "completed")
    assert violations(started(), content("a")) == {"message_open": 1}


def test_text_after_the_end_of_its_message_is_not_lost() -> None:
    """A message that was ended takes no more text: a further one has it, whether it is opened again or not."""
    for more in (content("c"), [event("TEXT_MESSAGE_START", messageId="m1"), content("c")]):
        state = run_of(started(), text("a b"), more, finished())
        assert state.text == "a b c"
        assert [message.id for message in state.messages] == ["m1", "m1~2"]


def test_messages_that_interleave() -> None:
    """Each fragment is that of the message that it names."""
    opened = [event("TEXT_MESSAGE_START", messageId=id) for id in ("m1", "m2")]
    state = run_of(started(), opened, content("a"), content("x", "m2"), content("b"), content("y", "m2"), finished())
    assert [message.text for message in state.messages] == ["ab", "xy"]


def test_roles() -> None:
    """A message has the role of its start; an unknown one is the assistant's."""
    roles = [None, "assistant", "developer", "system", "user", "pirate"]
    starts = [event("TEXT_MESSAGE_START", messageId=f"m{n}", role=role) for n, role in enumerate(roles)]
    state = run_of(started(), starts, finished())
    found = [message.role for message in state.messages]
    assert found == ["assistant", "assistant", "developer", "system", "user", "assistant"]


# chunks


def chunk(delta: str | None, id: str | None = None, **fields: Any) -> RawEvent:
    """A chunk of a message."""
    named = {} if id is None else {"messageId": id}
    return event("TEXT_MESSAGE_CHUNK", **named, **({} if delta is None else {"delta": delta}), **fields)


def call_chunk(delta: str | None, id: str | None = None, name: str | None = None, **fields: Any) -> RawEvent:
    """A chunk of a call."""
    named = {key: value for key, value in (("toolCallId", id), ("toolCallName", name), ("delta", delta)) if value}
    return event("TOOL_CALL_CHUNK", **named, **fields)


def test_chunks_open_and_continue() -> None:
    """A chunk with a new id opens a message, one without an id continues it; the end of the run ends it."""
    items = [started(), chunk("a", "m1", role="assistant"), chunk("b"), chunk("c", "m1"), chunk("d", "m2"), chunk("e")]
    state = run_of(*items, finished())
    assert [(message.id, message.text, message.status) for message in state.messages] == [
        ("m1", "abc", "completed"),
        ("m2", "de", "completed"),
    ]
    assert violations(*items, finished()) == {}


def test_chunks_of_text_and_calls_interleave() -> None:
    """With ids and names it is legal: each goes on where it was."""
    items = [
        started(),
        chunk("a", "m1"),
        call_chunk('{"x": ', "c1", "f"),
        chunk("b", "m1"),
        call_chunk("1}", "c1", "f"),
        chunk("c", "m1"),
    ]
    state = run_of(*items, result("done"), finished())
    assert state.text == "abc"
    assert calls_of(state) == [("c1", "f", '{"x": 1}', "done")]
    assert violations(*items, finished()) == {}


def test_each_subagent_has_a_lane_of_its_own() -> None:
    """Chunks without ids continue what their own subagent has opened."""
    begun = [event("SUBAGENT_STARTED", subagentRunId=id, name=id) for id in ("s1", "s2")]
    items = [
        *begun,
        chunk("a", "m1"),
        chunk("x", "m2", subagentRunId="s1"),
        chunk("p", "m3", subagentRunId="s2"),
        chunk("b"),
        chunk("y", subagentRunId="s1"),
        chunk("q", subagentRunId="s2"),
    ]
    state = run_of(started(), items, finished())
    assert [message.text for message in state.messages] == ["ab", "xy", "pq"]


@pytest.mark.parametrize(
    "closing",
    [
        event("STEP_STARTED", stepName="s"),
        event("STATE_SNAPSHOT", snapshot={}),
        event("CUSTOM", name="n", value=1),
        event("MESSAGES_SNAPSHOT", messages=[]),
        event("REASONING_START", messageId="x"),
    ],
    ids=lambda raw: json.loads(raw.data)["type"],
)
def test_other_events_close_a_lane(closing: RawEvent) -> None:
    """After a plain event of its owner a chunk without an id has no lane; its text is not lost."""
    state = run_of(started(), chunk("a", "m1"), closing, chunk("b"), finished())
    assert state.text == "ab"
    assert violations(started(), chunk("a", "m1"), closing, chunk("b"))["chunk_has_id"] == 1


@pytest.mark.parametrize("open_event", ["RAW", "ACTIVITY_SNAPSHOT", "SUBAGENT_STARTED", "REASONING_ENCRYPTED_VALUE"])
def test_other_events_leave_a_lane_open(open_event: str) -> None:
    """These are beside all lanes."""
    between = event(open_event, messageId="x", activityType="k", content={}, subagentRunId="s1", name="n")
    between = between if open_event != "RAW" else event("RAW", event={})
    assert "chunk_has_id" not in violations(started(), chunk("a", "m1"), between, chunk("b"))


def test_a_chunk_that_contradicts_is_counted() -> None:
    """A repeated role or name has to agree."""
    items = [started(), chunk("a", "m1", role="assistant"), chunk("b", "m1", role="user")]
    assert violations(*items) == {"chunk_agrees": 1}
    items = [started(), chunk("a", "m1", role="assistant"), chunk(None, "m1", role="user")]
    assert violations(*items) == {"chunk_agrees": 1}
    items = [started(), call_chunk("{", "c1", "f"), call_chunk("}", "c1", "f"), call_chunk("", "c1", "g")]
    assert violations(*items) == {"chunk_agrees": 1}


def test_a_call_in_one_chunk() -> None:
    """One chunk opens and fills the call."""
    state = run_of(started(), call_chunk('{"a": 1}', "c1", "f"), result("2"), finished())
    assert calls_of(state) == [("c1", "f", '{"a": 1}', "2")]


# calls


def test_a_call_and_its_result() -> None:
    """The result is the output of the call, and ends its step."""
    state = run_of(started(), call("lamp", '{"pier": "north"}'), result("lit"), text("Done"), finished())
    assert calls_of(state) == [("c1", "lamp", '{"pier": "north"}', "lit")]
    assert [step.status for step in state.steps] == ["completed"]
    assert (state.status, state.text) == ("completed", "Done ")


def test_parallel_calls_interleave() -> None:
    """Arguments go to the call that they name, also after its end."""
    items = [
        event("TOOL_CALL_START", toolCallId="c1", toolCallName="f"),
        args("[1"),
        event("TOOL_CALL_END", toolCallId="c1"),
        event("TOOL_CALL_START", toolCallId="c2", toolCallName="g"),
        args("[2", "c2"),
        args("]", "c1"),
        args("]", "c2"),
        event("TOOL_CALL_END", toolCallId="c2"),
    ]
    state = run_of(started(), items, result("a", "c1"), result("b", "c2"), finished())
    assert calls_of(state) == [("c1", "f", "[1]", "a"), ("c2", "g", "[2]", "b")]
    assert violations(started(), *items) == {"call_open": 1}


def test_a_second_result_is_counted() -> None:
    """A call has one result: the first."""
    items = [started(), call("f"), result("a"), result("b")]
    assert calls_of(run_of(*items, finished()))[0][3] == "a"
    assert violations(*items) == {"result_once": 1}


@pytest.mark.parametrize(
    ("parts", "output"),
    [
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        ([{"type": "image", "source": {"type": "url", "value": "u"}}], None),
        ({"a": 1}, '{"a":1}'),
        ("", ""),
    ],
)
def test_results_in_parts(parts: Any, output: str | None) -> None:
    """Texts are joined; anything else is its JSON text."""
    found = calls_of(run_of(started(), call("f"), result(parts), finished()))[0][3]
    assert found == (output if output is not None else json.dumps(parts, separators=(",", ":")))


def test_a_call_that_is_announced_again_in_its_piece() -> None:
    """Whole arguments are not appended to themselves."""
    items = [started(), call("f", '{"a": 1}'), call("f", '{"a": 1}'), result("x")]
    assert calls_of(run_of(*items, finished())) == [("c1", "f", '{"a": 1}', "x")]
    assert violations(*items) == {"call_announced_again": 1}


def test_an_id_used_for_a_second_call() -> None:
    """A call that is opened after the result of another one with its id is another call."""
    state = run_of(started(), call("f", "[1]"), result("a"), call("g", "[2]"), result("b"), finished())
    assert calls_of(state) == [("c1", "f", "[1]", "a"), ("c1", "g", "[2]", "b")]


# reasoning


def reasoning(words: str, id: str = "x1") -> list[RawEvent]:
    """A reasoning message."""
    parts = [event("REASONING_MESSAGE_CONTENT", messageId=id, delta=word) for word in words.split()]
    start = event("REASONING_MESSAGE_START", messageId=id, role="reasoning")
    return [start, *parts, event("REASONING_MESSAGE_END", messageId=id)]


def test_reasoning_is_a_step() -> None:
    """Its text grows; a message of the same id is another object."""
    span = [event("REASONING_START", messageId="m1"), *reasoning("a b", "m1"), event("REASONING_END", messageId="m1")]
    state = run_of(started(), span, text("Done"), finished())
    assert (state.reasoning, state.text) == ("ab", "Done ")
    assert [(step.id, step.type, step.status) for step in state.steps] == [("reasoning/m1", "reasoning", "completed")]


def test_reasoning_in_chunks() -> None:
    """The first chunk has the id."""
    first = event("REASONING_MESSAGE_CHUNK", messageId="x1", delta="a")
    state = run_of(started(), first, event("REASONING_MESSAGE_CHUNK", delta="b"), text("c"), finished())
    assert (state.reasoning, state.steps[0].status) == ("ab", "completed")


def test_thinking_of_older_servers() -> None:
    """THINKING events have no ids: each message is a step of its own, under an id that a replay makes again."""
    one = [
        event("THINKING_START", title="t"),
        event("THINKING_TEXT_MESSAGE_START"),
        event("THINKING_TEXT_MESSAGE_CONTENT", delta="a"),
        event("THINKING_TEXT_MESSAGE_CONTENT", delta="b"),
        event("THINKING_TEXT_MESSAGE_END"),
        event("THINKING_END"),
    ]
    state = run_of(started(), one, one, finished())
    assert state.reasoning == "abab"
    assert [step.id for step in state.steps] == ["reasoning/r1/thinking/1", "reasoning/r1/thinking/2"]


def test_encrypted_reasoning_is_a_custom_value() -> None:
    """What is to be sent back is not lost."""
    items = [started(), event("REASONING_ENCRYPTED_VALUE", subtype="message", entityId="m1", encryptedValue="abc")]
    (signal,) = [each for each in folded(*items, finished()).signals if isinstance(each, CustomReceived)]
    assert (signal.name, dict(signal.value)) == (
        "REASONING_ENCRYPTED_VALUE",
        {"subtype": "message", "entityId": "m1", "encryptedValue": "abc"},
    )


# steps and subagents


def test_steps_are_labels() -> None:
    """They overlap, are matched by name, and a name may come again."""
    names = [("STARTED", "a"), ("STARTED", "b"), ("FINISHED", "a"), ("STARTED", "a"), ("FINISHED", "b")]
    state = run_of(started(), [event(f"STEP_{kind}", stepName=name) for kind, name in names], finished())
    assert [(step.id, step.name, step.status) for step in state.steps] == [
        ("r1/step/a/1", "a", "completed"),
        ("r1/step/b/1", "b", "completed"),
        ("r1/step/a/2", "a", "completed"),
    ]


def test_an_error_fails_open_steps() -> None:
    """What is open at an error has failed; messages are incomplete."""
    items = [event("STEP_STARTED", stepName="a"), event("TEXT_MESSAGE_START", messageId="m1"), content("x")]
    state = run_of(started(), items, event("RUN_ERROR", message="no", code="E"))
    assert (state.status, state.text, state.messages[0].status) == ("failed", "x", "incomplete")
    assert [step.status for step in state.steps] == ["failed"]
    assert state.run.last_error is not None
    assert (state.run.last_error.code, state.run.last_error.message) == ("E", "no")


def subagent(id: str, **fields: Any) -> RawEvent:
    """The start of a subagent."""
    return event("SUBAGENT_STARTED", subagentRunId=id, name=f"agent {id}", **fields)


def test_subagents_have_paths() -> None:
    """What a subagent sends has its path, nested ones below their parents; the run's text is its own."""
    items = [
        subagent("s1", description="d"),
        subagent("s2", parentSubagentRunId="s1"),
        text("inner", "m2", subagentRunId="s2"),
        event("STEP_STARTED", stepName="a", subagentRunId="s1"),
        event("SUBAGENT_FINISHED", subagentRunId="s2"),
        event("SUBAGENT_ERROR", subagentRunId="s1", message="no", code="E"),
        text("outer"),
    ]
    found = folded(started(), items, finished())
    (state,) = found.runs
    assert state.text == "outer "
    paths = {signal.key: signal.path for signal in found.signals if hasattr(signal, "path")}
    assert paths["r1/message/m2/completed"] == ("s1", "s2")
    assert paths["r1/step/r1%2Fstep%2Fs1%2Fa%2F1/created"] == ("s1",)
    agents = [(step.id, step.name, step.status) for step in state.steps if step.type == "subagent"]
    assert agents == [("subagent/s1", "agent s1", "failed"), ("subagent/s2", "agent s2", "completed")]


def test_equal_labels_of_two_subagents() -> None:
    """They are open at once."""
    items = [subagent("s1"), subagent("s2")]
    items += [event("STEP_STARTED", stepName="a", subagentRunId=id) for id in ("s1", "s2")]
    items += [event("STEP_FINISHED", stepName="a", subagentRunId=id) for id in ("s1", "s2")]
    assert violations(started(), *items) == {}


def test_a_suspended_subagent_is_open_while_the_run_waits() -> None:
    """It goes on in the next piece, and ends there."""
    asked = {"type": "interrupt", "interrupts": [{"id": "i1", "reason": "confirmation", "subagentRunId": "s1"}]}
    suspended = event("SUBAGENT_FINISHED", subagentRunId="s1", outcome={"type": "suspended", "interruptIds": ["i1"]})
    first = [started(), subagent("s1"), suspended, finished(outcome=asked)]
    state = run_of(*first)
    assert [step.status for step in state.steps] == ["in_progress"]
    again = request("r2", resume=[{"interruptId": "i1", "status": "resolved"}])
    ended = [subagent("s1"), event("SUBAGENT_FINISHED", subagentRunId="s1"), finished("r2")]
    state = run_of(*first, again, started("r2"), *ended)
    assert [(step.id, step.status) for step in state.steps] == [("subagent/s1", "completed")]


@pytest.mark.parametrize(("schema", "expected"), [({"type": "string"}, {"type": "string"}), ("string", None)])
def test_the_schema_of_an_answer(schema: Any, expected: Any) -> None:
    """It is that of the call that waits; what is no schema is in the data alone."""
    asked = {"type": "interrupt", "interrupts": [{"id": "i1", "reason": "input_required", "responseSchema": schema}]}
    (call,) = run_of(started(), finished(outcome=asked)).run.pending_tool_calls
    assert thaw(call.response_schema) == expected  # type: ignore[union-attr]
    assert thaw(call.data)["responseSchema"] == schema  # type: ignore[union-attr]


# values beside the text


def test_raw_and_custom_values() -> None:
    """Both are custom signals; text goes on between them."""
    items = [event("RAW", event={"a": 1}, source="s"), event("CUSTOM", name="n", value=[1])]
    opened = event("TEXT_MESSAGE_START", messageId="m1")
    found = folded(started(), opened, content("a"), items, content("b"), finished(result={"x": 1}))
    customs = [(each.name, each.value) for each in found.signals if isinstance(each, CustomReceived)]
    assert customs == [("RAW", {"event": {"a": 1}, "source": "s"}), ("n", [1]), ("result", {"x": 1})]
    assert found.runs[0].text == "ab"


def test_an_unknown_event_is_skipped_and_counted() -> None:
    """It has its run, and the text goes on."""
    opened = event("TEXT_MESSAGE_START", messageId="m1")
    items = [started(), opened, content("a"), event("USAGE_METADATA", tokens=3), content("b")]
    found = folded(*items, finished())
    assert (found.runs[0].text, found.stats.unknown) == ("ab", 1)
    assert any(isinstance(each, UnknownEvent) and each.run_id == "r1" for each in decode(*items)[1])


def test_usage_is_summed() -> None:
    """One entry for each provider and model; what no entry has is absent."""
    entries = [
        {"provider": "p", "model": "a", "inputTokens": 2, "outputTokens": 3, "reasoningTokens": 1},
        {"model": "b", "inputTokens": 4, "outputTokens": 5, "cachedInputTokens": 2},
    ]
    usage = run_of(started(), finished(usage=entries)).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (6, 8, 14)
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == 1
    assert run_of(started(), finished(usage=[{"provider": "p"}])).usage is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1795871407359, 1795871407),
        (1795871407, 1795871407),
        (1795871407.5, 1795871407),
        (2153.12, None),
        ("x", None),
        (None, None),
        (True, None),
        (float("nan"), None),
        (1e300, None),
    ],
)
def test_times(value: Any, seconds: int | None) -> None:
    """Milliseconds by custom, seconds of some servers; a process's own clock is no time."""
    assert time_of(value) == seconds


def test_a_run_has_the_times_of_its_boundaries() -> None:
    """Whole Unix seconds."""
    run = run_of(started(timestamp=1795871407359), finished(timestamp=1795871409)).run
    assert (run.created_at, run.completed_at) == (1795871407, 1795871409)


# other shapes


def test_snake_case_and_nulls() -> None:
    """Hand-written servers write names in snake_case, and nulls for what is absent."""
    nulls: dict[str, Any] = {"subagentRunId": None, "rawEvent": None, "timestamp": None}
    items = [
        event("RUN_STARTED", thread_id="t1", run_id="r1", **nulls),
        event("TEXT_MESSAGE_START", message_id="m1", role=None, **nulls),
        event("TEXT_MESSAGE_CONTENT", message_id="m1", delta="a", **nulls),
        event("TEXT_MESSAGE_END", message_id="m1", **nulls),
        event("TOOL_CALL_START", tool_call_id="c1", tool_call_name="f", parentMessageId=None, **nulls),
        event("TOOL_CALL_ARGS", tool_call_id="c1", delta="{}", **nulls),
        event("TOOL_CALL_END", tool_call_id="c1", **nulls),
        event("TOOL_CALL_RESULT", tool_call_id="c1", result="x", **nulls),
        event("RUN_FINISHED", thread_id="t1", run_id="r1", outcome=None, result=None, **nulls),
    ]
    state = run_of(*items)
    assert (state.run_id, state.run.thread_id, state.status, state.text) == ("r1", "t1", "completed", "a")
    assert calls_of(state) == [("c1", "f", "{}", "x")]


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        ({"message": "m", "code": "c"}, "c", "m"),
        ({"error": "m"}, None, "m"),
        ({"error": {"message": "m", "code": 3}}, "3", "m"),
        ({"message": {"detail": "m"}}, None, '{"detail":"m"}'),
        ({}, None, None),
    ],
)
def test_errors(value: dict[str, Any], code: str | None, message: str | None) -> None:
    """The words of the server, wherever they are."""
    error = run_of(started(), event("RUN_ERROR", **value)).run.last_error
    assert error is not None
    assert (error.code, error.message) == (code, message)


def test_done_markers_and_envelopes() -> None:
    """`[DONE]` ends nothing; an event in an envelope is an event."""
    done = RawEvent(data=b"[DONE]")
    state = run_of(started(), content("a"), finished(), done)
    assert (state.status, state.text) == ("completed", "a")
    wrapped = [
        RawEvent(data=b'{"event":"x","data":' + raw.data + b"}") for raw in (started(), content("a"), finished())
    ]
    assert run_of(*wrapped).text == "a"


# runs


def test_runs_follow_each_other() -> None:
    """Several runs on a stream, a failed one among them."""
    items = [
        [started("r1"), text("a"), finished("r1")],
        [started("r2"), text("b", "m2"), event("RUN_ERROR", message="no")],
        [started("r3"), text("c", "m1"), finished("r3")],
    ]
    found = folded(*items)
    assert [(state.run_id, state.status.value, state.text) for state in found.runs] == [
        ("r1", "completed", "a "),
        ("r2", "failed", "b "),
        ("r3", "completed", "c "),
    ]


def test_a_run_that_failed_before_it_began() -> None:
    """With an id, of the event or the request, it is a failed run; without one it is an error of the source."""
    assert run_of(event("RUN_ERROR", message="no", runId="r1")).status == "failed"
    assert run_of(request("r1"), event("RUN_ERROR", message="no")).status == "failed"
    found = folded(event("RUN_ERROR", message="no"))
    assert not found.runs
    assert [each.server_message for each in found.signals if isinstance(each, SourceError)] == ["no"]


def test_a_used_id_is_another_run() -> None:
    """A server that uses the id of a run again that has ended begins another run with it."""
    for end in ([finished(), Idle()], event("RUN_ERROR", message="no")):
        found = folded(started(), text("a"), end, started(), text("b"), finished())
        assert [(state.run_id, state.text) for state in found.runs] == [("r1", "a "), ("r1~2", "b ")]


def test_a_start_after_the_finish_of_its_own_run() -> None:
    """The run goes on: a server that starts and finishes for each call of the model."""
    once = [started(), call("f"), finished(), result("x")]
    state = run_of(once, started(), text("a"), finished())
    assert (state.run_id, state.status, state.text) == ("r1", "completed", "a ")


def test_a_start_that_comes_twice() -> None:
    """Also under a second id, if nothing was between: one run."""
    assert run_of(started(), started(), text("a"), finished()).run_id == "r1"
    state = run_of(started("r1"), started("other"), text("a"), finished("other"))
    assert (state.run_id, state.status) == ("r1", "completed")


def test_a_finish_with_another_id() -> None:
    """It is that of the open run."""
    state = run_of(started("r1"), text("a"), finished("other"))
    assert (state.run_id, state.status) == ("r1", "completed")


def test_a_start_in_an_open_run_loses_nothing() -> None:
    """The earlier run is left open, so it is interrupted; the later one has its own text."""
    found = folded(started("r1"), text("a"), started("r2"), text("b", "m2"), finished("r2"))
    assert [(state.run_id, state.status.value, state.text) for state in found.runs] == [
        ("r1", "in_progress", "a "),
        ("r2", "completed", "b "),
    ]
    assert "r1/interrupted/1" in [signal.key for signal in found.signals]


def test_a_late_joiner() -> None:
    """Events without the start of their run are not lost: its end names the run, else a made-up id does."""
    state = run_of(content("a"), content("b"), finished("r9"))
    assert (state.run_id, state.status, state.text) == ("r9", "completed", "ab")
    found = folded(content("a"), content("b"))
    assert [(state.run_id, state.text) for state in found.runs] == [("run/m1", "ab")]
    found = folded([content(f"{n} ") for n in range(100)])
    assert found.runs[0].text == "".join(f"{n} " for n in range(100))


def test_a_connection_that_begins_again() -> None:
    """Texts are not doubled, and those of the first connection are not lost."""
    lines = [started(), event("TEXT_MESSAGE_START", messageId="m1"), content("a"), content("b")]
    connected = ConnectionEvent(connected=True)
    cut = ConnectionEvent(connected=False, reason="cut")
    state = run_of(connected, lines[:3], cut, connected, lines, event("TEXT_MESSAGE_END", messageId="m1"), finished())
    assert (state.text, state.status) == ("ab", "completed")


def test_block_ids_are_identities() -> None:
    """Where a server sends ids, a repeated block is a duplicate."""
    raws = [started(), event("TEXT_MESSAGE_START", messageId="m1"), content("a"), content("a"), finished()]
    numbered = [RawEvent(data=raw.data, id=str(n), last_id=str(n)) for n, raw in enumerate(raws)]
    found = folded(numbered[0], numbered[1], numbered[2], numbered[2], numbered[3], numbered[3], numbered[4])
    assert (found.runs[0].text, found.stats.duplicates) == ("aa", 2)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"null", b"[]", b'"x"', b'{"type": null}', b"\xff", b'{"type": "RUN_STARTED", "a": ' + b"[" * 200],
)
def test_unreadable_input_is_a_reject(data: bytes) -> None:
    """It never raises, and the run goes on."""
    _, events = decode(started(), RawEvent(data=data), content("a"))
    assert [type(each).__name__ for each in events][1] == "Reject"


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
@pytest.mark.parametrize("value", [None, 3, "x", [], {}])
def test_fields_of_any_type(name: str, value: Any) -> None:
    """No value of a field raises, in a run or before it."""
    keys = "messageId toolCallId runId threadId delta snapshot patch content value stepName subagentRunId outcome usage"
    fields = dict.fromkeys(keys.split(), value) | {"messages": value, "input": value, "role": value, "error": value}
    dialect = AgUiDialect()
    for raw in (event(name, **fields), started(), event(name), event(name, **fields), finished()):
        dialect.decode(raw)
    dialect.end(True)
    AgUiDialect(memory=dialect.dump()).decode(event(name, **fields))


def test_values_of_a_repeated_run() -> None:
    """A later connection that sends all again repeats no custom value and no state, however often it is cut."""
    values = [
        event("CUSTOM", name="a", value=1),
        event("STATE_SNAPSHOT", snapshot={"n": []}),
        event("STATE_DELTA", delta=[{"op": "add", "path": "/n/-", "value": 1}]),
        event("CUSTOM", name="b", value=2),
    ]
    lines = [started(), *values, *text("x"), finished()]
    connected, cut = ConnectionEvent(connected=True), ConnectionEvent(connected=False, reason="cut")
    found = folded(connected, lines[:5], cut, connected, lines[:3], cut, connected, lines)
    keys = [signal.key for signal in found.signals if "/custom/" in signal.key or "/document/" in signal.key]
    assert keys == ["r1/custom/1", "r1/document/1", "r1/document/2", "r1/custom/2"]
    assert (found.runs[0].document, found.runs[0].status) == ({"n": [1]}, "completed")
    again = folded(connected, lines, cut, connected, lines)
    assert [signal.key for signal in again.signals if "/custom/" in signal.key] == ["r1/custom/1", "r1/custom/2"]


def test_junk_is_no_run() -> None:
    """Events without a run that open nothing are rejects at the end of their source."""
    found = fold(flat([event("TEXT_MESSAGE_END", messageId="x"), event("STATE_SNAPSHOT", snapshot=1)]), dialect="ag-ui")
    assert not found.runs
    assert [reject.reason for reject in found.rejects] == ["Its run was not seen"] * 2


def test_a_message_of_a_user_is_not_what_the_agent_said() -> None:
    """A server may stream messages of any role."""
    asked = [event("TEXT_MESSAGE_START", messageId="u1", role="user"), content("What time is it?", "u1")]
    state = run_of(started(), asked, text("Noon.", "m1"), finished())
    assert [(message.role, message.text) for message in state.messages] == [
        ("user", "What time is it?"),
        ("assistant", "Noon. "),
    ]
    assert state.text == "Noon. "
