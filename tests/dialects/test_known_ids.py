"""Ids of messages and steps that a server uses again in a later response or run, which another source sends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runstream.core.state import RunState
from runstream.engine.engine import Engine
from runstream.model.raw import RawEvent
from runstream.store.memory import MemoryStore
from tests.dialects.agui import call, event, finished, flat, result, started, text

QUESTION = {"id": "fc_0", "type": "function_call", "call_id": "call_a", "name": "weather", "arguments": "{}"}
USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}


def message(words: str, id: str = "msg_0") -> dict[str, Any]:
    return {"id": id, "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": words}]}


def response(id: str, *items: dict[str, Any], numbered: bool = True, **fields: Any) -> list[RawEvent]:
    """A response whose items are streamed, each text in two fragments; the final output has them too."""
    shown = {"id": id, "object": "response", "created_at": 1, **fields}
    values: list[dict[str, Any]] = [{"type": "response.created", "response": {**shown, "status": "in_progress"}}]
    for index, item in enumerate(items):
        place = {"output_index": index, "item_id": item["id"]}
        empty = {**item, **({"content": []} if item["type"] == "message" else {"arguments": ""})}
        values.append({"type": "response.output_item.added", "output_index": index, "item": empty})
        whole = item["content"][0]["text"] if item["type"] == "message" else item["arguments"]
        name = "output_text" if item["type"] == "message" else "function_call_arguments"
        parts = ({**place, "content_index": 0, "delta": part} for part in (whole[:1], whole[1:]))
        values += [{"type": f"response.{name}.delta", **part} for part in parts]
        values.append({"type": "response.output_item.done", "output_index": index, "item": item})
    end = {**shown, "status": "completed", "output": list(items), "usage": USAGE}
    values.append({"type": "response.completed", "response": end})
    if numbered:
        values = [{**value, "sequence_number": number} for number, value in enumerate(values)]
    return [RawEvent(data=json.dumps(value).encode()) for value in values]


ASKED = response("resp_a", message("Wait. "), QUESTION)
ANSWERED = response("resp_b", message("Sunny."))


def send(engine: Engine, name: str, raws: list[RawEvent], dialect: str, continues: str | None = None) -> None:
    """One source, from its beginning to its end."""
    intake = engine.intake(name, dialect=dialect, continues=continues)
    intake.feed_all(raws)
    intake.end()


def keeping(store: MemoryStore) -> Engine:
    engine = Engine(store=store)
    engine.on_signal = lambda signal: None
    return engine


def run_of(engine: Engine) -> RunState:
    (state,) = engine.states()
    return state


# responses


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("numbered", [False, True])
def test_item_ids_counted_in_each_response(linked: bool, numbered: bool) -> None:
    """Each response is a source of its own, and both have the item ``msg_0``."""
    engine = Engine()
    send(engine, "one", response("resp_a", message("Wait. "), QUESTION, numbered=numbered), "responses")
    fields = {"previous_response_id": "resp_a"} if linked else {}
    raws = response("resp_b", message("Sunny."), numbered=numbered, **fields)
    send(engine, "two", raws, "responses", None if linked else "resp_a")
    state = run_of(engine)
    assert (state.status, [each.text for each in state.messages]) == ("completed", ["Wait. ", "Sunny."])
    assert [each.id for each in state.messages] == ["msg_0", "resp_b:msg_0"]


def test_a_call_under_the_id_of_an_earlier_one() -> None:
    """A second call that waits is there, with the arguments that were streamed."""
    engine = Engine()
    send(engine, "one", ASKED, "responses")
    other = {**QUESTION, "call_id": "call_b", "name": "tides", "arguments": '{"n":2}'}
    send(engine, "two", response("resp_b", other), "responses", "resp_a")
    state = run_of(engine)
    assert [(each.name, each.arguments) for each in state.tool_calls] == [("weather", "{}"), ("tides", '{"n":2}')]
    assert [each.id for each in state.run.pending_tool_calls] == ["call_b"]


@pytest.mark.parametrize("own", ["msg_0", "msg_7"])
@pytest.mark.parametrize("cut", range(1, len(ANSWERED)))
def test_a_later_response_again_from_its_beginning(cut: int, own: str) -> None:
    """On a second connection of its source, and then as it is polled by a decoder that has not seen it."""
    engine = Engine()
    send(engine, "one", ASKED, "responses")
    raws = response("resp_b", message("Sunny.", own))
    intake = engine.intake("two", dialect="responses", continues="resp_a")
    intake.connected()
    intake.feed_all(raws[:cut])
    intake.disconnected("lost")
    intake.connected()
    intake.feed_all(raws)
    polled = json.loads(raws[-1].data)["response"]
    engine.apply_snapshots(intake.state, [RawEvent(data=json.dumps(polled).encode())], intake.make_decoder())
    intake.end()
    assert [each.text for each in run_of(engine).messages] == ["Wait. ", "Sunny."]


@pytest.mark.parametrize("cut", range(1, len(ANSWERED)))
def test_a_later_response_after_a_restart(cut: int) -> None:
    """The decoder of the next process knows which ids the response has."""
    store = MemoryStore()
    engine = keeping(store)
    send(engine, "one", ASKED, "responses")
    intake = engine.intake("two", dialect="responses", continues="resp_a")
    intake.feed_all(ANSWERED[:cut])
    engine = keeping(store)
    intake = engine.intake("two", dialect="responses")
    intake.feed_all(ANSWERED[cut:])
    intake.end()
    assert [each.text for each in run_of(engine).messages] == ["Wait. ", "Sunny."]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("cut", range(2, len(ANSWERED)))
def test_a_later_response_goes_on_in_a_third_source(cut: int, whole: bool) -> None:
    """It is sent from its beginning, or after the last number, by a source that does not know its run."""
    engine = Engine()
    send(engine, "one", ASKED, "responses")
    send(engine, "two", ANSWERED[:cut], "responses", "resp_a")
    send(engine, "three", ANSWERED if whole else ANSWERED[cut:], "responses")
    state = run_of(engine)
    assert (state.status, [each.text for each in state.messages]) == ("completed", ["Wait. ", "Sunny."])


def test_counted_ids_of_two_runs_on_one_stream() -> None:
    """The second response has the same text under the same id: it is no repetition of the first one's."""
    for numbered in (False, True):
        engine = Engine()
        raws = [*response("resp_a", message("Hi."), numbered=numbered)]
        send(engine, "one", [*raws, *response("resp_b", message("Hi."), numbered=numbered)], "responses")
        assert [state.text for state in engine.states()] == ["Hi.", "Hi."]


def test_fragments_under_a_counted_id_are_of_the_open_response() -> None:
    """The text of a second response grows as it is streamed, not first at the end of its item."""
    for numbered in (False, True):
        engine = Engine()
        raws = [*response("resp_a", message("Hi."), numbered=numbered)]
        send(engine, "one", [*raws, *response("resp_b", message("Bye."), numbered=numbered)[:-2]], "responses")
        assert [state.text for state in engine.states()] == ["Hi.", "Bye."]


# AG-UI


def asks() -> list[RawEvent]:
    return flat([started("a"), text("Wait.", "m1"), call("pay", '{"n":1}'), finished("a")])


def answers(run: str = "b") -> list[RawEvent]:
    thought = [
        event("REASONING_MESSAGE_START", messageId="m1", role="reasoning"),
        event("REASONING_MESSAGE_CONTENT", messageId="m1", delta="Hm."),
        event("REASONING_MESSAGE_END", messageId="m1"),
    ]
    return flat([started(run), result("paid"), thought, text("Done.", "m1"), finished(run)])


@pytest.mark.parametrize("run", ["b", "a"])
def test_message_ids_counted_in_each_run(run: str) -> None:
    """Each run is a response of its own, and both have the message ``m1``; the server may repeat its runId too."""
    engine = Engine()
    send(engine, "one", asks(), "ag-ui")
    send(engine, "two", answers(run), "ag-ui", "a")
    state = run_of(engine)
    assert (state.status, [each.text for each in state.messages]) == ("completed", ["Wait. ", "Done. "])
    assert [(each.name, each.arguments, each.output) for each in state.tool_calls] == [("pay", '{"n":1}', "paid")]
    assert state.reasoning == "Hm."
    assert state.pieces == ("a", "b" if run == "b" else "a~2")


def test_three_runs_under_one_id() -> None:
    """A third piece with the ids of the first two, and a message in chunks."""
    engine = Engine()
    send(engine, "one", asks(), "ag-ui")
    asked = flat([started("a"), text("Again.", "m1"), call("ship", id="c2"), finished("a")])
    send(engine, "two", asked, "ag-ui", "a")
    chunks = [event("TEXT_MESSAGE_CHUNK", messageId="m1", delta=part) for part in ("By", "e.")]
    send(engine, "three", flat([started("a"), result("ok", "c2"), chunks, finished("a")]), "ag-ui", "a")
    state = run_of(engine)
    assert [each.text for each in state.messages] == ["Wait. ", "Again. ", "Bye."]
    assert state.pieces == ("a", "a~2", "a~3")


def test_the_history_in_a_snapshot_is_no_new_message() -> None:
    """A snapshot repeats the message of the first run under its id."""
    engine = Engine()
    send(engine, "one", asks(), "ag-ui")
    known = (("m1", "Wait. "), ("m9", "Done. "))
    snapshot = event("MESSAGES_SNAPSHOT", messages=[{"id": id, "role": "assistant", "content": t} for id, t in known])
    raws = flat([started("b"), result("paid"), text("Done.", "m2"), snapshot, finished("b")])
    send(engine, "two", raws, "ag-ui", "a")
    assert [each.text for each in run_of(engine).messages] == ["Wait. ", "Done. "]


@pytest.mark.parametrize("cut", range(1, len(answers())))
def test_a_later_run_after_a_restart(cut: int) -> None:
    """The decoder of the next process goes on with the messages of the run."""
    store = MemoryStore()
    engine = keeping(store)
    send(engine, "one", asks(), "ag-ui")
    intake = engine.intake("two", dialect="ag-ui", continues="a")
    intake.feed_all(answers()[:cut])
    engine = keeping(store)
    intake = engine.intake("two", dialect="ag-ui")
    intake.feed_all(answers()[cut:])
    intake.end()
    messages = run_of(engine).messages
    assert [each.id for each in messages] == ["m1", "b:m1"]
    assert messages[0].text == "Wait. "


def test_the_first_run_again_from_another_source_is_the_same() -> None:
    """Two files with one stream: nothing is doubled, though the run waits."""
    engine = Engine()
    send(engine, "one", asks(), "ag-ui")
    send(engine, "two", asks(), "ag-ui")
    state = run_of(engine)
    assert ([each.text for each in state.messages], state.pieces) == (["Wait. "], ("a",))
