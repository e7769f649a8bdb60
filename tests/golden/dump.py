"""Public values in, plain JSON out: the canonical form that the digests are made of."""

from __future__ import annotations

import enum
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, Final

from msgspec import Struct

import runstream

__all__ = ["checksum", "digest", "input_form", "orphans_form", "plain", "reject_form", "signal_form", "state_form"]

_FOREIGN: Final = re.compile(r"^(Not JSON|Arguments are not JSON): .*", re.DOTALL)
_MODEL: Final = (runstream.Run, runstream.RunStep, runstream.Message)
_MESSAGE: Final = ("is_terminal", "text", "refusal", "annotations", "marked", "image_file_ids")
_STEP: Final = ("is_terminal", "tool_calls", "message_id")
_RUN: Final = (
    "is_processing",
    "requires_action",
    "is_complete",
    "is_failed",
    "is_cancelled",
    "is_expired",
    "is_incomplete",
    "is_terminal",
    "pending_tool_calls",
)
_STATE: Final = (
    "run_id",
    "thread_id",
    "scope",
    "status",
    "is_terminal",
    "changed_by",
    "first_seen",
    "round",
    "usage",
    "text",
    "image_file_ids",
    "partial",
    "timings",
)


def digest(value: Any) -> str:
    """Sixteen hexadecimal characters for a plain JSON value; the order of keys counts."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def checksum(data: bytes | str) -> str:
    """Eight hexadecimal characters for bytes or text."""
    return f"{zlib.crc32(data if isinstance(data, bytes) else data.encode('utf-8', 'surrogatepass')):08x}"


def plain(value: Any, *, inner: bool = False) -> Any:
    """Any public value as plain JSON: the public fields of Structs, and a digest of the wire form of what has one.

    Args:
        value: The value.
        inner: Whether a part of a Struct: its wire form is a part of the Struct's.

    Raises:
        TypeError: A value of a type that this module does not know.
    """
    kind = type(value)
    if value is None or kind is bool or kind is int:
        return value
    if kind is float:
        return repr(value)
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, str):
        return _FOREIGN.sub(r"\1", value) if value.startswith(("Not JSON", "Arguments are")) else value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, Struct):
        wire = None if inner else getattr(value, "to_dict", None)
        within = inner or isinstance(value, _MODEL)
        out = {
            name: plain(getattr(value, name), inner=within)
            for name in value.__struct_fields__
            if not name.startswith("_")
        }
        return out if wire is None else {**out, "$wire": digest(plain(wire()))}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Set):
        return sorted(plain(item) for item in value)
    if isinstance(value, Sequence):
        return [plain(item, inner=inner) for item in value]
    raise TypeError(f"no plain form for a {type(value).__name__}")


def signal_form(signal: Any) -> dict[str, Any]:
    """A signal with its class, its type, its key and all its fields."""
    found = {"class": type(signal).__name__, "type": signal.type, "key": signal.key, **plain(signal)}
    if not found.get("path", True):
        # The path came later than these dumps: an empty one is left out.
        del found["path"]
        wire = {name: value for name, value in signal.to_dict().items() if name != "path"}
        found["$wire"] = digest(plain(wire))
    return found


def state_form(state: runstream.RunState) -> dict[str, Any]:
    """All that a state's public properties and methods give."""
    messages, steps = state.messages, state.steps
    return {
        "repr": repr(state),
        **{name: plain(getattr(state, name)) for name in _STATE},
        "run": _with(state.run, _RUN),
        "messages": [_with(message, _MESSAGE) for message in messages],
        "steps": [_with(step, _STEP) for step in steps],
        "tool_calls": [_call(call) for call in state.tool_calls],
        "to_dict": plain(state.to_dict()),
        "found": [[state.message(message.id) == message, state.step(message.id) is None] for message in messages]
        + [[state.step(step.id) == step, state.message(step.id) is None] for step in steps],
    }


def reject_form(reject: runstream.Reject) -> dict[str, Any]:
    """A reject, with a digest of the data in place of the data."""
    raw = reject.raw
    return {
        "reason": plain(reject.reason),
        "path": reject.path,
        "source": reject.source,
        "where": reject.where,
        "event": raw.event,
        "id": raw.id,
        "line": raw.line,
        "size": len(raw.data),
        "data": checksum(raw.data),
    }


def orphans_form(orphans: Mapping[str, Iterable[Any]]) -> list[Any]:
    """The orphans: pairs of an id and the names of its events, in order."""
    return [[id, [event.event for event in events]] for id, events in orphans.items()]


def input_form(item: Any) -> Any:
    """One item of input; what is no input at all by the name of its type."""
    if isinstance(item, Struct):
        found = {"class": type(item).__name__, **plain(item)}
        if not found.get("server_message", True):
            del found["server_message"]  # a field that the recorded digests lack where it is empty
        return found
    return plain(item) if isinstance(item, Mapping | str | bytes | None) else type(item).__name__


def _with(value: Any, names: Iterable[str]) -> dict[str, Any]:
    return {**plain(value), "$wire": plain(value.to_dict()), "$": {name: plain(getattr(value, name)) for name in names}}


def _call(call: Any) -> dict[str, Any]:
    names = ("id", "name", "arguments", "image_file_ids")
    return {**plain(call), "$": {name: plain(getattr(call, name, None)) for name in names}}
