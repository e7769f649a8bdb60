"""Base classes of the signals: type, key and JSON form, and the fields common to all signals of a run or a source."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from runstream.model.base import to_wire
from runstream.model.keys import run_key
from runstream.model.tool_calls import ToolCall

__all__ = ["AwaitedCall", "BaseSignal", "RunSignal", "SourceSignal"]


def _to_json(value: Any) -> Any:
    if isinstance(value, BaseSignal | AwaitedCall):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    return to_wire(value)


class BaseSignal(Struct, frozen=True, gc=False, tag_field="type"):
    """Base of all signals."""

    @property
    def type(self) -> str:
        """The signal's name, such as ``run.completed``."""
        return str(self.__struct_config__.tag)

    @property
    def key(self) -> str:
        """The name of the fact: equal facts have equal keys, on any machine, and no other fact of a stream has it."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """The signal as JSON builtins, with its ``type`` and ``key``; wire objects are written as received."""
        out: dict[str, Any] = {"type": self.type}
        for name in self.__struct_fields__:
            out[name] = _to_json(getattr(self, name))
            if name == "scope" and "path" in self.__struct_fields__:
                out["path"] = None  # its place in the text; the field stands behind all others
            if name == "thread_id" or (name == "source" and "thread_id" not in self.__struct_fields__):
                out["key"] = self.key
        return out

    def to_json(self) -> str:
        """The signal as one line of JSON."""
        return msgspec.json.encode(self.to_dict()).decode()


class _OfPath(BaseSignal, frozen=True, gc=False, kw_only=True):
    """The field that each signal of a run has behind its own fields, by keyword alone."""

    path: tuple[str, ...] = ()


class RunSignal(_OfPath, frozen=True, gc=False):
    """Base of the signals of a run.

    Attributes:
        run_id: The id of the run.
        thread_id: The id of its thread, ``None`` if unknown.
        scope: The scope of the source; "" by default.
        at: Time of observation (Unix seconds).
        path: The names of the subagents or subgraphs, within the run, that the signal is about, the outermost first;
            empty for the run itself.
    """

    run_id: str
    thread_id: str | None
    scope: str
    at: float

    @property
    def run_key(self) -> str:
        """The beginning of the keys of the run: its id, and the scope before it where there is one."""
        return run_key(self.scope, self.run_id)


class SourceSignal(BaseSignal, frozen=True, gc=False):
    """Base of the signals of a source.

    Attributes:
        source: The name of the source.
        scope: The scope of the source; "" by default.
        at: Time of observation (Unix seconds).
        n: Number of the signal among those of its type from this source, from 1.
        reason: The cause, in words and codes of this library; "" if there is none.
        attempt: Number of the connection attempt since the last success; 0 for a first success.
        server_message: The server's words about the cause; "" if there are none. Logs leave them out by default.
    """

    source: str
    scope: str
    at: float
    n: int
    reason: str = ""
    attempt: int = 0
    server_message: str = ""

    @property
    def key(self) -> str:
        return f"{run_key(self.scope, self.source)}/{self.type.removeprefix('source.')}/{self.n}"


class AwaitedCall(Struct, frozen=True, gc=False):
    """A tool call that a run waits for.

    Attributes:
        id: The id of the call; its output is submitted under it.
        name: The name of the function or tool.
        arguments: The arguments as received: JSON text.
        parsed: The parsed arguments (read-only), ``None`` if they are not valid JSON; the text of a custom tool.
        error: The reason if the arguments can't be parsed, or were not received whole, else ``None``.
        call: The call as received.
        key: The key of the call. Execute a call once per key: ids may be used again in a later round, keys are not.
        kind: The kind of the answer: ``function`` (an output), ``custom`` (an output, for arguments that are plain
            text), ``approval``, ``interrupt``, ``shell``, ``patch``, ``computer``, ``tool_search``, or another.
    """

    id: str
    name: str | None
    arguments: str | None
    parsed: Any
    error: str | None
    call: ToolCall
    key: str
    kind: str = "function"

    @property
    def response_schema(self) -> Any:
        """The JSON Schema of the answer, read-only; ``None`` if the protocol has none for this call."""
        return getattr(self.call, "response_schema", None)

    @property
    def data(self) -> Any:
        """Further fields of the call, such as the question of an interrupt: a JSON value, read-only; else ``None``."""
        return getattr(self.call, "data", None)

    def to_dict(self) -> dict[str, Any]:
        """The call as JSON builtins."""
        return {name: _to_json(getattr(self, name)) for name in self.__struct_fields__ if name != "call"}
