"""The Responses dialect: responses become runs, items become messages and steps, and bad servers are read truly."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.dialects.responses import ResponsesDialect
from runstream.dialects.responses_run import RESPONSE_ID
from runstream.engine.fold import Folded, fold, fold_sources
from runstream.model.raw import Answer, Idle, RawEvent
from runstream.model.signals import (
    ActionRequired,
    CustomReceived,
    ReasoningDelta,
    RunCompleted,
    RunFailed,
    RunInterrupted,
    SourceError,
    TextDelta,
    ToolCallResult,
)
from tests.support.responses import ResponseScript


def read(*scripts: ResponseScript, **options: Any) -> Folded:
    """The fold of the responses of one source."""
    return fold([raw for script in scripts for raw in script.raws()], dialect="responses", **options)


def keys(folded: Folded) -> list[str]:
    """The keys of all signals; none comes twice."""
    found = [signal.key for signal in folded.signals]
    assert len(set(found)) == len(found)
    return found


# text and reasoning


def test_a_response_with_text() -> None:
    """Text grows by fragments, the message completes, and the run has the tokens of the response."""
    script = ResponseScript(model="m-1").begin().say("Hel", "lo").end(usage={"input_tokens": 3, "total_tokens": 5})
    folded = read(script)
    (state,) = folded.runs
    assert (state.run_id, state.status, state.text, state.run.model) == ("resp_1", "completed", "Hello", "m-1")
    assert state.usage is not None
    assert (state.usage.prompt_tokens, state.usage.total_tokens) == (3, 5)
    assert [signal.delta for signal in folded.signals if isinstance(signal, TextDelta)] == ["Hel", "lo"]
    assert "resp_1/completed" in keys(folded)
    assert state.pieces == ("resp_1",)
    assert state.run.metadata[RESPONSE_ID] == "resp_1"


@pytest.mark.parametrize("summary", [True, False])
def test_reasoning_grows(summary: bool) -> None:
    """Raw reasoning and summaries are reasoning of the run, apart from its text."""
    folded = read(ResponseScript().begin().think("be", "cause", summary=summary).say("so").end())
    (state,) = folded.runs
    deltas = [signal for signal in folded.signals if isinstance(signal, ReasoningDelta)]
    assert [delta.delta for delta in deltas] == ["be", "cause"]
    assert {delta.kind for delta in deltas} == {"summary" if summary else "reasoning"}
    assert (state.text, state.reasoning) == ("so", "because")


def test_a_refusal() -> None:
    """A refusal grows apart from the text of its message."""
    script = ResponseScript().begin()
    script.send("output_item.added", output_index=0, item={"id": "msg_1", "type": "message", "content": []})
    script.send("refusal.delta", item_id="msg_1", output_index=0, content_index=0, delta="I can't ")
    script.send("refusal.delta", item_id="msg_1", output_index=0, content_index=0, delta="do that.")
    (state,) = read(script.end()).runs
    assert (state.text, state.messages[0].content[0].refusal) == ("", "I can't do that.")  # type: ignore[union-attr]


# calls


def test_a_function_call_pauses_the_run() -> None:
    """A completed response with unanswered calls is a run that requires action."""
    script = ResponseScript().begin().call("call_a", "weather", '{"city": ', '"Oslo"}').call("call_b", "time", "{}")
    folded = read(script.end())
    (state,) = folded.runs
    (action,) = [signal for signal in folded.signals if isinstance(signal, ActionRequired)]
    assert state.status == "requires_action"
    assert [(call.id, call.kind, call.name, call.parsed) for call in action.calls] == [
        ("call_a", "function", "weather", {"city": "Oslo"}),
        ("call_b", "function", "time", {}),
    ]
    assert [call.arguments for call in state.tool_calls] == ['{"city": "Oslo"}', "{}"]
    assert "resp_1/paused/1" in keys(folded)


def test_the_answer_names_the_response() -> None:
    """A response that names a waiting one continues its run, also from another source, as one run with one end."""
    first = ResponseScript("resp_1").begin().call("call_1", "weather", "{}").end()
    second = ResponseScript("resp_2", previous_response_id="resp_1").begin().say("Sunny.").end()
    for folded in (
        read(first, second),
        fold_sources([("one", first.raws()), ("two", second.raws())], dialect="responses"),
    ):
        (state,) = folded.runs
        assert (state.run_id, state.status, state.text) == ("resp_1", "completed", "Sunny.")
        assert state.pieces == ("resp_1", "resp_2")
        assert state.run.metadata[RESPONSE_ID] == "resp_2"
        found = keys(folded)
        assert [key for key in found if "action_required" in key] == ["resp_1/action_required/call_1"]
        assert found.count("resp_1/completed") == 1


def test_the_application_says_which_run() -> None:
    """Most clients send the history again, and the wire names no earlier response."""
    first = ResponseScript("resp_1").begin().call("call_1", "weather", "{}").end()
    second = ResponseScript("resp_2").begin().say("Sunny.").end()
    folded = fold_sources([("one", first.raws()), ("two", second.raws(), {"continues": "resp_1"})], dialect="responses")
    (state,) = folded.runs
    assert (state.run_id, state.status, state.text) == ("resp_1", "completed", "Sunny.")


def test_equal_call_ids_in_each_response() -> None:
    """A server that counts `call_0` in each response asks twice, under two keys."""
    first = ResponseScript("resp_1").begin().call("call_0", "weather", "{}").end()
    second = ResponseScript("resp_2", previous_response_id="resp_1").begin().call("call_0", "weather", "{}").end()
    third = ResponseScript("resp_3", previous_response_id="resp_2").begin().say("Done.").end()
    folded = read(first, second, third)
    (state,) = folded.runs
    assert (state.status, state.round, state.pieces) == ("completed", 2, ("resp_1", "resp_2", "resp_3"))
    actions = [signal for signal in folded.signals if isinstance(signal, ActionRequired)]
    assert [[call.key for call in action.calls] for action in actions] == [
        ["resp_1/call/call_0"],
        ["resp_1/call/call_0~2"],
    ]
    keys(folded)
    again = read(first, second, third, first, second, third)
    assert keys(again) == keys(folded)


@pytest.mark.parametrize("what", ["fork", "turn", "unseen"])
def test_other_links_are_runs_of_their_own(what: str) -> None:
    """A fork, the next turn of a conversation, and a parent that was never seen."""
    first = ResponseScript("resp_1").begin()
    first = first.say("Hi.").end() if what == "turn" else first.call("call_1", "weather", "{}").end()
    second = ResponseScript("resp_2", previous_response_id="resp_1").begin().say("Sunny.").end()
    third = ResponseScript("resp_3", previous_response_id="resp_1").begin().say("Rain.").end()
    scripts = {"fork": [first, second, third], "turn": [first, second], "unseen": [second]}[what]
    expected = {"fork": ["resp_1", "resp_3"], "turn": ["resp_1", "resp_2"], "unseen": ["resp_2"]}[what]
    assert [state.run_id for state in read(*scripts).runs] == expected


def test_calls_that_are_no_request() -> None:
    """A call that was answered in its response, or that the server runs, is no request."""
    script = ResponseScript(tools=[{"type": "x_search"}]).begin()
    script.call("call_1", "x_keyword_search", "q", type="custom_tool_call")
    script.call("call_2", "run", "{}", type="shell_call")
    script.send(
        "output_item.done", output_index=2, item={"type": "shell_call_output", "call_id": "call_2", "output": "ok"}
    )
    folded = read(script.end())
    (state,) = folded.runs
    assert state.status == "completed"
    assert [signal.output for signal in folded.signals if isinstance(signal, ToolCallResult)] == ["ok"]


@pytest.mark.parametrize("ending", ["incomplete", "failed"])
def test_a_cut_call_is_never_offered(ending: str) -> None:
    """Calls of a response that did not complete may have cut arguments."""
    script = ResponseScript().begin().call("call_1", "weather", '{"ci')
    folded = read(script.end(ending, incomplete_details={"reason": "max_output_tokens"}, error={"code": "boom"}))
    (state,) = folded.runs
    assert state.status == ending
    assert not [signal for signal in folded.signals if isinstance(signal, ActionRequired)]


def test_a_steered_response_goes_on() -> None:
    """A steered response is incomplete for its server; its successor, which no request asks for, is the same run."""
    first = ResponseScript("resp_1").begin().say("Let me").end("incomplete", incomplete_details={"reason": "steered"})
    second = ResponseScript("resp_2", previous_response_id="resp_1").begin().say("Instead").end()
    (state,) = read(first, second).runs
    assert (state.run_id, state.status, state.text) == ("resp_1", "completed", "Let meInstead")


# ends and errors


def test_a_stream_that_is_cut() -> None:
    """A stream without a terminal event is interrupted at every cut, and never a success."""
    script = ResponseScript().begin().think("hm").say("Hello").end()
    for at in range(1, len(script.events) - 1):
        folded = fold(script.raws()[:at], dialect="responses")
        (state,) = folded.runs
        assert not state.is_terminal
        assert [type(signal) for signal in folded.signals if signal.key.startswith("resp_1/")][-1] is RunInterrupted


def test_an_error_is_the_end_of_an_open_response() -> None:
    """A server that sends only `error` has failed its response; `response.failed` with the same cause is one fact."""
    error = {"code": "server_error", "message": "boom"}
    alone = ResponseScript().begin().say("He", done=False).send("error", error=error)
    both = ResponseScript().begin().send("error", error=error).end("failed", error=error)
    for script in (alone, both):
        folded = read(script)
        (state,) = folded.runs
        (failed,) = [signal for signal in folded.signals if isinstance(signal, RunFailed)]
        assert failed.run.last_error is not None
        assert (state.status, failed.run.last_error.code) == ("failed", "server_error")
        assert not [signal for signal in folded.signals if isinstance(signal, SourceError)]


def test_an_error_before_the_response_goes_on() -> None:
    """An error that further events of the response follow was not its end."""
    script = ResponseScript().begin().send("error", error={"code": "hiccup"}).say("Hello").end()
    folded = read(script)
    assert folded.runs[0].status == "completed"
    assert [signal.error.code for signal in folded.signals if isinstance(signal, SourceError) and signal.error] == [
        "hiccup"
    ]


def test_silence_settles_an_error() -> None:
    """A socket that stays open says nothing more after the error."""
    script = ResponseScript().begin().send("error", error={"code": "server_error"})
    folded = fold([*script.raws(), Idle(seconds=5.0)], dialect="responses")
    assert folded.runs[0].status == "failed"


@pytest.mark.parametrize(
    "error",
    [
        {"type": "error", "code": "previous_response_not_found", "message": "m", "param": None},
        {"type": "error", "error": {"code": "previous_response_not_found", "message": "m"}, "status": 400},
        {"error": {"code": "previous_response_not_found", "message": "m"}},
        {"error": "previous_response_not_found"},
    ],
    ids=["flat", "nested", "untyped", "text"],
)
def test_a_refused_request_changes_no_run(error: dict[str, Any]) -> None:
    """An error while no response is open is an error of the source."""
    done = ResponseScript().begin().say("Hello").end()
    folded = fold([*done.raws(), json.dumps(error).encode()], dialect="responses")
    assert folded.runs[0].status == "completed"
    assert len([signal for signal in folded.signals if isinstance(signal, SourceError)]) == 1


# bad servers


@pytest.mark.parametrize("output", [[], None, "no list"])
def test_an_empty_output_erases_nothing(output: Any) -> None:
    """Some servers leave the output of the final response empty."""
    script = ResponseScript().begin().say("Hello").call("call_1", "weather", "{}")
    (state,) = read(script.end(output=output)).runs
    assert (state.status, state.text) == ("requires_action", "Hello")


def test_items_that_only_the_final_output_has() -> None:
    """What the stream did not bring is taken from the final response."""
    part = {"type": "output_text", "text": "Hello", "annotations": []}
    item = {"id": "msg_9", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    (state,) = read(ResponseScript().begin().end(output=[item])).runs
    assert (state.status, state.text) == ("completed", "Hello")


def test_ids_that_change_in_every_event() -> None:
    """Then only the index names an item."""
    script = ResponseScript().begin().say("Hel", "lo").call("call_1", "weather", "{}").end()
    for number, event in enumerate(script.events):
        if "item_id" in event:
            event["item_id"] = f"x{number}"
        if "item" in event:
            event["item"] = {**event["item"], "id": f"y{number}"}
        if "response" in event:
            output = [{**item, "id": f"z{number}"} for item in event["response"]["output"]]
            event["response"] = {**event["response"], "id": f"r{number}", "output": output}
    folded = read(script)
    (state,) = folded.runs
    assert (state.run_id, state.status, state.text) == ("r0", "requires_action", "Hello")
    assert len(state.messages) == len(state.steps) == 1


def test_indices_that_collide() -> None:
    """Then only the announced id names an item."""
    script = ResponseScript().begin().say("Hello", done=False).call("call_1", "a", "{}").call("call_2", "b", "{}")
    script.send("output_text.delta", item_id="msg_resp_1_0", output_index=0, content_index=0, delta="!")
    for event in script.events:
        if "output_index" in event:
            event["output_index"] = 0
    (state,) = read(script.end(output=[])).runs
    assert (state.text, [call.id for call in state.tool_calls]) == ("Hello!", ["call_1", "call_2"])


def test_an_item_whose_announcement_was_lost() -> None:
    """Where ids are stable, an unknown id is another item, though it has the index of a known one."""
    script = ResponseScript().begin().say("Hello").call("call_1", "a", "{}").call("call_2", "b", '{"x": 1}')
    for event in script.events:
        if "output_index" in event:
            event["output_index"] = 0
    lost = next(event for event in script.events if event.get("item", {}).get("call_id") == "call_2")
    script.events.remove(lost)
    folded = read(script.end())
    (state,) = folded.runs
    assert [(call.id, call.arguments) for call in state.tool_calls] == [("call_1", "{}"), ("call_2", '{"x": 1}')]
    assert [key for key in keys(folded) if "action" in key] == ["resp_1/action_required/call_1,call_2"]


def test_items_that_were_never_announced() -> None:
    """Fragments before their item, and whole arguments without a fragment."""
    script = ResponseScript().begin()
    script.send("output_text.delta", item_id="msg_1", output_index=0, content_index=0, delta="Hello")
    script.send("function_call_arguments.done", item_id="fc_1", output_index=1, arguments="{}")
    item = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"}
    script.send("output_item.done", output_index=1, item=item)
    (state,) = read(script.end(output=[])).runs
    assert (state.status, state.text) == ("requires_action", "Hello")
    assert [(call.id, call.name, call.arguments) for call in state.tool_calls] == [("call_1", "weather", "{}")]


@pytest.mark.parametrize("number", [None, 0, "growing"])
def test_numbers_that_prove_nothing(number: Any) -> None:
    """Without numbers, or with zeros alone, equal fragments are text and not repetitions."""
    script = ResponseScript().begin().say("ha", "ha", "ha").end()
    for event in script.events:
        if number != "growing":
            event["sequence_number"] = number
    (state,) = read(script).runs
    assert state.text == "hahaha"


def test_repeated_events_with_numbers() -> None:
    """Each event twice changes nothing."""
    script = ResponseScript().begin().think("hm").say("ha", "ha").call("call_1", "weather", "{", "}").end()
    whole = read(script)
    twice = fold([raw for raw in script.raws() for _ in range(2)], dialect="responses")
    assert keys(twice) == keys(whole)
    assert twice.runs == whole.runs


def test_lanes_of_one_socket() -> None:
    """Events of several responses that take turns are told apart by their lane."""
    one, two = ResponseScript("resp_1").begin().say("one").end(), ResponseScript("resp_2").begin().say("two").end()
    for lane, script in (("a", one), ("b", two)):
        for event in script.events:
            event["stream_id"] = lane
    mixed = [raw for pair in zip(one.raws(), two.raws(), strict=True) for raw in pair]
    assert [(state.run_id, state.text) for state in fold(mixed, dialect="responses").runs] == [
        ("resp_1", "one"),
        ("resp_2", "two"),
    ]


def test_what_is_no_event() -> None:
    """Input that can't be read is a reject; a sign of life, the end mark and private events are none."""
    script = ResponseScript().begin().say("Hello").send("keepalive").send("metadata", headers={}).end()
    bad = [b"{", b"[]", b'{"x": 1}', b"[" * 500 + b"]" * 500]
    folded = fold([*script.raws(), RawEvent(data=b"[DONE]"), *bad], dialect="responses")
    assert folded.runs[0].status == "completed"
    assert (len(folded.rejects), folded.stats.unknown) == (4, 0)
    assert [signal.name for signal in folded.signals if isinstance(signal, CustomReceived)] == ["response.metadata"]


def test_events_in_envelopes() -> None:
    """A relay, and the server of recordings, put a block of an event stream into an envelope."""
    script = ResponseScript().begin().think("hm").say("Hel", "lo").call("call_1", "weather", "{", "}").end()
    envelopes = [json.dumps({"event": event["type"], "data": event}).encode() for event in script.events]
    folded = fold(
        [*envelopes, b'{"event": "done", "data": "[DONE]"}', b'{"event": "x", "data": 5}'], dialect="responses"
    )
    assert folded.runs == read(script).runs
    assert [reject.reason for reject in folded.rejects] == ["Expected an object with `type`"]


# beside the stream


def test_a_polled_response_is_a_snapshot() -> None:
    """A response object that was fetched says the same as its stream."""
    script = ResponseScript().begin().say("Hello").call("call_1", "weather", "{}").end()
    whole = script.events[-1]["response"]
    for item in (Answer(data=json.dumps(whole).encode()), RawEvent(data=json.dumps(whole).encode())):
        (state,) = fold([item], dialect="responses").runs
        assert (state.run_id, state.status, state.text) == ("resp_1", "requires_action", "Hello")
    cancelled = json.dumps({**whole, "status": "cancelled", "output": []}).encode()
    (state,) = fold([*script.raws()[:5], Answer(data=cancelled)], dialect="responses").runs
    assert state.status == "cancelled"


def test_a_later_decoder_continues() -> None:
    """With the memory of an earlier decoder, a stream goes on in mid-response without any event twice."""
    script = ResponseScript().begin().think("hm").say("Hel", "lo").call("call_1", "weather", "{", "}").end()
    raws = script.raws()

    def decoded(dialect: ResponsesDialect, part: list[RawEvent]) -> list[Any]:
        found = []
        for raw in part:
            events = dialect.decode(raw)
            found += events if isinstance(events, list | tuple) else [events]
        return found

    whole = decoded(ResponsesDialect(), raws)
    for at in range(1, len(raws)):
        first = ResponsesDialect()
        events = decoded(first, raws[:at])
        events += decoded(ResponsesDialect(memory=first.dump()), raws[at:])
        assert events == whole, at


def test_an_evicted_run_is_forgotten() -> None:
    """Nothing of an evicted run stays in the memory of the dialect."""
    dialect = ResponsesDialect()
    for raw in ResponseScript().begin().say("Hello", done=False).raws():
        dialect.decode(raw)
    assert dialect.dump() is not None
    dialect.forget("resp_1")
    assert dialect.dump() is None


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 9)
    | st.sampled_from(["", "a", "message", "resp_1", "completed", "error"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "id",
                    "response",
                    "item",
                    "output",
                    "status",
                    "delta",
                    "text",
                    "content",
                    "part",
                    "output_index",
                    "item_id",
                    "call_id",
                    "error",
                    "code",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
_NAMES = st.sampled_from(
    [
        "created",
        "in_progress",
        "completed",
        "failed",
        "incomplete",
        "output_item.added",
        "output_item.done",
        "output_text.delta",
        "output_text.done",
        "function_call_arguments.delta",
        "reasoning_summary_text.delta",
        "content_part.added",
        "unheard",
    ]
)


_FIELDS = st.sampled_from(
    "response item delta text output_index item_id sequence_number stream_id error".split()  # noqa: SIM905
)


@given(st.lists(st.tuples(_NAMES, st.dictionaries(_FIELDS, _JSON, max_size=6)), max_size=12))
def test_no_input_raises(events: list[tuple[str, dict[str, Any]]]) -> None:
    """Whatever a server sends, the dialect decodes or rejects it, and no key comes twice."""
    raws = [RawEvent(data=json.dumps({**fields, "type": f"response.{name}"}).encode()) for name, fields in events]
    keys(fold(raws, dialect="responses"))


@given(st.data())
def test_a_completed_run_was_said_to_be(data: st.DataObject) -> None:
    """Lost and moved events never make a success of a response that did not say so."""
    script = ResponseScript().begin().think("hm").say("Hel", "lo").call("call_1", "weather", "{", "}").end()
    raws = data.draw(st.permutations(script.raws()[:-1]))
    kept = data.draw(st.lists(st.sampled_from(raws), max_size=12))
    folded = fold(kept, dialect="responses")
    assert not [signal for signal in folded.signals if isinstance(signal, RunCompleted | ActionRequired)]
