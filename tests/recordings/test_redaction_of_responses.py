"""The redaction of the Responses wire, and of patches and pauses of AG-UI: what is kept, key by key."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runstream import RawEvent, Redaction, Request, fold
from runstream.testing import Turn, serve_script

SECRET = "Ann owes 4711"
HIDDEN = "x" * len(SECRET)
IDS = {"item_id": "fc_1", "output_index": 0, "sequence_number": 4}


def blanked(value: Any, dialect: str = "responses") -> Any:
    return json.loads(Redaction(dialect=dialect)(RawEvent(None, json.dumps(value).encode())).data)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (
            {"type": "response.output_text.delta", **IDS, "delta": SECRET, "obfuscation": "a1"},
            {"type": "response.output_text.delta", **IDS, "delta": HIDDEN, "obfuscation": "xx"},
        ),
        (  # the bytes of a token are its text
            {"type": "response.output_text.delta", "logprobs": [{"token": "Ann", "bytes": [65, 110], "logprob": -1.5}]},
            {"type": "response.output_text.delta", "logprobs": [{"token": "xxx", "bytes": [0, 0], "logprob": 0.0}]},
        ),
        (
            {"type": "response.function_call_arguments.done", "name": "pay", "arguments": {"to": "Ann", "n": 4711}},
            {"type": "response.function_call_arguments.done", "name": "pay", "arguments": {"to": "xxx", "n": 0}},
        ),
        (
            {"type": "error", "code": "rate_limit_exceeded", "message": SECRET, "param": "input"},
            {"type": "error", "code": "rate_limit_exceeded", "message": HIDDEN, "param": "input"},
        ),
        (
            {"type": "error", "code": SECRET, "message": SECRET},
            {"type": "error", "code": HIDDEN, "message": HIDDEN},
        ),
        (  # a private event: its type alone is known
            {"type": "response.private", "things": {"id": SECRET, "name": "Ann", "count": 3}},
            {"type": "response.private", "things": {"id": HIDDEN, "name": "xxx", "count": 3}},
        ),
    ],
)
def test_events(value: Any, kept: Any) -> None:
    assert blanked(value) == kept


def test_a_response_keeps_its_items_and_none_of_their_content() -> None:
    """The output of a response is a list of items; the output of a call is content, whatever its shape."""
    output = [
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "pay", "arguments": SECRET},
        {"type": "function_call_output", "call_id": "call_1", "output": {"id": SECRET, "paid": 4711}},
        {"type": "function_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": SECRET}]},
        {"type": "shell_call", "id": "sh_1", "status": "completed", "action": {"commands": ["rm Ann"], "max": 9}},
        {"type": "code_interpreter_call", "id": "ci_1", "code": "Ann", "outputs": [{"type": "logs", "logs": SECRET}]},
        {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": SECRET}]},
    ]
    tools = [{"type": "function", "name": "pay", "description": SECRET, "parameters": {"title": "Ann", "type": "o"}}]
    common = {"id": "resp_1", "object": "response", "status": "completed", "model": "small"}
    value = {**common, "output": output, "tools": tools, "instructions": SECRET, "metadata": {"id": SECRET}}
    kept = {
        **common,
        "output": [
            {**output[0], "arguments": HIDDEN},
            {**output[1], "output": {"id": HIDDEN, "paid": 0}},
            {**output[2], "output": [{"type": "xxxxxxxxxx", "text": HIDDEN}]},
            {**output[3], "action": {"commands": ["xxxxxx"], "max": 0}},
            {**output[4], "code": "xxx", "outputs": [{"type": "logs", "logs": HIDDEN}]},
            {**output[5], "content": [{"type": "output_text", "text": HIDDEN}]},
        ],
        "tools": [{**tools[0], "description": HIDDEN, "parameters": {"title": "xxx", "type": "x"}}],
        "instructions": HIDDEN,
        "metadata": {"id": HIDDEN},
    }
    assert blanked(value) == kept
    assert blanked({"type": "response.completed", "response": value}) == {
        "type": "response.completed",
        "response": kept,
    }


def test_a_request_keeps_the_ids_of_its_answers() -> None:
    body = {
        "previous_response_id": "resp_1",
        "input": [{"type": "function_call_output", "call_id": "c", "output": "Ann"}],
    }
    kept = {**body, "input": [{**body["input"][0], "output": "xxx"}]}  # type: ignore[dict-item]
    redacted = Redaction(dialect="responses")(Request(body=json.dumps(body).encode()))
    assert json.loads(redacted.body) == kept


async def test_a_run_of_two_responses_is_the_same_run() -> None:
    """With its calls, their answers and its end."""
    import httpx2

    turns = [Turn(calls={"pay": {"to": "Ann"}}), Turn(text=SECRET)]
    raws: list[RawEvent] = []
    async with serve_script(turns) as server, httpx2.AsyncClient() as client:
        first = {"model": "m", "input": "Pay.", "stream": True}
        raws += events_of((await client.post(f"{server.url}/responses", json=first)).text)
        (state,) = fold(raws).runs
        answer = {"type": "function_call_output", "call_id": state.run.pending_tool_calls[0].id, "output": "done"}
        second = {"model": "m", "input": [answer], "previous_response_id": state.run_id, "stream": True}
        raws += events_of((await client.post(f"{server.url}/responses", json=second)).text)
    plain, blank = fold(raws), fold([Redaction()(raw) for raw in raws])
    assert [signal.key for signal in blank.signals] == [signal.key for signal in plain.signals]
    (run,) = blank.runs
    assert (run.status, run.text) == ("completed", HIDDEN)


def events_of(text: str) -> list[RawEvent]:
    """The raw events of the body of an event stream."""
    blocks = [block.partition("\ndata: ") for block in text.split("\n\n") if "\ndata: " in block]
    return [RawEvent(name.removeprefix("event: "), data.encode()) for name, _, data in blocks]


def test_a_patch_keeps_its_paths_and_a_pause_its_calls() -> None:
    """Keys of documents are kept, so the paths to them are; the values are not."""
    patch = [{"op": "add", "path": "/plan/0", "value": {"name": "Ann", "n": 7}}, {"op": "remove", "path": "/Ann says"}]
    assert blanked({"type": "STATE_DELTA", "delta": patch}, "ag-ui")["delta"] == [
        {"op": "add", "path": "/plan/0", "value": {"name": "xxx", "n": 0}},
        {"op": "remove", "path": "xxxxxxxxx"},
    ]
    outcome = {"type": "success", "pendingToolCallIds": ["call_1", "some words"]}
    kept = {"type": "success", "pendingToolCallIds": ["call_1", "xxxxxxxxxx"]}
    assert blanked({"type": "RUN_FINISHED", "outcome": outcome}, "ag-ui")["outcome"] == kept
