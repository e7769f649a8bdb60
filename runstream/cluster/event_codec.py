"""The wire form of decoded events: an event enters, builtins that MessagePack can write leave; and the inverse."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import msgspec

from runstream.model.base import WireStruct, decode_hook, decoder
from runstream.model.common import ErrorObject
from runstream.model.deltas import MessageDelta, RunStepDelta
from runstream.model.events import (
    ActivityEvent,
    CustomEvent,
    DocumentPatch,
    DocumentSnapshot,
    DoneEvent,
    EmptyEvent,
    ErrorEvent,
    Event,
    MessageDeltaEvent,
    MessageEvent,
    Origin,
    Reject,
    RunDetached,
    RunEvent,
    StepDeltaEvent,
    StepEvent,
    TextAppend,
    ThreadEvent,
    UnknownEvent,
)
from runstream.model.lenient import Issue, read
from runstream.model.message import Message, Thread
from runstream.model.raw import RawEvent
from runstream.model.run import Run
from runstream.model.step import RunStep

__all__ = ["named_object", "named_run", "read_event", "write_event"]

# The numbers are the wire form: a kind keeps its number.
_KINDS: Final[tuple[type, ...]] = (
    TextAppend,  # 0
    RunEvent,
    StepEvent,
    StepDeltaEvent,
    MessageEvent,
    MessageDeltaEvent,
    ThreadEvent,
    ErrorEvent,
    CustomEvent,
    DocumentSnapshot,
    DocumentPatch,  # 10
    ActivityEvent,
    RunDetached,
    DoneEvent,
    EmptyEvent,
    UnknownEvent,
    Reject,  # 16
)
_NUMBERS: Final = {kind: number for number, kind in enumerate(_KINDS)}
_DATA: Final[dict[type, type[WireStruct]]] = {
    RunEvent: Run,
    StepEvent: RunStep,
    StepDeltaEvent: RunStepDelta,
    MessageEvent: Message,
    MessageDeltaEvent: MessageDelta,
    ThreadEvent: Thread,
    ErrorEvent: ErrorObject,
}
"""The class of the data of each event of a wire object."""


def _kind_of(event: Any) -> type:
    kind = type(event)
    if kind in _NUMBERS:
        return kind
    return next(base for base in kind.__mro__ if base in _NUMBERS)


def write_event(event: Event | Reject, *, by_payload: bool) -> list[Any]:
    """An event as builtins.

    Args:
        event: The event.
        by_payload: True if the objects of the event's dialect are those in the payload of their origin, so that the
            payload alone is written. It is written unchanged, and reading it costs what decoding it has cost.
    """
    kind = _kind_of(event)
    number = _NUMBERS[kind]
    if isinstance(event, TextAppend):
        return [number, event.object_id, event.target, event.index, event.text, event.id, event.run_id, event.name]
    if isinstance(event, Reject):
        # Without the message: it may be large, and the ingest has reported it.
        ids = None if event.object_ids is None else list(event.object_ids)
        return [number, event.reason, event.path, ids, event.raw.event, event.raw.line]
    data: Any = event.data
    data_id = getattr(data, "id", None)
    origin: Any = event.origin
    written: list[Any] | None = None
    if origin is not None:
        written = [origin.payload, origin.enveloped, origin.connection]
    if isinstance(data, WireStruct):
        if by_payload and origin is not None and kind is not ErrorEvent:
            data = None
        else:
            if origin is not None and origin.issues:
                written = [*(written or ()), [[issue.path, issue.reason] for issue in origin.issues]]
            data = msgspec.json.encode(data.to_dict())
    run = data_id if kind is RunEvent else event.run_id or getattr(event.data, "run_id", None)
    out = [number, data, event.id, event.run_id, event.created, event.event, list(event.path), written, run, data_id]
    if isinstance(event, RunEvent):
        out.append(event.piece)
    elif isinstance(event, MessageEvent | StepEvent):
        out += [event.partial, event.corrects]
    elif isinstance(event, ActivityEvent):
        out += [event.activity_id, event.kind, event.operations, event.replace]
    return out


def named_run(item: list[Any]) -> str | None:
    """The run that a written event names; ``None`` if it names none."""
    if item[0] == 0:
        return item[6]  # type: ignore[no-any-return]
    return item[8] if len(item) > 8 else None


def named_object(item: list[Any]) -> str | None:
    """The run, message or step that a written event is about; ``None`` if it is about none."""
    if item[0] == 0:
        return item[1]  # type: ignore[no-any-return]
    return item[9] if len(item) > 9 else None


def read_event(item: list[Any], at: float | None = None) -> Event | Reject:
    """The event that :func:`write_event` has written.

    Args:
        item: The builtins.
        at: The time of its arrival (Unix seconds), for the raw event of a reject.

    Raises:
        ValueError: The builtins are no event.
    """
    kind: Any = _KINDS[item[0]]
    if kind is TextAppend:
        return TextAppend(*item[1:])
    if kind is Reject:
        _, reason, path, ids, wire_name, line = item
        raw = RawEvent(wire_name, b"", None, None, at, line)
        return Reject(raw, reason, path, object_ids=None if ids is None else tuple(ids))
    _, data, id, run_id, created, name, path, origin = item[:8]
    found: Origin | None = None
    issues: list[Issue] = []
    of_data = _DATA.get(kind)
    if of_data is not None:
        data = (
            _read_object(of_data, data, issues)
            if data is not None
            else _read_payload(of_data, origin[0], origin[1], issues)
        )
    if origin is not None:
        if len(origin) > 3:
            issues = [Issue(path, reason) for path, reason in origin[3]]
        found = Origin(origin[0], origin[1], origin[2], tuple(issues))
    rest = {}
    if kind is RunEvent:
        rest = {"piece": item[10]}
    elif kind in (MessageEvent, StepEvent) and len(item) > 10:  # packs of an older release lack these
        rest = {"partial": item[10], "corrects": item[11]}
    elif kind is ActivityEvent:
        rest = {"activity_id": item[10], "kind": item[11], "operations": item[12], "replace": item[13]}
    found_event: Event = kind(data, id, found, run_id, created, name, tuple(path), **rest)
    return found_event


def _read_object(kind: type[WireStruct], data: bytes, issues: list[Issue]) -> WireStruct:
    try:
        return decoder(kind).decode(data)  # type: ignore[no-any-return]
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _read_leniently(kind, msgspec.json.decode(data), issues, "$")


@cache
def _envelope(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(msgspec.defstruct("_Envelope", [("data", kind)]), dec_hook=decode_hook)


def _read_payload(kind: type[WireStruct], payload: bytes, enveloped: bool, issues: list[Issue]) -> WireStruct:
    try:
        found: Any = _envelope(kind).decode(payload).data if enveloped else decoder(kind).decode(payload)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        value = msgspec.json.decode(payload)
        path = "$.data" if enveloped else "$"
        return _read_leniently(kind, value["data"] if enveloped else value, issues, path)
    return found  # type: ignore[no-any-return]


def _read_leniently(kind: type[WireStruct], value: Any, issues: list[Issue], path: str) -> WireStruct:
    found = read(kind, value, issues, path)
    if found is None:
        raise ValueError("an essential field is missing")
    return found
