"""Odd values in events of the Responses wire: no exception, and the run is read as far as it goes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from runstream import Limits, MemoryStore, RunStatus, RunStream, TextDelta, fold
from runstream.model.raw import RawEvent

MESSAGE = {"id": "m", "type": "message", "role": "assistant", "content": []}
ADDED = {"type": "response.output_item.added", "output_index": 0, "item": MESSAGE}
HUGE = 10**400


def data(event: Any) -> bytes:
    return json.dumps(event).encode()


def response(status: str, id: str = "resp_1", **more: Any) -> dict[str, Any]:
    return {"id": id, "object": "response", "status": status, "output": [], **more}


def created(id: str = "resp_1", **more: Any) -> dict[str, Any]:
    return {"type": "response.created", "response": response("in_progress", id, **more)}


def completed(id: str = "resp_1", **more: Any) -> dict[str, Any]:
    return {"type": "response.completed", "response": response("completed", id, **more)}


def done(item: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


CALL = {"id": "fc", "type": "function_call", "call_id": ["c"], "name": "f", "arguments": "{}"}
SHELL = {"id": "s", "type": "shell_call", "call_id": "c", "status": "completed"}


@pytest.mark.parametrize(
    "events",
    [
        [created(), done(CALL), completed(output=[CALL])],
        [created(), done({**CALL, "call_id": {}}), completed(output=[{**CALL, "call_id": {}}])],
        [created(), completed(), created("resp_2", previous_response_id=[]), completed("resp_2")],
        [response("in_progress"), response("completed", "resp_2", previous_response_id={})],
        [response("completed", output=[{**SHELL, "environment": {"type": ["x"]}}])],
        [created(temperature=HUGE, top_p=-HUGE), completed()],
        [created(created_at=-HUGE), completed(created_at=-HUGE, completed_at=1)],
        [created(created_at=1), completed(created_at=1, completed_at=HUGE)],
        [created(created_at="soon", temperature=[], metadata={"a": [1]}), completed(completed_at={})],
    ],
    ids=[
        *("call_id a list", "call_id an object", "previous a list", "polled", "environment"),
        *("temperature", "created_at", "completed_at", "types"),
    ],
)
def test_odd_values_end_nothing(events: Sequence[Any]) -> None:
    found = fold(map(data, events), dialect="responses")
    assert found.runs
    assert all(state.is_terminal or state.run.requires_action for state in found.runs)


def test_times_of_the_assistants_wire_may_be_odd_too() -> None:
    run = {"id": "run_1", "object": "thread.run", "created_at": -HUGE, "completed_at": 1}
    events = [
        {"event": f"thread.run.{status}", "data": {**run, "status": status}} for status in ("queued", "completed")
    ]
    (state,) = fold(map(data, events)).runs
    assert state.run.status is RunStatus.COMPLETED
    assert state.run.created_at is None
    assert state.run.to_dict()["created_at"] == -HUGE


@pytest.mark.parametrize("place", ["response", "item"])
def test_a_long_integer_does_not_end_a_source_with_a_store(place: str) -> None:
    """It is in the memory of the decoder, which is stored with the states."""
    events = [
        created(**({"seed": 10**20} if place == "response" else {})),
        {**ADDED, "item": {**MESSAGE, **({"seed": -(10**20)} if place == "item" else {})}},
        done({**MESSAGE, "content": [{"type": "output_text", "text": "Hi", "annotations": []}]}),
        completed(),
    ]

    async def main() -> None:
        async with RunStream(map(data, events), dialect="responses", store=MemoryStore()) as stream:
            run = await stream.result()
        assert run.status is RunStatus.COMPLETED
        assert stream.latest["resp_1"].text == "Hi"

    asyncio.run(main())


def delta(text: str, number: int | None = None, **more: Any) -> dict[str, Any]:
    event = {"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "delta": text, **more}
    return event if number is None else {**event, "sequence_number": number}


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.parametrize("more", [{"delta": "b" * 5_000}, {"more": deep(60)}], ids=["large", "deep"])
def test_the_bounds_of_a_message_are_those_of_fragments_too(count: int, more: dict[str, Any]) -> None:
    """Also where many arrive together."""
    events = [created(), ADDED, *(delta("a", number) for number in range(2, 2 + count))]
    events.append(delta("b", 2 + count, **more))
    events += [delta("c", 3 + count + number) for number in range(count)]
    limits = Limits(max_message_bytes=1_000, max_nesting=20)
    raws = [RawEvent(data=data({"sequence_number": number, **event})) for number, event in enumerate(events)]
    for items in (raws, iter(raws)):
        found = fold(items, dialect="responses", limits=limits)
        assert len(found.rejects) == 1
        assert ("max_message_bytes" if "delta" in more else "max_nesting") in found.rejects[0].reason
        assert found.runs[0].text == "a" * count + "c" * count
        assert found.runs[0].partial == {"m"}


def test_long_fragments_within_the_bounds_are_read() -> None:
    text = "[{" * 300
    events = [created(), ADDED, *(delta(text, number) for number in range(2, 60))]
    found = fold([data({"sequence_number": number, **event}) for number, event in enumerate(events)])
    assert found.runs[0].text == text * 58
    assert not found.rejects
    assert sum(isinstance(signal, TextDelta) for signal in found.signals) == 58


# items with one index


def approval(id: str) -> dict[str, Any]:
    return {"id": id, "type": "mcp_approval_request", "name": "f", "arguments": "{}", "server_label": "s"}


def message(id: str, text: str) -> dict[str, Any]:
    return {**MESSAGE, "id": id, "content": [{"type": "output_text", "text": text, "annotations": []}]}


@pytest.mark.parametrize("output", [True, False])
def test_items_that_were_never_announced_may_share_an_index(output: bool) -> None:
    """Their ids tell them apart."""
    calls = [approval("a"), approval("b")]
    found = fold(map(data, [created(), *map(done, calls), completed(output=calls if output else [])]))
    (run,) = found.runs
    assert [call.id for call in run.run.pending_tool_calls] == ["a", "b"]


def test_messages_that_were_never_announced_may_share_an_index() -> None:
    events = [created(), done(message("a", "one ")), done(message("b", "two")), completed()]
    (state,) = fold(map(data, events)).runs
    assert state.text == "one two"


def test_an_id_that_changes_in_each_event_makes_no_items() -> None:
    """The fragments have shown that it does: what comes after the end is of the same item."""
    events = [
        created(),
        {**ADDED, "item": {**MESSAGE, "id": "x1"}},
        delta("Hi", item_id="x2"),
        done(message("x3", "Hi")),
        delta("!", item_id="x4"),
        completed(output=[message("x5", "Hi")]),
    ]
    (state,) = fold(map(data, events)).runs
    assert [part.text for part in state.messages] == ["Hi"]
