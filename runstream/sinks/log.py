"""The logging sink: signals in, records of structlog or of the standard library out."""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from reactivex import Observable
from reactivex import abc as rx_abc

from runstream.logs import LOG
from runstream.model.signals import SIGNAL_TYPES, ArgumentsDelta, RunSignal, Signal, TextDelta
from runstream.sinks.log_records import log_record

__all__ = ["log_signals"]

_PROGRESS: Final = (TextDelta, ArgumentsDelta)
_MOST_ASSISTANTS: Final = 10_000  # runs whose assistant is remembered, for the signals that do not name it

Write = Callable[[str, str, dict[str, Any]], object]


def log_signals(
    signals: Observable[Signal] | Any,
    logger: Any = None,
    *,
    progress: bool = False,
    include_text: bool = False,
    include_arguments: bool = False,
) -> rx_abc.DisposableBase:
    """Log every signal, each at the level of its meaning.

    Failed runs and steps are errors; expired, incomplete, interrupted and stalled runs, and trouble with sources,
    are warnings; growing text is debug, and left out unless ``progress``; the rest is info. The event is the signal's
    type; ``run_id``, ``thread_id`` and ``assistant_id`` go with all that is told of a run. Nothing is configured here.

    Args:
        signals: A :class:`~runstream.RunStream`, or any Observable of signals. A stream does not even build the
            signals of growing text for this.
        logger: A structlog logger, or whatever has its methods; structlog's ``"runstream"`` by default. Or a
            ``logging.Logger``: then the message is the event with the fields as ``name=value``, and each field is an
            attribute of the record too, for formatters that write JSON.
        progress: Whether to log growing text and arguments: that and how much, not what.
        include_text: Whether message text and the words of errors may be logged.
        include_arguments: Whether the arguments of tool calls may be logged.

    Returns:
        A disposable that ends the logging.
    """
    write = _writer(logger)
    assistants: OrderedDict[tuple[str, str], Any] = OrderedDict()

    def take(signal: Signal) -> None:
        if not progress and isinstance(signal, _PROGRESS):
            return
        level, event, fields = log_record(signal, include_text=include_text, include_arguments=include_arguments)
        if isinstance(signal, RunSignal):
            key = (signal.scope, signal.run_id)
            if (named := fields.get("assistant_id")) is not None:
                assistants[key] = named
                if len(assistants) > _MOST_ASSISTANTS:
                    assistants.popitem(last=False)
            elif (known := assistants.get(key)) is not None:
                fields["assistant_id"] = known
        write(level, event, fields)

    if isinstance(signals, Observable):
        return signals.subscribe(take)
    # A stream; not by its class, for sinks know of signals alone.
    kinds = tuple(kind for kind in SIGNAL_TYPES.values() if progress or kind not in _PROGRESS)
    handle: rx_abc.DisposableBase = signals.on(kinds, take)
    return handle


def _writer(logger: Any) -> Write:
    if isinstance(logger, logging.Logger | logging.LoggerAdapter):
        return _standard(logger)
    log = logger if logger is not None else LOG

    def write(level: str, event: str, fields: dict[str, Any]) -> None:
        getattr(log, level)(event, **fields)

    return write


def _standard(logger: logging.Logger | logging.LoggerAdapter[Any]) -> Write:
    """For a logger of the standard library, which knows of no fields."""
    levels = logging.getLevelNamesMapping()

    def write(level: str, event: str, fields: dict[str, Any]) -> None:
        number = levels[level.upper()]
        if not logger.isEnabledFor(number):
            return
        extra = {"event": event, **fields}
        if isinstance(logger, logging.LoggerAdapter):
            # By itself an adapter puts its own fields in the place of those that it is given.
            message, given = logger.process("%s%s", {"extra": extra})
            given["extra"] = {**extra, **(given.get("extra") or {})}
            logger.logger.log(number, message, event, _Pairs(fields), **given)
        else:
            logger.log(number, "%s%s", event, _Pairs(fields), extra=extra)

    return write


class _Pairs:
    """Fields as ``name=value``, made when a handler asks for them."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def __str__(self) -> str:
        return "".join(f" {name}={_value(value)}" for name, value in self._fields.items() if value is not None)


def _value(value: Any) -> str:
    """A value, quoted where it would not read as one."""
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False) if not value or set(' "=') & set(value) else value
