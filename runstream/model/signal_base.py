"""The bases of the signals: their name, key and JSON form, and the fields that all signals of a run or a source have."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from msgspec import Struct

from runstream.model.base import wire_form
from runstream.model.tool_calls import RequiredAction, ToolCall

__all__ = ["AwaitedCall", "BaseSignal", "RunSignal", "SourceSignal", "action_key", "digest"]


def _plain(value: Any) -> Any:
    if isinstance(value, BaseSignal | AwaitedCall):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return wire_form(value)


def digest(value: Any) -> str:
    # Sorted keys, and a digest that is the same on every machine: keys must be (Python's hash is not).
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:16]


def action_key(action: RequiredAction) -> tuple[str, ...]:
    """What tells one required action from another: its sorted call ids, or a digest where it has none."""
    ids = sorted({call.id for call in action.tool_calls if call.id})
    return tuple(ids) if ids else (f"digest:{digest(action.to_dict())}",)


class BaseSignal(Struct, frozen=True, gc=False, tag_field="type"):
    """What all signals share."""

    @property
    def type(self) -> str:
        """The signal's name, such as ``run.completed``."""
        return str(self.__struct_config__.tag)

    @property
    def key(self) -> str:
        """The fact's name: equal facts have equal keys, on any machine."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """The signal as JSON builtins, with its ``type`` and ``key``; wire objects as they came."""
        out: dict[str, Any] = {"type": self.type}
        for name in self.__struct_fields__:
            out[name] = _plain(getattr(self, name))
            if name == "thread_id" or (name == "source" and "run_id" not in self.__struct_fields__):
                out["key"] = self.key
        return out

    def to_json(self) -> str:
        """The signal as one line of JSON."""
        return msgspec.json.encode(self.to_dict()).decode()


class RunSignal(BaseSignal, frozen=True, gc=False):
    """Base of the signals that concern a run.

    Attributes:
        run_id: The run.
        thread_id: Its thread, ``None`` where unknown.
        scope: The scope of the source; "" by default.
        at: Unix seconds of observation.
    """

    run_id: str
    thread_id: str | None
    scope: str
    at: float


class SourceSignal(BaseSignal, frozen=True, gc=False):
    """Base of the signals that concern a source.

    Attributes:
        source: The source's name.
        scope: Its scope; "" by default.
        at: Unix seconds of observation.
        n: How many signals of this type the source has given, from 1.
        reason: Why, in words; "" where there is nothing to say.
        attempt: Number of the connection attempt since the last success; 0 for a first success.
    """

    source: str
    scope: str
    at: float
    n: int
    reason: str = ""
    attempt: int = 0

    @property
    def key(self) -> str:
        return f"{self.source}/{self.type.removeprefix('source.')}/{self.n}"


class AwaitedCall(Struct, frozen=True, gc=False):
    """A tool call that a run waits for.

    Attributes:
        id: The call's id, by which its output is submitted.
        name: The function's (or tool's) name.
        arguments: The arguments as they came: JSON text.
        parsed: The arguments parsed (read-only), ``None`` if they can't be.
        error: Why they can't be parsed, else ``None``.
        call: The call as it came.
    """

    id: str
    name: str | None
    arguments: str | None
    parsed: Any
    error: str | None
    call: ToolCall

    def to_dict(self) -> dict[str, Any]:
        """The call as JSON builtins."""
        return {name: _plain(getattr(self, name)) for name in self.__struct_fields__ if name != "call"}
