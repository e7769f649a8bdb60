"""Builders for the Assistants wire: objects, deltas, events and their framings, as real servers write them.

Each builder returns a plain ``dict`` with every field that current servers send, in their order, nulls
included. What a test wants otherwise is a keyword: ``run_object("run_1", status="failed", last_error=...)``.
A keyword that the wire does not know is added at the end, and ``ABSENT`` removes a field. Nothing here
imports the package under test, so that odd objects and whole streams can be checked independently of it. Whole runs
are built by `runstream.testing.Script`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

__all__ = [
    "ABSENT",
    "DONE",
    "EPOCH",
    "LIFETIME",
    "Event",
    "Json",
    "code_interpreter_call",
    "code_interpreter_delta",
    "dumps",
    "envelope",
    "error_object",
    "file_citation",
    "file_search_call",
    "file_search_delta",
    "file_search_result",
    "function_call",
    "function_call_delta",
    "function_tool",
    "jsonl",
    "logs",
    "message_creation",
    "message_delta",
    "message_object",
    "read_sse",
    "required_action",
    "run_object",
    "sse",
    "step_delta",
    "step_object",
    "text_part",
    "thread_object",
    "tokens",
    "tool_calls",
    "usage",
]

Json = dict[str, Any]

EPOCH: Final = 1_790_000_000
"""The moment (Unix seconds) at which the made-up world begins."""

LIFETIME: Final = 600
"""Seconds from a run's creation to its ``expires_at``."""

ABSENT: Final = object()
"""As a field's value: leave the field out (absent is not null)."""


def _object(base: Json, changes: Mapping[str, Any]) -> Json:
    merged = {**base, **changes}
    return {key: value for key, value in merged.items() if value is not ABSENT}


# -- runs and threads ----------------------------------------------------------------


def run_object(
    id: str = "run_0001",
    *,
    status: str = "queued",
    created_at: int = EPOCH,
    thread_id: str = "thread_0001",
    assistant_id: str = "asst_0001",
    **fields: Any,
) -> Json:
    """A whole Run; queued and not yet started unless the keywords say otherwise."""
    base: Json = {
        "id": id,
        "object": "thread.run",
        "created_at": created_at,
        "assistant_id": assistant_id,
        "thread_id": thread_id,
        "status": status,
        "started_at": None,
        "expires_at": created_at + LIFETIME,
        "cancelled_at": None,
        "failed_at": None,
        "completed_at": None,
        "required_action": None,
        "last_error": None,
        "model": "gpt-4o-mini",
        "instructions": None,
        "tools": [],
        "tool_resources": {"code_interpreter": {"file_ids": []}},
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
        "reasoning_effort": None,
        "max_completion_tokens": None,
        "max_prompt_tokens": None,
        "truncation_strategy": {"type": "auto", "last_messages": None},
        "incomplete_details": None,
        "usage": None,
        "response_format": "auto",
        "tool_choice": "auto",
        "parallel_tool_calls": True,
    }
    return _object(base, fields)


def thread_object(id: str = "thread_0001", *, created_at: int = EPOCH, **fields: Any) -> Json:
    """A whole Thread."""
    base: Json = {
        "id": id,
        "object": "thread",
        "created_at": created_at,
        "metadata": {},
        "tool_resources": {"code_interpreter": {"file_ids": []}},
    }
    return _object(base, fields)


def required_action(*calls: Json) -> Json:
    """The ``required_action`` of a run that waits for the outputs of these calls (see `function_call`)."""
    waiting = [
        {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["function"]["name"], "arguments": call["function"]["arguments"]},
        }
        for call in calls
    ]
    return {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": waiting}}


def function_tool(name: str, description: str, parameters: Mapping[str, Json], *, strict: bool = False) -> Json:
    """A function tool whose parameters are all required."""
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {"type": "object", "properties": dict(parameters), "required": list(parameters)},
            "strict": strict,
        },
    }


def usage(prompt: int, completion: int, *, cached: int = 0, reasoning: int = 0) -> Json:
    """Token counts, with the singular ``prompt_token_details`` that real servers write."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_token_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def error_object(message: str, *, type: str = "server_error", code: str | None = None, **fields: Any) -> Json:
    """The data of an ``error`` event, nested under ``error`` as servers send it."""
    return {"error": _object({"message": message, "type": type, "param": None, "code": code}, fields)}


# -- steps ---------------------------------------------------------------------------


def step_object(
    id: str,
    run: Mapping[str, Any],
    details: Json,
    *,
    status: str = "in_progress",
    created_at: int | None = None,
    **fields: Any,
) -> Json:
    """A whole RunStep of `run`; its type is that of its details (`message_creation`, `tool_calls`)."""
    base: Json = {
        "id": id,
        "object": "thread.run.step",
        "created_at": run["created_at"] if created_at is None else created_at,
        "run_id": run["id"],
        "assistant_id": run["assistant_id"],
        "thread_id": run["thread_id"],
        "type": details["type"],
        "status": status,
        "cancelled_at": None,
        "completed_at": None,
        "expires_at": run["created_at"] + LIFETIME,
        "failed_at": None,
        "last_error": None,
        "step_details": details,
        "usage": None,
    }
    return _object(base, fields)


def message_creation(message_id: str) -> Json:
    """Step details: a message is being written."""
    return {"type": "message_creation", "message_creation": {"message_id": message_id}}


def tool_calls(*calls: Json) -> Json:
    """Step details: tools are being called."""
    return {"type": "tool_calls", "tool_calls": list(calls)}


def function_call(id: str, name: str, arguments: str, *, output: str | None = None) -> Json:
    """A function call as it stands in a whole step."""
    return {
        "id": id,
        "type": "function",
        "function": {"name": name, "arguments": arguments, "output": output},
    }


def code_interpreter_call(id: str, input: str, outputs: Sequence[Json] = ()) -> Json:
    """A code interpreter call as it stands in a whole step."""
    return {
        "id": id,
        "type": "code_interpreter",
        "code_interpreter": {"input": input, "outputs": list(outputs)},
    }


def logs(text: str) -> Json:
    """An output of the code interpreter: what the code printed."""
    return {"type": "logs", "logs": text}


def file_search_call(id: str, results: Sequence[Json] = ()) -> Json:
    """A file search as it stands in a whole step."""
    ranking = {"ranker": "default_2024_08_21", "score_threshold": 0.0}
    return {
        "id": id,
        "type": "file_search",
        "file_search": {"ranking_options": ranking, "results": list(results)},
    }


def file_search_result(file_id: str, file_name: str, score: float, text: str) -> Json:
    """One hit of a file search, its content included."""
    content = [{"type": "text", "text": text}]
    return {"file_id": file_id, "file_name": file_name, "score": score, "attributes": {}, "content": content}


def step_delta(step_id: str, *calls: Json) -> Json:
    """A RunStepDelta that carries these call deltas."""
    details = {"type": "tool_calls", "tool_calls": list(calls)}
    return {"id": step_id, "object": "thread.run.step.delta", "delta": {"step_details": details}}


def function_call_delta(index: int, arguments: str = "", *, id: str | None = None, name: str | None = None) -> Json:
    """A piece of a function call: the first one (with `id` and `name`) opens it, later ones append."""
    if id is None:
        return {"index": index, "type": "function", "function": {"arguments": arguments}}
    opened = {"name": name, "arguments": arguments, "output": None}
    return {"index": index, "id": id, "type": "function", "function": opened}


def code_interpreter_delta(
    index: int, input: str | None = None, *, id: str | None = None, outputs: Sequence[Json] = ()
) -> Json:
    """A piece of a code interpreter call: its opening (with `id`), more code, or outputs (indexed here)."""
    if id is not None:
        opened = {"input": input or "", "outputs": []}
        return {"index": index, "id": id, "type": "code_interpreter", "code_interpreter": opened}
    piece: Json = {} if input is None else {"input": input}
    if outputs:
        piece["outputs"] = [{"index": position, **output} for position, output in enumerate(outputs)]
    return {"index": index, "type": "code_interpreter", "code_interpreter": piece}


def file_search_delta(index: int, id: str) -> Json:
    """The one delta of a file search: results are still empty in it."""
    return {"index": index, **file_search_call(id)}


# -- messages ------------------------------------------------------------------------


def message_object(
    id: str,
    run: Mapping[str, Any],
    *,
    status: str = "in_progress",
    content: Sequence[Json] = (),
    created_at: int | None = None,
    **fields: Any,
) -> Json:
    """A whole Message of the assistant, written by `run`."""
    base: Json = {
        "id": id,
        "object": "thread.message",
        "created_at": run["created_at"] if created_at is None else created_at,
        "assistant_id": run["assistant_id"],
        "thread_id": run["thread_id"],
        "run_id": run["id"],
        "status": status,
        "incomplete_details": None,
        "incomplete_at": None,
        "completed_at": None,
        "role": "assistant",
        "content": list(content),
        "attachments": [],
        "metadata": {},
    }
    return _object(base, fields)


def text_part(value: str, annotations: Sequence[Json] = ()) -> Json:
    """A text part of a whole message."""
    return {"type": "text", "text": {"value": value, "annotations": list(annotations)}}


def file_citation(marker: str, start_index: int, file_id: str) -> Json:
    """An annotation of a whole message: `marker` stands at `start_index` and cites a file."""
    return {
        "type": "file_citation",
        "text": marker,
        "start_index": start_index,
        "end_index": start_index + len(marker),
        "file_citation": {"file_id": file_id},
    }


def message_delta(
    message_id: str,
    value: str,
    *,
    index: int = 0,
    annotations: Sequence[Json] | None = None,
    first_annotation: int = 0,
) -> Json:
    """A MessageDelta that appends text.

    Servers write ``annotations`` in the first delta of a part and where one comes; `first_annotation` is the
    place of the first of these in the whole message's list.
    """
    text: Json = {"value": value}
    if annotations is not None:
        text["annotations"] = [
            _annotation_delta(place, item) for place, item in enumerate(annotations, first_annotation)
        ]
    part = {"index": index, "type": "text", "text": text}
    return {"id": message_id, "object": "thread.message.delta", "delta": {"content": [part]}}


def _annotation_delta(index: int, annotation: Json) -> Json:
    streamed = {"index": index, **annotation}
    if "file_citation" in annotation:
        streamed["file_citation"] = {**annotation["file_citation"], "quote": ""}
    return streamed


_TOKEN = re.compile(
    r"""【[^】]*】                              # a citation marker, whole
    | \s*[^\w\s【]*["{}\[\]()][^\w\s【]*    # the marks between two names or values of code or JSON
    | \s*(?:[^\W_]+(?:['’][^\W_]+)?|[^\w\s]|_)
    | \s+
    """,
    re.VERBOSE,
)


def tokens(text: str) -> list[str]:
    """Split text much as a model does: a word with the blank before it, a mark, a citation marker."""
    return _TOKEN.findall(text)


# -- events and framings -------------------------------------------------------------


class Event(NamedTuple):
    """One event of the wire: its name and its data (an object, or the literal ``[DONE]``)."""

    name: str
    data: Json | str


DONE: Final = Event("done", "[DONE]")


def dumps(value: Any) -> str:
    """JSON as servers write it: no blanks, no escapes for what UTF-8 can say."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def envelope(event: Event, id: str | None = None) -> str:
    """The event as one JSON object: a WebSocket frame, or a line of JSONL."""
    body: Json = {"event": event.name, "data": event.data}
    return dumps(body if id is None else {"id": id, **body})


def jsonl(events: Iterable[Event], ids: Iterable[str | None] | None = None) -> bytes:
    """The events as JSON lines, each with its envelope ``id`` where one is given."""
    return "".join(envelope(event, id) + "\n" for event, id in _with_ids(events, ids)).encode()


def sse(events: Iterable[Event], ids: Iterable[str | None] | None = None, *, newline: str = "\n") -> bytes:
    """The events as a server-sent event stream, each with its ``id:`` field where one is given."""
    blocks = []
    for event, id in _with_ids(events, ids):
        data = event.data if isinstance(event.data, str) else dumps(event.data)
        lines = [f"event: {event.name}", f"data: {data}", *([] if id is None else [f"id: {id}"]), ""]
        blocks.append("".join(line + newline for line in lines))
    return "".join(blocks).encode()


def _with_ids(events: Iterable[Event], ids: Iterable[str | None] | None) -> Iterable[tuple[Event, str | None]]:
    if ids is None:
        return [(event, None) for event in events]
    return list(zip(events, ids, strict=True))


def read_sse(body: bytes) -> list[Event]:
    """Read a well-formed event stream back (one ``data:`` line a block).

    Deliberately naive, so that it shares no fault with the parser under test.
    """
    events = []
    for block in body.decode().replace("\r\n", "\n").split("\n\n"):
        fields: dict[str, str] = {}
        for line in block.split("\n"):
            name, colon, value = line.partition(":")
            if name and colon:
                fields[name] = value.removeprefix(" ")
        if "data" in fields:
            data = fields["data"]
            decoded = data if data == "[DONE]" else json.loads(data)
            events.append(Event(fields.get("event", "message"), decoded))
    return events
