"""Facts and progress as messages: signals enter, JSON leaves; and the inverse, for consumers in Python."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from runstream.cluster.topology import token
from runstream.errors import ClusterError
from runstream.model.base import WireStruct
from runstream.model.common import ErrorObject
from runstream.model.frozen import freeze
from runstream.model.lenient import read
from runstream.model.message import Message
from runstream.model.progress_signals import ProgressSignal
from runstream.model.run import Run, RunStatus
from runstream.model.signals import SIGNAL_TYPES, ActionRequired, AwaitedCall, Signal
from runstream.model.step import RunStep, ToolCallsDetails

__all__ = ["ProgressBuffer", "read_facts", "read_signal", "write_facts"]

_encode: Final = msgspec.json.Encoder().encode


def write_facts(signals: Iterable[Signal]) -> bytes:
    """Signals as a JSON array of objects, each as :meth:`BaseSignal.to_dict` has it: with ``type`` and ``key``."""
    return _encode([signal.to_dict() for signal in signals])


def read_facts(data: bytes) -> list[Signal]:
    """The signals of :func:`write_facts`.

    Raises:
        ClusterError: The bytes are none.
    """
    try:
        return [read_signal(each) for each in msgspec.json.decode(data)]
    except (msgspec.MsgspecError, UnicodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ClusterError(f"a message has no facts that this release can read ({type(error).__name__})") from None


def read_signal(value: dict[str, Any]) -> Signal:
    """A signal from the builtins of :meth:`BaseSignal.to_dict`.

    Raises:
        KeyError: The type is unknown, or a field is missing.
        ValueError: An object can't be read.
    """
    kind = SIGNAL_TYPES[value["type"]]
    fields: dict[str, Any] = {}
    for name in kind.__struct_fields__:
        if name not in value:
            continue
        found = value[name]
        if found is not None:
            found = _READERS.get(name, _same)(found)
        fields[name] = found
    if kind is ActionRequired:
        calls = fields["run"].pending_tool_calls
        fields["calls"] = tuple(
            [
                AwaitedCall(
                    each["id"],
                    each["name"],
                    each["arguments"],
                    freeze(each["parsed"]),
                    each["error"],
                    call,
                    each["key"],
                    each["kind"],
                )
                for each, call in zip(value["calls"], calls, strict=True)
            ]
        )
    signal: Signal = kind(**fields)
    return signal


def _same(value: Any) -> Any:
    return value


def _reader(kind: type[WireStruct]) -> Any:
    def read_as(value: Any) -> WireStruct:
        found = read(kind, value, [])
        if found is None:
            raise ValueError("an essential field is missing")
        return found

    return read_as


def _read_call(value: Any) -> Any:
    """A tool call: its class is found as in the details of a step."""
    details: Any = read(ToolCallsDetails, {"type": "tool_calls", "tool_calls": [value]}, [])
    return details.tool_calls[0]


def _read_action(value: Any) -> Any:
    run: Any = read(Run, {"id": "", "status": "requires_action", "required_action": value}, [])
    return run.required_action


_READERS: Final[dict[str, Any]] = {
    "run": _reader(Run),
    "message": _reader(Message),
    "step": _reader(RunStep),
    "error": _reader(ErrorObject),
    "call": _read_call,
    "action": _read_action,
    "before": RunStatus,
    "after": RunStatus,
    "value": freeze,
    "operations": freeze,
    "path": tuple,
    "calls": _same,
}
"""How a field is read, by its name; all other fields are scalars."""


class ProgressBuffer:
    """Joins signals of progress until they are sent: consecutive fragments of one text become one signal."""

    def __init__(self) -> None:
        self._runs: dict[tuple[str, str], list[Any]] = {}  # the first signal of each text, and its fragments

    def add(self, signal: Any) -> None:
        """Add a signal."""
        texts = self._runs.get((signal.scope, signal.run_id))
        if texts is None:
            self._runs[signal.scope, signal.run_id] = [[signal, [signal.delta], signal.offset + len(signal.delta)]]
            return
        last = texts[-1]
        if last[2] == signal.offset and _place(last[0]) == _place(signal):
            last[1].append(signal.delta)
            last[2] += len(signal.delta)
        else:
            texts.append([signal, [signal.delta], signal.offset + len(signal.delta)])

    def take(self) -> list[tuple[str, bytes]]:
        """Remove and return what was added: the token of each run, and its signals as JSON."""
        runs, self._runs = self._runs, {}
        return [
            (
                token(scope, run_id),
                write_facts([msgspec.structs.replace(first, delta="".join(parts)) for first, parts, _ in texts]),
            )
            for (scope, run_id), texts in runs.items()
        ]


def _place(signal: ProgressSignal) -> tuple[Any, ...]:
    """The text that a signal of progress appends to."""
    kind: Any = signal
    if hasattr(kind, "call_key"):
        return type(signal), kind.call_key
    owner = getattr(kind, "message_id", None) or getattr(kind, "step_id", None)
    return type(signal), owner, kind.part, getattr(kind, "kind", "")
