"""The items of a response: events of items and of their parts in, canonical events out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from runstream.dialects.responses_action import ANSWERED
from runstream.dialects.responses_calls import LISTS, output_of, step_of
from runstream.dialects.responses_growth import close_arguments, grow_commands, grow_diff
from runstream.dialects.responses_message import annotation_delta, message_of, parts_of
from runstream.dialects.responses_state import Item, Response
from runstream.dialects.responses_wire import (
    RUNNING,
    TARGETS,
    WHOLE_TEXTS,
    Json,
    agent_path,
    dump_text,
    map_of,
    text_of,
)
from runstream.model.events import CustomEvent, Event, MessageDeltaEvent, MessageEvent, StepEvent, Target, TextAppend
from runstream.model.frozen import freeze

__all__ = ["CONTENT", "answer_call", "close_item", "decode_item", "decode_part", "end_items", "show_item"]

CONTENT: Final = frozenset(
    {*TARGETS, "shell_call_command", "apply_patch_call_operation_diff", "shell_call_output_content"}
)
"""The middle of the names of the events with content of an item, which can't be used without its response."""

_PARTS: Final = frozenset({"content_part", "reasoning_summary_part", "reasoning_part"})
# The text of a whole part, by its type.
_PART_TARGETS: Final[dict[str, tuple[Target, str]]] = {
    "output_text": ("text", "text"),
    "refusal": ("refusal", "refusal"),
    "reasoning_text": ("reasoning", "text"),
    "summary_text": ("summary", "text"),
}
# The fields of an item whose texts grow by fragments; some servers have the whole text in an open item too.
_GROWING: Final[dict[str, tuple[str, ...]]] = {
    "message": ("content",),
    "reasoning": ("summary", "content"),
    "function_call": ("arguments",),
    "custom_tool_call": ("input",),
    "mcp_call": ("arguments",),
    "code_interpreter_call": ("code",),
}
_INDEXED: Final = frozenset({"text", "refusal", "reasoning", "summary"})
# The type of an item that was never announced, by the events of its parts.
_ITEM_TYPES: Final = {
    "reasoning": "reasoning",
    "reasoning_text": "reasoning",
    "reasoning_summary_text": "reasoning",
    "function_call_arguments": "function_call",
    "custom_tool_call_input": "custom_tool_call",
    "mcp_call_arguments": "mcp_call",
    "code_interpreter_call_code": "code_interpreter_call",
    "shell_call_command": "shell_call",
    "shell_call_output_content": "shell_call_output",
    "apply_patch_call_operation_diff": "apply_patch_call",
}


# whole items


def decode_item(
    response: Response, value: Json, index: int | None, kind: str, name: str, id: str | None
) -> list[Event]:
    """Decode the beginning or the end of an item.

    Args:
        response: The response of the item.
        value: The item.
        index: Its index; ``None`` if it is unknown.
        kind: The name of the event, without its prefix.
        name: The name of the event.
        id: The identity of the event.
    """
    item_id = text_of(value.get("id")) or None
    if kind.endswith("added"):
        item = response.by_id.get(item_id) if item_id is not None else None
        if item is None:
            item = response.find_made(item_id, index, value) or response.add(item_id, index, value)
        item.announced = item_id is not None
        return show_item(response, item, value, name, id, created=True)
    item = response.find(item_id, index, text_of(value.get("type"))) or response.find_open(item_id, index, value)
    if item is None or (item.closed and item.value.get("call_id") != value.get("call_id")):
        item = response.add(item_id, index, value)
    return close_item(response, item, value, name, id)


def close_item(response: Response, item: Item, value: Json, name: str, id: str | None) -> list[Event]:
    """Close an item that was sent whole."""
    item.closed = True
    item.value = value
    events: list[Event] = []
    if not item.type.endswith("_output"):
        if rest := close_arguments(item):
            events.append(TextAppend(item.id, "arguments", 0, rest, id, response.run_id, name))
        return events + show_item(response, item, value, name, id)
    # Its call may be of a response that another source has sent, or of none.
    return answer_call(response, item, name, id) or [
        CustomEvent(freeze(dict(value)), id, run_id=response.run_id, name=item.type)
    ]


def answer_call(response: Response, output: Item, name: str, id: str | None) -> list[Event]:
    """The events with the call that an item answers, of this response or of an earlier one; none if it is unknown."""
    for each in (response, *response.earlier):
        call = _call_of(each, output) if each.run_id == response.run_id else None
        if call is not None:
            call.output = output_of(output.value)
            return show_item(each, call, call.value, name, id)
    return []


def _call_of(response: Response, output: Item) -> Item | None:
    """The call that an item answers. A call that the server has answered may have no id."""
    call_id = output.value.get("call_id")
    shell_id = output.value.get("id") if output.type == "local_shell_call_output" and call_id is None else None
    for call in reversed(response.items):
        if (
            shell_id is not None
            and call.type == "local_shell_call"
            and shell_id in (call.id, call.value.get("call_id"))
        ):
            return call
        if call is output or call.type.endswith("_output") or call.value.get("call_id") != call_id:
            continue
        is_open = call.output is None or call.output == output_of(output.value)
        if call_id is not None or (is_open and output.type.startswith(call.type.removesuffix("_call"))):
            return call
    return None


def show_item(
    response: Response, item: Item, value: Json, name: str, id: str | None, *, created: bool = False
) -> list[Event]:
    """The event with an item as far as it is known. An open one has no text: its fragments bring all of it."""
    run_id = response.run_id
    path = item.path = item.path or agent_path(value)
    if not item.closed:
        value = {key: field for key, field in value.items() if key not in _GROWING.get(item.type, ())}
    if item.type == "message":
        status = "incomplete" if value.get("status") == "incomplete" else "completed"
        message = message_of(value, item.id, run_id, status if item.closed else "in_progress")
        return [MessageEvent(message, id, run_id=run_id, created=created, name=name, path=path)]
    if item.type.endswith("_output"):
        return []
    failed = value.get("status") in ("failed", "incomplete") or (value.get("error") and not value.get("output"))
    # A call that another item of the response may answer, and that is not asked for if the response fails.
    is_open = not item.closed or (response.is_open and item.output is None and item.type in ANSWERED)
    status = "in_progress" if is_open else "failed" if failed else "completed"
    step = step_of(value, item.id, run_id, status, output=item.output, count=item.count, whole=item.closed)
    return [StepEvent(step, id, run_id=run_id, created=created, name=name, path=path)]


def end_items(response: Response, status: str, name: str, id: str | None) -> list[Event]:
    """The ends of the items that were left open, as they are when their response ends.

    A call that the application may answer stays open: its arguments may be cut. So do steps of a response that has not
    completed: whether their ends were lost, or never sent, is unknown.

    Args:
        response: The response, which has ended.
        status: Its status.
        name: The name of the event.
        id: The identity of the event.
    """
    events: list[Event] = []
    for item in (*response.items, *([response.audio] if response.audio is not None else ())):
        if item.closed:
            if item.output is None and item.type in ANSWERED:
                value = item.value if status == "completed" else {**item.value, "status": "incomplete"}
                events += show_item(response, item, value, name, id)
        elif item.type == "message":
            item.closed = True
            ending = "completed" if status == "completed" else "incomplete"
            content = None if item.seen else item.value.get("content")  # fragments have brought all of it
            message = message_of({**item.value, "content": content}, item.id, response.run_id, ending)
            events.append(MessageEvent(message, id, run_id=response.run_id, name=name, path=item.path))
        elif item.type not in ANSWERED and status == "completed":
            item.closed = True
            ending = "incomplete" if item.value.get("status") == "failed" else "completed"
            grown = _GROWING.get(item.type, ()) if item.seen else ()
            value = {key: field for key, field in item.value.items() if key not in grown}
            events += show_item(response, item, {**value, "status": ending}, name, id)
    return events


# parts of items


def decode_part(response: Response, value: Json, kind: str, name: str, id: str | None) -> list[Event] | None:
    """Decode an event of a part of an item; ``None`` if it is unknown."""
    middle, _, last = kind.rpartition(".")
    decode = _DECODERS.get(middle)
    if decode is not None:
        return decode(response, value, last, name, id)
    if kind == "keepalive":
        return []
    if last == "partial_image":
        return _decode_image(response, value, name, id)
    if last in RUNNING and (middle.endswith("_call") or middle in LISTS or middle == "compaction"):
        return _decode_status(response, value, last, name, id)
    return None


def _place_of(value: Json) -> tuple[str | None, int | None]:
    """The id and the index of the item of an event."""
    index = value.get("output_index")
    return text_of(value.get("item_id")) or text_of(value.get("id")) or None, index if type(index) is int else None


def _find_or_add(response: Response, value: Json, middle: str, name: str, id: str | None) -> tuple[Item, list[Event]]:
    """The item of an event; one that was not announced is added, with its event."""
    item_id, index = _place_of(value)
    type = _ITEM_TYPES.get(middle, "message")
    item = response.find(item_id, index, type)
    if item is not None:
        return item, item.first[1] if id is not None and item.first[0] == id else []
    shown = {"id": item_id, "type": type, "call_id": value.get("call_id"), "agent": value.get("agent")}
    item = response.add(item_id, index, shown)
    item.first = id, show_item(response, item, shown, name, id, created=True)
    return item, item.first[1]


def _text_decoder(middle: str) -> Callable[[Response, Json, str, str, str | None], list[Event] | None]:
    target, whole = TARGETS[middle], WHOLE_TEXTS.get(middle, "text")

    def decode(response: Response, value: Json, last: str, name: str, id: str | None) -> list[Event] | None:
        text = value.get("delta" if last == "delta" else whole)
        if target == "arguments" and isinstance(text, dict):
            text = dump_text(text)  # they are whole in either event
        if not isinstance(text, str) or last not in ("delta", "done"):
            return None
        item, events = _find_or_add(response, value, middle, name, id)
        if last == "done" and target == "arguments" and not item.closed:
            item.is_whole, item.value = True, {**item.value, whole: text}
        return events + _append(response, item, target, value, text, last, name, id)

    return decode


def _append(
    response: Response, item: Item, target: Target, value: Json, text: str, last: str, name: str, id: str | None
) -> list[Event]:
    """The event that appends a text. A whole text repeats its fragments; where there were none, it is the only one."""
    found = value.get("summary_index" if target == "summary" else "content_index")
    index = found if type(found) is int and target in _INDEXED else 0
    is_new = (target, index) not in item.seen
    item.seen.add((target, index))
    if text and (last == "delta" or (is_new and not item.closed)):
        return [TextAppend(item.id, target, index, text, id, response.run_id, name)]
    return []


def _decode_part(response: Response, value: Json, last: str, name: str, id: str | None) -> list[Event] | None:
    """Decode the beginning or the end of a part: only its end has a text, which its fragments may have brought."""
    part = map_of(value.get("part"))
    target, key = _PART_TARGETS.get(text_of(part.get("type")) or "", ("text", ""))
    text = text_of(part.get(key))
    item = response.find(*_place_of(value))
    if not text or item is None or item.closed:
        return []
    if last == "added":
        index = value.get("content_index")
        if item.type == "message" and not item.seen:
            # Its fragments repeat this text. Without any, it is all that the message has when its response ends.
            before = parts_of(item.value)[: index if type(index) is int and index > 0 else 0]
            item.value = {**item.value, "content": [*before, part]}
        return []
    return _append(response, item, target, value, text, last, name, id)


def _decode_annotation(response: Response, value: Json, last: str, name: str, id: str | None) -> list[Event] | None:
    item = response.find(*_place_of(value))
    delta = annotation_delta(value, item.id) if item is not None and item.type == "message" else None
    if item is None or item.closed or delta is None:
        return []  # the whole message has its annotations
    return [MessageDeltaEvent(delta, id, run_id=response.run_id, name=name)]


def _decode_image(response: Response, value: Json, name: str, id: str | None) -> list[Event]:
    """Count a partial image: its bytes are not kept."""
    item = response.find(*_place_of(value))
    if item is None or item.closed:
        return []
    index = value.get("partial_image_index")
    count = index + 1 if type(index) is int and index >= 0 else item.count + 1
    if count <= item.count:
        return []
    item.count = count
    return show_item(response, item, item.value, name, id)


def _decode_status(response: Response, value: Json, status: str, name: str, id: str | None) -> list[Event]:
    item = response.find(*_place_of(value))
    if item is None or item.closed or item.type in ANSWERED or item.value.get("status") == status:
        return []
    item.value = {**item.value, "status": status}
    return show_item(response, item, item.value, name, id)


# calls whose arguments the wire has as an object


def _decode_commands(response: Response, value: Json, last: str, name: str, id: str | None) -> list[Event] | None:
    text = value.get("delta" if last == "delta" else "command")
    if not isinstance(text, str):
        return None
    item, events = _find_or_add(response, value, "shell_call_command", name, id)
    index = value.get("command_index")
    place = index if type(index) is int else 0
    grown = grow_commands(item, place, text, last, id) if not item.closed or id in item.grown else ""
    return events + ([TextAppend(item.id, "arguments", 0, grown, id, response.run_id, name)] if grown else [])


def _decode_diff(response: Response, value: Json, last: str, name: str, id: str | None) -> list[Event] | None:
    text = value.get("delta" if last == "delta" else "diff")
    if not isinstance(text, str):
        return None
    item, events = _find_or_add(response, value, "apply_patch_call_operation_diff", name, id)
    grown = grow_diff(item, text, last, id) if not item.closed or id in item.grown else ""
    return events + ([TextAppend(item.id, "arguments", 0, grown, id, response.run_id, name)] if grown else [])


def _decode_shell_output(response: Response, value: Json, last: str, name: str, id: str | None) -> list[Event] | None:
    """Decode output as it is printed: the output of the call grows, until the whole output replaces it."""
    output, events = _find_or_add(response, value, "shell_call_output_content", name, id)
    call = _call_of(response, output)
    pieces = map_of(value.get("delta"))
    text = "".join(piece for key in ("stdout", "stderr") if (piece := text_of(pieces.get(key))))
    if call is None or call.output is not None or not text:
        return events
    return [*events, TextAppend(call.id, "output", 0, text, id, response.run_id, name)]


def _decode_audio(response: Response, value: Json, last: str, name: str, id: str | None) -> list[Event] | None:
    """Count a piece of audio: its bytes are not kept."""
    audio, events = _audio_of(response, name, id)
    audio.count += last == "delta" and not response.repeats
    return events


def _decode_transcript(response: Response, value: Json, last: str, name: str, id: str | None) -> list[Event] | None:
    audio, events = _audio_of(response, name, id)
    text = text_of(value.get("delta"))
    if not text or audio.closed:
        return events
    return [*events, TextAppend(audio.id, "output", 0, text, id, response.run_id, name)]


def _audio_of(response: Response, name: str, id: str | None) -> tuple[Item, list[Event]]:
    """The item that stands for the audio of a response, and its event if it is new."""
    audio = response.audio
    if audio is not None:
        return audio, audio.first[1] if id is not None and audio.first[0] == id else []
    shown = {"id": f"{response.id}:audio", "type": "audio"}
    audio = response.audio = Item(shown["id"], None, shown)
    audio.closed = not response.is_open
    audio.first = id, show_item(response, audio, shown, name, id, created=True)
    return audio, audio.first[1]


_DECODERS: Final = {
    **{middle: _text_decoder(middle) for middle in TARGETS},
    **dict.fromkeys(_PARTS, _decode_part),
    "output_text.annotation": _decode_annotation,
    "shell_call_command": _decode_commands,
    "shell_call_output_content": _decode_shell_output,
    "apply_patch_call_operation_diff": _decode_diff,
    "audio": _decode_audio,
    "audio.transcript": _decode_transcript,
}
