"""The LangGraph dialects with small streams of their own: shapes of several versions, and what must never happen."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runstream import Answer, ConnectionEvent, Folded, RawEvent, Request, ResponseHead, fold, fold_sources
from runstream.dialects.langgraph import LangGraphDialect
from runstream.dialects.langgraph_thread import LangGraphThreadDialect
from runstream.model.frozen import thaw
from runstream.model.signals import ActionRequired, CustomReceived, RunInterrupted, RunSignal

RUN = "01a0-run"
BEGIN = ("metadata", {"run_id": RUN, "attempt": 1})


def raw(event: str, data: Any, id: str | None = None) -> RawEvent:
    return RawEvent(event, json.dumps(data).encode(), id)


def raws(*events: tuple[str, Any]) -> list[RawEvent]:
    return [raw(name, data) for name, data in events]


def chunk(text: Any, id: str = "m1", run_id: str = RUN, **more: Any) -> tuple[str, Any]:
    message = {"type": "AIMessageChunk", "id": id, "content": text, "tool_call_chunks": [], **more}
    return "messages", [message, {"run_id": run_id, "thread_id": "t1"}]


def ai(text: str, id: str = "m1", **more: Any) -> dict[str, Any]:
    return {"type": "ai", "id": id, "content": text, **more}


def said(status: str, state: Any = None, thread: Any = None, http: int = 200, **run: Any) -> dict[str, Any]:
    """What a server says when it is asked."""
    body = {"run_id": RUN, "thread_id": "t1", "status": status, "created_at": "2026-01-01T00:00:01+00:00", **run}
    found: dict[str, Any] = {"run_id": RUN, "run": {"http": http, "body": body if http == 200 else {}}}
    if state is not None:
        found["state"] = {"http": 200, "body": {"tasks": [], "next": [], "metadata": {"run_id": RUN}, **state}}
    found["thread"] = {"http": 200, "body": {"thread_id": "t1", "status": "idle", "error": None, **(thread or {})}}
    return found


def folded(*events: tuple[str, Any], answers: Any = (), dialect: str = "langgraph") -> Folded:
    found = fold(raws(*events), dialect=dialect, answers=answers)
    keys = [signal.key for signal in found.signals]
    assert len(keys) == len(set(keys))
    return found


def reasons(found: Folded) -> list[str]:
    return [signal.reason for signal in found.signals if isinstance(signal, RunInterrupted)]


ASK = {"id": "i1", "value": {"question": "Book?", "tool_call_id": "c1"}}
CALL = {"id": "c1", "name": "book", "args": {"boat": "Heron"}}


# outcomes


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (said("success", {}), "completed", None),
        (said("success", {"next": ["tools"]}), "requires_action", None),
        (said("success", {"tasks": [{"interrupts": [ASK]}]}), "requires_action", None),
        (said("error", thread={"error": {"error": "ValueError", "message": "no"}}), "failed", "ValueError"),
        (said("error", thread={"error": "eyJlcnJvciI6IlgiLCJtZXNzYWdlIjoieSJ9"}), "failed", "X"),
        (said("timeout", thread={"error": {"error": "TimeoutError", "message": ""}}), "expired", "TimeoutError"),
        (said("interrupted"), "cancelled", "interrupted"),
        (said("interrupted", cancel_reason="replaced"), "cancelled", "replaced"),
        (said("interrupted", thread={"error": {"error": "UserInterrupt"}}), "cancelled", "UserInterrupt"),
        (said("", http=404, thread={"error": {"error": "UserRollback"}}), "cancelled", "UserRollback"),
    ],
)
def test_the_server_says_how_a_run_ended(answer: Any, status: str, code: str | None) -> None:
    (state,) = folded(BEGIN, chunk("Hi"), answers=[answer]).runs
    assert state.status == status
    assert (state.run.last_error.code if state.run.last_error is not None else None) == code


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (said("", http=404), "does not have the run any more"),
        (said("success", {"metadata": {"run_id": "later"}, "created_at": "2026-01-01T00:00:09+00:00"}), "later run"),
        (said("running"), "the run goes on"),
    ],
)
def test_an_outcome_that_nobody_knows_interrupts_the_run(answer: Any, reason: str) -> None:
    found = folded(BEGIN, chunk("Hi"), answers=[answer])
    assert not found.runs[0].is_terminal
    assert [reason in each for each in reasons(found)] == [True]


def test_a_state_that_a_later_run_wrote_says_nothing_where_updates_do() -> None:
    """With updates an interrupt would have been seen."""
    answer = said("success", {"metadata": {"run_id": "later"}, "created_at": "2026-01-01T00:00:09+00:00"})
    (state,) = folded(BEGIN, ("updates", {"node": None}), answers=[answer]).runs
    assert state.status == "completed"


def test_a_state_older_than_its_run_is_that_of_a_run_which_asks_again() -> None:
    older = {
        "metadata": {"run_id": "first"},
        "created_at": "2026-01-01T00:00:00+00:00",
        "tasks": [{"interrupts": [ASK]}],
    }
    (state,) = folded(BEGIN, chunk("Hi"), answers=[said("success", older)]).runs
    assert state.status == "requires_action"


def test_separate_answers_are_put_together() -> None:
    run = said("success")["run"]["body"]
    state = {"next": ["tools"], "tasks": [], "values": {}, "metadata": {"run_id": RUN}}
    found = folded(BEGIN, answers=[run, state])
    assert [call.name for call in found.runs[0].run.pending_tool_calls] == ["tools"]


def test_an_error_event_ends_its_run() -> None:
    found = folded(BEGIN, chunk("Hi"), ("error", {"error": "GraphRecursionError", "message": "too deep"}))
    (state,) = found.runs
    assert (state.status, state.run.last_error and state.run.last_error.code) == ("failed", "GraphRecursionError")
    assert state.messages[0].status == "incomplete"


@pytest.mark.parametrize("answer", [None, said("timeout")])
def test_a_time_out_is_the_node_s_or_the_server_s(answer: Any) -> None:
    """The class is the same; the server says which."""
    events = [BEGIN, ("error", {"error": "TimeoutError", "message": "slow"})]
    (state,) = folded(*events, answers=[answer] if answer else []).runs
    assert state.status == ("failed" if answer is None else "expired")


def test_an_error_before_any_run_is_one_of_the_source() -> None:
    found = folded(("error", {"error": "HTTPException", "message": "no"}))
    assert not found.runs
    assert next(signal.type for signal in found.signals) == "source.error"


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([("updates", {"node": None}), ("end", None)], "completed"),
        ([chunk("Hi"), ("end", None)], "in_progress"),
        ([chunk("Hi"), ("end", {"status": "completed"})], "completed"),
        ([chunk("Hi"), ("end", {"status": "interrupted"})], "requires_action"),
        ([("updates", {"__interrupt__": [ASK]}), ("end", {"status": "completed"})], "requires_action"),
    ],
)
def test_the_end_events_of_other_servers(events: list[Any], status: str) -> None:
    (state,) = folded(BEGIN, *events).runs
    assert state.status == status


# interrupts


@pytest.mark.parametrize(
    ("interrupt", "id"),
    [
        ({"value": "Sure?", "id": "abc", "response_schema": None}, "abc"),
        ({"value": "Sure?", "interrupt_id": "abc"}, "abc"),
        ({"value": "Sure?", "resumable": True, "ns": ["ask:1", "in:2"], "when": "during"}, "ask:1|in:2"),
    ],
)
def test_interrupts_of_each_version(interrupt: Any, id: str) -> None:
    (state,) = folded(BEGIN, ("updates", {"__interrupt__": [interrupt]})).runs
    (call,) = state.run.required_action.calls  # type: ignore[union-attr]
    assert (call.id, call.kind, call.data) == (id, "interrupt", "Sure?")


@pytest.mark.parametrize("schema", [{"type": "string"}, None])
def test_the_schema_of_an_answer(schema: Any) -> None:
    """It is that of the interrupt."""
    interrupt = {"value": "Name?", "id": "abc", "response_schema": schema}
    (state,) = folded(BEGIN, ("updates", {"__interrupt__": [interrupt]})).runs
    (call,) = state.run.required_action.calls  # type: ignore[union-attr]
    assert thaw(call.response_schema) == schema


def test_interrupts_are_a_union_and_asked_once() -> None:
    """One by one, in two modes; a later state takes nothing back."""
    one, two = {"id": "1", "value": "a"}, {"id": "2", "value": "b"}
    found = folded(
        BEGIN,
        ("updates", {"__interrupt__": [one]}),
        ("values", {"x": 1, "__interrupt__": [one]}),
        ("updates|sub:1", {"__interrupt__": [two]}),
        ("values", {"x": 1}),
    )
    (asked,) = [signal for signal in found.signals if isinstance(signal, ActionRequired)]
    assert [call.id for call in asked.calls] == ["1", "2"]
    assert thaw(found.runs[0].document) == {"x": 1}


def test_an_interrupt_has_the_name_of_its_call_and_is_not_the_call() -> None:
    message = ai("", tool_calls=[CALL])
    (state,) = folded(
        BEGIN, ("updates", {"agent": {"messages": [message]}}), ("updates", {"__interrupt__": [ASK]})
    ).runs
    (call,) = state.run.pending_tool_calls
    assert (call.id, call.name, call.type) == ("i1", "book", "interrupt")


@pytest.mark.parametrize(
    "value",
    [
        {"action_requests": [{"name": "book", "args": {}}]},
        {"action_request": {"action": "book"}},
        [{"action_request": {"action": "book"}}],
    ],
)
def test_an_interrupt_of_the_middleware_names_its_call(value: Any) -> None:
    (state,) = folded(BEGIN, ("updates", {"__interrupt__": [{"id": "1", "value": value}]})).runs
    assert [call.name for call in state.run.pending_tool_calls] == ["book"]


def test_tasks_alone_show_interrupts_and_nodes() -> None:
    events = [
        ("tasks", {"id": "t", "name": "ask", "input": {}, "triggers": []}),
        ("tasks", {"id": "t", "name": "ask", "error": None, "result": {}, "interrupts": [ASK]}),
    ]
    (state,) = folded(BEGIN, *events).runs
    assert state.status == "requires_action"
    assert [(step.type, step.name) for step in state.steps] == [("label", "ask")]


def test_a_resumed_run_is_the_one_that_the_application_names() -> None:
    first = raws(BEGIN, ("updates", {"__interrupt__": [ASK]}))
    second = raws(("metadata", {"run_id": "r2", "attempt": 1}), ("updates", {"ask": None}))
    answer = {"run_id": "r2", "run": said("success")["run"], "thread": {"http": 200, "body": {"status": "idle"}}}
    answer["run"]["body"]["run_id"] = "r2"
    options = {"continues": RUN, "answers": [answer]}
    (state,) = fold_sources([("a", first), ("b", second, options)], dialect="langgraph").runs  # type: ignore[list-item]
    assert (state.run_id, list(state.pieces), state.status) == (RUN, [RUN, "r2"], "completed")


@pytest.mark.parametrize("old", [True, False])
def test_a_thread_stream_continues_the_run_that_waits_by_its_state(old: bool) -> None:
    """A run that begins with another state, such as one with a further message, is a run of its own."""
    begin = {"messages": [{"type": "human", "id": "h", "content": "Hi"}]}
    other = {"messages": [*begin["messages"], {"type": "human", "id": "h2", "content": "Never mind"}]}
    found = folded(
        BEGIN,
        ("values", begin),
        ("updates", {"__interrupt__": [ASK]}),
        ("metadata", {"status": "run_done", "run_id": RUN}),
        ("metadata", {"run_id": "r2", "attempt": 1}),
        ("values", begin if old else other),
        chunk("Fine", run_id="r2"),
    )
    assert [list(state.pieces) for state in found.runs] == ([[RUN, "r2"]] if old else [[RUN], ["r2"]])


# messages


def test_earlier_messages_of_the_thread_are_none_of_the_run() -> None:
    old = [ai("Earlier.", "old")]
    (state,) = folded(
        BEGIN, ("values", {"messages": old}), ("values", {"messages": [*old, ai("Now.", "new", tool_calls=[CALL])]})
    ).runs
    assert state.text == "Now."
    assert [(call.id, call.name, call.arguments) for call in state.tool_calls] == [("c1", "book", '{"boat":"Heron"}')]


def test_messages_without_ids_are_one_message_in_each_mode() -> None:
    plain = {"role": "assistant", "content": "Hello"}
    found = folded(
        BEGIN,
        ("values", {"messages": []}),
        ("updates", {"n": {"messages": [plain]}}),
        ("values", {"messages": [ai("Hello")]}),
    )
    assert found.runs[0].text == "Hello"
    assert len(found.runs[0].messages) == 1


def test_blocks_of_text_and_reasoning_and_a_mixed_end() -> None:
    thought = {"type": "reasoning", "reasoning": "Hm", "index": 0}
    spoken = {"type": "text", "text": "Yes", "index": 1}
    (state,) = folded(BEGIN, chunk([thought]), chunk([spoken]), chunk([{**spoken, "text": "!"}]), chunk("")).runs
    assert (state.reasoning, state.text) == ("Hm", "Yes!")


def test_thinking_of_another_provider_is_reasoning() -> None:
    (state,) = folded(
        BEGIN,
        chunk([{"type": "thinking", "thinking": "Hm", "index": 0}]),
        chunk("", additional_kwargs={"reasoning_content": " so"}, id="m2"),
    ).runs
    assert state.reasoning == "Hm so"


def test_guesses_in_chunks_are_not_calls() -> None:
    """Only `tool_call_chunks` counts; the index or the last call names a fragment without an id."""

    def part(index: int | None, id: str | None, name: str | None, args: str) -> tuple[str, Any]:
        guess = [{"name": "", "args": {}, "id": None}]
        fragment = {"index": index, "id": id, "name": name, "args": args}
        return chunk("", tool_call_chunks=[fragment], tool_calls=guess, invalid_tool_calls=guess)

    (state,) = folded(
        BEGIN,
        part(0, "a", "f", ""),
        part(1, "b", "g", ""),
        part(0, None, None, "{"),
        part(1, None, None, "[]"),
        part(0, None, None, "}"),
    ).runs
    assert [(call.id, call.name, call.arguments) for call in state.tool_calls] == [("a", "f", "{}"), ("b", "g", "[]")]


def test_tokens_of_several_chunks_are_added_up() -> None:
    usage = {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4}
    (state,) = folded(
        BEGIN, chunk("a", usage_metadata=usage), chunk("b", usage_metadata=usage, chunk_position="last")
    ).runs
    assert state.usage is not None
    assert state.usage.total_tokens == 8


def test_a_second_attempt_leaves_the_text_of_the_first() -> None:
    (state,) = folded(
        BEGIN, chunk("The fer"), ("metadata", {"run_id": RUN, "attempt": 2}), chunk("The ferry", "m2")
    ).runs
    assert next((message.text, message.status and message.status.value) for message in state.messages) == (
        "The fer",
        "incomplete",
    )
    assert state.run.metadata["runstream.attempt"] == "2"


def test_partial_messages_are_fragments() -> None:
    """The text so far; another text than the one before replaces it."""
    found = folded(
        BEGIN,
        *[("messages/partial", [ai(text)]) for text in ("The", "The ferry", "A boat")],
        ("messages/partial", [ai("A boat.", response_metadata={"finish_reason": "stop"})]),
    )
    assert found.runs[0].text == "A boat."
    assert [signal.delta for signal in found.signals if signal.type == "message.text"][:2] == ["The", " ferry"]  # type: ignore[union-attr]


def partial(text: Any, **more: Any) -> tuple[str, Any]:
    """The text so far, as the mode `messages` sends it."""
    return "messages/partial", [ai(text, **more)]


@pytest.mark.parametrize(
    "events",
    [
        [chunk("He"), partial("He"), chunk("llo"), partial("Hello"), chunk("", chunk_position="last")],
        [partial("He"), chunk("He"), partial("Hello"), chunk("llo"), chunk("", chunk_position="last")],
        [chunk(""), partial("He"), chunk("He"), chunk("llo"), partial("Hello"), chunk("", chunk_position="last")],
        [chunk("He"), chunk("llo"), partial("He"), partial("Hello"), ("messages/complete", [ai("Hello")])],
    ],
)
def test_both_modes_of_messages_bring_a_text_once(events: list[Any]) -> None:
    """A stream may have chunks and the text so far of one message: the text is taken from one of them."""
    (state,) = folded(("metadata", {"run_id": RUN, "attempt": 1}), *events).runs
    assert state.text == "Hello"
    assert [(message.id, message.status) for message in state.messages] == [("m1", "completed")]


def test_both_modes_of_messages_bring_a_call_once() -> None:
    """Fragments of arguments come in chunks alone; the parsed ones of the other mode are guesses."""
    call = {"id": "c1", "name": "f"}
    (state,) = folded(
        ("metadata", {"run_id": RUN, "attempt": 1}),
        partial("", tool_calls=[{**call, "args": {}}]),
        chunk("", tool_call_chunks=[{**call, "index": 0, "args": ""}]),
        chunk("", tool_call_chunks=[{"index": 0, "args": '{"a":1}'}]),
        partial("", tool_calls=[{**call, "args": {"a": 1}}]),
    ).runs
    assert [(each.id, each.arguments) for each in state.tool_calls] == [("c1", '{"a":1}')]


def test_a_joined_stream_has_a_partial_text_until_the_whole_message() -> None:
    joined = [chunk("rry leaves")]
    assert folded(*joined).runs[0].partial
    (state,) = folded(*joined, ("updates", {"say": {"messages": [ai("The ferry leaves")]}})).runs
    assert (state.text, state.partial) == ("The ferry leaves", frozenset())


def test_a_tool_result_of_an_earlier_run_is_shown() -> None:
    result = {"type": "tool", "tool_call_id": "c9", "name": "book", "content": [{"type": "text", "text": "ok"}]}
    (state,) = folded(BEGIN, ("updates", {"tools": [{"messages": [result]}, None]})).runs
    assert [(call.id, call.name, call.output) for call in state.tool_calls] == [("c9", "book", "ok")]


def test_a_failed_tool_is_a_failed_step() -> None:
    result = {"type": "tool", "tool_call_id": "c1", "content": "no", "status": "error"}
    (state,) = folded(BEGIN, ("messages", [result, {}])).runs
    assert state.steps[0].status == "failed"


def test_custom_values_of_any_kind() -> None:
    found = folded(BEGIN, ("custom", {"a": 1}), ("custom|sub:1", "half way"), ("custom", None))
    assert [thaw(each.value) for each in found.signals if isinstance(each, CustomReceived)] == [
        {"a": 1},
        "half way",
        None,
    ]


# identity, heads, memory


def test_events_of_one_millisecond_are_two_events() -> None:
    text = [raw(*chunk("ha"), "5-0"), raw(*chunk(" ha"), "5-0"), raw(*chunk(" ha"), "5-0")]
    lost = [ConnectionEvent(connected=False), ConnectionEvent(connected=True)]
    begin = raw(*BEGIN, "1-0")
    assert fold([begin, *text], dialect="langgraph").runs[0].text == "ha ha ha"
    again = [ConnectionEvent(connected=True), begin, *text, *lost, begin, *text]
    assert fold(again, dialect="langgraph").runs[0].text == "ha ha ha"


def test_the_head_names_run_and_thread() -> None:
    """With values alone no event does."""
    head = ResponseHead(status=200, headers=(("content-location", f"/threads/t1/runs/{RUN}"),))
    request = Request(body=b'{"assistant_id": "a"}')
    found = fold([request, head, raw("values", {"x": 1})], dialect="langgraph", answers=[said("success", {})])
    (state,) = found.runs
    assert (state.run_id, state.run.thread_id, state.status) == (RUN, "t1", "completed")
    statuses = [each.key.split("/")[2] for each in found.signals if "/status/" in each.key]
    assert statuses == ["queued", "in_progress"]


def test_values_without_any_run_are_rejects() -> None:
    found = folded(("values", {"x": 1}), ("values", {"x": 2}))
    assert len(found.rejects) == 2


@pytest.mark.parametrize("at", range(1, 7))
def test_a_later_decoder_goes_on(at: int) -> None:
    events = raws(
        BEGIN,
        ("values", {"messages": [ai("Old.", "old")]}),
        chunk("The "),
        chunk("ferry"),
        ("updates", {"say": {"messages": [ai("The ferry")]}}),
        ("updates", {"__interrupt__": [ASK]}),
        ("values", {"messages": [ai("Old.", "old"), ai("The ferry")]}),
    )
    one = LangGraphDialect()
    for item in events[:at]:
        one.decode(item)
    memory = one.dump()
    sources: Any = [("a", [*events[:at]]), ("b", events[at:], {"dialect": lambda: LangGraphDialect(memory=memory)})]
    (state,) = fold_sources(sources, dialect="langgraph").runs
    assert (state.text, state.status) == ("The ferry", "requires_action")


def test_a_broken_memory_is_none() -> None:
    assert LangGraphDialect(memory=b"\xc1").dump() is None
    assert LangGraphThreadDialect(memory=b"").dump() is None


# the thread protocol


def frame(method: str, data: Any, seq: int, id: str | None = None, names: Any = ()) -> RawEvent:
    params = {"namespace": list(names), "timestamp": seq, "data": data}
    event = {"type": "event", "event_id": id or f"{seq}-0", "seq": seq, "method": method, "params": params}
    return RawEvent(data=json.dumps(event).encode())


def lifecycle(event: str, seq: int, run: str = RUN, **more: Any) -> RawEvent:
    return frame("lifecycle", {"event": event, "graph_name": "g", **more}, seq, f"synth:{run}:lc||{event}")


def asks(id: str, seq: int) -> RawEvent:
    return frame("input.requested", {"interrupt_id": id, "payload": {"q": id}}, seq, f"synth:{RUN}:input||{id}")


def thread(*items: Any, answers: Any = ()) -> Folded:
    return fold(items, dialect="langgraph-thread", answers=answers)


def test_a_late_question_is_asked_too() -> None:
    found = thread(lifecycle("running", 1), asks("a", 2), lifecycle("interrupted", 3), asks("b", 4))
    requests = [signal for signal in found.signals if isinstance(signal, ActionRequired)]
    assert [[call.id for call in each.calls] for each in requests] == [["a"], ["a", "b"]]
    assert found.runs[0].round == 1


@pytest.mark.parametrize(
    ("answer", "status"), [(None, "completed"), (said("success", {"next": ["n"]}), "requires_action")]
)
def test_completed_may_be_a_breakpoint(answer: Any, status: str) -> None:
    """It is certain at the end of the stream, or when the server is asked."""
    found = thread(lifecycle("running", 1), lifecycle("completed", 2), answers=[answer] if answer else [])
    assert found.runs[0].status == status


def test_interrupted_without_a_question_is_cancelled() -> None:
    (state,) = thread(lifecycle("running", 1), lifecycle("interrupted", 2)).runs
    assert state.status == "cancelled"


@pytest.mark.parametrize("method", ["input.respond", "run.start"])
def test_the_command_says_whether_a_run_goes_on(method: str) -> None:
    params = {"interrupt_id": "a", "response": "yes"} if method == "input.respond" else {"input": {"x": 1}}
    request = Request(body=json.dumps({"id": 1, "method": method, "params": params}).encode())
    found = thread(
        *(lifecycle("running", 1), asks("a", 2), lifecycle("interrupted", 3), request),
        *(lifecycle("running", 4, "r2"), lifecycle("completed", 5, "r2")),
    )
    assert len(found.runs) == (1 if method == "input.respond" else 2)


def test_a_lost_place_is_a_gap() -> None:
    gap = RawEvent(data=b'{"type": "error", "id": 0, "error": "resume_gap", "message": "too old", "since": 3}')
    start = frame("messages", {"event": "message-start", "role": "ai", "id": "m"}, 2)
    text = {"event": "content-block-delta", "index": 0, "delta": {"type": "text-delta", "text": "Hi"}}
    found = thread(lifecycle("running", 1), start, frame("messages", text, 3), gap)
    assert found.runs[0].partial
    assert "source.error" in [signal.type for signal in found.signals]


def test_texts_that_no_state_places_are_rejects() -> None:
    """Two messages are open, and the channel with the state was not asked for."""

    def message(event: str, seq: int, **more: Any) -> RawEvent:
        return frame("messages", {"event": event, **more}, seq)

    found = thread(
        lifecycle("running", 1),
        message("message-start", 2, role="ai", id="a"),
        message("message-start", 3, role="ai", id="b"),
        message("content-block-delta", 4, index=0, delta={"type": "text-delta", "text": "Hi"}),
        message("content-block-finish", 5, index=0, content={"type": "text", "text": "Hi"}),
    )
    assert len(found.rejects) == 1
    assert found.runs[0].text == ""


# input of any form

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=6) | st.sampled_from(["ai", "tool", "m1", RUN]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "id",
                    "content",
                    "messages",
                    "tool_calls",
                    "__interrupt__",
                    "run_id",
                    "status",
                    "event",
                    "data",
                    "params",
                    "method",
                    "namespace",
                    "index",
                    "tasks",
                    "next",
                    "metadata",
                    "tool_call_chunks",
                    "text",
                    "delta",
                    "args",
                    "value",
                    "attempt",
                    "role",
                    "usage_metadata",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=14,
)
_NAMES = st.sampled_from(
    [
        "metadata",
        "values",
        "updates",
        "messages",
        "messages/partial",
        "messages/complete",
        "messages/metadata",
        "custom",
        "tasks",
        "checkpoints",
        "debug",
        "events",
        "error",
        "end",
        "feedback",
        "values|a:1",
        "lifecycle",
        "input.requested",
        "tools",
        "other",
    ]
)


@given(st.lists(st.tuples(_NAMES, _VALUES), max_size=8), st.lists(_VALUES, max_size=2))
@example([("updates", {"type": {"content": None, "type": []}})], [])
def test_no_input_raises(events: list[Any], answers: list[Any]) -> None:
    """Whatever the JSON, and whatever the server says."""
    items: list[Any] = [raw(*BEGIN), *raws(*events), *[Answer(data=json.dumps(each).encode()) for each in answers]]
    fold(items, dialect="langgraph")
    frames = [frame(name, data, seq, names=["a"] if seq % 3 == 0 else []) for seq, (name, data) in enumerate(events)]
    thread(lifecycle("running", 99), *frames, *items)


@given(st.binary(max_size=40))
def test_no_bytes_raise(data: bytes) -> None:
    for dialect in (LangGraphDialect, LangGraphThreadDialect):
        assert dialect.recognises(RawEvent(None, data)) in (True, False)
        fold([RawEvent("values", data), RawEvent(None, data), Answer(data=data)], dialect=dialect)


def test_each_wire_is_recognised() -> None:
    assert LangGraphDialect.recognises(raw(*BEGIN))
    assert LangGraphDialect.recognises(raw("messages|a:1", []))
    assert LangGraphDialect.recognises(RawEvent(data=json.dumps({"event": "values", "data": {}}).encode()))
    assert not LangGraphDialect.recognises(raw("messages", {"method": "messages"}))
    assert LangGraphThreadDialect.recognises(lifecycle("running", 1))
    assert not LangGraphThreadDialect.recognises(raw(*BEGIN))
    assert not LangGraphDialect.recognises(raw("custom", {}))


def test_run_signals_have_their_path() -> None:
    found = folded(BEGIN, ("messages|help:1", chunk("Hi")[1]), ("messages", chunk("Root", "m2")[1]))
    paths = {
        signal.path for signal in found.signals if isinstance(signal, RunSignal) and signal.type == "message.created"
    }
    assert paths == {("help:1",), ()}
    assert found.runs[0].text == "Root"


# what could not be read, and what is sent again


def test_a_text_whose_first_chunk_is_unreadable_is_partial() -> None:
    """It may lack its beginning; where the node's message repeats it whole, it does not."""
    first, second = raw(*chunk("Hi ")), raw(*chunk("you "))
    broken = RawEvent("messages", first.data[:-5])
    (state,) = fold([raw(*BEGIN), broken, second], dialect="langgraph").runs
    assert (state.text, state.partial) == ("you ", {"m1"})
    whole = raw("updates", {"agent": {"messages": [ai("Hi you ")]}})
    (state,) = fold([raw(*BEGIN), broken, second, whole], dialect="langgraph").runs
    assert (state.text, state.partial) == ("Hi you ", set())


@pytest.mark.parametrize("cuts", [(0,), (3,), (5,), (3, 0), (0, 0)])
def test_a_stream_that_is_sent_again_gives_the_facts_in_order(cuts: tuple[int, ...]) -> None:
    """Also where a connection brought nothing, and where the chunks are those of a message that has ended."""
    events = [BEGIN, chunk("Hi "), chunk("you "), chunk("", chunk_position="last")]
    events += [("updates", {"agent": {"messages": [ai("Hi you ")]}}), ("values", {"messages": [ai("Hi you ")]})]
    numbered = [raw(name, data, f"{1795868915000 + at}-0") for at, (name, data) in enumerate(events)]
    head = ResponseHead(status=200, headers=(("content-location", f"/threads/t1/runs/{RUN}"),))
    connected, lost = ConnectionEvent(connected=True), ConnectionEvent(connected=False)
    items: list[Any] = []
    for cut in cuts:
        items += [connected, head, *numbered[:cut], lost]
    again = fold([*items, connected, head, *numbered], dialect="langgraph")
    once = fold([connected, head, *numbered], dialect="langgraph")
    keys = [[signal.key for signal in each.signals if isinstance(signal, RunSignal)] for each in (again, once)]
    assert [key for key in keys[0] if "/text/" not in key] == [key for key in keys[1] if "/text/" not in key]
    assert again.runs[0].to_dict() == once.runs[0].to_dict()


@pytest.mark.parametrize("name", ["values", "updates", "messages"])
def test_a_line_with_nothing_begins_no_run(name: str) -> None:
    """A recording may begin with lines of another form."""
    line = RawEvent(data=json.dumps({"event": name, "data": [] if name == "updates" else "?"}).encode())
    begin = RawEvent(data=json.dumps({"event": "metadata", "data": BEGIN[1]}).encode())
    found = fold([line, begin], dialect="langgraph")
    assert [state.run_id for state in found.runs if name != "values"] == ([RUN] if name != "values" else [])


def test_a_call_of_two_open_messages_is_one_call() -> None:
    """Where the end of a message was lost, the calls of the next one can't be told from its own: the state says so."""

    def sent(method: str, data: Any, seq: int) -> RawEvent:
        id = f"synth:{RUN}:lc||{seq}" if method == "lifecycle" else f"{seq}-0"
        params = {"namespace": [], "timestamp": seq, "data": data}
        return raw(method, {"type": "event", "method": method, "seq": seq, "event_id": id, "params": params})

    call = {"type": "tool_call", "id": "c1", "name": "book", "args": {}}
    messages = [{**ai("", "m2"), "tool_calls": [CALL]}, {"type": "tool", "tool_call_id": "c1", "content": "ok"}]
    events = [
        ("lifecycle", {"event": "running"}),
        ("messages", {"event": "message-start", "role": "ai", "id": "m1"}),
        ("messages", {"event": "message-start", "role": "ai", "id": "m2"}),
        ("messages", {"event": "content-block-finish", "index": 0, "content": call}),
        ("values", {"messages": messages}),
        ("lifecycle", {"event": "completed"}),
    ]
    found = fold([sent(name, data, seq) for seq, (name, data) in enumerate(events, 1)], dialect="langgraph-thread")
    assert [call.id for call in found.runs[0].tool_calls] == ["c1"]


def test_a_status_of_other_servers() -> None:
    """A run that another server calls cancelled is; of an unknown status the outcome is unknown."""
    events = (("metadata", {"run_id": RUN, "attempt": 1}), chunk("Hi"))
    (state,) = folded(*events, answers=[said("cancelled")]).runs
    assert (state.status, state.run.last_error and state.run.last_error.code) == ("cancelled", "cancelled")
    assert reasons(folded(*events, answers=[said("paused")])) == ["the server gives the run a status that is unknown"]
    assert "goes on" in reasons(folded(*events, answers=[said("running")]))[0]
