"""The Responses dialect under losses and repetitions: gaps, repetitions, and items of no response."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runstream.dialects.responses import ResponsesDialect
from runstream.engine.engine import Engine
from runstream.engine.fold import Folded, fold
from runstream.model.events import RunEvent
from runstream.model.raw import RawEvent
from runstream.model.signals import RunFailed, RunInterrupted, SourceError
from runstream.store.memory import MemoryStore
from tests.store.support import facts
from tests.support.responses import ResponseScript


def read(*scripts: ResponseScript | bytes, **options: Any) -> Folded:
    """The fold of what one source sends."""
    raws = [raw for part in scripts for raw in ([RawEvent(data=part)] if isinstance(part, bytes) else part.raws())]
    return fold(raws, dialect="responses", **options)


def keys(folded: Folded) -> list[str]:
    """The keys of all signals."""
    return [signal.key for signal in folded.signals]


# numbers prove that nothing is missing


def long_script() -> ResponseScript:
    """A response with a long text and events that say nothing new."""
    script = ResponseScript().begin().say(*"abcdefghijkl")
    script.send("content_part.done", item_id="msg_resp_1_0", output_index=0).send("keepalive")
    return script.say(*"mnopqrstuvwx").end()


def test_a_stream_without_a_gap_has_none() -> None:
    """Events that say nothing new have numbers too: their absence from the others is no gap."""
    folded = read(long_script())
    assert (folded.stats.gaps, folded.stats.unknown) == (0, 0)


@pytest.mark.parametrize("at", range(1, len(long_script().events)))
def test_a_resumed_stream_has_no_gap(at: int) -> None:
    """The server continues after the cursor: the next number proves that nothing is missing."""
    engine = Engine()
    intake = engine.intake("source", dialect="responses")
    raws = long_script().raws()
    intake.connected()
    intake.feed_all(raws[:at])
    assert intake.last_id == f"resp_1/{at - 1}"
    intake.disconnected("lost")
    intake.connected()
    intake.feed_all(raws[at:])
    intake.end()
    (state,) = engine.states()
    assert (state.status, state.text) == ("completed", "abcdefghijklmnopqrstuvwx")
    assert engine.stats().gaps == (0 if at > 3 else 1)  # too few numbers prove nothing


def test_without_numbers_there_is_no_cursor() -> None:
    """Nothing names the place of an event without a number."""
    dialect = ResponsesDialect()
    for raw in ResponseScript(numbered=False).begin().say("Hello").end().raws():
        dialect.decode(raw)
        assert dialect.cursor() is None


# errors that wait for their meaning


ERROR = {"code": "server_error", "message": "boom"}


def test_a_replay_is_no_proof_that_an_error_was_the_end() -> None:
    """After a reconnect, the server begins again: the response that had an error may still complete."""
    script = ResponseScript().begin().say("Hello").send("error", error=ERROR)
    folded = read(script, ResponseScript().begin().say("Hello").end())
    assert folded.runs[0].status == "completed"
    assert not [signal for signal in folded.signals if isinstance(signal, RunFailed)]


def test_another_response_settles_an_error() -> None:
    """The next response of the source proves that the error was the end, whatever its snapshots had."""
    one, two = ResponseScript("resp_1").send("created", response={"id": "resp_1"}), ResponseScript("resp_2").begin()
    folded = read(one.send("error", error=ERROR), two.end())
    assert [state.status for state in folded.runs] == ["failed", "completed"]


@pytest.mark.parametrize("ending", ["failed", "completed", None])
def test_known_responses_again_settle_no_error(ending: str | None) -> None:
    """A server that sends its responses again, from an earlier one, sends the end of the later one again too."""
    first, second = ResponseScript("resp_1").begin().end(), ResponseScript("resp_2").begin().send("error", error=ERROR)
    again = ResponseScript("resp_2").begin()
    folded = read(first, second, first, *([again.end(ending)] if ending is not None else []))
    assert [state.status for state in folded.runs] == ["completed", ending or "failed"]


@pytest.mark.parametrize("event", [{"type": "codex.rate_limits"}, {"type": "keepalive"}, {"type": "response.unheard"}])
def test_a_private_event_is_no_sign_that_a_response_goes_on(event: dict[str, Any]) -> None:
    """Only a known event of the response shows that an error was not its end."""
    folded = read(ResponseScript().begin().send("error", error=ERROR), json.dumps(event).encode())
    assert folded.runs[0].status == "failed"
    assert not [signal for signal in folded.signals if isinstance(signal, SourceError)]


def test_a_later_decoder_knows_the_error() -> None:
    """The server need not repeat an error that an earlier process has received."""
    dialect = ResponsesDialect()
    for raw in ResponseScript().begin().send("error", error=ERROR).raws():
        dialect.decode(raw)
    (event,) = ResponsesDialect(memory=dialect.dump()).end(clean=False)
    assert event.data.status == "failed"


# what belongs to no response, or to another one


def test_a_snapshot_that_is_none_is_a_reject() -> None:
    """A `response` of another type is not lost silently, and is no end."""
    folded = read(ResponseScript().begin(), b'{"type": "response.completed", "response": null}')
    assert [reject.reason for reject in folded.rejects] == ["Expected an object in `response`"]
    assert not folded.runs[0].is_terminal


@pytest.mark.parametrize("call_id", [["call_1"], {"id": "call_1"}, 5, None])
def test_a_call_id_that_is_no_text_does_not_raise(call_id: Any) -> None:
    """An item whose call_id has another type is there once in the ended response."""
    item = {"type": "function_call", "id": "fc_1", "call_id": call_id, "name": "look", "arguments": "{}"}
    response = {"id": "resp_1", "object": "response", "created_at": 1, "status": "in_progress", "output": []}
    ended = {**response, "status": "completed", "output": [item]}
    events = [
        {"type": "response.created", "response": response, "sequence_number": 0},
        {"type": "response.output_item.added", "item": item, "output_index": 0, "sequence_number": 1},
        {"type": "response.completed", "response": ended, "sequence_number": 2},
    ]
    folded = read(*(json.dumps(event).encode() for event in events))
    assert [state.run_id for state in folded.runs] == ["resp_1"]
    assert not folded.rejects


def test_an_item_after_the_end_is_of_no_response() -> None:
    """An item names no response: where the next one's beginning was lost, it is not an item of the last one."""
    one = ResponseScript("resp_1").begin().say("one").end()
    two = ResponseScript("resp_2").begin().say("two").end()
    del two.events[:2]
    folded = read(one, two)
    assert [(state.run_id, state.text) for state in folded.runs] == [("resp_1", "one"), ("resp_2", "two")]
    assert {reject.reason for reject in folded.rejects} == {"No response is open, and none has its item"}


def test_items_before_any_response_are_rejects() -> None:
    """What can't be used is a reject, and no unknown event; the whole response has it."""
    script = ResponseScript().begin().say("Hello").end()
    folded = fold(script.raws()[2:], dialect="responses")
    assert (folded.runs[0].status, folded.runs[0].text, folded.stats.unknown) == ("completed", "Hello", 0)
    assert {reject.reason for reject in folded.rejects} == {"No response is open, and none has its item"}


def test_the_end_of_another_response_ends_none() -> None:
    """Where ids do not change in each snapshot, another id is another response."""
    one, two = ResponseScript("resp_1").begin().say("one"), ResponseScript("resp_2").begin().end()
    del two.events[:2]
    folded = read(one, two)
    assert [(state.run_id, state.status) for state in folded.runs] == [
        ("resp_1", "in_progress"),
        ("resp_2", "completed"),
    ]
    assert [signal.run_id for signal in folded.signals if isinstance(signal, RunInterrupted)] == ["resp_1"]


@pytest.mark.parametrize("field", ["created_at", "previous_response_id"])
def test_another_response_after_a_single_snapshot(field: str) -> None:
    """Its time, or its link, tells a response from another id of the same one."""
    one = ResponseScript("resp_1", created_at=1).send("created", response={"id": "resp_1", "created_at": 1})
    fields: dict[str, Any] = {"created_at": 2} if field == "created_at" else {field: "resp_1"}
    two = ResponseScript("resp_2", **fields).end()
    folded = read(one, two)
    assert [state.status for state in folded.runs] == ["in_progress", "completed"]


def test_a_continued_response_whose_end_was_lost() -> None:
    """A response that names one with calls continues its run, though the request itself was not received."""
    first = ResponseScript("resp_1").begin().call("call_1", "weather", "{}")
    second = ResponseScript("resp_2", previous_response_id="resp_1").begin().say("Sunny.").end()
    (state,) = read(first, second).runs
    assert (state.run_id, state.status, state.pieces) == ("resp_1", "completed", ("resp_1", "resp_2"))


def test_a_call_whose_end_was_lost_is_no_success() -> None:
    """A completed response with an announced call waits, though the call itself, which may be cut, is not offered."""
    script = ResponseScript().begin().call("call_1", "weather", "{}")
    del script.events[-1]
    (state,) = read(script.end(output=[])).runs
    assert (state.status, state.run.pending_tool_calls) == ("requires_action", ())


def test_a_later_decoder_knows_which_responses_continue() -> None:
    """A server that sends all again after a restart continues the run, which does not wait any more."""
    first = ResponseScript("resp_1").begin().call("call_1", "weather", "{}").end()
    second = ResponseScript("resp_2", previous_response_id="resp_1").begin().say("Sunny.").end()
    raws = [*first.raws(), *second.raws()]
    store = MemoryStore()
    for _ in range(2):
        engine = Engine(store=store)
        engine.on_signal = lambda signal: None
        engine.intake("source", dialect="responses").feed_all(raws)
        assert [(state.run_id, state.status) for state in engine.states()] == [("resp_1", "completed")]


@pytest.mark.parametrize("piece", [rb"\ud83d", b"\xff", b"\xed\xa0\xbd"])
def test_text_that_is_cut_within_a_character(piece: bytes) -> None:
    """A fragment with half a character is read: only this half is replaced."""
    script = ResponseScript().begin().say("Hi ", "@", "!", done=False)
    raws = [raw if b"@" not in raw.data else RawEvent(data=raw.data.replace(b"@", piece)) for raw in script.raws()]
    folded = fold(raws, dialect="responses")
    assert (folded.runs[0].text, len(folded.rejects)) == ("Hi \ufffd!", 0)


def test_an_item_whose_beginning_was_lost_is_no_other_one() -> None:
    """Where ids hold and indices collide, an unknown id is another item, and not the one with its index."""
    one = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "a", "arguments": ""}
    two = {**one, "id": "fc_2", "call_id": "call_2", "name": "b"}
    script = ResponseScript().begin().send("output_item.added", output_index=0, item=one)
    for id, delta in (("fc_1", "{"), ("fc_2", "["), ("fc_1", "}")):
        script.send("function_call_arguments.delta", item_id=id, output_index=0, delta=delta)
    script.send("output_item.done", output_index=0, item={**two, "arguments": "[]"})
    script.send("output_item.done", output_index=0, item={**one, "arguments": "{}"})
    (state,) = read(script.end(output=[])).runs
    found = [(step.id, call.id, getattr(call, "arguments", "")) for step in state.steps for call in step.tool_calls]
    assert found == [("fc_1", "call_1", "{}"), ("fc_2", "call_2", "[]")]


# repetitions


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("back", range(1, 11))
def test_the_tail_of_a_run_again(back: int, numbered: bool) -> None:
    """Repeated events of the response before, and of one that has ended, change nothing."""
    first = ResponseScript("resp_1", numbered=numbered).begin().call("call_1", "weather", "{}").end()
    second = ResponseScript("resp_2", numbered=numbered, previous_response_id="resp_1").begin().say("Sunny.").end()
    whole = [*first.raws(), *second.raws()]
    for end in (len(first.events), len(first.events) + 1, len(first.events) + 2, len(whole)):
        raws = [*whole[:end], *whole[max(end - back, 0) : end], *whole[end:]]
        if numbered or b".delta" not in b"".join(raw.data for raw in whole[max(end - back, 0) : end]):
            again, once = fold(raws, dialect="responses"), fold(whole, dialect="responses")
            assert keys(again) == keys(once), end
            assert not again.rejects
            assert again.runs[0].to_dict() == once.runs[0].to_dict()


def test_a_further_response_again_from_its_beginning() -> None:
    """A response that continues a run, and is sent again, asks for nothing new."""
    first = ResponseScript("resp_1", numbered=False).begin().call("call_1", "weather", "{}").end()
    second = ResponseScript("resp_2", numbered=False, previous_response_id="resp_1").begin()
    second = second.call("call_2", "weather", "{}").end()
    folded = read(first, second, second, second)
    assert keys(folded) == keys(read(first, second))


def test_a_repeated_tail_of_ids_that_change() -> None:
    """Where ids change in every event, the numbers tell that an item was announced before."""
    script = ResponseScript().begin().say("Hel", "lo")
    for number, event in enumerate(script.events):
        if "item_id" in event:
            event["item_id"] = f"x{number}"
        if "item" in event:
            event["item"] = {**event["item"], "id": f"y{number}"}
        if "response" in event:
            event["response"] = {**event["response"], "id": f"r{number}"}
    raws = script.end(output=[]).raws()
    once = fold(raws, dialect="responses")
    again = fold([*raws[:5], *raws[2:]], dialect="responses")
    assert keys(again) == keys(once)
    assert again.runs[0].text == "Hello"


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("text", [(), ("Hel", "lo")])
def test_an_error_that_a_repetition_follows(text: tuple[str, ...], numbered: bool) -> None:
    """Repeated events do not show that the error was the end of the response, nor that it was not."""
    script = ResponseScript(numbered=numbered).begin()
    script = script.say(*text) if text else script
    raws = script.send("error", code="server_error", message="no").end("failed", error={"code": "late"}).raws()
    once = fold(raws, dialect="responses")
    for end in (len(raws) - 1, len(raws)):
        for start in range(1, end):
            repeated = raws[start:end]
            if numbered or b".delta" not in b"".join(raw.data for raw in repeated):
                again = fold([*raws[:end], *repeated, *raws[end:]], dialect="responses")
                assert again.runs[0].to_dict() == once.runs[0].to_dict()
                assert keys(again) == keys(once) or not numbered


@pytest.mark.parametrize("status", ["completed", "failed", "incomplete"])
@pytest.mark.parametrize("kind", ["function_call", "custom_tool_call"])
def test_a_call_whose_end_was_lost_ends_as_if_it_came(kind: str, status: str) -> None:
    """The final response shows the call too: the facts are those of the stream without the loss."""
    item = {"id": "item_1", "type": kind, "call_id": "call_1", "name": "look", "arguments": "{}", "input": "x"}
    done = {**item, "status": "completed"}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress"}},
        {"type": "response.output_item.done", "output_index": 0, "item": done},
        {"type": f"response.{status}", "response": {"id": "resp_1", "status": status, "output": [done]}},
    ]
    whole, lossy = (read(*(json.dumps(event).encode() for event in part)) for part in (events, events[:1] + events[3:]))
    assert set(facts(lossy.signals)) == set(facts(whole.signals))
    assert any(key.endswith("/call/call_1/completed") for key in keys(lossy)) == (status == "completed")


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("output_text", {"item_id": "msg_1", "output_index": 0, "content_index": 0}),
        ("reasoning_text", {"item_id": "rs_1", "output_index": 0, "content_index": 0}),
        ("function_call_arguments", {"item_id": "fc_1", "output_index": 0}),
        ("shell_call_command", {"output_index": 0, "command_index": 0}),
        ("audio.transcript", {}),
    ],
)
def test_an_event_that_makes_its_item_comes_twice(name: str, fields: dict[str, Any]) -> None:
    """A fragment before its item is no other event when it is received again: nothing of the text is doubled."""
    script = ResponseScript().begin()
    for delta in ("ha", "ha", "!"):
        script.send(f"{name}.delta", delta=delta, **fields)
    once = fold(script.raws(), dialect="responses")
    twice = fold([raw for raw in script.raws() for _ in range(2)], dialect="responses")
    again = fold([*script.raws(), *script.raws()], dialect="responses")
    assert once.runs[0].messages or once.runs[0].steps
    for repeated in (twice, again):
        assert repeated.runs[0].to_dict() == once.runs[0].to_dict()
        assert [signal.key for signal in repeated.signals] == [signal.key for signal in once.signals]
    assert twice.stats.conflicts == 0


@pytest.mark.parametrize("status", ["completed", "failed", "incomplete", None])
@pytest.mark.parametrize("is_whole", [True, False])
@pytest.mark.parametrize(
    ("kind", "middle", "key"),
    [
        ("function_call", "function_call_arguments", "arguments"),
        ("custom_tool_call", "custom_tool_call_input", "input"),
    ],
)
def test_a_call_that_is_never_closed(kind: str, middle: str, key: str, is_whole: bool, status: str | None) -> None:
    """Of a response that has completed without its output, it is offered if one event had all of its arguments."""
    item = {"id": "item_1", "type": kind, "call_id": "call_1", "name": "look", key: "", "status": "in_progress"}
    place = {"item_id": "item_1", "output_index": 0}
    script = ResponseScript().begin().send("output_item.added", output_index=0, item=item)
    script.send(f"{middle}.delta", delta='{"a"', **place).send(f"{middle}.delta", delta=":1}", **place)
    if is_whole:
        script.send(f"{middle}.done", **{key: '{"a":1}'}, **place)
    raws = (script.end(status) if status else script).raws()
    first = ResponsesDialect()
    for raw in raws[:-1]:
        first.decode(raw)
    (state,) = fold(raws, dialect="responses", clock=lambda: 1.0).runs
    asked = [(call.id, call.name, call.arguments) for call in getattr(state.run.required_action, "calls", ())]
    assert asked == ([("call_1", "look", '{"a":1}')] if is_whole and status == "completed" else [])
    assert state.status == ("requires_action" if status == "completed" else status or "in_progress")
    if status is not None:  # a later decoder knows it too
        last = ResponsesDialect(memory=first.dump()).decode(raws[-1])
        assert [event.data.required_action for event in last if isinstance(event, RunEvent)] == [  # type: ignore[union-attr]
            state.run.required_action
        ]


@pytest.mark.parametrize("reverse", [True, False])
@pytest.mark.parametrize("left_out", range(-1, 4))
def test_a_final_output_with_other_ids_in_another_order(left_out: int, reverse: bool) -> None:
    """Its items are those that were streamed, by their texts: nothing is doubled. A text that was new is added once."""
    script = ResponseScript().begin().say("one").think("two").say("three").think("four", summary=False).say("one")
    items = [{**item, "id": f"other_{at}"} for at, item in enumerate(script.response["output"]) if at != left_out]
    once = fold(script.end(output=[]).raws(), dialect="responses", clock=lambda: 1.0)
    script.events.pop()
    again = fold(script.end(output=items[::-1] if reverse else items).raws(), dialect="responses", clock=lambda: 1.0)
    assert again.runs[0].to_dict() == once.runs[0].to_dict()
    assert keys(again) == keys(once)
    script.events.pop()
    new = {"id": "new", "type": "message", "content": [{"type": "output_text", "text": "one"}]}
    script.response["output"].append(new)
    more = fold(script.end().raws(), dialect="responses")
    assert more.runs[0].text == once.runs[0].text + "one"


@pytest.mark.parametrize("late", [{}, {"tools": None}, {"tools": []}])
def test_tools_that_only_the_first_snapshot_has(late: dict[str, Any]) -> None:
    """A custom call of a tool that was not offered is one of the server, also where the end leaves the tools out."""
    for tools, status in (
        ([{"type": "x_search"}], "completed"),
        ([{"type": "custom", "name": "look"}], "requires_action"),
        (None, "requires_action"),
    ):
        script = ResponseScript(tools=tools).begin().call("call_1", "look", "x", type="custom_tool_call")
        del script.response["tools"]
        assert fold(script.end(**late).raws(), dialect="responses").runs[0].status == status


@pytest.mark.parametrize("first", ["completed", "failed", "incomplete"])
@pytest.mark.parametrize("second", ["completed", "failed", "incomplete"])
def test_a_second_end_is_an_error_of_the_source(first: str, second: str) -> None:
    """The first end counts; another one that contradicts it is reported, once."""
    script = (
        ResponseScript().begin().say("Hi").end(first, error={"code": "first"}).end(second, error={"code": "second"})
    )
    for raws in (script.raws(), [raw for raw in script.raws() for _ in range(2)]):
        folded = fold(raws, dialect="responses")
        assert folded.runs[0].status == first
        errors = [signal for signal in folded.signals if isinstance(signal, SourceError)]
        assert [error.error and error.error.code for error in errors] == (["second"] if first != second else [])


@pytest.mark.parametrize("status", ["completed", "incomplete", "cancelled"])
def test_an_error_before_another_end_was_none_of_the_response(status: str) -> None:
    """The server itself says how the response has ended."""
    script = ResponseScript().begin().say("Hi").send("error", code="odd", message="no").end(status)
    folded = fold(script.raws(), dialect="responses")
    assert folded.runs[0].status == status
    assert [signal.error and signal.error.code for signal in folded.signals if isinstance(signal, SourceError)] == [
        "odd"
    ]


def test_a_cancelled_response_has_its_event() -> None:
    """The description has no such event, but a server that sends the whole response with it says enough."""
    folded = fold(ResponseScript().begin().say("Hi", done=False).end("cancelled").raws(), dialect="responses")
    assert folded.runs[0].status == "cancelled"
    assert folded.stats.unknown == 0


@pytest.mark.parametrize("id", ["item_1", "call_1"])
def test_the_output_of_a_local_shell_names_its_call_by_either_id(id: str) -> None:
    """It has no `call_id`; what is answered in the same response does not wait."""
    call = {"id": "item_1", "type": "local_shell_call", "call_id": "call_1", "action": {"command": ["ls"]}}
    output = {"id": id, "type": "local_shell_call_output", "output": "files"}
    script = ResponseScript(output=[call, output]).begin()
    for at, item in enumerate((call, output)):
        script.send("output_item.done", output_index=at, item=item)
    (state,) = fold(script.end(output=[call, output]).raws(), dialect="responses").runs
    assert state.status == "completed"
    assert [getattr(each, "output", None) for each in state.tool_calls] == ["files"]


# items in other forms


def test_fragments_before_their_item_under_another_id() -> None:
    """The item that is announced at their index is theirs: the text is there once."""
    script = ResponseScript().begin()
    for delta in ("Hel", "lo"):
        script.send("output_text.delta", item_id="chunk", output_index=0, content_index=0, delta=delta)
    shown = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
    script.send("output_item.added", output_index=0, item=shown)
    script.send("output_text.delta", item_id="msg_1", output_index=0, content_index=0, delta="!")
    whole = {**shown, "content": [{"type": "output_text", "text": "Hello!"}]}
    script.send("output_item.done", output_index=0, item=whole)
    folded = read(script.end(output=[whole]))
    assert [message.text for message in folded.runs[0].messages] == ["Hello!"]


def test_an_announced_item_of_another_type_is_not_that_of_the_fragments() -> None:
    """Nor is one at another index: indices collide, and what was streamed stays a message of its own."""
    script = ResponseScript().begin()
    script.send("output_text.delta", item_id="chunk", output_index=0, content_index=0, delta="Hi")
    call = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "f", "arguments": ""}
    script.send("output_item.added", output_index=0, item=call)
    script.send("output_item.done", output_index=0, item={**call, "arguments": "{}"})
    (state,) = read(script.end(output=[])).runs
    assert (state.text, [call.id for call in state.run.pending_tool_calls]) == ("Hi", ["call_1"])


@pytest.mark.parametrize("name", ["output_item.done", "completed"])
def test_content_that_is_a_text(name: str) -> None:
    """A message whose content is no list has one text."""
    item = {"id": "msg_1", "type": "message", "role": "assistant", "content": "Hello"}
    script = ResponseScript().begin()
    if name == "output_item.done":
        script.send(name, output_index=0, item=item)
    assert read(script.end(output=[item])).runs[0].text == "Hello"


@pytest.mark.parametrize("last", ["delta", "done"])
def test_whole_arguments_that_are_an_object(last: str) -> None:
    """They are the arguments as JSON, once."""
    call = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "f", "arguments": ""}
    script = ResponseScript().begin().send("output_item.added", output_index=0, item=call)
    fields = {"delta" if last == "delta" else "arguments": {"a": 1}}
    script.send(f"function_call_arguments.{last}", item_id="fc_1", output_index=0, **fields)
    script.send("function_call_arguments.done", item_id="fc_1", output_index=0, arguments={"a": 1})
    (state,) = read(script.end(output=[])).runs
    assert [json.loads(call.arguments or "") for call in state.run.pending_tool_calls] == [{"a": 1}]
    assert [json.loads(getattr(call, "arguments", "")) for call in state.tool_calls] == [{"a": 1}]


@pytest.mark.parametrize("deltas", [True, False])
def test_a_text_that_only_the_beginning_of_its_part_has(deltas: bool) -> None:
    """Without fragments it is the text of the message; with them it is their sum, and not twice."""
    shown = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
    script = ResponseScript().begin().send("output_item.added", output_index=0, item=shown)
    part = {"type": "output_text", "text": "Hello", "annotations": []}
    script.send("content_part.added", item_id="msg_1", output_index=0, content_index=0, part=part)
    for delta in ("Hel", "lo") if deltas else ():
        script.send("output_text.delta", item_id="msg_1", output_index=0, content_index=0, delta=delta)
    assert read(script.end(output=[])).runs[0].text == "Hello"


def test_usage_under_the_names_of_chat_completions() -> None:
    """Bridges pass it on."""
    script = ResponseScript().begin().say("Hi")
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    found = read(script.end(usage=usage)).runs[0].run.usage
    assert found is not None
    assert (found.prompt_tokens, found.completion_tokens, found.total_tokens) == (3, 4, 7)


@pytest.mark.parametrize("final", [True, False])
def test_an_item_that_ends_under_another_id(final: bool) -> None:
    """A message at its index and a call with its call id are the ones that were announced: they are there once."""
    script = ResponseScript().begin().say("Hel", "lo", id="msg_1", done=False)
    said = {"id": "x1", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]}
    script.send("output_item.done", output_index=0, item=said)
    call = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "f", "arguments": ""}
    script.send("output_item.added", output_index=1, item=call)
    script.send("function_call_arguments.delta", item_id="fc_1", output_index=1, delta="{}")
    called = {**call, "id": "x2", "arguments": "{}"}
    script.send("output_item.done", output_index=1, item=called)
    (state,) = read(script.end(output=[{**said, "id": "y1"}, {**called, "id": "y2"}] if final else [])).runs
    assert [message.text for message in state.messages] == ["Hello"]
    assert [(asked.id, asked.arguments) for asked in state.run.pending_tool_calls] == [("call_1", "{}")]
    assert len(state.tool_calls) == 1


def test_a_call_under_other_ids_in_the_final_output() -> None:
    """A server that makes ids anew there asks once for each call: with the ids that were streamed."""
    script = ResponseScript().begin().call("call_1", "f", "{}").call("call_2", "f", "{}").call("call_3", "g", "{}")
    again = [
        {"id": f"y{n}", "type": "function_call", "call_id": f"z{n}", "name": name, "arguments": "{}"}
        for n, name in enumerate(("g", "f", "f", "f"))
    ]
    (state,) = read(script.end(output=again)).runs
    assert [asked.id for asked in state.run.pending_tool_calls] == ["call_1", "call_2", "call_3", "z3"]


def test_a_failure_whose_cause_is_only_in_the_error_before_it() -> None:
    """Both are one fact: the run has the message of the error."""
    script = ResponseScript().begin().say("Hel", done=False)
    script.send("error", error={"type": "server_error", "code": "c", "message": "boom"})
    script.send("failed", response={**script.response, "status": "failed", "error": None})
    folded = read(script)
    (state,) = folded.runs
    assert state.run.last_error is not None
    assert (state.status, state.run.last_error.message) == ("failed", "boom")
    assert not [signal for signal in folded.signals if isinstance(signal, SourceError)]
