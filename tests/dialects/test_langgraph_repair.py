"""The whole objects of a LangGraph server repair what was lost of them, and what is sent again is taken once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runstream import Answer, ConnectionEvent, Folded, RawEvent, RunState, fold
from runstream.dialects.langgraph import LangGraphDialect
from runstream.model.events import EmptyEvent
from runstream.model.signals import (
    CustomReceived,
    DocumentChanged,
    MessageCreated,
    TextReplaced,
    ToolCallCompleted,
)
from tests.support.graph_runs import graph_run, graph_thread

RUN = "01a0-run"
FACTS = {"run_id": RUN, "thread_id": "t1"}
BEGIN = ("metadata", {"run_id": RUN, "attempt": 1})
UP, DOWN = ConnectionEvent(connected=True), ConnectionEvent(connected=False)
CUT = (DOWN, ConnectionEvent(connected=True, attempt=1))
BROKEN = RawEvent("messages", b'[{"id": "m1", "con')
END = {"chunk_position": "last"}


def raw(event: Any) -> Any:
    """A raw event of a name and its data; any other item as it is."""
    return RawEvent(event[0], json.dumps(event[1]).encode()) if type(event) is tuple else event


def folded(*events: Any, dialect: str = "langgraph") -> Folded:
    found = fold([raw(event) for event in events], dialect=dialect)
    keys = [signal.key for signal in found.signals]
    assert len(keys) == len(set(keys))
    return found


def state_of(*events: Any, dialect: str = "langgraph") -> RunState:
    (state,) = folded(*events, dialect=dialect).runs
    return state


def answer(run: Any) -> Answer:
    said = {key: {"http": 200, "body": body} for key, body in run.answers.items()}
    return Answer(data=json.dumps({"run_id": run.run_id, **said}).encode())


# the run wire


def chunk(content: Any, id: str = "m1", **more: Any) -> Any:
    return "messages", [{"type": "AIMessageChunk", "id": id, "content": content, **more}, FACTS]


def whole(content: Any, id: str = "m1", **more: Any) -> dict[str, Any]:
    return {"type": "ai", "id": id, "content": content, **more}


def update(*messages: Any) -> Any:
    return "updates", {"agent": {"messages": list(messages)}}


def fragment(args: str, id: str | None = None, message: str = "m1") -> Any:
    return chunk("", message, tool_call_chunks=[{"index": 0, "id": id, "name": "book" if id else None, "args": args}])


def result(id: str = "c1", output: str = "done") -> Any:
    return update({"type": "tool", "id": f"of-{id}", "tool_call_id": id, "content": output})


def of_mode(mode: str, message: Any) -> Any:
    """A whole message as a mode brings it."""
    forms: dict[str, Any] = {
        "updates": {"agent": {"messages": [message]}},
        "values": {"messages": [message]},
        "messages": [message, FACTS],
        "messages/complete": [message],
    }
    return mode, forms[mode]


@pytest.mark.parametrize("mode", ["updates", "values", "messages", "messages/complete"])
@pytest.mark.parametrize("lost", [[], [CUT], [BROKEN]], ids=["unseen", "cut", "unreadable"])
def test_the_first_whole_message_repairs_an_ended_text(mode: str, lost: list[Any]) -> None:
    """A server since 2026 ends a message with its last chunk, before the whole message comes."""
    items = [item for each in lost for item in (each if each is CUT else (each,))]
    events = [UP, BEGIN, ("values", {"messages": []}), chunk("A"), *items, chunk("C"), chunk("", **END)]
    found = folded(*events, of_mode(mode, whole("ABC")), of_mode(mode, whole("ABC")))
    (state,) = found.runs
    assert (state.text, state.partial) == ("ABC", set())
    assert [signal.text for signal in found.signals if isinstance(signal, TextReplaced)] == ["ABC"]


def test_an_equal_whole_message_clears_the_mark_and_says_nothing() -> None:
    before = folded(UP, BEGIN, chunk("A"), *CUT, chunk("B"), chunk("", **END))
    after = folded(UP, BEGIN, chunk("A"), *CUT, chunk("B"), chunk("", **END), update(whole("AB")))
    assert (before.runs[0].partial, after.runs[0].partial) == ({"m1"}, set())
    assert [signal.key for signal in after.signals] == [signal.key for signal in before.signals]


def test_a_whole_message_repairs_reasoning_that_has_ended() -> None:
    thought, said = {"type": "reasoning", "reasoning": "I", "index": 0}, {"type": "text", "text": "A", "index": 1}
    full = whole([{"type": "reasoning", "reasoning": "I see"}, {"type": "text", "text": "A"}])
    state = state_of(UP, BEGIN, chunk([thought]), *CUT, chunk([said]), chunk("", **END), update(full))
    assert (state.reasoning, state.text, state.partial) == ("I see", "A", set())


# arguments


@pytest.mark.parametrize("lost", [CUT, (BROKEN,)], ids=["cut", "unreadable"])
@pytest.mark.parametrize("end", [(), (chunk("", **END),)], ids=["open", "ended"])
def test_a_whole_call_repairs_its_arguments(lost: Any, end: Any) -> None:
    call = whole("", tool_calls=[{"id": "c1", "name": "book", "args": {"a": 2}}])
    found = folded(UP, BEGIN, fragment('{"a":', "c1"), *lost, fragment("}"), *end, update(call), result())
    (state,) = found.runs
    assert [(each.arguments, each.output) for each in state.tool_calls] == [('{"a":2}', "done")]
    assert not state.partial
    assert [each.call.arguments for each in found.signals if isinstance(each, ToolCallCompleted)] == ['{"a":2}']


def test_a_whole_call_behind_its_result_repairs_its_arguments() -> None:
    call = whole("", tool_calls=[{"id": "c1", "name": "book", "args": {"a": 2}}])
    state = state_of(UP, BEGIN, fragment('{"a":', "c1"), *CUT, fragment("}"), chunk("", **END), result(), update(call))
    assert [(each.arguments, each.output) for each in state.tool_calls] == [('{"a":2}', "done")]
    assert not state.partial


def test_a_whole_call_behind_its_result_gives_it_arguments() -> None:
    """Of the call, only its result was received in time."""
    call = whole("", tool_calls=[{"id": "c1", "name": "book", "args": {"a": 2}}])
    state = state_of(BEGIN, result(), update(call))
    assert [(each.name, each.arguments, each.output) for each in state.tool_calls] == [("book", '{"a":2}', "done")]


def test_arguments_of_which_nothing_is_lost_stay_as_streamed() -> None:
    """The whole call has them as an object, whose text is another one."""
    call = whole("", tool_calls=[{"id": "c1", "name": "book", "args": {"a": 2}}])
    state = state_of(BEGIN, fragment('{"a": ', "c1"), fragment("2}"), chunk("", **END), update(call), result())
    assert [each.arguments for each in state.tool_calls] == ['{"a": 2}']


# what is sent again


def test_a_repetition_without_ids_is_taken_once() -> None:
    found = folded(UP, BEGIN, chunk("A"), chunk("B"), *CUT, BEGIN, chunk("A"), chunk("B"), chunk("C"))
    (state,) = found.runs
    assert (state.text, state.partial) == ("ABC", set())
    assert [signal.message.id for signal in found.signals if isinstance(signal, MessageCreated)] == ["m1"]


def test_a_repetition_that_is_cut_again_is_taken_once() -> None:
    again = [*CUT, BEGIN, chunk("A")]
    assert state_of(UP, BEGIN, chunk("A"), *again, *again, chunk("B"), chunk("", **END)).text == "AB"
    assert state_of(UP, BEGIN, chunk("A"), *again, *CUT, chunk("C")).partial == {"m1"}


def test_a_repetition_of_what_has_ended_is_none() -> None:
    """Only what is open begins again."""
    first = [chunk("A"), chunk("", **END), update(whole("A"))]
    found = folded(UP, BEGIN, *first, chunk("B", "m2"), *CUT, BEGIN, *first, chunk("B", "m2"), chunk("C", "m2"))
    (state,) = found.runs
    assert [message.text for message in state.messages] == ["A", "BC"]
    assert not [signal for signal in found.signals if isinstance(signal, TextReplaced)]


def test_a_repetition_begins_reasoning_and_calls_again() -> None:
    thought = chunk([{"type": "reasoning", "reasoning": "so", "index": 0}])
    events = [BEGIN, thought, fragment("", "c1"), fragment('{"a"')]
    state = state_of(UP, *events, *CUT, *events, fragment(": 1}"))
    assert (state.reasoning, [call.arguments for call in state.tool_calls]) == ("so", ['{"a": 1}'])
    assert not state.partial


def test_a_repetition_of_texts_so_far_is_taken_once() -> None:
    def so_far(text: str) -> Any:
        return "messages/partial", [whole(text)]

    events = [BEGIN, so_far("The"), so_far("The ferry")]
    state = state_of(UP, *events, *CUT, *events, so_far("The ferry leaves"))
    assert (state.text, state.partial) == ("The ferry leaves", set())


@pytest.mark.parametrize(
    "form", ['{"attempt": 1, "run_id": "01a0-run"}', '{\n  "run_id": "01a0-run",\n  "attempt": 1\n}']
)
def test_metadata_in_another_form_under_its_id_begins_nothing(form: str) -> None:
    """What follows it is known by the ids."""
    texts = ["Hel", "lo", "!"]
    events = [BEGIN, *map(chunk, texts)]
    raws = [RawEvent(name, json.dumps(data).encode(), id=str(at)) for at, (name, data) in enumerate(events)]
    first = RawEvent("metadata", form.encode(), id="0")
    found = folded(UP, first, *raws[1:3], *CUT, *raws)
    assert found.runs[0].text == "Hello!"
    assert not any(isinstance(signal, TextReplaced) for signal in found.signals)
    assert found.stats.conflicts == 0


def test_a_second_beginning_in_one_connection_begins_nothing() -> None:
    """Twice the same event: what follows it is not sent again."""
    assert state_of(UP, BEGIN, chunk("A"), BEGIN, chunk("B")).text == "AB"


# the thread protocol


class Thread:
    """Makes the events of a thread, with numbers and ids."""

    def __init__(self) -> None:
        self._seq = 0

    def event(self, method: str, data: Any, id: str | None = None) -> RawEvent:
        self._seq += 1
        id = id or f"{1795868915000 + self._seq}-0"
        params = {"namespace": [], "timestamp": self._seq, "data": data}
        event = {"type": "event", "method": method, "seq": self._seq, "event_id": id, "params": params}
        return RawEvent(method, json.dumps(event).encode())

    def running(self) -> RawEvent:
        return self.event("lifecycle", {"event": "running"}, f"synth:{RUN}:lc||running{self._seq}")

    def begin(self, id: str = "m1") -> RawEvent:
        return self.event("messages", {"event": "message-start", "role": "ai", "id": id})

    def start(self, content: Any, index: int = 0) -> RawEvent:
        return self.event("messages", {"event": "content-block-start", "index": index, "content": content})

    def delta(self, text: str, index: int = 0, kind: str = "text") -> RawEvent:
        name = "args" if kind == "tool-call" else kind
        delta = {"type": f"{kind}-delta", name: text}
        return self.event("messages", {"event": "content-block-delta", "index": index, "delta": delta})

    def finish(self, content: Any, index: int = 0) -> RawEvent:
        return self.event("messages", {"event": "content-block-finish", "index": index, "content": content})

    def end(self) -> RawEvent:
        return self.event("messages", {"event": "message-finish", "usage": {}})


def text_block(text: str = "") -> Any:
    return {"type": "text", "text": text}


def call_block(args: Any, kind: str = "tool_call") -> Any:
    return {"type": kind, "id": "c1", "name": "book", "args": args}


@pytest.mark.parametrize("lost", [CUT, (BROKEN,)], ids=["cut", "unreadable"])
def test_a_whole_block_repairs_its_text(lost: Any) -> None:
    """No event but the state says that the text is that of its message: another may have begun unseen."""
    made = Thread()
    events = [
        UP,
        made.running(),
        made.begin(),
        made.start(text_block()),
        made.delta("I can"),
        *lost,
        made.delta(" it."),
    ]
    events += [made.finish(text_block("I can book it.")), made.end()]
    found = folded(*events, dialect="langgraph-thread")
    assert (found.runs[0].text, found.runs[0].partial) == ("I can book it.", {"m1"})
    assert [signal.text for signal in found.signals if isinstance(signal, TextReplaced)] == ["I can book it."]
    values = made.event("values", {"messages": [whole([text_block("I can book it.")])]})
    healed = folded(*events, values, dialect="langgraph-thread")
    assert (healed.runs[0].text, healed.runs[0].partial) == ("I can book it.", set())
    assert [signal.key for signal in healed.signals if isinstance(signal, TextReplaced)] == [
        signal.key for signal in found.signals if isinstance(signal, TextReplaced)
    ]


def test_blocks_without_their_ends_repair_nothing() -> None:
    made = Thread()
    events = [UP, made.running(), made.begin(), made.start(text_block()), made.delta("A"), *CUT]
    events += [made.start(text_block(), 1), made.delta("D", 1), made.finish(text_block("CD"), 1), made.end()]
    state = state_of(*events, dialect="langgraph-thread")
    assert (state.text, state.partial) == ("AD", {"m1"})


def test_a_whole_block_repairs_reasoning() -> None:
    made = Thread()
    events = [UP, made.running(), made.begin(), made.start({"type": "reasoning", "reasoning": "I"}), *CUT]
    events += [made.finish({"type": "reasoning", "reasoning": "I see"}), made.start(text_block("A"), 1)]
    events += [made.finish(text_block("A"), 1), made.end()]
    state = state_of(*events, dialect="langgraph-thread")
    assert (state.reasoning, state.text, state.partial) == ("I see", "A", {"m1", "m1:reasoning"})


@pytest.mark.parametrize("lost", [CUT, (BROKEN,)], ids=["cut", "unreadable"])
def test_a_whole_block_repairs_the_arguments_of_its_call(lost: Any) -> None:
    made = Thread()
    events = [UP, made.running(), made.begin(), made.start(call_block("", "tool_call_chunk"))]
    events += [made.delta('{"a":', kind="tool-call"), *lost, made.delta("}", kind="tool-call")]
    events += [made.finish(call_block({"a": 2})), made.end()]
    output = {"type": "tool", "content": "done"}
    events += [made.event("tools", {"event": "tool-finished", "tool_call_id": "c1", "output": output})]
    state = state_of(*events, dialect="langgraph-thread")
    assert [(call.arguments, call.output) for call in state.tool_calls] == [('{"a":2}', "done")]
    assert not state.partial


def test_a_repetition_of_a_thread_without_known_ids_is_taken_once() -> None:
    """A message that is open is begun again, and not a second one beside the first."""
    made, again = Thread(), Thread()
    ended = [made.begin("m0"), made.start(text_block()), made.delta("Hi"), made.finish(text_block("Hi")), made.end()]
    first = [made.running(), *ended, made.begin(), made.start(text_block()), made.delta("A")]
    again._seq = 100
    second = [again.running(), again.begin("m0"), again.start(text_block()), again.delta("Hi")]
    second += [again.finish(text_block("Hi")), again.end(), again.begin(), again.start(text_block()), again.delta("A")]
    state = state_of(UP, *first, *CUT, *second, again.delta("B"), dialect="langgraph-thread")
    assert [message.text for message in state.messages] == ["Hi", "AB"]
    assert not state.partial


# anywhere


@given(
    seed=st.integers(0, 400),
    cut=st.integers(1, 80),
    skipped=st.integers(0, 12),
    kind=st.sampled_from(["cut", "broken"]),
)
@example(seed=174, cut=16, skipped=3, kind="cut")
def test_what_comes_whole_after_a_loss_is_right(seed: int, cut: int, skipped: int, kind: str) -> None:
    run = graph_run(seed)
    rest = run.events[cut + skipped :]
    lost = CUT if kind == "cut" else (BROKEN,)
    clean = state_of(UP, *run.events, answer(run))
    state = state_of(UP, *run.events[:cut], *lost, *rest, answer(run))
    if cut >= len(run.events):
        return
    written = [message for name, data in rest if name == "updates" for message in _messages_in(data)]
    for message in written:
        if message["type"] == "ai" and (shown := clean.message(message["id"])) is not None:
            found = state.message(message["id"])
            assert found is not None
            assert (found.text, found.id in state.partial) == (shown.text, False)
        for call in message.get("tool_calls", ()):
            (step,) = [step for step in state.steps if step.id == call["id"]]
            assert json.loads(step.tool_calls[0].arguments or "") == call["args"]
            assert step.id not in state.partial or not step.is_terminal


@given(seed=st.integers(0, 400), cut=st.integers(1, 80))
def test_a_run_that_is_sent_again_is_the_same(seed: int, cut: int) -> None:
    run = graph_run(seed)
    clean = state_of(UP, *run.events, answer(run))
    state = state_of(UP, *run.events[:cut], *CUT, *run.events, answer(run))
    assert [(each.id, each.text) for each in state.messages] == [(each.id, each.text) for each in clean.messages]
    assert [(each.id, each.arguments) for each in state.tool_calls] == [
        (each.id, each.arguments) for each in clean.tool_calls
    ]
    assert not state.partial


@given(seed=st.integers(0, 400), cut=st.integers(1, 80), wire=st.sampled_from(["langgraph", "langgraph-thread"]))
@example(seed=19, cut=20, wire="langgraph")
@example(seed=9, cut=30, wire="langgraph-thread")
def test_values_that_are_sent_again_are_emitted_once(seed: int, cut: int, wire: str) -> None:
    """They have no ids; the later connection may be that of a later process, whose decoder has the memory alone."""
    run = graph_run(seed) if wire == "langgraph" else graph_thread(seed)
    clean = folded(UP, *run.events, answer(run), dialect=wire)
    again = folded(UP, *run.events[:cut], *CUT, *run.events, answer(run), dialect=wire)
    assert _value_keys(again) == _value_keys(clean)
    assert again.runs[0].document == clean.runs[0].document


@pytest.mark.parametrize("name", ["custom", "values"])
def test_a_later_decoder_knows_the_values(name: str) -> None:
    value = raw((name, {"at": 1}))
    first = LangGraphDialect()
    for event in (UP, raw(BEGIN), value):
        first.decode(event)
    second = LangGraphDialect(memory=first.dump())
    second.connection = 1
    for event in (UP, raw(BEGIN)):
        second.decode(event)
    assert isinstance(second.decode(value), EmptyEvent)
    assert not isinstance(second.decode(value), EmptyEvent)


@given(seed=st.integers(0, 400), cut=st.integers(1, 80), skipped=st.integers(0, 12))
def test_the_state_of_a_thread_repairs_what_was_lost(seed: int, cut: int, skipped: int) -> None:
    run = graph_thread(seed)
    rest = run.events[cut + skipped :]
    states = [event["params"]["data"] for name, event in rest if name == "values"]
    clean = state_of(UP, *run.events, answer(run), dialect="langgraph-thread")
    state = state_of(UP, *run.events[:cut], *CUT, *rest, answer(run), dialect="langgraph-thread")
    for message in states[-1]["messages"] if states else ():
        known = clean.message(message["id"])
        if (found := state.message(message["id"])) is not None and known is not None:
            assert (found.text, found.id in state.partial) == (known.text, False)


def _value_keys(found: Folded) -> list[str]:
    return [signal.key for signal in found.signals if isinstance(signal, CustomReceived | DocumentChanged)]


def _messages_in(update: Any) -> list[Any]:
    parts = [part for part in update.values() if isinstance(part, dict)]
    return [message for part in parts for message in part.get("messages", ())]
