"""The request of an AG-UI run (RunAgentInput): its body enters, what the decoder needs of it leaves."""

from __future__ import annotations

from typing import Any

import msgspec

from runstream.dialects.ag_ui_state import Input
from runstream.dialects.ag_ui_wire import Json, field_of, json_text, objects_of, output_of, read_number_ids, text_of
from runstream.dialects.json_message import parse_json
from runstream.model.raw import Request

__all__ = ["input_of", "read_request"]


def read_request(request: Request) -> Input | None:
    """What a request says; ``None`` if it has no readable body, and continues nothing."""
    value: Any = None
    if request.body:
        try:
            value = parse_json(request.body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            value = None
    if isinstance(value, dict):
        read_number_ids(value)
        found = input_of(value)
    elif request.continues is not None:
        found = Input()
    else:
        return None
    found.continues = request.continues
    return found


def input_of(value: Json) -> Input:
    """What the input of a run says.

    Args:
        value: The object.
    """
    found = Input(run_id=text_of(field_of(value, "runId")) or None, thread_id=text_of(field_of(value, "threadId")))
    found.tools = [name for tool in objects_of(value.get("tools")) if (name := text_of(tool.get("name")))]
    if value.get("state") not in (None, {}):  # an empty object is what an absent state means
        found.state, found.has_state = value["state"], True
    messages = objects_of(value.get("messages"))
    found.history = {id for message in messages if (id := text_of(message.get("id")))}
    for message in reversed(messages):
        call_id = text_of(field_of(message, "toolCallId"))
        if message.get("role") != "tool" or not call_id:
            break
        content = message.get("content")
        error = text_of(message.get("error"))
        found.results.append((call_id, output_of(content) if content not in (None, "") or error is None else error))
    found.results.reverse()
    answered = {call_id for call_id, _ in found.results}
    for message in messages if answered else ():
        for call in objects_of(field_of(message, "toolCalls")):
            call_id, function = text_of(call.get("id")), call.get("function")
            if call_id in answered and isinstance(function, dict):
                given = function.get("arguments")
                arguments = given if isinstance(given, str) else json_text(given) if given is not None else ""
                found.calls[call_id] = text_of(function.get("name")), arguments
    resume = objects_of(value.get("resume"))
    found.answers = [id for entry in resume if (id := text_of(field_of(entry, "interruptId")))]
    found.answers += [call_id for call_id, _ in found.results]
    properties = field_of(value, "forwardedProps")
    command = properties.get("command") if isinstance(properties, dict) else None
    found.resumes = bool(resume) or (isinstance(command, dict) and command.get("resume") is not None)
    return found
