"""The logger of the library: errors and warnings that do not stop the program."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

__all__ = ["LOG"]


@cache
def _logger() -> Any:
    # structlog is loaded with the first line, not with the stream: that takes a third of the time of loading a stream
    # (for its colours it loads rich, if that is installed), and a stream without errors never writes a line.
    import structlog

    return structlog.get_logger("runstream")


class _Log:
    """Levels as methods: ``LOG.warning("sources_wait", source="gateway")`` writes to structlog's ``"runstream"``."""

    def __getattr__(self, level: str) -> Any:
        return getattr(_logger(), level)


LOG: Final = _Log()
