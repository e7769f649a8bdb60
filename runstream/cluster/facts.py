"""Facts and progress as messages: signals enter, JSON leaves; and the inverse, for consumers in Python."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from runstream.cluster.topology import token
from runstream.errors import ClusterError
from runstream.logs import LOG
from runstream.model.base import WireStruct
from runstream.model.common import ErrorObject
from runstream.model.frozen import freeze
from runstream.model.lenient import read
from runstream.model.message import Message
from runstream.model.progress_signals import ProgressSignal
from runstream.model.run import Run, RunStatus
from runstream.model.signals import SIGNAL_TYPES, ActionRequired, AwaitedCall, Signal
from runstream.model.step import RunStep, ToolCallsDetails

__all__ = ["ProgressBuffer", "fit_facts", "read_facts", "read_signal", "write_facts"]

_encode: Final = msgspec.json.Encoder().encode
_HEADERS: Final = 2_048  # bytes of headers and subject, at most
_LONGEST: Final = (32_768, 4_096, 256)  # characters of a text in a fact that is too large


def write_facts(signals: Iterable[Signal]) -> bytes:
    """Signals as a JSON array of objects, each as :meth:`BaseSignal.to_dict` has it: with ``type`` and ``key``."""
    return _encode([signal.to_dict() for signal in signals])


def fit_facts(data: bytes, limit: int) -> list[bytes]:
    """Facts as one message, or as several where one is too large for the server.

    A fact that is too large by itself has its long texts cut, and ``"cut": true``; the state has them whole. One that
    is too large even so has its scalars only.

    Args:
        data: The facts (:func:`write_facts`).
        limit: The size of a message that the server accepts (bytes).
    """
    limit -= _HEADERS
    if len(data) <= limit:
        return [data]
    return [_fit(fact, limit) for fact in msgspec.json.decode(data)]


def _fit(fact: dict[str, Any], limit: int) -> bytes:
    written = _encode([fact])
    if len(written) <= limit:
        return written
    LOG.warning("fact_cut", key=fact["key"], size=len(written))
    for longest in _LONGEST:
        written = _encode([{**{name: _cut(value, longest) for name, value in fact.items()}, "cut": True}])
        if len(written) <= limit:
            return written
    scalars = {name: _cut(value, 200) for name, value in fact.items() if not isinstance(value, dict | list)}
    return _encode([{**scalars, "key": fact["key"], "cut": True}])


def _cut(value: Any, longest: int) -> Any:
    if isinstance(value, str):
        return value[:longest]
    if isinstance(value, list):
        return [_cut(each, longest) for each in value]
    if isinstance(value, dict):
        return {name: _cut(each, longest) for name, each in value.items()}
    return value


def read_facts(data: bytes) -> list[Signal]:
    """The signals of :func:`write_facts`.

    Raises:
        ClusterError: The bytes are none.
    """
    try:
        found: list[dict[str, Any]] = msgspec.json.decode(data)
        return [signal for each in found if (signal := _read_cut(each)) is not None]
    except (msgspec.MsgspecError, UnicodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ClusterError(f"a message has no facts that this release can read ({type(error).__name__})") from None


def _read_cut(value: dict[str, Any]) -> Signal | None:
    """A signal; ``None`` for one of which only scalars could be stored."""
    try:
        return read_signal(value)
    except (KeyError, TypeError, ValueError):
        if not value.get("cut"):
            raise
        LOG.warning("fact_omitted", key=value["key"])
        return None


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

    def take(self, limit: int = 2**20) -> list[tuple[str, bytes]]:
        """Remove and return what was added: the token of each run, and its signals as JSON.

        Args:
            limit: The size of a message that the server accepts (bytes): a run with more has several.
        """
        runs, self._runs = self._runs, {}
        found = []
        for (scope, run_id), texts in runs.items():
            signals = [msgspec.structs.replace(first, delta="".join(parts)) for first, parts, _ in texts]
            data = write_facts(signals)
            parts = [data] if len(data) <= limit - _HEADERS else _divide(signals, (limit - _HEADERS) // 8)
            found += [(token(scope, run_id), part) for part in parts]
        return found


def _divide(signals: Iterable[Any], length: int) -> list[bytes]:
    """Progress with texts of a length at most, each signal as a message of its own."""
    return [
        write_facts([msgspec.structs.replace(each, offset=each.offset + at, delta=each.delta[at : at + length])])
        for each in signals
        for at in range(0, len(each.delta), length)
    ]


def _place(signal: ProgressSignal) -> tuple[Any, ...]:
    """The text that a signal of progress appends to."""
    kind: Any = signal
    if hasattr(kind, "call_key"):
        return type(signal), kind.call_key
    owner = getattr(kind, "message_id", None) or getattr(kind, "step_id", None)
    return type(signal), owner, kind.part, getattr(kind, "kind", "")
