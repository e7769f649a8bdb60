"""The logger of the library: errors and warnings that do not stop the program."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, Final

__all__ = ["LOG", "Pairs", "standard_writer"]


# Attributes that a record of the standard library has already.
_RESERVED: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


@cache
def _structlog() -> Any:
    # structlog is loaded with the first line, not with the stream: that takes a third of the time of loading a stream
    # (for its colours it loads rich, if that is installed), and a stream without errors never writes a line.
    import structlog

    return structlog.get_logger("runstream")


@cache
def _standard() -> Callable[[str, str, dict[str, Any]], object]:
    return standard_writer(logging.getLogger("runstream"))


class _Log:
    """Levels as methods: ``LOG.warning("sources_wait", source="gateway")``.

    A line goes to structlog's logger ``"runstream"`` where the application has configured structlog, else to the
    logger of the standard library with this name: structlog that is not configured prints to the standard output,
    which belongs to the program.
    """

    def __getattr__(self, level: str) -> Any:
        # An application that has not loaded structlog has not configured it.
        structlog = sys.modules.get("structlog")
        if structlog is not None and structlog.is_configured():
            return getattr(_structlog(), level)

        def write(event: str, **fields: Any) -> None:
            _standard()(level, event, fields)

        return write


LOG: Final = _Log()


def standard_writer(
    logger: logging.Logger | logging.LoggerAdapter[Any],
) -> Callable[[str, str, dict[str, Any]], object]:
    """Return a function that writes a level, an event and its fields to a logger of the standard library.

    The message is the event with the fields as ``name=value``; each field is an attribute of the record too.
    """
    levels = logging.getLevelNamesMapping()

    def write(level: str, event: str, fields: dict[str, Any]) -> None:
        number = levels[level.upper()]
        if not logger.isEnabledFor(number):
            return
        extra = {"event": event, **{name: value for name, value in fields.items() if name not in _RESERVED}}
        if isinstance(logger, logging.LoggerAdapter):
            # An adapter by itself replaces the given fields with its own.
            message, kwargs = logger.process("%s%s", {"extra": extra})
            kwargs["extra"] = {**extra, **(kwargs.get("extra") or {})}
            logger.logger.log(number, message, event, Pairs(fields), **kwargs)
        else:
            logger.log(number, "%s%s", event, Pairs(fields), extra=extra)

    return write


class Pairs:
    """Fields as ``name=value``; the text is built when a handler needs it."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def __str__(self) -> str:
        return "".join(f" {name}={_value(value)}" for name, value in self._fields.items() if value is not None)


def _value(value: Any) -> str:
    """A value as text, quoted where its end would not be clear."""
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False) if not value or set(' "=') & set(value) else value
